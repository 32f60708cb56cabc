// What a load did, taken down call by call in bounded memory: latencies, failures, memory and processor time.

import { CoremlxError, messageOf } from "../core/errors.ts";
import type { Clock } from "./clock.ts";
import type { EnergyMeter } from "./energy.ts";
import { Histogram } from "./histogram.ts";
import type { Probe } from "./machine.ts";
import type { LatencySummary, SteadyResult } from "./schemas.ts";
import { fitSlope, quantileBounds } from "./stats.ts";
import type { Call, Extent, WorkloadResult } from "./workload.ts";

export interface MeasurementOptions {
  readonly clock: Clock;
  readonly probe: Probe;
  /** How long it is to be: divides it into windows. */
  readonly measure: Extent;
  /** Some of the work is done in processes of their own, which cannot be told from those of others. */
  readonly hasChildren: boolean;
}

export interface LiveFigures {
  readonly completed: number;
  readonly failed: number;
  readonly elapsedMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const windowCount = 20;
const mostMemorySamples = 500;
/** Before it, the space between two samples doubles as often as it has to. */
const memorySampleMs = 100;
const confidence = 0.95;

interface Failure {
  readonly message: string;
  readonly latency: Histogram;
}

/** `start`, then any number of `add` and `tick`, then `finish`. */
export class Measurement {
  readonly #options: MeasurementOptions;
  readonly #latency = new Histogram();
  readonly #run = new Histogram();
  readonly #queue = new Histogram();
  readonly #sendDelay = new Histogram();
  readonly #failures = new Map<string, Failure>();
  readonly #windows: SteadyResult["windows"] = [];
  readonly #window = new Histogram();
  #windowIndex = 0;
  #windowFromMs = 0;
  #failed = 0;
  #firstFailure: unknown;
  #memory: [number, number][] = [];
  #memoryStepMs = memorySampleMs;
  #nextMemoryMs = 0;
  #peakBytes = 0;
  #startMs = 0;
  #startCpu = { userMs: 0, systemMs: 0 };
  #startBusyMs = 0;
  #energy: EnergyMeter | undefined;
  #startClockMs = 0;

  constructor(options: MeasurementOptions) {
    this.#options = options;
  }

  get live(): LiveFigures {
    return {
      completed: this.#latency.count,
      failed: this.#failed,
      elapsedMs: this.#options.clock.now() - this.#startMs,
      p50Ms: this.#latency.quantile(0.5),
      p99Ms: this.#latency.quantile(0.99),
    };
  }

  /** What the first call without an answer threw. */
  get firstFailure(): unknown {
    return this.#firstFailure;
  }

  start(startMs: number): void {
    const { clock, probe } = this.#options;
    this.#startMs = startMs;
    this.#startClockMs = clock.now();
    this.#startCpu = probe.cpuMs();
    this.#startBusyMs = probe.machineBusyMs();
    this.#energy = probe.openEnergyMeter?.();
    this.#sampleMemory(0);
  }

  add({ dueMs, sentMs, endMs, answer, error }: Call): void {
    const latencyMs = endMs - dueMs;
    this.#sendDelay.add(sentMs - dueMs);
    if (answer === undefined) return this.#addFailure(error, latencyMs);
    this.#enterWindow(endMs - this.#startMs);
    this.#window.add(latencyMs);
    this.#latency.add(latencyMs);
    this.#run.add(answer.runMs);
    if (answer.queueMs !== undefined) this.#queue.add(answer.queueMs);
  }

  /** Time for a look at the memory, perhaps. */
  tick(): void {
    const atMs = this.#options.clock.now() - this.#startMs;
    if (atMs >= this.#nextMemoryMs) this.#sampleMemory(atMs);
  }

  /** `isOpen`: the load had a schedule, so that calls could be sent late. */
  finish(result: WorkloadResult, { isOpen }: { readonly isOpen: boolean }): SteadyResult {
    const elapsedMs = Math.max(0, result.endMs - this.#startMs);
    this.#closeWindow(elapsedMs);
    this.#sampleMemory(elapsedMs);
    const completed = this.#latency.count;
    return {
      elapsedMs,
      completed,
      failed: this.#failed,
      unsent: result.unsent,
      throughputPerSecond: elapsedMs > 0 ? completed / (elapsedMs / 1_000) : 0,
      latency: summarize(this.#latency),
      median: medianOf(this.#latency),
      run: summarize(this.#run),
      queue: summarize(this.#queue),
      sendDelay: isOpen ? summarize(this.#sendDelay) : null,
      failures: [...this.#failures].map(([code, { message, latency }]) => ({
        code,
        count: latency.count,
        message,
        latency: summaryOf(latency),
      })),
      cpu: this.#cpu(),
      memory: this.#memorySummary(),
      energy: this.#energySummary(elapsedMs),
      windows: this.#windows,
      histogram: this.#latency.buckets().map(({ fromMs, toMs, count }) => [fromMs, toMs, count]),
    };
  }

  #addFailure(error: unknown, latencyMs: number): void {
    if (this.#failed++ === 0) this.#firstFailure = error;
    const code = error instanceof CoremlxError ? error.code : "INTERNAL";
    const failure = this.#failures.get(code) ?? { message: messageOf(error), latency: new Histogram() };
    failure.latency.add(latencyMs);
    this.#failures.set(code, failure);
  }

  #enterWindow(atMs: number): void {
    const { count, durationMs } = this.#options.measure;
    const done = (this.#latency.count + this.#failed) / (count ?? Number.POSITIVE_INFINITY);
    const share = Math.max(done, atMs / (durationMs ?? Number.POSITIVE_INFINITY));
    const index = Math.min(windowCount - 1, Math.floor(share * windowCount));
    if (index <= this.#windowIndex) return;
    this.#closeWindow(atMs);
    this.#windowIndex = index;
  }

  #closeWindow(atMs: number): void {
    if (this.#window.count > 0) {
      this.#windows.push({
        fromMs: this.#windowFromMs,
        toMs: atMs,
        completed: this.#window.count,
        p50Ms: this.#window.quantile(0.5),
        p99Ms: this.#window.quantile(0.99),
        maxMs: this.#window.mostMs,
      });
    }
    this.#window.clear();
    this.#windowFromMs = atMs;
  }

  #sampleMemory(atMs: number): void {
    const bytes = this.#options.probe.rssBytes();
    this.#energy?.readJoules(); // often enough that no counter runs over unseen
    this.#peakBytes = Math.max(this.#peakBytes, bytes);
    this.#memory.push([atMs, bytes]);
    if (this.#memory.length >= mostMemorySamples) {
      this.#memory = this.#memory.filter((_, index) => index % 2 === 0);
      this.#memoryStepMs *= 2;
    }
    this.#nextMemoryMs = atMs + this.#memoryStepMs;
  }

  #memorySummary(): SteadyResult["memory"] {
    const slope = fitSlope(
      this.#memory.map(([atMs, bytes]) => [atMs / 1_000, bytes] as const),
      confidence,
    );
    return {
      startBytes: this.#memory[0]?.[1] ?? 0,
      endBytes: this.#memory.at(-1)?.[1] ?? 0,
      peakBytes: this.#peakBytes,
      slope:
        slope === undefined
          ? null
          : {
              estimate: slope.estimate,
              low: slope.low,
              high: slope.high,
              confidence: slope.confidence,
              unit: "bytes/s",
            },
      samples: this.#memory,
    };
  }

  #energySummary(elapsedMs: number): NonNullable<SteadyResult["energy"]> | null {
    const joules = this.#energy?.readJoules();
    if (this.#energy === undefined || joules === undefined) return null;
    const completed = this.#latency.count;
    return {
      source: this.#energy.source,
      joules,
      watts: elapsedMs > 0 ? joules / (elapsedMs / 1_000) : 0,
      perPredictionJoules: completed > 0 ? joules / completed : null,
    };
  }

  #cpu(): SteadyResult["cpu"] {
    const { clock, probe, hasChildren } = this.#options;
    const now = probe.cpuMs();
    const userMs = now.userMs - this.#startCpu.userMs;
    const systemMs = now.systemMs - this.#startCpu.systemMs;
    const elapsedMs = clock.now() - this.#startClockMs;
    const share = (timeMs: number) => (elapsedMs > 0 ? Math.max(0, timeMs) / elapsedMs : 0);
    const completed = this.#latency.count;
    return {
      userMs,
      systemMs,
      usedCores: share(userMs + systemMs),
      perPredictionMs: completed > 0 ? (userMs + systemMs) / completed : null,
      otherCores: hasChildren ? null : share(probe.machineBusyMs() - this.#startBusyMs - userMs - systemMs),
    };
  }
}

/** `null` where nothing was recorded. */
export function summarize(histogram: Histogram): LatencySummary | null {
  return histogram.count === 0 ? null : summaryOf(histogram);
}

function summaryOf(histogram: Histogram): LatencySummary {
  return {
    count: histogram.count,
    minMs: histogram.leastMs,
    meanMs: histogram.meanMs,
    p50Ms: histogram.quantile(0.5),
    p90Ms: histogram.quantile(0.9),
    p99Ms: histogram.quantile(0.99),
    p999Ms: histogram.quantile(0.999),
    maxMs: histogram.mostMs,
  };
}

function medianOf(histogram: Histogram): SteadyResult["median"] {
  if (histogram.count === 0) return null;
  const { low, high } = quantileBounds(histogram.count, 0.5, confidence);
  return {
    estimate: histogram.quantile(0.5),
    low: histogram.quantile(low),
    high: histogram.quantile(high),
    confidence,
  };
}
