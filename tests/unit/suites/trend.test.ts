// Expected values: the test's statistic, its variance and p in numpy, the slope of scipy.stats.theilslopes.

import { describe, expect, test } from "bun:test";
import { testTrend } from "../../../src/suites/trend.ts";

describe("a trend", () => {
  test.each([
    [
      "that rises steadily",
      [5, 5.1, 4.9, 5.2, 5.3, 5.1, 5.4, 5.5, 5.3, 5.6, 5.8, 5.7],
      0.138364779874,
      7.3556792e-4,
    ],
    ["that is uncertain", [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], 0.896296296296, 0.095292838],
  ])("%s has its size and its chance", (_, values, change, pValue) => {
    const trend = testTrend(values);
    expect(trend?.points).toBe(12);
    expect(trend?.change).toBeCloseTo(change, 10);
    expect(trend?.pValue).toBeCloseTo(pValue, 9);
  });

  test("backwards is the same chance and the opposite size", () => {
    const values = [5, 5.1, 4.9, 5.2, 5.3, 5.1, 5.4, 5.5, 5.3, 5.6, 5.8, 5.7];
    const [there, back] = [testTrend(values), testTrend(values.toReversed())];
    expect(back?.change).toBeCloseTo(-(there?.change ?? 0), 12);
    expect(back?.pValue).toBe(there?.pValue ?? Number.NaN);
  });

  test("of equal values is none", () => {
    expect(testTrend(Array<number>(20).fill(4))).toEqual({ points: 20, change: 0, pValue: 1 });
  });

  test("one outlier at the end does not make", () => {
    const trend = testTrend([...Array.from({ length: 30 }, (_, i) => 10 + (i % 3)), 1_000]);
    expect(Math.abs(trend?.change ?? 1)).toBeLessThan(0.01);
  });

  test("needs ten values", () => {
    expect(testTrend([1, 2, 3, 4, 5, 6, 7, 8, 9])).toBeUndefined();
    expect(testTrend([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])?.points).toBe(10);
  });
});
