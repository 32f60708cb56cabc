// Two configurations against each other, taking turns: A, B, B, A, again and again, so that what changes slowly (heat, other
// programs) meets both alike. A difference is called one only where it stands out from what the same configuration does to itself.

import { CoremlxError } from "../core/errors.ts";
import type { FeatureValues } from "../core/tensor.ts";
import type { LoadModelOptions } from "../runtime/session.ts";
import type { BenchInputs, BenchModel, BenchSession } from "./bench.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { BenchComparison, ComparedFinding, ComparedRound, ComparedSide } from "./compare-schema.ts";
import { Histogram } from "./histogram.ts";
import { describeEnvironment, type Probe, systemProbe } from "./machine.ts";
import { summarize } from "./measurement.ts";
import { bootstrapInterval, median } from "./stats.ts";
import { type Load, runWorkload } from "./workload.ts";

export interface CompareSide {
  readonly label: string;
  readonly session: BenchSession;
  readonly path: string;
  readonly options: LoadModelOptions;
}

export interface CompareOptions {
  readonly a: CompareSide;
  readonly b: CompareSide;
  readonly load: Extract<Load, { readonly mode: "closed" }>;
  readonly warmupMs: number;
  readonly blockMs: number;
  readonly rounds: number;
  readonly timeoutMs: number;
  /** For A; B gets the same values. */
  readonly prepareInputs: (model: BenchModel) => Promise<BenchInputs>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: { readonly share: number }) => void) | undefined;
  readonly clock?: Clock | undefined;
  readonly probe?: Probe | undefined;
}

interface Measured {
  readonly side: CompareSide;
  readonly model: BenchModel;
  readonly latency: Histogram;
  elapsedMs: number;
  failed: number;
}

interface BlockFigures {
  readonly p50Ms: number;
  readonly throughputPerSecond: number;
}

/** Throws what loading throws, and what a prediction throws where a block has no answer. Interrupted, it has the rounds so far. */
export async function compareConfigurations(options: CompareOptions): Promise<BenchComparison> {
  const { a, b, signal, clock = systemClock, probe = systemProbe, rounds: wanted } = options;
  const startedAt = new Date().toISOString();
  const environment = describeEnvironment();
  await using loaded = new AsyncDisposableStack();
  const [first, second] = [await open(a, options, loaded), await open(b, options, loaded)];
  const inputs = await options.prepareInputs(first.model);
  const [startMs, busyMs, ownMs] = [clock.now(), probe.machineBusyMs(), cpuMsOf(probe)];
  for (const side of [first, second]) {
    await runBlock(side, inputs.values, { ...options, blockMs: options.warmupMs });
    forget(side);
  }
  const rounds: ComparedRound[] = [];
  while (rounds.length < wanted && !signal?.aborted) {
    const blocks: BlockFigures[] = [];
    for (const side of [first, second, second, first])
      blocks.push(await runBlock(side, inputs.values, options));
    if (signal?.aborted) break; // the last block is a part of one
    rounds.push(describeRound(blocks));
    options.onProgress?.({ share: rounds.length / wanted });
  }
  const isolated = [a, b].some((side) => side.options.isolation === "process");
  const elapsedMs = clock.now() - startMs;
  const otherCores = (probe.machineBusyMs() - busyMs - (cpuMsOf(probe) - ownMs)) / elapsedMs;
  return {
    schemaVersion: 1,
    kind: "bench-comparison",
    startedAt,
    environment,
    configuration: {
      load: options.load,
      blockMs: options.blockMs,
      rounds: wanted,
      timeoutMs: options.timeoutMs,
      inputs: inputs.description,
    },
    a: describeSide(first),
    b: describeSide(second),
    rounds,
    findings: [findDifference(rounds, "median latency"), findDifference(rounds, "throughput")],
    isInterrupted: signal?.aborted ?? false,
    warnings:
      !isolated && otherCores > noticeableOtherCores
        ? [`Other programs kept ${otherCores.toFixed(1)} cores busy`]
        : [],
  };
}

const noticeableOtherCores = 0.25;

function cpuMsOf(probe: Probe): number {
  const { userMs, systemMs } = probe.cpuMs();
  return userMs + systemMs;
}

async function open(
  side: CompareSide,
  { load, signal }: CompareOptions,
  loaded: AsyncDisposableStack,
): Promise<Measured> {
  const { instances } = side.options;
  const queueLimit = instances === "auto" ? {} : { queueLimit: load.concurrency };
  const model = await side.session.load(side.path, {
    ...side.options,
    ...queueLimit,
    signal,
    withDigest: true,
  });
  loaded.use(model);
  await side.session.settleCache?.();
  return { side, model, latency: new Histogram(), elapsedMs: 0, failed: 0 };
}

function forget(side: Measured): void {
  side.latency.clear();
  side.elapsedMs = 0;
  side.failed = 0;
}

async function runBlock(
  side: Measured,
  inputs: FeatureValues,
  { load, blockMs, timeoutMs, signal, clock = systemClock }: CompareOptions,
): Promise<BlockFigures> {
  const block = new Histogram();
  let failure: unknown;
  const call = { timeoutMs };
  const { startMs = 0, endMs } = await runWorkload({
    load,
    warmup: {},
    measure: { durationMs: blockMs },
    clock,
    signal,
    send: () => side.model.predictTimed(inputs, call),
    onCall({ dueMs, endMs: atMs, answer, error }) {
      if (answer !== undefined) return block.add(atMs - dueMs);
      failure ??= error;
      side.failed++;
    },
  });
  if (block.count === 0 && failure !== undefined && !signal?.aborted) throw failure;
  side.latency.addAll(block);
  side.elapsedMs += endMs - startMs;
  return {
    p50Ms: block.quantile(0.5),
    throughputPerSecond: block.count / Math.max((endMs - startMs) / 1_000, 1e-9),
  };
}

function describeRound([a1, b1, b2, a2]: readonly BlockFigures[]): ComparedRound {
  if (!a1 || !b1 || !b2 || !a2) throw new CoremlxError("INTERNAL", "A round has four blocks");
  return {
    p50Ms: [a1.p50Ms, b1.p50Ms, b2.p50Ms, a2.p50Ms],
    throughputPerSecond: [
      a1.throughputPerSecond,
      b1.throughputPerSecond,
      b2.throughputPerSecond,
      a2.throughputPerSecond,
    ],
  };
}

function describeSide({ side, model, latency, elapsedMs, failed }: Measured): ComparedSide {
  return {
    label: side.label,
    model: {
      path: side.path,
      digest: model.digest ?? "",
      kind: model.description.kind,
      function: model.function.name,
    },
    engine: { name: model.engine, version: model.engineVersion, device: model.device },
    latency: summarize(latency),
    throughputPerSecond: elapsedMs > 0 ? latency.count / (elapsedMs / 1_000) : 0,
    failed,
  };
}

/** Fewer say nothing about how far they scatter. */
const fewestRounds = 5;
/** Smaller differences are those of memory layout and luck, whatever the statistics say. */
const leastNoiseShare = 0.01;

/**
 * B against A, round by round, and beside it each against itself: what the same configuration differs from itself by, at most
 * (95 %), is noise, and a difference within it is none.
 */
export function findDifference(
  rounds: readonly ComparedRound[],
  figure: ComparedFinding["figure"],
): ComparedFinding {
  if (rounds.length < fewestRounds) return { figure, ratio: null, noiseShare: null, better: null };
  const key = figure === "throughput" ? "throughputPerSecond" : "p50Ms";
  const ratio = bootstrapInterval(
    rounds.map(({ [key]: [a1, b1, b2, a2] }) => Math.sqrt((b1 * b2) / (a1 * a2))),
    median,
  );
  // A part of the time between two blocks of one configuration is that of the other: drift is in it, to be on the safe side.
  const own = [
    bootstrapInterval(
      rounds.map(({ [key]: [a1, , , a2] }) => a2 / a1),
      median,
    ),
    bootstrapInterval(
      rounds.map(({ [key]: [, b1, b2] }) => b2 / b1),
      median,
    ),
  ];
  const reach = own.flatMap(({ low, high }) => [low, high].map((bound) => Math.abs(bound - 1)));
  const noiseShare = Math.max(leastNoiseShare, ...reach);
  const isSure = ratio.low > 1 || ratio.high < 1;
  if (!isSure || Math.abs(ratio.estimate - 1) <= noiseShare)
    return { figure, ratio, noiseShare, better: null };
  const isMoreBetter = figure === "throughput";
  return { figure, ratio, noiseShare, better: ratio.estimate > 1 === isMoreBetter ? "B" : "A" };
}
