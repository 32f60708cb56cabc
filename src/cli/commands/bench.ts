// coremlx bench: latency, throughput and cost of one model under a load of choice.

import { CoremlxError } from "../../core/errors.ts";
import type { FeatureValue } from "../../core/tensor.ts";
import { type BenchInputs, type BenchModel, type BenchProgress, runBench } from "../../suites/bench.ts";
import type { Extent } from "../../suites/workload.ts";
import { runComparison } from "../bench-compare.ts";
import { formatBench, formatProgress } from "../bench-text.ts";
import { command, engineFlags, inputFlags } from "../command.ts";
import { fillMissing, type InputOptions, readInputs, readStdinOnce } from "../inputs.ts";
import { liveLine } from "../live-line.ts";
import { loadFlags, readInstances, readLoad, readWarmup } from "../load-options.ts";
import { createLogger } from "../logger.ts";
import { parseCount, parseDuration } from "../options.ts";
import { painter, Reported } from "../output.ts";
import { findModelFor, openCliSession } from "../session.ts";

export const bench = command({
  meta: { name: "bench", description: "Measure latency, throughput, memory and processor time of a model" },
  positionals: [{ name: "MODEL", description: "a .mlpackage, .mlmodel or .mlmodelc", isRequired: true }],
  flags: {
    ...inputFlags,
    ...loadFlags,
    concurrency: {
      ...loadFlags.concurrency,
      valueHint: "N,…",
      description:
        "closed loop: N callers, each waits for its answer (default: 1); a list measures each in turn",
    },
    compare: {
      type: "string",
      multiple: true,
      valueHint: "NAME=VALUE,…",
      description:
        "a configuration to compare, taking turns: threads=1, device=cpu, model=FILE; twice, or with the options as given",
    },
    inline: { type: "boolean", description: "let a small model run in the caller's own thread" },
    warmup: {
      type: "string",
      default: "1s",
      valueHint: "TIME|N",
      description: "time or number of predictions before the measurement",
    },
    duration: {
      type: "string",
      alias: "d",
      valueHint: "TIME",
      description: "how long to measure (default: 5s)",
    },
    count: { type: "string", alias: "n", valueHint: "N", description: "how many predictions to measure" },
    ...engineFlags,
  },
  examples: [
    "coremlx bench examples/digits/Digits.mlpackage --duration 2s",
    "coremlx bench examples/digits/Digits.mlpackage --concurrency 4 --count 500 --input image=zeros",
    "coremlx bench examples/digits/Digits.mlpackage --concurrency 1,2,4 --duration 2s",
    "coremlx bench examples/digits/Digits.mlpackage --compare threads=1 --compare threads=2 --duration 2s",
    "coremlx bench examples/digits/Digits.mlpackage --rate 200 --arrivals poisson --duration 2s --json",
  ],
  async run({ flags, positionals: [path = ""], io }) {
    const [callers, ...more] = flags.concurrency?.split(",") ?? [];
    const settings = {
      load: readLoad({ ...flags, concurrency: callers }),
      alsoConcurrent: more.map((text) => parseCount(text, "concurrency")),
      instances: readInstances(flags.instances),
      threads: flags.threads === undefined ? undefined : parseCount(flags.threads, "threads"),
      inline: flags.inline ? ("auto" as const) : (false as const),
      warmup: readWarmup(flags.warmup),
      measure: readExtent(flags),
      timeoutMs: parseDuration(flags.timeout, "timeout"),
    };
    const inputs = {
      specs: flags.input,
      fit: flags.fit,
      isMixdown: flags.mixdown,
      resampleHz: flags.resample === undefined ? undefined : parseCount(flags.resample, "resample"),
      seed: parseCount(flags.seed, "seed", 0),
    };
    const logger = createLogger(io, flags);
    const log: InputSettings["log"] = (level, message) => logger.log(level, message);
    if (flags.compare.length > 0) {
      const { warmup, measure, timeoutMs, load } = settings;
      if (flags.count !== undefined || more.length > 0 || warmup.durationMs === undefined)
        throw new CoremlxError("USAGE", "Cannot compare by counts: configurations take turns by time", {
          hint: "Use --duration and a time for --warmup, with one number of callers",
        });
      return runComparison(flags, {
        path,
        load,
        durationMs: measure.durationMs ?? 0,
        warmupMs: warmup.durationMs,
        timeoutMs,
        io,
        logger,
        prepareInputs: (model) => prepareInputs(model, { ...inputs, io: readStdinOnce(io), log }),
      });
    }
    const modelPath = findModelFor(flags.engine, path, io.cwd);
    await using session = await openCliSession(flags, io, logger);
    using line = liveLine(io, !flags.quiet);
    let phase: BenchProgress["phase"] | undefined;
    const measured = await runBench(session, modelPath, {
      ...settings,
      functionName: flags.function,
      isolation: flags.isolation,
      precision: flags.precision,
      device: flags.device,
      prepareInputs: (model) =>
        prepareInputs(model, {
          ...inputs,
          io: readStdinOnce(io),
          log: (level, message) => {
            line.clear();
            logger.log(level, message);
          },
        }),
      signal: io.signal,
      onProgress(progress) {
        if (progress.phase !== phase) logger.log("debug", phases[progress.phase]);
        phase = progress.phase;
        line.show(formatProgress(progress));
      },
    });
    line.clear();
    const result = { ...measured, model: { ...measured.model, path } };
    for (const warning of result.warnings) logger.log("warn", warning);
    const style = { paint: painter(io, flags.color, "stdout"), hasBars: io.isTerminal.stdout };
    io.stdout(`${flags.json ? JSON.stringify(result) : formatBench(result, style)}\n`);
    if (result.isInterrupted) throw new Reported("INTERRUPTED");
  },
});

const phases: Readonly<Record<BenchProgress["phase"], string>> = {
  load: "loading",
  first: "predicting for the first time",
  "warm-up": "warming up",
  measured: "measuring",
};

const defaultDuration = "5s";

function readExtent(flags: {
  readonly count: string | undefined;
  readonly duration: string | undefined;
}): Extent {
  const count = flags.count === undefined ? undefined : parseCount(flags.count, "count");
  const duration = flags.duration ?? (count === undefined ? defaultDuration : undefined);
  return { count, durationMs: duration === undefined ? undefined : parseDuration(duration, "duration") };
}

type InputSettings = Omit<InputOptions, "inputs"> & { readonly specs: readonly string[] };

async function prepareInputs(model: BenchModel, { specs, ...settings }: InputSettings): Promise<BenchInputs> {
  const options: InputOptions = { ...settings, inputs: model.inputs };
  const values = new Map<string, FeatureValue>(await readInputs(specs, options));
  const random = fillMissing(values, options);
  const generated = random.length > 0 ? [`random, seed ${settings.seed}`] : [];
  return { values, description: [...specs, ...generated].join(", ") };
}
