// Figures of a soak, judged anew: limits that were loosened for the run itself do not count here.

import { parseSoakResult } from "../../schemas.ts";
import type { SoakCriterion, SoakResult } from "../../soak/schema.ts";
import { judgeSoak } from "../../soak/verdict.ts";
import type { Findings, Measure, Reading } from "../findings.ts";

export const soakMetrics = {
  failures: "calls",
  "wrong-answers": "answers",
  "success-share": "share",
  "growth-bytes": "bytes",
  "slope-bytes-per-hour": "bytes/hour",
  "p99-ms": "ms",
  drifts: "drifts",
  "breaker-trips": "trips",
  crashes: "processes",
} as const;

const trendAfterMs = 600_000;
const maxDriftShare = 0.2;

export function readSoak(value: unknown, file: string): Findings {
  const result = parseSoakResult(value, file);
  const { configuration, models, environment, elapsedMs } = result;
  const limits = { ...configuration.limits, trendAfterMs, maxDriftShare };
  const { criteria } = judgeSoak({ ...result, configuration: { ...configuration, limits } });
  const figures = new Figures(result, criteria);
  return {
    environment,
    models: models.map(({ name, digest }) => ({ name, digest })),
    engines: models.map(({ engine }) => engine),
    durationMs: elapsedMs,
    measures: {
      failures: figures.whole("failures"),
      "wrong-answers": figures.each("wrong answers", sum),
      "success-share": figures.whole("success"),
      "growth-bytes": figures.whole("memory growth"),
      "slope-bytes-per-hour": figures.whole("memory slope"),
      "p99-ms": figures.each("p99 of the worst window", greatest),
      drifts: figures.drifts(),
      "breaker-trips": figures.whole("breaker trips"),
      crashes: figures.whole("crashes"),
    },
  };
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const greatest = (values: readonly number[]) => Math.max(...values);

class Figures {
  readonly #result: SoakResult;
  readonly #criteria: readonly SoakCriterion[];

  constructor(result: SoakResult, criteria: readonly SoakCriterion[]) {
    this.#result = result;
    this.#criteria = criteria;
  }

  /** Of the whole soak, whatever models it had. */
  whole(name: string): Measure {
    return () =>
      this.#read(
        this.#criteria.filter((criterion) => criterion.name === name),
        sum,
      );
  }

  each(name: string, combine: (values: readonly number[]) => number): Measure {
    return (digest) => this.#read(this.#of(digest, [name]), combine);
  }

  /** How many of the medians and p99 rose, from the first block to the last. */
  drifts(): Measure {
    return (digest) => {
      const criteria = this.#of(digest, ["median drift", "p99 drift"]);
      const reading = this.#read(criteria, greatest);
      if (typeof reading === "string") return reading;
      const risen = criteria.filter(({ status }) => status === "fail").length;
      return { value: risen, detail: `greatest change ${(reading.value * 100).toFixed(1)} %` };
    };
  }

  #of(digest: string | undefined, names: readonly string[]): SoakCriterion[] {
    const models = this.#result.models.filter((model) => digest === undefined || model.digest === digest);
    return this.#criteria.filter(
      ({ name, model }) => names.includes(name) && models.some((wanted) => wanted.name === model),
    );
  }

  #read(
    criteria: readonly SoakCriterion[],
    combine: (values: readonly number[]) => number,
  ): Reading | string {
    if (this.#result.isInterrupted) return "the soak was interrupted";
    const values = criteria.flatMap(({ value }) => (value === null ? [] : [value]));
    const open = criteria.find(({ value }) => value === null);
    if (open !== undefined) return `${open.name}: ${open.detail}`;
    if (values.length === 0) return "the soak has no such model";
    return { value: combine(values), detail: [...new Set(criteria.map(({ detail }) => detail))].join("; ") };
  }
}
