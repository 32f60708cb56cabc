// Expected values: numpy 2.4 and scipy 1.17; the bootstraps in numpy over the same documented sequence of random numbers.

import { describe, expect, test } from "bun:test";
import {
  bootstrapInterval,
  fitSlope,
  mean,
  median,
  medianAbsoluteDeviation,
  pairedRatio,
  quantile,
  quantileBounds,
  studentQuantile,
} from "../../../src/suites/stats.ts";

const values = [12.5, 3.25, 8, 9.75, 1.5, 20, 7.125, 7, 6.5, 11, 4];
const sorted = values.toSorted((a, b) => a - b);

describe("quantiles", () => {
  test.each([
    [0, 1.5],
    [0.1, 3.25],
    [0.25, 5.25],
    [0.5, 7.125],
    [0.9, 12.5],
    [0.99, 19.25],
    [1, 20],
  ])("numpy.quantile at %p is %p", (at, expected) => {
    expect(quantile(sorted, at)).toBeCloseTo(expected, 12);
  });

  test("outside 0 to 1 they are the ends, of one value that value, of none NaN", () => {
    expect(quantile(sorted, -1)).toBe(1.5);
    expect(quantile(sorted, 2)).toBe(20);
    expect(quantile([4], 0.99)).toBe(4);
    expect(quantile([], 0.5)).toBeNaN();
  });

  test("the middle and the spread agree with numpy and leave the values as they are", () => {
    const given = [...values];
    expect(median(given)).toBe(7.125);
    expect(medianAbsoluteDeviation(given)).toBe(3.125);
    expect(mean(given)).toBeCloseTo(8.238636363636363, 12);
    expect(given).toEqual(values);
    expect(median([1, 2, 3, 4])).toBe(2.5);
  });

  test("the bounds of a quantile are those of the binomial distribution of its rank", () => {
    const { low, high } = quantileBounds(400, 0.5);
    expect(low).toBeCloseTo(0.45100090038649865, 9);
    expect(high).toBeCloseTo(0.5489990996135014, 9);
    expect(quantileBounds(100, 0.99).high).toBe(1);
    expect(quantileBounds(10, 0.01).low).toBe(0);
  });
});

describe("the bootstrap", () => {
  test("of the median agrees with numpy", () => {
    expect(bootstrapInterval(values, median)).toEqual({
      estimate: 7.125,
      low: 4,
      high: 11,
      confidence: 0.95,
    });
  });

  test("of the mean at 90 % agrees with numpy", () => {
    const { estimate, low, high } = bootstrapInterval(values, mean, {
      seed: 7,
      resamples: 500,
      confidence: 0.9,
    });
    expect(estimate).toBeCloseTo(8.238636363636363, 12);
    expect(low).toBeCloseTo(5.874431818181818, 12);
    expect(high).toBeCloseTo(10.727840909090908, 12);
  });

  test("is near scipy's, whose random numbers are others", () => {
    const { low, high } = bootstrapInterval(values, mean, { resamples: 5_000 });
    expect(low).toBeWithin(5.625 - 0.2, 5.625 + 0.2);
    expect(high).toBeWithin(11.3295 - 0.2, 11.3295 + 0.2);
  });

  test("gives the same for the same seed and another for another", () => {
    const at = (seed: number) => bootstrapInterval(values, mean, { seed, resamples: 100 });
    expect(at(1)).toEqual(at(1));
    expect(at(1)).not.toEqual(at(2));
  });

  test("of paired ratios agrees with numpy", () => {
    const first = [10.2, 11.1, 9.8, 10.9, 12, 10.4];
    const second = [9.9, 10.2, 9.7, 10.1, 10.8, 10.3];
    const pairs = first.map((value, i) => [value, second[i] ?? 0] as const);
    const ratio = pairedRatio(pairs, { seed: 3, resamples: 1_000 });
    expect(ratio.estimate).toBeCloseTo(1.0547554755475548, 12);
    expect(ratio.low).toBeCloseTo(1.0100090081072968, 12);
    expect(ratio.high).toBeCloseTo(1.0996732026143792, 12);
  });

  test("pairs cancel what moves both", () => {
    const pairs = Array.from({ length: 40 }, (_, i) => [(1 + i) * 1.1, 1 + i] as const);
    const { low, high } = pairedRatio(pairs);
    expect(low).toBeCloseTo(1.1, 9);
    expect(high).toBeCloseTo(1.1, 9);
  });
});

describe("a slope", () => {
  const x = [0, 1, 2, 3.5, 5, 7, 8];
  const y = [10.1, 10.4, 11.2, 11.9, 13.4, 14.2, 15.3];
  const points = x.map((value, i) => [value, y[i] ?? 0] as const);

  test("and its interval agree with scipy.stats.linregress", () => {
    const fit = fitSlope(points);
    expect(fit?.estimate).toBeCloseTo(0.6514954486345903, 12);
    expect(fit?.intercept).toBeCloseTo(9.890767230169052, 12);
    expect(fit?.low).toBeCloseTo(0.5661252787178183, 9);
    expect(fit?.high).toBeCloseTo(0.7368656185513623, 9);
    const wide = fitSlope(points, 0.99);
    expect(wide?.low).toBeCloseTo(0.5175861807549231, 9);
    expect(wide?.high).toBeCloseTo(0.7854047165142575, 9);
  });

  test("of a straight line is exact, of too few points there is none", () => {
    expect(fitSlope([1, 2, 3].map((n) => [n, 2 * n + 1]))).toMatchObject({ estimate: 2, low: 2, high: 2 });
    expect(fitSlope(points.slice(0, 2))).toBeUndefined();
    expect(fitSlope(points.map(([, value]) => [3, value]))).toBeUndefined();
    expect(fitSlope([])).toBeUndefined();
  });
});

test.each([
  [0.975, 1, 12.706204736174694],
  [0.975, 2, 4.302652729749462],
  [0.975, 3, 3.1824463052837078],
  [0.95, 10, 1.8124611228116756],
  [0.995, 29, 2.756385903670605],
  [0.975, 1_000, 1.9623390808264083],
  [0.975, 1_001, 1.9623367052808798],
  [0.995, 1_000_000, 2.5758342201053344],
  [0.975, Infinity, 1.959963984540054],
  [0.6, Infinity, 0.2533471031357997],
])("Student's quantile %p of %p degrees of freedom is %p", (at, degrees, expected) => {
  expect(studentQuantile(at, degrees)).toBeCloseTo(expected, 5);
});
