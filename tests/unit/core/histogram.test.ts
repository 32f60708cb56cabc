// Quantiles against the exact ones of the sorted numbers, and the JSON form against damage.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CoremlxError } from "../../../src/core/errors.ts";
import { highestTracked, lowestTracked, QuantileHistogram } from "../../../src/core/histogram.ts";

const shares = [0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1];

/** Nearest rank: the smallest number that at least this share of all numbers do not exceed. */
function exactQuantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

function of(values: Iterable<number>): QuantileHistogram {
  const histogram = new QuantileHistogram();
  for (const value of values) histogram.add(value);
  return histogram;
}

function worstError(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const histogram = of(values);
  return Math.max(
    ...shares.map((share) => {
      const exact = exactQuantile(sorted, share);
      return Math.abs(histogram.quantile(share) - exact) / exact;
    }),
  );
}

/** Deterministic, uniform in (0, 1). */
function uniforms(count: number, seed: number): number[] {
  let state = seed >>> 0;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  });
}

const measurement = fc.double({ min: lowestTracked, max: highestTracked, maxExcluded: true, noNaN: true });

describe("quantiles", () => {
  test("are within 1 % of the exact ones for any numbers", () => {
    fc.assert(
      fc.property(fc.array(measurement, { minLength: 1, maxLength: 300 }), (values) => {
        expect(worstError(values)).toBeLessThan(0.01);
      }),
      { seed: 4, numRuns: 300 },
    );
  });

  test.each([
    ["uniform", (u: number) => u * 20],
    ["exponential", (u: number) => -5 * Math.log(u)],
    ["heavy-tailed", (u: number) => 0.1 / u ** 2],
    ["two-peaked", (u: number) => (u < 0.9 ? 1 + u / 100 : 250 + u)],
  ])("are within 1 %% of the exact ones for 50,000 %s latencies", (_, shape) => {
    expect(worstError(uniforms(50_000, 7).map(shape))).toBeLessThan(0.01);
  });

  test("stay within 1 % at the edges of every bucket", () => {
    for (let exponent = -20; exponent < 44; exponent++) {
      for (let sub = 0; sub < 64; sub += 9) {
        const edge = 2 ** exponent * (1 + sub / 64);
        const values = [edge / 1.5, edge, edge * (1 + 2 ** -40), edge * 1.5].filter(
          (value) => value >= lowestTracked && value < highestTracked,
        );
        expect(worstError(values)).toBeLessThan(0.01);
      }
    }
  });

  test("come in the order asked for", () => {
    const histogram = of(Array.from({ length: 1000 }, (_, index) => index + 1));
    const [p99 = 0, p50 = 0, p90 = 0] = histogram.quantiles([0.99, 0.5, 0.9]);
    expect([p99, p50, p90].map((value) => Math.round(value / 10))).toEqual([99, 50, 90]);
  });

  test("never leave the range of the numbers", () => {
    const histogram = of([3.1, 3.1, 3.1]);
    expect(histogram.quantiles([0, 0.5, 1])).toEqual([3.1, 3.1, 3.1]);
  });

  test("are 0 before the first number", () => {
    const histogram = new QuantileHistogram();
    expect({ ...facts(histogram), p50: histogram.quantile(0.5) }).toEqual({
      count: 0,
      sum: 0,
      mean: 0,
      min: 0,
      max: 0,
      p50: 0,
    });
  });
});

function facts({ count, sum, mean, min, max }: QuantileHistogram) {
  return { count, sum, mean, min, max };
}

describe("adding", () => {
  test("keeps count, sum, least and greatest exactly", () => {
    expect(facts(of([2, 0.5, 4.5, 1]))).toEqual({ count: 4, sum: 8, mean: 2, min: 0.5, max: 4.5 });
  });

  test("counts a number several times", () => {
    const histogram = of([1]);
    histogram.add(7, 3);
    expect(facts(histogram)).toEqual({ count: 4, sum: 22, mean: 5.5, min: 1, max: 7 });
  });

  test("ignores what is no measurement", () => {
    const values = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1];
    expect(of(values).count).toBe(0);
  });

  test("counts numbers outside the tracked range at its ends", () => {
    const histogram = of([0, lowestTracked / 8, highestTracked, highestTracked * 1024]);
    expect(facts(histogram)).toMatchObject({ count: 4, min: 0, max: highestTracked * 1024 });
    expect(histogram.quantile(0.25)).toBeLessThan(lowestTracked * 1.02);
    expect(histogram.quantile(0.75)).toBeGreaterThan(highestTracked * 0.98);
  });

  test("starts again after clear", () => {
    const histogram = of([5, 6]);
    histogram.clear();
    histogram.add(1);
    expect(histogram.toJSON()).toEqual(of([1]).toJSON());
  });
});

test("merging gives what adding everything to one gives", () => {
  fc.assert(
    fc.property(fc.array(measurement), fc.array(measurement), (left, right) => {
      const merged = of(left);
      merged.merge(of(right));
      const { sum, ...rest } = merged.toJSON();
      const { sum: expectedSum, ...expected } = of([...left, ...right]).toJSON();
      expect(rest).toEqual(expected);
      expect(Math.abs(sum - expectedSum)).toBeLessThanOrEqual(expectedSum * 1e-12);
    }),
    { seed: 5, numRuns: 100 },
  );
});

describe("JSON", () => {
  test("brings back the same histogram", () => {
    fc.assert(
      fc.property(fc.array(measurement), (values) => {
        const histogram = of(values);
        const text = JSON.stringify(histogram);
        const back = QuantileHistogram.fromJSON(JSON.parse(text));
        expect(back.toJSON()).toEqual(histogram.toJSON());
        expect(back.quantiles(shares)).toEqual(histogram.quantiles(shares));
      }),
      { seed: 6, numRuns: 100 },
    );
  });

  test("holds only buckets with counts", () => {
    expect(of([1, 1, 1, 2]).toJSON().buckets).toEqual([
      [20 * 64, 3],
      [21 * 64, 1],
    ]);
  });

  const good = of([1, 2, 4]).toJSON();
  test.each([
    ["nothing", undefined, "layout is undefined"],
    ["another layout", { ...good, layout: "hdr" }, 'layout is "hdr"'],
    ["no buckets", { ...good, buckets: 3 }, "no list of buckets"],
    ["a bucket that is no pair", { ...good, buckets: [[1, 2, 3]] }, "no pair"],
    ["an index out of range", { ...good, buckets: [[4096, 3]] }, "index 4096 follows -1"],
    [
      "indices out of order",
      {
        ...good,
        buckets: [
          [5, 1],
          [5, 2],
        ],
      },
      "index 5 follows 5",
    ],
    ["a fraction of a count", { ...good, buckets: [[5, 1.5]] }, "has the count 1.5"],
    ["an empty bucket", { ...good, buckets: [[5, 0]] }, "has the count 0"],
    ["a count that does not add up", { ...good, count: 4 }, "its buckets hold 3 numbers, its count is 4"],
    ["no sum", { ...good, sum: null }, "its sum is null"],
    ["a negative least", { ...good, min: -1 }, "its min is -1"],
    ["a least above the greatest", { ...good, min: 9 }, "its min 9 is above its max 4"],
  ])("refuses %s", (_, value, why) => {
    expect(() => QuantileHistogram.fromJSON(value)).toThrow(CoremlxError);
    expect(() => QuantileHistogram.fromJSON(value)).toThrow(why);
  });
});
