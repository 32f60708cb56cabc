// coremlx parity: how far two ways to run a model are apart.

import { resolve } from "node:path";
import { CoremlxError } from "../../core/errors.ts";
import { formatBytes } from "../../core/quantity.ts";
import type { SessionModel } from "../../runtime/session.ts";
import { engineSide } from "../../suites/parity/engine-side.ts";
import { parseLimit, usualLimits } from "../../suites/parity/limits.ts";
import type { ParityBisection, ParityLimits } from "../../suites/parity/schema.ts";
import {
  nameOfSide,
  type ParityInput,
  type ParityOptions,
  type ParitySide,
  runParity,
} from "../../suites/parity.ts";
import { command, engineFlags, inputFlags, type RunContext } from "../command.ts";
import { type InputSettings, readInputSets } from "../input-sets.ts";
import { readStdinOnce } from "../inputs.ts";
import { liveLine } from "../live-line.ts";
import { createLogger, type Logger } from "../logger.ts";
import { parseCount, parseDuration, parseSize } from "../options.ts";
import { painter, Reported } from "../output.ts";
import { formatParity } from "../parity-text.ts";
import { refuseModelAmongFiles } from "../paths.ts";
import { openSavedSide } from "../saved-outputs.ts";
import { cacheDirOf, findModelFor, openCliSession } from "../session.ts";
import { readTolerances, saveTolerances } from "../tolerance-file.ts";

const flags = {
  against: {
    type: "string",
    valueHint: "FILE|DIR",
    description: "the reference: saved answers (.npz, .safetensors, .json, a folder of infer --output-dir)",
  },
  "against-engine": {
    type: "string",
    valueHint: engineFlags.engine.valueHint,
    isOwnChoice: engineFlags.engine.isOwnChoice,
    description: "the reference: this engine (default: the same as --engine)",
  },
  "against-device": {
    type: "enum",
    options: engineFlags.device.options,
    description: "the reference: on this device (default: the same as --device)",
  },
  "against-precision": {
    type: "enum",
    options: engineFlags.precision.options,
    description: "the reference: in this precision (default: the same as --precision)",
  },
  "against-model": {
    type: "string",
    valueHint: "MODEL",
    description: "the reference: this model, with the same inputs (default: the same)",
  },
  truth: {
    type: "string",
    valueHint: "FILE|DIR",
    description: "saved answers that count as right: on how many inputs is the subject no further from them?",
  },
  ...inputFlags,
  samples: {
    type: "string",
    default: "8",
    valueHint: "N",
    description: "without inputs: how many random ones, with the seeds from --seed on",
  },
  "top-k": {
    type: "string",
    default: "5",
    valueHint: "K",
    description: "how many of the best scores to compare",
  },
  tolerance: {
    type: "string",
    multiple: true,
    valueHint: "FIGURE=N",
    description: "a limit, as range=0.01 or NAME:cosine=0.999 for one output; it replaces the usual ones",
  },
  tolerances: {
    type: "string",
    valueHint: "FILE",
    description: "limits for this model and comparison from a file of --save-tolerances",
  },
  "save-tolerances": {
    type: "string",
    valueHint: "FILE",
    description: "keep what was measured, doubled, as the limits for this model and comparison",
    isTrusted: true,
  },
  bisect: { type: "boolean", description: "find the operation where the two part (portable engine)" },
  "bisect-threshold": {
    type: "string",
    valueHint: "SHARE",
    description: "share of a value's range that counts as parting (default: 1e-5, between precisions 0.01)",
  },
  "bisect-memory": {
    type: "string",
    default: "256MB",
    valueHint: "SIZE",
    description: "for the inner values of each side that are held at once",
  },
  timeout: {
    type: "string",
    default: "30s",
    valueHint: "TIME",
    description: "longest wait for one prediction",
  },
  ...engineFlags,
} as const;

type Flags = RunContext<typeof flags>["flags"];

export const parity = command({
  meta: {
    name: "parity",
    description: "Compare two engines, devices, precisions or models, or saved answers, and give a verdict",
  },
  positionals: [
    { name: "MODEL", description: "a .mlpackage, .mlmodel or .mlmodelc", isRequired: true },
    { name: "FILE", description: "an input file, as for infer; each is an input of its own", multiple: true },
  ],
  flags,
  examples: [
    "coremlx parity examples/digits/Digits.mlpackage --precision model --against-precision float32",
    "coremlx parity examples/digits/Digits.mlpackage --precision model --against-precision float32 --bisect --json",
    "coremlx parity examples/digits/Digits.mlpackage examples/digits/digit_7.png --tolerance top1=1 --tolerance range=0.05",
  ],
  async run({ flags: settings, positionals: [path = "", ...files], io }) {
    refuseModelAmongFiles(path, files);
    const given = settings.tolerance.map(parseLimit);
    if (given.length > 0 && settings.tolerances !== undefined) {
      throw new CoremlxError("USAGE", "Options --tolerance and --tolerances exclude each other");
    }
    const bisection = readBisection(settings);
    const sides = readSides(settings, path);
    if (bisection) for (const side of [sides.subject, sides.reference]) refuseClosed(side);
    const inputSettings: InputSettings = {
      files,
      specs: settings.input,
      samples: parseCount(settings.samples, "samples"),
      seed: parseCount(settings.seed, "seed", 0),
      fit: settings.fit,
      isMixdown: settings.mixdown,
      resampleHz: settings.resample === undefined ? undefined : parseCount(settings.resample, "resample"),
      io: readStdinOnce(io),
    };
    const topK = parseCount(settings["top-k"], "top-k");
    const logger = createLogger(io, settings);
    using line = liveLine(io, !settings.quiet);
    line.show("loading …");
    await using subject = await openSide(sides.subject, { settings, logger, io });
    await using reference = sides.reference && (await openSide(sides.reference, { settings, logger, io }));
    const inputs = await readInputSets(subject.model.inputs, {
      ...inputSettings,
      log: (level, message) => logger.log(level, message),
    });
    const savedOptions = { cwd: io.cwd, inputs };
    const { outputs } = subject.model;
    const other = reference?.side ?? (await openSavedSide(settings.against ?? "", outputs, savedOptions));
    const truth =
      settings.truth === undefined ? undefined : await openSavedSide(settings.truth, outputs, savedOptions);
    if (sides.isUsual) {
      logger.log("info", `comparing ${nameOfSide(subject.side.facts)} with ${nameOfSide(other.facts)}`);
    }
    const judged = { subject: subject.side, reference: other };
    const result = await runParity({
      ...judged,
      truth,
      inputs,
      topK,
      ...readLimits(settings, given, { ...judged, cwd: io.cwd }),
      bisect: bisection && ((input) => bisectSides(sides, input, { settings, bisection, io, line })),
      signal: io.signal,
      onProgress: ({ done, total }) => line.show(`${done} of ${total} inputs`),
    });
    line.clear();
    for (const warning of result.warnings) logger.log("warn", warning);
    if (settings["save-tolerances"] !== undefined)
      saveTolerances(settings["save-tolerances"], io.cwd, result);
    const paint = painter(io, settings.color, "stdout");
    io.stdout(`${settings.json ? JSON.stringify(result) : formatParity(result, paint)}\n`);
    if (result.verdict.outcome !== "pass" && settings["save-tolerances"] === undefined) {
      throw new Reported("CRITERIA_FAILED");
    }
  },
});

interface SideChoice {
  readonly path: string;
  readonly engine: string;
  readonly device: Flags["device"];
  readonly precision: Flags["precision"];
}

interface Sides {
  readonly subject: SideChoice;
  /** `undefined`: saved answers. */
  readonly reference: SideChoice | undefined;
  /** Nobody said what to compare. */
  readonly isUsual: boolean;
}

/** Without a word on the reference: half precision against single, or another engine against the portable one. */
function readSides(settings: Flags, path: string): Sides {
  const { engine, device, precision } = settings;
  const subject: SideChoice = { path, engine, device, precision };
  const said = ["against-engine", "against-device", "against-precision", "against-model"] as const;
  const isSaid = said.some((name) => settings[name] !== undefined);
  if (settings.against !== undefined) {
    if (!isSaid) return { subject, reference: undefined, isUsual: false };
    throw new CoremlxError(
      "USAGE",
      "Option --against names saved answers: no engine, device or model goes with it",
      {
        hint: "Leave it out, or leave out --against-engine, --against-device, --against-precision and --against-model",
      },
    );
  }
  if (!isSaid) {
    const isPortable = engine === "portable" || (engine === "auto" && process.platform !== "darwin");
    return isPortable && precision !== "float32"
      ? {
          subject: { ...subject, precision: "model" },
          reference: { ...subject, precision: "float32" },
          isUsual: true,
        }
      : {
          subject,
          reference: {
            path,
            engine: "portable",
            device: "auto",
            precision: isPortable ? "model" : undefined,
          },
          isUsual: true,
        };
  }
  const otherEngine = settings["against-engine"] ?? engine;
  return {
    subject,
    reference: {
      path: settings["against-model"] ?? path,
      engine: otherEngine,
      device: settings["against-device"] ?? (otherEngine === engine ? device : "auto"),
      precision: settings["against-precision"] ?? (otherEngine === engine ? precision : undefined),
    },
    isUsual: false,
  };
}

interface Around {
  readonly settings: Flags;
  readonly io: RunContext<typeof flags>["io"];
}

interface OpenSide extends AsyncDisposable {
  readonly side: ParitySide;
  readonly model: SessionModel;
}

async function openSide(
  { path, engine, device, precision }: SideChoice,
  { settings, io, logger }: Around & { readonly logger: Logger },
): Promise<OpenSide> {
  const modelPath = findModelFor(engine, path, io.cwd);
  const session = await openCliSession({ ...settings, engine, precision }, io, logger);
  try {
    const model = await session.load(modelPath, {
      functionName: settings.function,
      device,
      instances: 1,
      withDigest: true,
      signal: io.signal,
    });
    const timeoutMs = parseDuration(settings.timeout, "timeout");
    const side = engineSide(model, { requestedDevice: device, precision, timeoutMs, signal: io.signal });
    const facts =
      side.facts.kind === "engine" ? { ...side.facts, model: { ...side.facts.model, path } } : side.facts;
    return { side: { ...side, facts }, model, [Symbol.asyncDispose]: () => session[Symbol.asyncDispose]() };
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

function readLimits(
  { tolerances }: Flags,
  given: readonly ReturnType<typeof parseLimit>[],
  { subject, reference, cwd }: Pick<ParityOptions, "subject" | "reference"> & { readonly cwd: string },
): Pick<ParityOptions, "limits" | "tolerances"> {
  const isHalf = [subject, reference].some(
    ({ facts }) => facts.kind === "engine" && facts.precision !== "float32",
  );
  const usual = (areWords: boolean) => usualLimits({ isHalf, areWords });
  if (tolerances !== undefined) {
    const kept = readTolerances(tolerances, cwd, { subject: subject.facts, reference: reference.facts });
    return {
      tolerances,
      limits: ({ name, areWords }) => (Object.hasOwn(kept, name) ? (kept[name] ?? {}) : usual(areWords)),
    };
  }
  if (given.length === 0) return { tolerances: "usual", limits: ({ areWords }) => usual(areWords) };
  return {
    tolerances: "given",
    limits({ name, areWords }) {
      const own = given.filter(({ output }) => output === undefined || output === name);
      const limits: ParityLimits = Object.assign({}, ...own.map((each) => each.limits));
      // Of the figures only whether they are equal makes sense for words.
      if (areWords) return limits.equal === undefined ? {} : { equal: limits.equal };
      return { odd: 0, ...limits };
    },
  };
}

interface BisectionSettings {
  readonly threshold: number | undefined;
  readonly memoryBytes: number;
}

function readBisection(settings: Flags): BisectionSettings | undefined {
  const text = settings["bisect-threshold"];
  const threshold = text === undefined ? undefined : Number(text);
  if (threshold !== undefined && !(threshold >= 0 && threshold <= 1)) {
    throw new CoremlxError(
      "USAGE",
      `Cannot read --bisect-threshold "${text}": it must be a number from 0 to 1`,
    );
  }
  const memoryBytes = parseSize(settings["bisect-memory"], "bisect-memory");
  return settings.bisect ? { threshold, memoryBytes } : undefined;
}

const threshold = { same: 1e-5, other: 1e-2 };

async function bisectSides(
  { subject, reference }: Sides,
  input: ParityInput,
  {
    settings,
    bisection,
    io,
    line,
  }: Around & { readonly bisection: BisectionSettings; readonly line: ReturnType<typeof liveLine> },
): Promise<ParityBisection> {
  const [{ ProgramTrace }, { bisect }] = await Promise.all([
    import("../../runtime/trace.ts"),
    import("../../suites/parity/bisect.ts"),
  ]);
  const open = (side: SideChoice) =>
    ProgramTrace.open(findModelFor("portable", side.path, io.cwd), {
      functionName: settings.function,
      precision: side.precision,
      onnxruntimePath: settings.onnxruntime === undefined ? undefined : resolve(io.cwd, settings.onnxruntime),
      cacheDir: cacheDirOf(settings["cache-dir"], io),
    });
  using mine = await open(subject);
  using theirs = await open(reference ?? subject);
  const isSame = (subject.precision ?? "float32") === (reference?.precision ?? "float32");
  line.show(
    `comparing ${mine.operations.length} operations, ${formatBytes(bisection.memoryBytes)} at once …`,
  );
  return bisect(mine.given(input.values), theirs.given(input.values), {
    input: input.name,
    threshold: bisection.threshold ?? (isSame ? threshold.same : threshold.other),
    memoryBytes: bisection.memoryBytes,
    signal: io.signal,
    onProgress: ({ done, total }) => line.show(`compared ${done} of ${total} parts of the program`),
  });
}

/** Throws UNSUPPORTED for a side that nobody can look into. */
function refuseClosed(side: SideChoice | undefined): void {
  if (side !== undefined && isPortable(side)) return;
  const what = side === undefined ? "saved answers have" : `engine ${side.engine} gives out`;
  throw new CoremlxError("UNSUPPORTED", `Cannot look for where the two sides part: ${what} no inner values`, {
    hint: "Compare two precisions or two models on the portable engine, or leave --bisect out",
  });
}

function isPortable({ engine }: SideChoice): boolean {
  return engine === "portable" || (engine === "auto" && process.platform !== "darwin");
}
