// Every number coremlx publishes: its name in Prometheus' format, with the base unit in it, its kind and its labels.
// Clients' dashboards hang on these names.

import type { ErrorCode } from "./errors.ts";

/** Why inferences fail, as a label: few, and never text from outside. */
export const failureReasons = [
  "input", // the request was wrong
  "rejected", // a queue or pool was full
  "unavailable", // draining, an instance died, the breaker is open
  "deadline",
  "cancelled",
  "engine", // a library call failed
  "internal", // our own mistake
  "other",
] as const;
export type FailureReason = (typeof failureReasons)[number];

export const recycleReasons = [
  "poisoned", // a call was given up while it ran
  "crashed",
  "memory", // measured slope
  "surface", // the Neural Engine ran out of surfaces
  "count", // when asked for
  "breaker", // it opened, and its probe runs on a fresh one
  "other",
] as const;
export type RecycleReason = (typeof recycleReasons)[number];

const reasonsByCode: Readonly<Record<ErrorCode, FailureReason>> = {
  USAGE: "input",
  BAD_INPUT: "input",
  BAD_MODEL: "other",
  NOT_FOUND: "input",
  UNSUPPORTED: "other",
  CRITERIA_FAILED: "other",
  OVERLOADED: "rejected",
  UNAVAILABLE: "unavailable",
  DEADLINE: "deadline",
  INTERRUPTED: "cancelled",
  IO: "other",
  NATIVE: "engine",
  INTERNAL: "internal",
};

export function failureReasonOf(code: ErrorCode): FailureReason {
  return reasonsByCode[code];
}

/** Upper bounds, from inline predictions of microseconds to a minute. */
export const durationBucketsSeconds: readonly number[] = [
  0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
  0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

export interface MeterDefinition {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** "model": by model and version, which may both be left out for the whole session. */
  readonly scope: "model" | "session";
  readonly reasons?: readonly string[];
}

export const meterTable = {
  coremlx_inference_success_total: {
    kind: "counter",
    scope: "model",
    help: "Inferences that were answered",
  },
  coremlx_inference_failure_total: {
    kind: "counter",
    scope: "model",
    reasons: failureReasons,
    help: "Inferences that failed, by reason",
  },
  coremlx_inference_request_duration_seconds: {
    kind: "histogram",
    scope: "model",
    help: "Answered inferences, from request to answer",
  },
  coremlx_inference_queue_duration_seconds: {
    kind: "histogram",
    scope: "model",
    help: "Answered inferences, waiting for an instance",
  },
  coremlx_inference_compute_input_duration_seconds: {
    kind: "histogram",
    scope: "model",
    help: "Answered inferences, preparing the inputs",
  },
  coremlx_inference_compute_infer_duration_seconds: {
    kind: "histogram",
    scope: "model",
    help: "Answered inferences, in the engine",
  },
  coremlx_inference_compute_output_duration_seconds: {
    kind: "histogram",
    scope: "model",
    help: "Answered inferences, handing out the outputs",
  },
  coremlx_inference_pending_requests: {
    kind: "gauge",
    scope: "model",
    help: "Requests waiting for an instance",
  },
  coremlx_instances_busy: { kind: "gauge", scope: "model", help: "Instances running a prediction" },
  coremlx_instances_idle: { kind: "gauge", scope: "model", help: "Instances ready for a prediction" },
  coremlx_instances_poisoned: {
    kind: "gauge",
    scope: "model",
    help: "Instances with a call that was given up and has not ended",
  },
  coremlx_instances_allowed: {
    kind: "gauge",
    scope: "model",
    help: "Instances that may run at once at present, by measurement and heat",
  },
  coremlx_instances_recycled_total: {
    kind: "counter",
    scope: "model",
    reasons: recycleReasons,
    help: "Instances replaced by fresh ones, by reason",
  },
  coremlx_buffer_pool_hits_total: {
    kind: "counter",
    scope: "model",
    help: "Buffers lent from the pool under the same type and shape",
  },
  coremlx_buffer_pool_misses_total: {
    kind: "counter",
    scope: "model",
    help: "Buffers lent that came from another shape or were allocated",
  },
  coremlx_buffer_pool_bytes: { kind: "gauge", scope: "model", help: "Bytes the buffer pool holds" },
  coremlx_buffer_pool_high_water_bytes: {
    kind: "gauge",
    scope: "model",
    help: "The most bytes the buffer pool ever held",
  },
  coremlx_mapped_outputs_files: { kind: "gauge", scope: "model", help: "Mapped output files that exist" },
  coremlx_mapped_outputs_bytes: { kind: "gauge", scope: "model", help: "Bytes in mapped output files" },
  coremlx_breaker_state: {
    kind: "gauge",
    scope: "model",
    help: "Circuit breaker: 0 closed, 1 open, 2 half-open",
  },
  coremlx_breaker_trips_total: { kind: "counter", scope: "model", help: "Times the circuit breaker opened" },
  coremlx_breaker_rejections_total: {
    kind: "counter",
    scope: "model",
    help: "Requests the circuit breaker turned away",
  },
  coremlx_compile_cache_hits_total: {
    kind: "counter",
    scope: "session",
    help: "Models found in the compile cache",
  },
  coremlx_compile_cache_misses_total: {
    kind: "counter",
    scope: "session",
    help: "Models that had to be compiled",
  },
  coremlx_load_seconds: {
    kind: "gauge",
    scope: "model",
    help: "How long the last load took, opening included",
  },
  coremlx_first_inference_seconds: {
    kind: "gauge",
    scope: "model",
    help: "How long the first inference after the last load took",
  },
  coremlx_process_resident_memory_bytes: {
    kind: "gauge",
    scope: "session",
    help: "Memory of the process in RAM",
  },
  coremlx_process_memory_slope_bytes_per_second: {
    kind: "gauge",
    scope: "session",
    help: "Growth of the memory in RAM, least squares over the last minutes",
  },
  coremlx_thermal_state: {
    kind: "gauge",
    scope: "session",
    help: "Thermal state: 0 nominal, 1 fair, 2 serious, 3 critical",
  },
} as const satisfies Readonly<Record<string, MeterDefinition>>;

type MeterTable = typeof meterTable;
export type MeterName = keyof MeterTable;
type OfKind<K extends MeterDefinition["kind"]> = {
  [N in MeterName]: MeterTable[N] extends { readonly kind: K } ? N : never;
}[MeterName];
export type CounterName = OfKind<"counter">;
export type GaugeName = OfKind<"gauge">;
export type HistogramName = OfKind<"histogram">;

export interface ModelLabels {
  readonly model: string;
  readonly version?: string | undefined;
}

interface AnyLabels extends Partial<ModelLabels> {
  readonly reason?: string | undefined;
}

/** What may be said about a number: its model, and a reason from a list. */
export type MeterLabels<N extends MeterName> = AnyLabels &
  (MeterTable[N] extends { readonly scope: "session" } ? { readonly model?: undefined } : unknown) &
  (MeterTable[N] extends { readonly reasons: readonly (infer R)[] }
    ? { readonly reason: R }
    : { readonly reason?: undefined });
