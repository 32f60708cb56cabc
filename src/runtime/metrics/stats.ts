// What `session.stats()` and `model.stats()` tell, as plain JSON, and how the same numbers get into the metrics.

import {
  type FailureReason,
  type ModelLabels,
  type RecycleReason,
  recycleReasons,
} from "../../core/meter-names.ts";
import type { Meters } from "../../core/telemetry.ts";
import type { BlockPoolStats } from "../buffers/block-pool-stats.ts";
import type { BreakerState, BreakerStats } from "../breaker/breaker-options.ts";
import type { InstanceSearchStats } from "../pool/instance-search.ts";
import type { SeatStats } from "../pool/resource-scheduler.ts";
import type { ResourceStats } from "../pool/resources.ts";
import type { ThermalStats } from "../pool/thermal-governor.ts";
import type { ThermalState } from "../../core/thermal.ts";
import type { QuarantineStats } from "../buffers/quarantine.ts";

/** All of a request; then waiting for an instance, preparing inputs, running, handing out outputs. */
export type PhaseName = "request" | "queue" | "input" | "infer" | "output";

export interface RequestStats {
  readonly succeeded: number;
  readonly failed: number;
  readonly failedTotalMs: number;
  readonly failuresByReason: Readonly<Partial<Record<FailureReason, number>>>;
  /** When the last one ended, in milliseconds since 1970; absent before the first. */
  readonly lastEpochMs?: number;
  /** Of the answered ones. */
  readonly phases: Readonly<Record<PhaseName, { readonly count: number; readonly totalMs: number }>>;
}

/** From request to answer, of the answered ones; quantiles within 1 %. All 0 before the first. */
export interface LatencyStats {
  readonly count: number;
  readonly meanMs: number;
  readonly minMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface QueueStats {
  readonly pending: number;
  readonly highWater: number;
  readonly limit: number;
  /** Requests turned away because it was full. */
  readonly rejected: number;
  /** Requests turned away because their turn did not come in time. */
  readonly timedOut: number;
}

export interface InstanceStats {
  readonly idle: number;
  readonly busy: number;
  readonly poisoned: number;
  /** Idle, and not to be used while fewer are allowed. */
  readonly parked: number;
  /** The most there may be, */
  readonly limit: number;
  /** and that may be in use at present: measurement or heat may want fewer. */
  readonly allowed: number;
  /** Where their number is found by measurement. */
  readonly search?: InstanceSearchStats;
  /** Since loading: how many were made in place of one that died or was poisoned, */
  readonly replaced: number;
  /** and in place of one that was put out of service in good order. */
  readonly recycled: number;
  /** Both, by reason. */
  readonly byReason: Readonly<Partial<Record<RecycleReason, number>>>;
  /** Native threads that calls were given up in and that have not ended. */
  readonly abandonedThreads: number;
}

/** One after the other; their sum is the whole time. */
export interface LoadTimings {
  /** Reading the model's file. */
  readonly openMs: number;
  /** Translating it for the engine; 0 when it came from the compile cache. */
  readonly compileMs: number;
  /** Making it ready to run. */
  readonly loadMs: number;
}

export interface LoadStats extends LoadTimings {
  /** Absent before the first. */
  readonly firstInferenceMs?: number;
  /** Warm: found in the compile cache. */
  readonly cache: "cold" | "warm";
}

export interface MappedOutputStats {
  readonly files: number;
  readonly bytes: number;
  /** Of these: in somebody's hands, or kept for a call that was given up and may still write there. */
  readonly lent?: number;
  readonly quarantined?: number;
}

export interface ModelStats {
  readonly model: string;
  readonly version?: string;
  readonly digest?: string;
  readonly engine: string;
  readonly device: string;
  readonly requests: RequestStats;
  readonly latency: LatencyStats;
  readonly queue: QueueStats;
  readonly instances: InstanceStats;
  readonly breaker: BreakerStats;
  readonly quarantine: QuarantineStats;
  readonly load: LoadStats;
  /** Where it takes resources of the session. */
  readonly scheduling?: SeatStats;
  /** Where a model has its own. */
  readonly bufferPool?: BlockPoolStats;
  readonly outputs?: MappedOutputStats;
}

export interface ProcessStats {
  readonly residentBytes: number;
  readonly memorySlopeBytesPerSecond?: number;
  readonly thermalState?: ThermalState;
}

export interface SessionStats {
  readonly schemaVersion: 1;
  readonly startedEpochMs: number;
  readonly models: readonly ModelStats[];
  /** Where the models share one. */
  readonly bufferPool?: BlockPoolStats;
  readonly outputs?: MappedOutputStats;
  /** By name; empty where nothing is shared. */
  readonly resources?: Readonly<Record<string, ResourceStats>>;
  /** Where the session reads how hot the machine is. */
  readonly thermal?: ThermalStats;
  readonly compileCache?: { readonly hits: number; readonly misses: number };
  readonly process: ProcessStats;
}

const breakerNumbers: Readonly<Record<BreakerState, number>> = { closed: 0, open: 1, "half-open": 2 };

/** Sets every meter that is not counted as it happens. For `SessionMetrics.onCollect`. */
export function publishSessionStats(meters: Meters, stats: SessionStats): void {
  for (const model of stats.models) publishModelStats(meters, model);
  if (stats.bufferPool !== undefined) publishBufferPool(meters, stats.bufferPool);
  if (stats.outputs !== undefined) publishOutputs(meters, stats.outputs);
  if (stats.compileCache !== undefined) {
    meters.counter("coremlx_compile_cache_hits_total").raiseTo(stats.compileCache.hits);
    meters.counter("coremlx_compile_cache_misses_total").raiseTo(stats.compileCache.misses);
  }
}

export function publishModelStats(meters: Meters, stats: ModelStats): void {
  const labels: ModelLabels = { model: stats.model, version: stats.version };
  const { queue, instances, breaker, load } = stats;
  meters.gauge("coremlx_inference_pending_requests", labels).set(queue.pending);
  meters.gauge("coremlx_instances_busy", labels).set(instances.busy);
  meters.gauge("coremlx_instances_idle", labels).set(instances.idle);
  meters.gauge("coremlx_instances_poisoned", labels).set(instances.poisoned);
  meters.gauge("coremlx_instances_allowed", labels).set(instances.allowed);
  for (const reason of recycleReasons) {
    const count = instances.byReason[reason] ?? 0;
    meters.counter("coremlx_instances_recycled_total", { ...labels, reason }).raiseTo(count);
  }
  meters.gauge("coremlx_breaker_state", labels).set(breakerNumbers[breaker.state]);
  meters.counter("coremlx_breaker_trips_total", labels).raiseTo(breaker.trips);
  meters.counter("coremlx_breaker_rejections_total", labels).raiseTo(breaker.rejections);
  meters.gauge("coremlx_load_seconds", labels).set((load.openMs + load.compileMs + load.loadMs) / 1_000);
  if (load.firstInferenceMs !== undefined) {
    meters.gauge("coremlx_first_inference_seconds", labels).set(load.firstInferenceMs / 1_000);
  }
  if (stats.bufferPool !== undefined) publishBufferPool(meters, stats.bufferPool, labels);
  if (stats.outputs !== undefined) publishOutputs(meters, stats.outputs, labels);
}

function publishBufferPool(meters: Meters, pool: BlockPoolStats, labels: Partial<ModelLabels> = {}): void {
  meters.counter("coremlx_buffer_pool_hits_total", labels).raiseTo(pool.hits);
  meters.counter("coremlx_buffer_pool_misses_total", labels).raiseTo(pool.misses);
  meters.gauge("coremlx_buffer_pool_bytes", labels).set(pool.heldBytes);
  meters.gauge("coremlx_buffer_pool_high_water_bytes", labels).set(pool.highWaterBytes);
}

function publishOutputs(meters: Meters, outputs: MappedOutputStats, labels: Partial<ModelLabels> = {}): void {
  meters.gauge("coremlx_mapped_outputs_files", labels).set(outputs.files);
  meters.gauge("coremlx_mapped_outputs_bytes", labels).set(outputs.bytes);
}
