// bench: how fast one model answers under a given load, and what that costs. Runs, then returns a plain result.

import { generate } from "../codecs/generate.ts";
import { CoremlxError, messageOf } from "../core/errors.ts";
import type { FeatureDescription, FunctionDescription, ModelDescription } from "../core/model.ts";
import type { FeatureValues } from "../core/tensor.ts";
import type { LoadModelOptions, LoadTimings, ModelStats, SessionStats } from "../runtime/session.ts";
import { type Clock, systemClock } from "./clock.ts";
import { describeEnvironment, type Probe, systemProbe } from "./machine.ts";
import type { ComputePlan } from "../engines/compute-plan.ts";
import { type LiveFigures, Measurement } from "./measurement.ts";
import type { Precision } from "./schema-parts.ts";
import type { BenchResult, PlanSummary, SteadyResult } from "./schemas.ts";
import { type Answer, type Extent, type Load, runWorkload } from "./workload.ts";

/** What bench needs of a loaded model; SessionModel is one. */
export interface BenchModel extends AsyncDisposable {
  readonly description: ModelDescription;
  readonly function: FunctionDescription;
  readonly inputs: readonly FeatureDescription[];
  readonly engine: string;
  readonly engineVersion: string;
  readonly device: string;
  readonly digest: string | undefined;
  readonly timings: LoadTimings;
  /** It runs in the caller's own thread. */
  readonly isInline?: boolean;
  readonly stats?: ModelStats;
  predictTimed(
    inputs: FeatureValues,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Answer>;
}

type PlannedModel = Pick<BenchModel, "engine" | "function" | "device"> & { readonly path: string };

/** What bench needs of a session; Session is one. */
export interface BenchSession {
  readonly stats?: SessionStats;
  load(path: string, options: LoadModelOptions): Promise<BenchModel>;
  /** Where a loaded model's operations would run; `undefined` where nobody knows. */
  plan?(model: PlannedModel): Promise<ComputePlan | undefined>;
  /** Waits for work in the background that would disturb a measurement. */
  settleCache?(): Promise<void>;
}

export interface BenchOptions {
  readonly load: Load;
  readonly warmup: Extent;
  readonly measure: Extent;
  /** Numbers of callers that are measured after the load, each for as long. */
  readonly alsoConcurrent?: readonly number[] | undefined;
  /** For one prediction. */
  readonly timeoutMs: number;
  readonly functionName?: string | undefined;
  readonly device?: LoadModelOptions["device"];
  readonly threads?: number | undefined;
  readonly instances?: LoadModelOptions["instances"];
  readonly inline?: LoadModelOptions["inline"];
  readonly isolation?: LoadModelOptions["isolation"];
  /** What the session was opened with, for the record. */
  readonly precision?: Precision | undefined;
  /** The values of every prediction, and where they come from. Default: seeded random ones. */
  readonly prepareInputs?: (model: BenchModel) => Promise<BenchInputs>;
  /** Ends the measurement; what was measured by then is the result. */
  readonly signal?: AbortSignal | undefined;
  /** Several times a second. */
  readonly onProgress?: (progress: BenchProgress) => void;
  readonly clock?: Clock | undefined;
  readonly probe?: Probe | undefined;
}

export interface BenchInputs {
  readonly values: FeatureValues;
  readonly description: string;
}

export type BenchProgress =
  | { readonly phase: "load" | "first" | "warm-up" }
  | ({ readonly phase: "measured" /** 0 to 1. */; readonly share: number } & LiveFigures);

const progressEveryMs = 250;
const memoryTickMs = 50;

/**
 * Loads the model, predicts once, warms up, measures, closes. Interrupted after the loading it returns what it has.
 * Errors: those of `load` and of the first prediction; later failures are part of the result, unless nothing else is.
 */
export async function runBench(
  session: BenchSession,
  path: string,
  options: BenchOptions,
): Promise<BenchResult> {
  const { clock = systemClock, probe = systemProbe, load, signal } = options;
  const startedAt = new Date().toISOString();
  const environment = describeEnvironment();
  const beforeLoadBytes = probe.rssBytes();
  options.onProgress?.({ phase: "load" });
  const loadOptions: LoadModelOptions = {
    functionName: options.functionName,
    device: options.device,
    threads: options.threads,
    instances: options.instances,
    inline: options.inline,
    isolation: options.isolation,
    ...(load.mode === "closed" && options.instances !== "auto"
      ? { queueLimit: mostCallers(load, options) }
      : {}),
    signal,
    withDigest: true,
  };
  await using model = await session.load(path, loadOptions);
  const afterLoadBytes = probe.rssBytes();
  await session.settleCache?.();
  const inputs = await (options.prepareInputs ?? randomInputs)(model);

  options.onProgress?.({ phase: "first" });
  const first = await predictFirst(model, inputs.values, { ...options, clock });
  const afterFirstBytes = first === null ? null : probe.rssBytes();
  if (first !== null) await settleInstances(model, inputs.values, options);
  const buffers = session.stats?.bufferPool;
  const steady =
    first === null ? null : await measureSteady(model, inputs.values, { ...options, clock, probe });
  const concurrency =
    steady === null
      ? undefined
      : await measureConcurrency(model, inputs.values, { ...options, clock, probe });
  // Last, for it takes time and memory of its own.
  const plan = signal?.aborted ? undefined : await session.plan?.({ ...pickPlanned(model), path });
  return {
    schemaVersion: 1,
    kind: "bench",
    startedAt,
    environment,
    model: {
      path,
      digest: model.digest ?? "",
      kind: model.description.kind,
      function: model.function.name,
    },
    engine: { name: model.engine, version: model.engineVersion, device: model.device },
    ...(plan && { plan: summarizePlan(plan) }),
    configuration: describeConfiguration(options, inputs.description),
    cold: { ...model.timings, cache: model.stats?.load.cache ?? null, first },
    memory: { beforeLoadBytes, afterLoadBytes, afterFirstBytes },
    steady,
    ...(concurrency && steady && { concurrency: [describeCallers(load, steady), ...concurrency] }),
    pool: describePool(session, model, buffers),
    isInterrupted: signal?.aborted ?? false,
    warnings: steady === null ? [] : findDoubts(steady, load),
  };
}

function pickPlanned({ engine, function: fn, device }: BenchModel): Omit<PlannedModel, "path"> {
  return { engine, function: fn, device };
}

/** Without the operations themselves: `inspect --plan --json` lists them. */
function summarizePlan({ dispatch, dispatched, unknown, devices }: ComputePlan): PlanSummary {
  return {
    dispatch,
    operations: dispatched,
    unknown,
    devices: Object.entries(devices).map(([device, { preferredShare, costShare, supported }]) => {
      return { device, preferredShare, costShare: costShare ?? null, supportedShare: supported / dispatched };
    }),
  };
}

type Timed = BenchOptions & { readonly clock: Clock };

/** `null`: interrupted. */
async function predictFirst(
  model: BenchModel,
  inputs: FeatureValues,
  { clock, timeoutMs, signal }: Timed,
): Promise<BenchResult["cold"]["first"]> {
  const startedMs = clock.now();
  try {
    const { runMs } = await model.predictTimed(inputs, { timeoutMs, signal });
    return { latencyMs: clock.now() - startedMs, runMs };
  } catch (error) {
    if (signal?.aborted) return null;
    throw error;
  }
}

/** Longer than any search takes whose calls take less than a second or so. */
const longestSettlingMs = 60_000;

/** Full load, which counts for nothing, until the number of instances is found where it is looked for. */
async function settleInstances(
  model: BenchModel,
  inputs: FeatureValues,
  { timeoutMs, signal, onProgress, clock = systemClock }: BenchOptions,
): Promise<void> {
  const endMs = clock.now() + longestSettlingMs;
  let hasFailed = false;
  const isSettling = () => {
    const isSearching = model.stats?.instances.search?.state === "searching" && !model.isInline;
    return isSearching && !hasFailed && !signal?.aborted && clock.now() < endMs;
  };
  if (!isSettling()) return;
  onProgress?.({ phase: "warm-up" });
  const call = async () => {
    while (isSettling()) await model.predictTimed(inputs, { timeoutMs, signal });
  };
  const callers = Array.from({ length: model.stats?.instances.limit ?? 1 }, call);
  await Promise.all(callers).catch(() => {
    hasFailed = true; // the measurement will meet and count the same failure
  });
  await Promise.allSettled(callers);
}

/** `null`: interrupted during the warm-up. */
async function measureSteady(
  model: BenchModel,
  inputs: FeatureValues,
  options: Timed & { readonly probe: Probe },
): Promise<SteadyResult | null> {
  const { clock, probe, load, warmup, measure, timeoutMs, onProgress, signal } = options;
  const hasChildren = options.isolation === "process";
  const measurement = new Measurement({ clock, probe, measure, hasChildren });
  let isMeasuring = false;
  using _memory = clock.every(memoryTickMs, () => {
    if (isMeasuring) measurement.tick();
  });
  using _progress = clock.every(progressEveryMs, () => {
    if (isMeasuring)
      onProgress?.({ phase: "measured", share: shareOf(measurement.live, measure), ...measurement.live });
    else onProgress?.({ phase: "warm-up" });
  });
  const call = { timeoutMs }; // one object for all: what the caller adds to a prediction is measured as well
  const result = await runWorkload({
    load,
    warmup,
    measure,
    clock,
    signal,
    send: () => model.predictTimed(inputs, call),
    onStart(startMs) {
      isMeasuring = true;
      measurement.start(startMs);
    },
    onCall: (done) => measurement.add(done),
  });
  if (result.startMs === undefined) return null;
  if (!result.isInterrupted) assertAnswers(measurement);
  return measurement.finish(result, { isOpen: load.mode === "open" });
}

function mostCallers(
  load: Extract<Load, { readonly mode: "closed" }>,
  { alsoConcurrent = [] }: BenchOptions,
): number {
  return Math.max(load.concurrency, ...alsoConcurrent);
}

type ConcurrencyRow = NonNullable<BenchResult["concurrency"]>[number];

/** `undefined`: nobody asked. Interrupted, those that were measured to their end. */
async function measureConcurrency(
  model: BenchModel,
  inputs: FeatureValues,
  options: Timed & { readonly probe: Probe },
): Promise<ConcurrencyRow[] | undefined> {
  const { alsoConcurrent = [], signal } = options;
  if (alsoConcurrent.length === 0 || options.load.mode === "open") return undefined;
  const rows: ConcurrencyRow[] = [];
  for (const concurrency of alsoConcurrent) {
    if (signal?.aborted) break;
    const load: Load = { mode: "closed", concurrency };
    const steady = await measureSteady(model, inputs, { ...options, load });
    if (steady !== null && !signal?.aborted) rows.push(describeCallers(load, steady));
  }
  return rows;
}

function describeCallers(load: Load, steady: SteadyResult): ConcurrencyRow {
  const { completed, failed, elapsedMs, throughputPerSecond, latency } = steady;
  return {
    callers: load.mode === "closed" ? load.concurrency : 0,
    completed,
    failed,
    elapsedMs,
    throughputPerSecond,
    p50Ms: latency?.p50Ms ?? null,
    p99Ms: latency?.p99Ms ?? null,
  };
}

/** Where nothing succeeded there is nothing to report: throws what failed first. */
function assertAnswers({ live: { completed, failed }, firstFailure }: Measurement): void {
  if (completed > 0 || failed === 0) return;
  const known = firstFailure instanceof CoremlxError ? firstFailure : undefined;
  const subject = failed === 1 ? "the only prediction" : `all ${failed} predictions`;
  throw new CoremlxError(
    known?.code ?? "INTERNAL",
    `Cannot measure: ${subject} failed, the first with: ${messageOf(firstFailure)}`,
    {
      cause: firstFailure,
      hint: known?.hint,
      details: { failed, ...known?.details },
    },
  );
}

function shareOf({ completed, failed, elapsedMs }: LiveFigures, { count, durationMs }: Extent): number {
  const byCount = (completed + failed) / (count ?? Number.POSITIVE_INFINITY);
  return Math.min(1, Math.max(byCount, elapsedMs / (durationMs ?? Number.POSITIVE_INFINITY)));
}

/** `before`: the counts of the buffers after the first prediction. */
function describePool(
  session: BenchSession,
  model: BenchModel,
  before: SessionStats["bufferPool"],
): BenchResult["pool"] {
  const { stats } = model;
  if (stats === undefined) return null;
  const { instances, queue, breaker } = stats;
  return {
    instances: instances.idle + instances.parked + instances.busy + instances.poisoned,
    most: instances.limit,
    allowed: instances.allowed,
    isInline: model.isInline ?? false,
    replaced: instances.replaced,
    recycled: instances.recycled,
    mostWaiting: queue.highWater,
    refused: queue.rejected,
    breakerTrips: breaker.trips,
    buffers: describeBuffers(before, session.stats?.bufferPool),
  };
}

function describeBuffers(
  before: SessionStats["bufferPool"],
  after: SessionStats["bufferPool"],
): NonNullable<BenchResult["pool"]>["buffers"] {
  if (before === undefined || after === undefined) return null;
  const acquired = after.acquired - before.acquired;
  const ratio = (count: number) => (acquired > 0 ? count / acquired : null);
  return {
    acquired,
    hitRatio: ratio(after.hits - before.hits),
    avoidedRatio: ratio(after.allocationsAvoided - before.allocationsAvoided),
    allocatedBytes: after.allocatedBytes - before.allocatedBytes,
    heldBytes: after.heldBytes,
    highWaterBytes: after.highWaterBytes,
  };
}

async function randomInputs(model: BenchModel): Promise<BenchInputs> {
  const needed = model.inputs.filter((input) => !input.isOptional);
  return {
    values: new Map(needed.map((input) => [input.name, generate(input, "random")])),
    description: "random, seed 0",
  };
}

function describeConfiguration(options: BenchOptions, inputs: string): BenchResult["configuration"] {
  const { warmup, measure } = options;
  return {
    load: options.load,
    warmup: { count: warmup.count ?? null, durationMs: warmup.durationMs ?? null },
    measure: { count: measure.count ?? null, durationMs: measure.durationMs ?? null },
    timeoutMs: options.timeoutMs,
    instances: options.instances ?? null,
    inline: options.inline === "auto" ? "auto" : "never",
    isolation: options.isolation ?? "worker",
    threads: options.threads ?? null,
    requestedDevice: options.device ?? "auto",
    ...(options.precision && { precision: options.precision }),
    inputs,
  };
}

const noticeableOtherCores = 0.25;
const noticeableSpread = 0.2;
const noticeableLateness = 0.1;
const fallingBehind = 0.9;
/** Windows with fewer calls have no median to speak of. */
const fewCalls = 10;
const fewWindows = 5;

/** What makes the figures doubtful, in sentences. */
export function findDoubts(steady: SteadyResult, load: Load): string[] {
  const doubts: string[] = [];
  const { cpu, latency, sendDelay } = steady;
  if (cpu.otherCores !== null && cpu.otherCores > noticeableOtherCores) {
    doubts.push(`Other programs kept ${cpu.otherCores.toFixed(1)} cores busy`);
  }
  const medians = steady.windows.filter((window) => window.completed >= fewCalls).map(({ p50Ms }) => p50Ms);
  const spread = (Math.max(...medians) - Math.min(...medians)) / (latency?.p50Ms ?? 0);
  if (medians.length >= fewWindows && spread > noticeableSpread) {
    doubts.push(`The median moved by ${Math.round(spread * 100)} % during the measurement`);
  }
  if (latency && sendDelay && sendDelay.p99Ms > noticeableLateness * latency.p50Ms) {
    doubts.push(
      `Calls were sent late, 1 in 100 by ${sendDelay.p99Ms.toFixed(2)} ms or more, which is in the latency`,
    );
  }
  if (load.mode === "open" && steady.throughputPerSecond < fallingBehind * load.ratePerSecond) {
    const [answered, asked] = [steady.throughputPerSecond, load.ratePerSecond].map((rate) =>
      rate.toPrecision(3),
    );
    doubts.push(
      `Only ${answered} of ${asked} calls a second were answered: latencies depend on the duration`,
    );
  }
  if (steady.unsent > 0) doubts.push(`${steady.unsent} calls were due and not made: too many were under way`);
  return doubts;
}
