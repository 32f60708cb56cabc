// Our series as prom-client's metrics. It asks for their values when it writes its text.

import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { durationBucketsSeconds } from "../../core/meter-names.ts";
import type { Family, HistogramSeries } from "./metric-series.ts";

export function exportCounter(family: Family<"counter">, registry: Registry): void {
  new Counter({
    ...configuration(family, registry),
    collect() {
      forget(this);
      for (const { labels, total } of family.series) this.inc(labels, total);
    },
  });
}

export function exportGauge(family: Family<"gauge">, registry: Registry): void {
  new Gauge({
    ...configuration(family, registry),
    collect() {
      forget(this);
      for (const { labels, value } of family.series) if (value !== undefined) this.set(labels, value);
    },
  });
}

export function exportHistogram(family: Family<"histogram">, registry: Registry): void {
  new CountedHistogram(family, registry);
}

/** A reset alone leaves a 0 where there are no labels, and not known is not 0. */
function forget(metric: Counter | Gauge): void {
  metric.reset();
  metric.remove({});
}

/** prom-client's histogram takes one observation at a time; this one shows buckets that are counted already. */
class CountedHistogram extends Histogram {
  readonly #family: Family<"histogram">;

  constructor(family: Family<"histogram">, registry: Registry) {
    super({ ...configuration(family, registry), buckets: [...durationBucketsSeconds] });
    this.#family = family;
  }

  /** prom-client's own name for where both its text and its JSON get their values; its types leave it out. */
  async getForPromString(): Promise<object> {
    const { name, definition, series } = this.#family;
    return {
      name,
      help: definition.help,
      type: "histogram",
      aggregator: "sum",
      values: [...series].flatMap((one) => samplesOf(name, one)),
    };
  }
}

function samplesOf(name: string, { labels, counts, sum, count }: HistogramSeries): object[] {
  let seen = 0;
  const buckets = durationBucketsSeconds.map((le, index) => {
    seen += counts[index] ?? 0;
    return { metricName: `${name}_bucket`, sharedLabels: labels, labels: { le }, value: seen };
  });
  return [
    ...buckets,
    { metricName: `${name}_bucket`, sharedLabels: labels, labels: { le: "+Inf" }, value: count },
    { metricName: `${name}_sum`, sharedLabels: labels, labels: {}, value: sum },
    { metricName: `${name}_count`, sharedLabels: labels, labels: {}, value: count },
  ];
}

function configuration(
  { name, definition, labelNames }: Family<"counter" | "gauge" | "histogram">,
  registry: Registry,
) {
  return { name, help: definition.help, labelNames: [...labelNames], registers: [registry] };
}
