// Numbers as they come in: additions to fields, some 20 ns each (a prom-client observation takes 500). prom-client gets
// them when somebody asks for its text.

import { durationBucketsSeconds, type MeterDefinition } from "../../core/meter-names.ts";
import type { CounterMeter, GaugeMeter, HistogramMeter } from "../../core/telemetry.ts";

export type SeriesLabels = Readonly<Record<string, string>>;

export class CounterSeries implements CounterMeter {
  readonly labels: SeriesLabels;
  total = 0;

  constructor(labels: SeriesLabels) {
    this.labels = labels;
  }

  add(amount = 1): void {
    if (amount > 0 && Number.isFinite(amount)) this.total += amount;
  }

  raiseTo(total: number): void {
    if (total > this.total && Number.isFinite(total)) this.total = total;
  }
}

/** Shows nothing until it is set. */
export class GaugeSeries implements GaugeMeter {
  readonly labels: SeriesLabels;
  value: number | undefined;

  constructor(labels: SeriesLabels) {
    this.labels = labels;
  }

  set(value: number): void {
    this.value = Number.isFinite(value) ? value : undefined;
  }
}

export class HistogramSeries implements HistogramMeter {
  readonly labels: SeriesLabels;
  /** By bucket, not cumulative; the last is for what is above every bound. */
  readonly counts = new Float64Array(new ArrayBuffer((durationBucketsSeconds.length + 1) * 8));
  sum = 0;
  count = 0;

  constructor(labels: SeriesLabels) {
    this.labels = labels;
  }

  /** NaN and infinities are ignored; a negative duration, which no clock of ours gives, counts as 0. */
  observe(value: number): void {
    if (!Number.isFinite(value)) return;
    const duration = value > 0 ? value : 0;
    let bucket = 0;
    while (duration > (durationBucketsSeconds[bucket] ?? Number.POSITIVE_INFINITY)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sum += duration;
    this.count++;
  }
}

interface SeriesByKind {
  readonly counter: CounterSeries;
  readonly gauge: GaugeSeries;
  readonly histogram: HistogramSeries;
}
export type MeterKind = MeterDefinition["kind"];

/** All series of one name. */
export class Family<K extends MeterKind> {
  readonly name: string;
  readonly definition: MeterDefinition;
  readonly #make: (labels: SeriesLabels) => SeriesByKind[K];
  readonly #byKey = new Map<string, SeriesByKind[K]>();

  constructor(name: string, definition: MeterDefinition, make: (labels: SeriesLabels) => SeriesByKind[K]) {
    this.name = name;
    this.definition = definition;
    this.#make = make;
  }

  get series(): Iterable<SeriesByKind[K]> {
    return this.#byKey.values();
  }

  get labelNames(): readonly string[] {
    const { scope, reasons } = this.definition;
    return [...(scope === "model" ? ["model", "version"] : []), ...(reasons === undefined ? [] : ["reason"])];
  }

  /** The same series for the same key. */
  at(key: string, labels: SeriesLabels): SeriesByKind[K] {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const made = this.#make(labels);
    this.#byKey.set(key, made);
    return made;
  }

  /** Whoever holds a dropped series may go on using it; nobody sees it. */
  drop(isGone: (labels: SeriesLabels) => boolean): void {
    for (const [key, { labels }] of this.#byKey) if (isGone(labels)) this.#byKey.delete(key);
  }
}
