// What one model's requests add up to: the five durations, the failures by reason, and the quantiles.

import { CoremlxError } from "../../core/errors.ts";
import { QuantileHistogram } from "../../core/histogram.ts";
import {
  type FailureReason,
  failureReasonOf,
  failureReasons,
  type ModelLabels,
} from "../../core/meter-names.ts";
import { type CounterMeter, type HistogramMeter, type Meters, noMeters } from "../../core/telemetry.ts";
import type { LatencyStats, PhaseName, RequestStats } from "./stats.ts";

/** Where the time of one answered request went, in milliseconds. `request` is all of it. */
export type PhaseTimesMs = Readonly<Record<PhaseName, number>>;

export interface ModelMeterOptions {
  readonly meters?: Meters | undefined;
  /** Wall clock in milliseconds since 1970; default: Date.now. */
  readonly epochNow?: (() => number) | undefined;
}

/** For the hot path: everything is looked up once. */
export class ModelMeter {
  /** Of answered requests, in milliseconds. */
  readonly latencyMs = new QuantileHistogram();
  readonly #epochNow: () => number;
  readonly #success: CounterMeter;
  readonly #failures: ReadonlyMap<FailureReason, CounterMeter>;
  readonly #request: HistogramMeter;
  readonly #queue: HistogramMeter;
  readonly #input: HistogramMeter;
  readonly #infer: HistogramMeter;
  readonly #output: HistogramMeter;
  readonly #totalsMs = { request: 0, queue: 0, input: 0, infer: 0, output: 0 };
  readonly #failuresByReason: Partial<Record<FailureReason, number>> = {};
  #succeeded = 0;
  #failed = 0;
  #failedTotalMs = 0;
  #lastEpochMs: number | undefined;

  constructor(labels: ModelLabels, options: ModelMeterOptions = {}) {
    const { meters = noMeters, epochNow = Date.now } = options;
    this.#epochNow = epochNow;
    this.#success = meters.counter("coremlx_inference_success_total", labels);
    this.#failures = new Map(
      failureReasons.map((reason) => [
        reason,
        meters.counter("coremlx_inference_failure_total", { ...labels, reason }),
      ]),
    );
    this.#request = meters.histogram("coremlx_inference_request_duration_seconds", labels);
    this.#queue = meters.histogram("coremlx_inference_queue_duration_seconds", labels);
    this.#input = meters.histogram("coremlx_inference_compute_input_duration_seconds", labels);
    this.#infer = meters.histogram("coremlx_inference_compute_infer_duration_seconds", labels);
    this.#output = meters.histogram("coremlx_inference_compute_output_duration_seconds", labels);
  }

  succeeded(times: PhaseTimesMs): void {
    this.#success.add();
    this.#request.observe(times.request / 1_000);
    this.#queue.observe(times.queue / 1_000);
    this.#input.observe(times.input / 1_000);
    this.#infer.observe(times.infer / 1_000);
    this.#output.observe(times.output / 1_000);
    this.latencyMs.add(times.request);
    const totals = this.#totalsMs;
    totals.request += times.request;
    totals.queue += times.queue;
    totals.input += times.input;
    totals.infer += times.infer;
    totals.output += times.output;
    this.#succeeded++;
    this.#lastEpochMs = this.#epochNow();
  }

  /** `requestMs`: how long the caller waited for the failure. */
  failed(error: unknown, requestMs: number): void {
    const reason = error instanceof CoremlxError ? failureReasonOf(error.code) : "internal";
    this.#failures.get(reason)?.add();
    this.#failuresByReason[reason] = (this.#failuresByReason[reason] ?? 0) + 1;
    this.#failed++;
    this.#failedTotalMs += requestMs;
    this.#lastEpochMs = this.#epochNow();
  }

  /** Requests so far, answered or failed. */
  get count(): number {
    return this.#succeeded + this.#failed;
  }

  get requests(): RequestStats {
    const phase = (name: PhaseName) => ({ count: this.#succeeded, totalMs: this.#totalsMs[name] });
    return {
      succeeded: this.#succeeded,
      failed: this.#failed,
      failedTotalMs: this.#failedTotalMs,
      failuresByReason: { ...this.#failuresByReason },
      ...(this.#lastEpochMs === undefined ? {} : { lastEpochMs: this.#lastEpochMs }),
      phases: {
        request: phase("request"),
        queue: phase("queue"),
        input: phase("input"),
        infer: phase("infer"),
        output: phase("output"),
      },
    };
  }

  get latency(): LatencyStats {
    const [p50Ms = 0, p90Ms = 0, p99Ms = 0] = this.latencyMs.quantiles([0.5, 0.9, 0.99]);
    const { count, mean: meanMs, min: minMs, max: maxMs } = this.latencyMs;
    return { count, meanMs, minMs, p50Ms, p90Ms, p99Ms, maxMs };
  }
}
