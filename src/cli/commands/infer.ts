// coremlx infer: one or more predictions from files, values or generated inputs.

import { basename, join, resolve } from "node:path";
import { encodeFile } from "../../codecs/codec.ts";
import { type JsonValue, toJsonValue } from "../../codecs/json-output.ts";
import { CoremlxError } from "../../core/errors.ts";
import { formatMs } from "../../core/quantity.ts";
import type { FeatureValue, FeatureValues, SteppedValues } from "../../core/tensor.ts";
import type { Prediction, SessionModel } from "../../runtime/session.ts";
import { command, engineFlags, inputFlags } from "../command.ts";
import { fillMissing, type InputOptions, readInputs, readStdinOnce, stemOf } from "../inputs.ts";
import { addAll, type Run, runsOf } from "../input-runs.ts";
import { createLogger } from "../logger.ts";
import { parseCount, parseDuration } from "../options.ts";
import { type Io, painter, plainLine, shellWord } from "../output.ts";
import { refuseModelAmongFiles } from "../paths.ts";
import {
  safeName,
  summarizeOutputs,
  type SummaryStyle,
  uniqueName,
  writeOutputFile,
  writeOutputFolder,
} from "../results.ts";
import { openSequence, type SavedStates } from "../sequence.ts";
import { readSequenceFlags, sequenceFlags } from "../sequence-options.ts";
import { findModelFor, openCliSession, progress } from "../session.ts";

export const infer = command({
  meta: { name: "infer", description: "Run a model on files or values and show the answer" },
  positionals: [
    { name: "MODEL", description: "a .mlpackage, .mlmodel or .mlmodelc", isRequired: true },
    { name: "FILE", description: "an input file; several run one after the other", multiple: true },
  ],
  flags: {
    ...inputFlags,
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      description: "write all outputs to a .npz, .safetensors or .json file",
      isTrusted: true,
    },
    "output-dir": {
      type: "string",
      valueHint: "DIR",
      description: "write each output to a file of its own in DIR",
      isTrusted: true,
    },
    top: { type: "string", default: "5", valueHint: "N", description: "how many classes to show" },
    repeat: {
      type: "string",
      default: "1",
      valueHint: "N",
      description: "predict N times, report the median time",
    },
    timeout: {
      type: "string",
      default: "5s",
      valueHint: "TIME",
      description: "longest wait for one prediction",
    },
    threads: {
      type: "string",
      valueHint: "N",
      description: "threads for one prediction (default: all cores)",
    },
    jobs: {
      type: "string",
      default: "1",
      alias: "j",
      valueHint: "N",
      description: "predictions at once, where there are several files",
    },
    isolation: {
      type: "enum",
      options: ["worker", "process"],
      default: "worker",
      description: "process: a crash of the engine does not end coremlx",
    },
    ...sequenceFlags,
    ...engineFlags,
  },
  examples: [
    "coremlx infer examples/digits/Digits.mlpackage examples/digits/digit_7.png",
    "coremlx infer examples/digits/Digits.mlpackage --input image=random --json",
    "coremlx infer examples/digits/Digits.mlpackage examples/digits/digit_1.png examples/digits/digit_2.png --output-dir out",
    "coremlx infer examples/counter/Counter.mlpackage examples/counter/amounts.npy --steps 4",
  ],
  async run({ flags, positionals, io }) {
    const [path = "", ...files] = positionals;
    refuseModelAmongFiles(path, files);
    const settings = {
      seed: parseCount(flags.seed, "seed", 0),
      top: parseCount(flags.top, "top"),
      repeat: parseCount(flags.repeat, "repeat"),
      timeoutMs: parseDuration(flags.timeout, "timeout"),
      jobs: parseCount(flags.jobs, "jobs"),
      threads: flags.threads === undefined ? undefined : parseCount(flags.threads, "threads"),
      resampleHz: flags.resample === undefined ? undefined : parseCount(flags.resample, "resample"),
    };
    checkDestination(flags);
    const sequenceSettings = readSequenceFlags(flags);
    const logger = createLogger(io, flags);
    const modelPath = findModelFor(flags.engine, path, io.cwd);
    logger.log("debug", `loading ${path}`);
    await using session = await openCliSession(flags, io, logger);
    const model = await progress(
      io,
      flags.quiet || flags.json ? undefined : `loading ${plainLine(basename(path))}`,
      session.load(modelPath, {
        functionName: flags.function,
        device: flags.device,
        threads: settings.threads,
        instances: Math.min(settings.jobs, Math.max(files.length, 1)),
        isolation: flags.isolation,
        signal: io.signal,
        withDigest: flags.json,
      }),
    );
    const options: InputOptions = {
      inputs: model.inputs,
      fit: flags.fit,
      isMixdown: flags.mixdown,
      resampleHz: settings.resampleHz,
      seed: settings.seed,
      io: readStdinOnce(io),
      log: (level, message) => logger.log(level, message),
    };
    const runs = runsOf(files, model.inputs);
    if (flags.output !== undefined && runs.length > 1) {
      throw new CoremlxError("USAGE", "Option --output takes the outputs of one prediction", {
        hint: "Use --output-dir, which makes a folder for each",
      });
    }
    await using sequence =
      sequenceSettings &&
      (await openSequence(sequenceSettings, options, {
        model,
        runs,
        signal: io.signal,
        timeoutMs: settings.timeoutMs,
        cwd: io.cwd,
      }));
    const reading = sequence?.inputOptions ?? options;
    const shared = await readInputs(flags.input, reading);
    const predictFile = async ({ file, specs }: Run): Promise<Result> => {
      const inputs = new Map<string, FeatureValue>(sequence?.sharedInputs(shared) ?? shared);
      addAll(inputs, await readInputs(specs, reading));
      if (inputs.size === 0) {
        const inputsToFill = sequence?.openInputs ?? model.inputs;
        const filled = fillMissing(inputs, { ...reading, inputs: inputsToFill });
        announceRandom(filled, model, path, options.log);
      }
      logger.log("debug", `predicting${file === undefined ? "" : ` ${file}`}`);
      const prediction =
        sequence === undefined
          ? await predictRepeated(model, inputs, settings, io)
          : await progress(io, flags.quiet || flags.json ? undefined : "running", sequence.predict(inputs));
      return { file, ...prediction };
    };
    // The steps of a sequence follow each other; files on their own may overtake, and are reported in their order.
    const results = await mapInOrder(runs, sequence ? 1 : settings.jobs, predictFile);
    const states = await sequence?.save();
    finish(results, { flags, io, model, path, top: settings.top, states });
  },
});

/** `work` on every item, at most `limit` at once; after a failure no further one is begun. */
async function mapInOrder<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  let hasFailed = false;
  const worker = async () => {
    for (const [index, item] of queue) {
      if (hasFailed) return;
      try {
        results[index] = await work(item);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}

interface Result {
  readonly file: string | undefined;
  readonly outputs: SteppedValues;
  readonly runMs: number;
  /** Of which the outputs are stacked. */
  readonly steps?: number | undefined;
}

interface Finish {
  readonly flags: {
    readonly json: boolean;
    readonly quiet: boolean;
    readonly color: string;
    readonly device: string;
    readonly output: string | undefined;
    readonly "output-dir": string | undefined;
  };
  readonly io: Io;
  readonly model: SessionModel;
  readonly path: string;
  readonly top: number;
  /** What --save-state wrote. */
  readonly states: SavedStates | undefined;
}

function checkDestination(flags: {
  readonly output: string | undefined;
  readonly "output-dir": string | undefined;
}): void {
  if (flags.output !== undefined && flags["output-dir"] !== undefined) {
    throw new CoremlxError("USAGE", "Options --output and --output-dir exclude each other");
  }
  if (flags.output === "-") {
    throw new CoremlxError("USAGE", "Cannot write the outputs to the standard output in no known format", {
      hint: "Use --json, which prints them, or --output FILE.npz",
    });
  }
  if (flags.output !== undefined && !/\.(npz|safetensors|json|npy|png)$/i.test(flags.output)) {
    throw new CoremlxError("USAGE", `Cannot write "${flags.output}": its ending names no format`, {
      hint: "Use .npz, .safetensors or .json",
    });
  }
}

function announceRandom(
  names: readonly string[],
  model: SessionModel,
  path: string,
  log: InputOptions["log"],
): void {
  if (names.length === 0) return;
  const list = names.map((name) => `"${name}"`).join(", ");
  log("info", `no inputs given: ${list} filled with seeded random values`);
  const [first] = model.inputs;
  const value = first?.type.kind === "image" ? "picture.png" : "values.npy";
  const input = shellWord(`${first?.name ?? "NAME"}=${value}`);
  log("info", `to pass real ones: coremlx infer ${shellWord(path)} --input ${input}`);
}

/** The outputs of the last run, and the median time of all. */
async function predictRepeated(
  model: SessionModel,
  inputs: FeatureValues,
  settings: { readonly repeat: number; readonly timeoutMs: number },
  io: Io,
): Promise<Prediction> {
  const times: number[] = [];
  let outputs: FeatureValues = new Map();
  for (let i = 0; i < settings.repeat; i++) {
    const prediction = await model.predictTimed(inputs, { signal: io.signal, timeoutMs: settings.timeoutMs });
    outputs = prediction.outputs;
    times.push(prediction.runMs);
  }
  const sorted = times.toSorted((a, b) => a - b);
  return { outputs, queueMs: 0, runMs: sorted[Math.floor(sorted.length / 2)] ?? 0 };
}

function finish(results: readonly Result[], context: Finish): void {
  const { flags, io } = context;
  const taken = new Set<string>();
  const written = results.map((result) => {
    const folder = results.length === 1 ? flags["output-dir"] : folderOf(result, context, taken);
    return writeResult(result, folder, context);
  });
  if (flags.json) return printJson(results, written, context);
  if (flags.output !== undefined || flags["output-dir"] !== undefined) {
    if (!flags.quiet) for (const { place } of written) io.stderr(`wrote ${plainLine(place)}\n`);
    io.stdout(`${statusLine(context, results)}\n`);
    return;
  }
  const paint = painter(io, flags.color, "stdout");
  const style: SummaryStyle = {
    top: context.top,
    probabilities: context.model.function.predictedProbabilitiesName,
    hasBars: io.isTerminal.stdout,
    paint,
  };
  for (const { file, outputs } of results) {
    if (results.length > 1) io.stdout(`${paint("bold", plainLine(file ?? ""))}\n`);
    io.stdout(`${summarizeOutputs(outputs, style)}\n`);
    if (results.length > 1) io.stdout("\n");
  }
  io.stdout(`${paint("dim", statusLine(context, results))}\n`);
}

/** One of several: a folder of its own, named like the file. */
function folderOf(result: Result, { flags, model }: Finish, taken: Set<string>): string | undefined {
  const folder = flags["output-dir"];
  if (folder === undefined || result.file === undefined) return folder;
  return join(folder, uniqueName(safeName(stemOf(result.file, model.inputs)), "", taken));
}

interface Written {
  readonly outputs: Readonly<Record<string, JsonValue>> | undefined;
  readonly place: string;
}

function writeResult(result: Result, folder: string | undefined, { flags, io, model }: Finish): Written {
  if (folder !== undefined) {
    const place = resolve(io.cwd, folder);
    const descriptions = result.steps === undefined ? model.outputs : []; // no PNG holds the pictures of all steps
    return { outputs: writeOutputFolder(place, result.outputs, descriptions), place: folder };
  }
  if (flags.output !== undefined) {
    writeOutputFile(resolve(io.cwd, flags.output), encodeFile(flags.output, result.outputs));
    return { outputs: undefined, place: flags.output };
  }
  return { outputs: undefined, place: "" };
}

function printJson(
  results: readonly Result[],
  written: readonly Written[],
  { io, model, path, states }: Finish,
): void {
  const { digest } = model;
  const entries = results.map(({ file, outputs, runMs, steps }, index) => {
    const values =
      written[index]?.outputs ??
      Object.fromEntries([...outputs].map(([name, value]) => [name, toJsonValue(value)]));
    return {
      ...(file === undefined ? {} : { file }),
      ...(steps === undefined ? {} : { steps }),
      outputs: values,
      timings: { ...model.timings, runMs },
    };
  });
  const head = {
    schemaVersion: 1,
    model: { path, digest, kind: model.description.kind, function: model.function.name },
    engine: model.engine,
    device: model.device,
    ...(states === undefined ? {} : { states }),
  };
  const [only, second] = entries;
  const document = only && second === undefined ? { ...head, ...only } : { ...head, results: entries };
  io.stdout(`${JSON.stringify(document)}\n`);
}

function statusLine({ model, flags }: Finish, results: readonly Result[]): string {
  const times = results.map((result) => result.runMs).toSorted((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)] ?? 0;
  const steps = results[0]?.steps;
  const one = steps === undefined ? "predict" : `${steps} steps`;
  const predict = results.length === 1 ? one : `${results.length} predictions, median`;
  const { openMs, compileMs, loadMs } = model.timings;
  const requested = flags.device === "auto" ? "" : ` (${flags.device} requested)`;
  return [
    model.engine,
    `${model.device}${requested}`,
    `open ${formatMs(openMs)}`,
    ...(model.isWarm ? [] : [`compile ${formatMs(compileMs)}`]),
    `load ${formatMs(loadMs)} (${model.isWarm ? "warm" : "cold"})`,
    `${predict} ${formatMs(median)}`,
  ].join(" · ");
}
