// Expected quantiles: the nearest rank in the sorted values themselves.

import { describe, expect, test } from "bun:test";
import { randomSource } from "../../../src/codecs/generate.ts";
import { Histogram } from "../../../src/suites/histogram.ts";

function filled(values: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.add(value);
  return histogram;
}

function nearestRank(values: readonly number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(at * sorted.length) - 1)] ?? Number.NaN;
}

/** From 1 µs to about 100 s, evenly over the orders of magnitude. */
function spread(count: number, seed: string): number[] {
  const next = randomSource(seed);
  return Array.from({ length: count }, () => 10 ** ((next() / 2 ** 32) * 8 - 3));
}

describe("a histogram", () => {
  test("gives quantiles to 0.2 % over eight orders of magnitude", () => {
    const values = spread(5_000, "spread");
    const histogram = filled(values);
    for (const at of [0.001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999]) {
      const exact = nearestRank(values, at);
      expect(Math.abs(histogram.quantile(at) / exact - 1)).toBeLessThan(0.002);
    }
  });

  test("knows count, mean, least and most exactly", () => {
    const histogram = filled([0.25, 0.5, 3.25, 1]);
    const { count, meanMs, leastMs, mostMs } = histogram;
    expect({ count, meanMs, leastMs, mostMs }).toEqual({
      count: 4,
      meanMs: 1.25,
      leastMs: 0.25,
      mostMs: 3.25,
    });
    expect(histogram.quantile(0)).toBe(0.25);
    expect(histogram.quantile(1)).toBe(3.25);
  });

  test("of one value gives that value everywhere", () => {
    const histogram = filled([1.2345678]);
    for (const at of [0, 0.5, 0.999, 1]) expect(histogram.quantile(at)).toBe(1.2345678);
  });

  test("says NaN while it is empty, and again after it was cleared", () => {
    const histogram = filled([5]);
    histogram.clear();
    expect(histogram.count).toBe(0);
    expect([histogram.meanMs, histogram.leastMs, histogram.mostMs, histogram.quantile(0.5)]).toEqual([
      NaN,
      NaN,
      NaN,
      NaN,
    ]);
    expect(histogram.buckets()).toEqual([]);
  });

  test("lists buckets in order that hold every value once and are narrow", () => {
    const values = spread(2_000, "buckets");
    const buckets = filled(values).buckets();
    let before = 0;
    for (const { fromMs, toMs, count } of buckets) {
      expect(fromMs).toBeGreaterThanOrEqual(before);
      before = toMs;
      // The histogram counts whole nanoseconds.
      const inside = values
        .map((value) => Math.round(value * 1e6))
        .filter((ns) => {
          return ns >= Math.round(fromMs * 1e6) && ns < Math.round(toMs * 1e6);
        });
      expect(inside.length).toBe(count);
      if (fromMs > 0.001) expect(toMs / fromMs - 1).toBeLessThanOrEqual(1 / 256);
    }
    expect(buckets.reduce((sum, { count }) => sum + count, 0)).toBe(2_000);
  });

  test("takes nothing for a negative duration, and a year for hours", () => {
    const histogram = filled([-1, 0, 365 * 86_400_000]);
    expect(histogram.leastMs).toBe(0);
    expect(histogram.mostMs).toBe(365 * 86_400_000);
    expect(histogram.buckets()).toHaveLength(2);
    expect(histogram.buckets()[0]).toEqual({ fromMs: 0, toMs: 0.000001, count: 2 });
  });

  test("added to another is as if all values had been added to one", () => {
    const [some, others] = [spread(300, "some"), spread(400, "others")];
    const sum = filled(some);
    sum.addAll(filled(others));
    const all = filled([...some, ...others]);
    expect(sum.buckets()).toEqual(all.buckets());
    expect(sum.quantile(0.9)).toBe(all.quantile(0.9));
    expect(sum.meanMs).toBeCloseTo(all.meanMs, 9);
    sum.addAll(new Histogram());
    expect(sum.leastMs).toBe(all.leastMs);
  });
});
