// coremlx soak: one or more models under load for as long as asked, every answer checked, with a verdict.

import { basename, dirname } from "node:path";
import { CoremlxError } from "../../core/errors.ts";
import { modelNameOf } from "../../runtime/session.ts";
import { runSoak, type SoakOptions } from "../../suites/soak.ts";
import type { SoakCheckpoint } from "../../suites/soak/checkpoint.ts";
import {
  type FaultKind,
  faultKinds,
  type SoakConfiguration,
  type SoakLimits,
  type SoakResult,
} from "../../suites/soak/schema.ts";
import { command, engineFlags, type RunContext } from "../command.ts";
import { liveLine } from "../live-line.ts";
import { loadFlags, readInstances, readLoad, readWarmup } from "../load-options.ts";
import { createLogger } from "../logger.ts";
import { parseCount, parseDuration, parseSize } from "../options.ts";
import { type Io, painter, Reported, shellWord } from "../output.ts";

import { findModelFor, openCliSession } from "../session.ts";
import { SoakFolder } from "../soak-files.ts";
import { formatSoak, formatSoakProgress, formatSoakWindow } from "../soak-text.ts";

const { function: _function, ...soakEngineFlags } = engineFlags;

const flags = {
  duration: {
    type: "string",
    alias: "d",
    default: "1h",
    valueHint: "TIME",
    description: "how long to measure, interruptions not counted",
  },
  ...loadFlags,
  warmup: {
    type: "string",
    valueHint: "TIME|N",
    description: "time or number of predictions before the measurement (default: a tenth, at most 1m)",
  },
  inputs: {
    type: "string",
    default: "8",
    valueHint: "N",
    description: "how many different random inputs each model gets",
  },
  seed: { type: "string", default: "0", valueHint: "N", description: "seed of inputs, their order and gaps" },
  tolerance: {
    type: "string",
    valueHint: "SHARE",
    description:
      "how far answers may be from the references, of the largest value (default: every bit counts)",
  },
  faults: {
    type: "string",
    valueHint: "KIND,…",
    description: `calls that go wrong on purpose: ${faultKinds.join(", ")}`,
  },
  "fault-share": {
    type: "string",
    default: "1%",
    valueHint: "SHARE",
    description: "how many of the calls have a fault, where --faults asks for any",
  },
  "summary-every": {
    type: "string",
    default: "5m",
    valueHint: "TIME",
    description: "the length of a window: each has its summary and its p99",
  },
  "output-dir": {
    type: "string",
    valueHint: "DIR",
    description: "where checkpoint, series and result go (default: a new folder, named after model and time)",
    isTrusted: true,
  },
  resume: {
    type: "string",
    valueHint: "DIR",
    description: "go on with the soak of that folder",
    isTrusted: true,
  },
  "max-failures": { type: "string", default: "0", valueHint: "N", description: "calls that may fail" },
  "min-success": {
    type: "string",
    default: "99%",
    valueHint: "SHARE",
    description: "right answers, of all calls",
  },
  "max-growth": {
    type: "string",
    default: "50MB",
    valueHint: "SIZE",
    description: "growth of memory from the start to the end",
  },
  "max-slope": {
    type: "string",
    default: "50MB",
    valueHint: "SIZE",
    description: "growth of memory in an hour",
  },
  "max-p99": { type: "string", default: "25ms", valueHint: "TIME", description: "p99 of the worst window" },
  "max-drift": {
    type: "string",
    default: "20%",
    valueHint: "SHARE",
    description: "rise of median and p99 from the start to the end",
  },
  "max-trips": { type: "string", default: "0", valueHint: "N", description: "openings of a circuit breaker" },
  "max-crashes": { type: "string", default: "0", valueHint: "N", description: "processes that may die" },
  "trend-after": {
    type: "string",
    default: "10m",
    valueHint: "TIME",
    description: "growth of memory and drift of latency are not judged in a shorter soak",
  },
  ...soakEngineFlags,
} as const;

type Context = RunContext<typeof flags>;
type Flags = Context["flags"];

export const soak = command({
  meta: {
    name: "soak",
    description: "Run models for as long as asked, check every answer, and give a verdict",
  },
  positionals: [{ name: "MODEL", description: "a .mlpackage, .mlmodel or .mlmodelc", multiple: true }],
  flags,
  examples: [
    "coremlx soak examples/digits/Digits.mlpackage --duration 2s --max-p99 1s",
    "coremlx soak examples/digits/Digits.mlpackage --duration 2s --rate 50 --arrivals poisson --max-p99 1s --json",
  ],
  async run(context) {
    const { flags: settings, io } = context;
    const { folder, before, models, configuration } = prepare(context);
    const logger = createLogger(io, settings);
    io.holdExit();
    await using session = await openCliSession(
      { ...settings, engine: configuration.requestedEngine, precision: configuration.precision },
      io,
      logger,
    );
    using line = liveLine(io, !settings.quiet);
    using _awake = keepAwake();
    logger.log("info", `The files of this soak are in ${folder.path}`);
    let phase: string | undefined;
    const result = await runSoak(session, {
      models,
      configuration,
      before,
      signal: io.signal,
      onProgress(progress) {
        if (progress.phase !== phase) logger.log("debug", phases[progress.phase]);
        phase = progress.phase;
        line.show(formatSoakProgress(progress));
      },
      onSeries(entry) {
        folder.append(entry);
        if (entry.type === "start") logger.log("debug", "measuring");
        if (entry.type !== "window") return;
        line.clear();
        logger.log(
          "info",
          formatSoakWindow(
            entry,
            models.map(({ name }) => name),
          ),
        );
      },
      onCheckpoint: (checkpoint) => folder.saveCheckpoint(checkpoint),
    });
    line.clear();
    if (!result.isInterrupted) folder.saveResult(result);
    for (const warning of result.warnings) logger.log("warn", warning);
    print(result, { settings, io });
    if (result.isInterrupted) {
      logger.log("info", `Go on with: coremlx soak --resume ${shellWord(folder.path)}`);
      throw new Reported("INTERRUPTED");
    }
    if (result.verdict.outcome !== "pass") throw new Reported("CRITERIA_FAILED");
  },
});

const phases = {
  load: "loading",
  references: "taking the reference answers",
  "warm-up": "warming up",
  measured: "under way",
} as const;

function print(result: SoakResult, { settings, io }: { readonly settings: Flags; readonly io: Io }): void {
  const paint = painter(io, settings.color, "stdout");
  io.stdout(`${settings.json ? JSON.stringify(result) : formatSoak(result, paint)}\n`);
}

interface Prepared extends Pick<SoakOptions, "models" | "configuration"> {
  readonly folder: SoakFolder;
  readonly before: SoakCheckpoint | undefined;
}

function prepare(context: Context): Prepared {
  const { flags: settings, positionals, io } = context;
  if (settings.resume !== undefined) {
    refuseChanges(context);
    const { folder, before } = SoakFolder.open(settings.resume, io.cwd);
    return { folder, before, models: before.models, configuration: before.configuration };
  }
  if (positionals.length === 0) {
    throw new CoremlxError("USAGE", "coremlx soak needs MODEL: a .mlpackage, .mlmodel or .mlmodelc", {
      hint: "Run coremlx soak --help, or go on with --resume DIR",
    });
  }
  const configuration = readConfiguration(settings);
  const paths = positionals.map((path) => findModelFor(settings.engine, path, io.cwd));
  const names = nameModels(paths);
  const models = paths.map((path, index) => ({ path, name: names[index] ?? "" }));
  const folder = SoakFolder.create(settings["output-dir"], { cwd: io.cwd, name: models[0]?.name ?? "" });
  return { folder, before: undefined, models, configuration };
}

/** Says nothing about what is measured. */
const allowedWithResume = new Set([
  "resume",
  "json",
  "quiet",
  "verbose",
  "color",
  "log-format",
  "onnxruntime",
  "coreml",
  "cache-dir",
  "cache",
]);

function refuseChanges({ given, positionals }: Context): void {
  const changed = Object.entries(given.origins).find(
    ([name, origin]) => origin === "flag" && !allowedWithResume.has(name),
  )?.[0];
  if (changed === undefined && positionals.length === 0) return;
  const what = changed === undefined ? `"${positionals[0]}"` : `--${changed}`;
  throw new CoremlxError("USAGE", `Cannot use ${what} with --resume: the soak goes on as it began`, {
    hint: "Give --resume alone, or begin a new soak",
  });
}

/** Models of one name are told apart by the folders they lie in, and one model twice by a number. */
function nameModels(paths: readonly string[]): string[] {
  const short = paths.map(modelNameOf);
  const long = paths.map((path, index) => {
    const name = short[index] ?? "";
    const isAlone = short.indexOf(name) === short.lastIndexOf(name);
    return isAlone ? name : `${basename(dirname(path))}/${name}`;
  });
  return long.map((name, index) => {
    const earlier = long.slice(0, index).filter((other) => other === name).length;
    return earlier === 0 ? name : `${name}-${earlier + 1}`;
  });
}

const longestWarmupMs = 60_000;
const mostWindows = 10_000;
const mostInputs = 1_000;

function readConfiguration(settings: Flags): SoakConfiguration {
  const durationMs = parseDuration(settings.duration, "duration");
  const summaryEveryMs = parseDuration(settings["summary-every"], "summary-every");
  if (durationMs / summaryEveryMs > mostWindows) {
    throw new CoremlxError(
      "USAGE",
      `Cannot use --summary-every ${settings["summary-every"]}: more than ${mostWindows} windows in ${settings.duration}`,
    );
  }
  const inputsPerModel = parseCount(settings.inputs, "inputs");
  if (inputsPerModel > mostInputs) {
    throw new CoremlxError("USAGE", `Cannot use --inputs ${inputsPerModel}: the most is ${mostInputs}`);
  }
  const warmup =
    settings.warmup === undefined
      ? { durationMs: Math.min(longestWarmupMs, durationMs / 10) }
      : readWarmup(settings.warmup);
  return {
    load: readLoad(settings),
    durationMs,
    warmup: { count: warmup.count ?? null, durationMs: warmup.durationMs ?? null },
    summaryEveryMs,
    timeoutMs: parseDuration(settings.timeout, "timeout"),
    instances: readInstances(settings.instances) ?? null,
    isolation: settings.isolation,
    threads: settings.threads === undefined ? null : parseCount(settings.threads, "threads"),
    requestedDevice: settings.device,
    requestedEngine: settings.engine,
    ...(settings.precision && { precision: settings.precision }),
    inputsPerModel,
    seed: parseCount(settings.seed, "seed", 0),
    tolerance: settings.tolerance === undefined ? null : readShare(settings.tolerance, "tolerance"),
    faults: readFaults(settings.faults),
    faultShare: settings.faults === undefined ? 0 : readShare(settings["fault-share"], "fault-share"),
    limits: readLimits(settings),
  };
}

function readLimits(settings: Flags): SoakLimits {
  return {
    maxFailures: parseCount(settings["max-failures"], "max-failures", 0),
    minSuccessShare: readShare(settings["min-success"], "min-success"),
    maxGrowthBytes: parseSize(settings["max-growth"], "max-growth"),
    maxSlopeBytesPerHour: parseSize(settings["max-slope"], "max-slope"),
    maxP99Ms: parseDuration(settings["max-p99"], "max-p99"),
    maxDriftShare: readShare(settings["max-drift"], "max-drift"),
    maxBreakerTrips: parseCount(settings["max-trips"], "max-trips", 0),
    maxCrashes: parseCount(settings["max-crashes"], "max-crashes", 0),
    trendAfterMs: parseDuration(settings["trend-after"], "trend-after"),
  };
}

function readFaults(text: string | undefined): FaultKind[] {
  return (text?.split(",") ?? []).map((word) => {
    const kind = faultKinds.find((known) => known === word.trim());
    if (kind !== undefined) return kind;
    throw new CoremlxError("USAGE", `Unknown fault "${word}" in --faults`, {
      hint: `The faults are ${faultKinds.join(", ")}`,
    });
  });
}

/** "5%" or "0.05" */
function readShare(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?(?:e-\d+)?)(%?)$/.exec(text);
  const share = match === null ? Number.NaN : Number(match[1]) / (match[2] === "%" ? 100 : 1);
  if (share <= 1) return share;
  throw new CoremlxError("USAGE", `Cannot read --${flag} "${text}": it must be a share up to 1, or 100%`, {
    hint: "Write it like 5% or 0.05",
  });
}

/** A Mac that nobody touches goes to sleep, unless somebody asks it not to. */
function keepAwake(): Disposable {
  if (process.platform !== "darwin") return { [Symbol.dispose]() {} };
  const child = Bun.spawn(["/usr/bin/caffeinate", "-im", "-w", String(process.pid)], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  return { [Symbol.dispose]: () => child.kill() };
}
