// A session's numbers: counted by whoever has something to count, read by `stats()` and by Prometheus.

import { Gauge, Registry } from "prom-client";
import {
  type CounterName,
  type GaugeName,
  type HistogramName,
  type MeterLabels,
  type MeterName,
  meterTable,
  type ModelLabels,
  type MeterDefinition,
} from "../../core/meter-names.ts";
import type { ThermalState } from "../../core/thermal.ts";
import { SlopeWindow } from "../../core/slope.ts";
import {
  type CounterMeter,
  type GaugeMeter,
  type HistogramMeter,
  type Meters,
  noMeters,
  silent,
  type Telemetry,
} from "../../core/telemetry.ts";
import { keyOf, LabelBook, plainLabel } from "./metric-labels.ts";
import { CounterSeries, Family, GaugeSeries, HistogramSeries, type SeriesLabels } from "./metric-series.ts";
import { exportCounter, exportGauge, exportHistogram } from "./metrics-export.ts";

const thermalNumbers: Readonly<Record<ThermalState, number>> = {
  nominal: 0,
  fair: 1,
  serious: 2,
  critical: 3,
};

export interface SessionMetricsOptions {
  /** Models with labels of their own; more are counted together as "other". Default 64. */
  readonly maxModels?: number | undefined;
  readonly telemetry?: Telemetry | undefined;
  /** Monotonic clock in milliseconds; default: performance.now. */
  readonly now?: (() => number) | undefined;
  /** Default: of this process. */
  readonly readResidentBytes?: (() => number) | undefined;
  /** Undefined where nobody knows. */
  readonly readThermalState?: (() => ThermalState | undefined) | undefined;
}

export const metricsDefaults = { maxModels: 64, memorySampleMs: 1_000, memorySamples: 300 } as const;

/** The machine, for `coremlx_device_info`. Whatever is unknown stays out. */
export interface DeviceLabels {
  readonly chip?: string;
  readonly os?: string;
  readonly arch?: string;
  readonly engine?: string;
  readonly version?: string;
}

export interface SampleSnapshot {
  readonly labels: SeriesLabels;
  /** Of a histogram: how many, and their sum. */
  readonly value: number | { readonly count: number; readonly sum: number };
}
/** Only names that have values. Plain JSON. */
export type MetricsSnapshot = Readonly<Partial<Record<MeterName, readonly SampleSnapshot[]>>>;

const overflowNote = "too many models for metrics of their own";

/**
 * Owns its registry: two sessions do not share a number. Invariant: each family has at most `maxModels` + 2 series per
 * reason (the models, "other", the session), whatever is loaded.
 */
export class SessionMetrics implements Meters {
  readonly #registry = new Registry();
  readonly #labels: LabelBook;
  readonly #counters: ReadonlyMap<string, Family<"counter">>;
  readonly #gauges: ReadonlyMap<string, Family<"gauge">>;
  readonly #histograms: ReadonlyMap<string, Family<"histogram">>;
  readonly #device: Gauge;
  readonly #collectors = new Set<() => void>();
  readonly #memory: SlopeWindow;
  readonly #now: () => number;
  readonly #readResidentBytes: () => number;
  readonly #readThermalState: () => ThermalState | undefined;

  constructor(options: SessionMetricsOptions = {}) {
    const { maxModels = metricsDefaults.maxModels, telemetry = silent } = options;
    this.#labels = new LabelBook(maxModels, () => telemetry.log("warn", overflowNote, { maxModels }));
    this.#now = options.now ?? (() => performance.now());
    this.#readResidentBytes = options.readResidentBytes ?? (() => process.memoryUsage.rss());
    this.#readThermalState = options.readThermalState ?? (() => undefined);
    this.#memory = new SlopeWindow({
      capacity: metricsDefaults.memorySamples,
      minimumStep: metricsDefaults.memorySampleMs / 1_000,
    });
    this.#counters = familiesOf("counter", (labels) => new CounterSeries(labels));
    this.#gauges = familiesOf("gauge", (labels) => new GaugeSeries(labels));
    this.#histograms = familiesOf("histogram", (labels) => new HistogramSeries(labels));
    for (const family of this.#counters.values()) exportCounter(family, this.#registry);
    for (const family of this.#gauges.values()) exportGauge(family, this.#registry);
    for (const family of this.#histograms.values()) exportHistogram(family, this.#registry);
    this.#device = new Gauge({
      name: "coremlx_device_info",
      help: "The machine and what runs on it; always 1",
      labelNames: ["chip", "os", "arch", "engine", "version"],
      registers: [this.#registry],
    });
  }

  /** A total for "other" would be one model's only, so there it cannot be raised. */
  counter<N extends CounterName>(name: N, labels?: MeterLabels<N>): CounterMeter {
    const series = this.#series(this.#counters, name, labels);
    if (!this.#isOverflow(labels)) return series;
    return { add: (amount) => series.add(amount), raiseTo() {} };
  }

  /** Not shown for "other". */
  gauge<N extends GaugeName>(name: N, labels?: MeterLabels<N>): GaugeMeter {
    return this.#isOverflow(labels) ? noMeters.gauge(name) : this.#series(this.#gauges, name, labels);
  }

  histogram<N extends HistogramName>(name: N, labels?: MeterLabels<N>): HistogramMeter {
    return this.#series(this.#histograms, name, labels);
  }

  /** Calls `collect` before every reading, to set what others keep. Returns how to stop that. */
  onCollect(collect: () => void): () => void {
    this.#collectors.add(collect);
    return () => this.#collectors.delete(collect);
  }

  setDevice(device: DeviceLabels): void {
    this.#device.reset();
    const known = Object.entries(device).map(([name, value]: [string, string]) => [name, plainLabel(value)]);
    this.#device.set(Object.fromEntries(known), 1);
  }

  /** After unloading: its numbers disappear, and another model may have its place. */
  forgetModel(labels: ModelLabels): void {
    const safe = this.#labels.forget(labels);
    if (safe === undefined) return;
    const key = keyOf(safe);
    for (const families of [this.#counters, this.#gauges, this.#histograms]) {
      for (const family of families.values()) family.drop((of) => keyOf(of) === key);
    }
  }

  /** Samples the process; also for a timer, so that the memory's slope does not depend on scrapes. */
  sampleProcess(): void {
    const residentBytes = this.#readResidentBytes();
    this.#memory.add(this.#now() / 1_000, residentBytes);
    this.gauge("coremlx_process_resident_memory_bytes").set(residentBytes);
    const { slope } = this.#memory;
    if (slope !== undefined) this.gauge("coremlx_process_memory_slope_bytes_per_second").set(slope);
    const thermal = this.#readThermalState();
    if (thermal !== undefined) this.gauge("coremlx_thermal_state").set(thermalNumbers[thermal]);
  }

  /** Of the process, over the samples so far (five minutes at most, at one a second); undefined before the second. */
  get memorySlopeBytesPerSecond(): number | undefined {
    return this.#memory.slope;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** In Prometheus' text format. */
  async text(): Promise<string> {
    this.#collect();
    return this.#registry.metrics();
  }

  snapshot(): MetricsSnapshot {
    this.#collect();
    const samples = new Map<string, SampleSnapshot[]>();
    for (const { name, series } of this.#counters.values()) {
      samples.set(
        name,
        [...series].map(({ labels, total }) => ({ labels, value: total })),
      );
    }
    for (const { name, series } of this.#gauges.values()) {
      samples.set(
        name,
        [...series].flatMap(({ labels, value }) => (value === undefined ? [] : [{ labels, value }])),
      );
    }
    for (const { name, series } of this.#histograms.values()) {
      samples.set(
        name,
        [...series].map(({ labels, count, sum }) => ({ labels, value: { count, sum } })),
      );
    }
    return Object.fromEntries([...samples].filter(([, values]) => values.length > 0));
  }

  #collect(): void {
    this.sampleProcess();
    for (const collect of this.#collectors) collect();
  }

  #isOverflow(labels: Partial<ModelLabels> | undefined): boolean {
    return this.#labels.isOverflow(this.#labels.labelsOf(labels));
  }

  #series<S>(
    families: ReadonlyMap<
      string,
      { readonly definition: MeterDefinition; at(key: string, labels: SeriesLabels): S }
    >,
    name: MeterName,
    labels: (Partial<ModelLabels> & { readonly reason?: string | undefined }) | undefined,
  ): S {
    const family = families.get(name);
    // The types allow only names of the table; this is for callers without types.
    if (family === undefined) throw new TypeError(`There is no such meter: ${name}`);
    const { scope, reasons } = family.definition;
    const model = scope === "model" ? this.#labels.labelsOf(labels) : {};
    if (reasons === undefined) return family.at(keyOf(model), { ...model });
    const reason = reasons.includes(labels?.reason ?? "") ? (labels?.reason ?? "") : "other";
    return family.at(`${keyOf(model)}\n${reason}`, { ...model, reason });
  }
}

function familiesOf<K extends "counter" | "gauge" | "histogram">(
  kind: K,
  make: ConstructorParameters<typeof Family<K>>[2],
): ReadonlyMap<string, Family<K>> {
  const rows: readonly (readonly [string, MeterDefinition])[] = Object.entries(meterTable);
  return new Map(
    rows.flatMap(([name, definition]) =>
      definition.kind === kind ? [[name, new Family(name, definition, make)] as const] : [],
    ),
  );
}
