// From what was taken down to the result and to the checkpoint.

import { describeEnvironment } from "../machine.ts";
import type { LatencySummary } from "../schemas.ts";
import type { QuantileHistogram } from "../../core/histogram.ts";
import type { SoakCheckpoint } from "./checkpoint.ts";
import { fitMemorySlope, measureGrowth, type MemoryPoint } from "./memory.ts";
import type { SoakRecord } from "./record.ts";
import type { PoolCounts, SoakBlock, SoakConfiguration, SoakResult } from "./schema.ts";
import type { Subject } from "./subject.ts";
import { driftOf, judgeSoak } from "./verdict.ts";

export interface SoakFacts {
  readonly subjects: readonly Subject[];
  readonly configuration: SoakConfiguration;
  readonly before: SoakCheckpoint | undefined;
  readonly record: SoakRecord;
  /** This process. */
  readonly startedAt: string;
}

interface State {
  readonly elapsedMs: number;
  /** By this process. */
  readonly unsent: number;
}

export function describeSoak(
  facts: SoakFacts,
  state: State & { readonly isInterrupted: boolean; readonly endedAt: string },
): SoakResult {
  const { record, configuration, before } = facts;
  const { elapsedMs, isInterrupted } = state;
  const judged = {
    configuration,
    processes: processesOf(facts, { ...state, end: isInterrupted ? "interrupted" : "finished" }),
    elapsedMs,
    unsent: state.unsent + (before?.unsent ?? 0),
    models: facts.subjects.map((_, index) => describeModel(facts, index)),
    faults: record.faults,
    memory: describeMemory(facts),
    windows: record.windows,
    isInterrupted,
  };
  return {
    schemaVersion: 1,
    kind: "soak",
    startedAt: before?.startedAt ?? facts.startedAt,
    endedAt: state.endedAt,
    environment: describeEnvironment(),
    ...judged,
    oddFaults: record.oddFaults,
    wrongAnswers: record.wrongAnswers,
    blocks: record.blocks,
    verdict: judgeSoak(judged),
    warnings: findDoubts(judged),
  };
}

export function makeCheckpoint(
  facts: SoakFacts,
  state: State & { readonly end: SoakResult["processes"][number]["end"] },
): SoakCheckpoint {
  const { record, configuration, before } = facts;
  return {
    schemaVersion: 1,
    kind: "soak-checkpoint",
    startedAt: before?.startedAt ?? facts.startedAt,
    configuration,
    elapsedMs: state.elapsedMs,
    unsent: state.unsent + (before?.unsent ?? 0),
    peakBytes: record.peakBytes,
    processes: processesOf(facts, state),
    models: facts.subjects.map(({ path, name, model, references }, index) => {
      const total = record.totals[index];
      return {
        path,
        name,
        digest: model.digest ?? "",
        engineVersion: model.engineVersion,
        device: model.device,
        referenceDigest: references.mode === "bits" ? references.digest : "",
        completed: total?.completed ?? 0,
        failed: total?.failed ?? 0,
        wrong: total?.wrong ?? 0,
        failures: [...(total?.failures.values() ?? [])],
        latency: total?.latency.toJSON(),
        pool: countPool(facts, index),
      };
    }),
    faults: record.faults,
    oddFaults: record.oddFaults,
    wrongAnswers: record.wrongAnswers,
    windows: record.windows,
    blocks: record.blocks,
  };
}

/** Points of resident memory, by process. */
export function memoryLines(blocks: readonly SoakBlock[]): MemoryPoint[][] {
  const lines = new Map<number, MemoryPoint[]>();
  for (const { isVoid, process, fromMs, toMs, residentBytes } of blocks) {
    if (isVoid || residentBytes === null) continue;
    const line = lines.get(process) ?? [];
    line.push({ atMs: (fromMs + toMs) / 2, bytes: residentBytes });
    lines.set(process, line);
  }
  return [...lines.values()];
}

function processesOf(
  { before, startedAt }: SoakFacts,
  { elapsedMs, end }: Pick<State, "elapsedMs"> & { readonly end: SoakResult["processes"][number]["end"] },
): SoakResult["processes"] {
  const earlier = (before?.processes ?? []).map((one) =>
    // It was writing this when it was last heard of.
    one.end === "running" ? { ...one, end: "lost" as const } : one,
  );
  return [...earlier, { startedAt, fromMs: before?.elapsedMs ?? 0, toMs: elapsedMs, end }];
}

function describeModel(facts: SoakFacts, index: number): SoakResult["models"][number] {
  const { record } = facts;
  const subject = facts.subjects[index];
  const total = record.totals[index];
  if (subject === undefined || total === undefined) throw new RangeError(`There is no model ${index}`);
  const { path, name, model, references } = subject;
  return {
    name,
    path,
    digest: model.digest ?? "",
    kind: model.description.kind,
    function: model.function.name,
    engine: { name: model.engine, version: model.engineVersion, device: model.device },
    comparison: {
      mode: references.mode,
      tolerance: references.tolerance,
      inputs: references.inputs.length,
      digest: references.digest,
    },
    completed: total.completed,
    failed: total.failed,
    wrong: total.wrong,
    failures: [...total.failures.values()],
    latency: summarize(total.latency),
    medianDrift: driftOf(record.blocks, index, "p50Ms") ?? null,
    p99Drift: driftOf(record.blocks, index, "p99Ms") ?? null,
    pool: countPool(facts, index),
  };
}

/** Since the soak began: what instances and breakers of this process did, and what those of earlier ones had done. */
function countPool({ subjects, before }: SoakFacts, index: number): PoolCounts | null {
  const earlier = before?.models[index]?.pool;
  const stats = subjects[index]?.model.stats;
  if (stats === undefined) return earlier ?? null;
  const { instances, queue, breaker } = stats;
  const counts: PoolCounts = {
    breakerTrips: breaker.trips,
    crashes: instances.byReason.crashed ?? 0,
    replaced: instances.replaced,
    recycled: instances.recycled,
    refused: queue.rejected + queue.timedOut,
  };
  if (!earlier) return counts;
  return {
    breakerTrips: counts.breakerTrips + earlier.breakerTrips,
    crashes: counts.crashes + earlier.crashes,
    replaced: counts.replaced + earlier.replaced,
    recycled: counts.recycled + earlier.recycled,
    refused: counts.refused + earlier.refused,
  };
}

function summarize(latency: QuantileHistogram): LatencySummary | null {
  if (latency.count === 0) return null;
  const [p50Ms = 0, p90Ms = 0, p99Ms = 0, p999Ms = 0] = latency.quantiles([0.5, 0.9, 0.99, 0.999]);
  const { count, min: minMs, mean: meanMs, max: maxMs } = latency;
  return { count, minMs, meanMs, p50Ms, p90Ms, p99Ms, p999Ms, maxMs };
}

function describeMemory({ record, configuration }: SoakFacts): SoakResult["memory"] {
  const lines = memoryLines(record.blocks);
  const isElsewhere = configuration.isolation === "process";
  const slope = isElsewhere ? undefined : fitMemorySlope(lines);
  return {
    startBytes: lines[0]?.[0]?.bytes ?? null,
    endBytes: lines.at(-1)?.at(-1)?.bytes ?? null,
    peakBytes: record.peakBytes,
    growthBytes: isElsewhere ? null : (measureGrowth(lines) ?? null),
    slope: slope === undefined ? null : { ...slope, unit: "bytes/hour" },
    neuralEngineBytes: null,
  };
}

/** What makes the verdict doubtful, in sentences. */
function findDoubts(
  judged: Pick<SoakResult, "windows" | "models" | "configuration" | "processes">,
): string[] {
  const doubts: string[] = [];
  const voided = judged.windows.filter(({ isVoid }) => isVoid).length;
  if (voided > 0) doubts.push(`The machine slept, or its clock was set: ${voided} windows are not judged`);
  for (const { name, comparison } of judged.models) {
    if (comparison.mode === "bits" || judged.configuration.tolerance !== null) continue;
    doubts.push(`The answers of "${name}" are not the same to the bit each time`);
  }
  if (judged.windows.some(({ powerSource }) => powerSource === "battery")) {
    doubts.push("The machine ran on its battery");
  }
  if (judged.processes.some(({ end }) => end === "lost")) {
    doubts.push("What was measured between the last checkpoint of a lost process and its end is missing");
  }
  return doubts;
}
