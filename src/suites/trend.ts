// Whether a series of measurements drifts: a test that asks nothing of their distribution, and a size no outlier can move.

import { median, normalShare } from "./stats.ts";

export interface Trend {
  readonly points: number;
  /** From the first point to the last along the line, as a share of the median: 0.1 for a tenth more. */
  readonly change: number;
  /** How often values in random order would rise or fall as steadily (two-sided). */
  readonly pValue: number;
}

/** With fewer, the normal approximation of the test is none. */
const fewestPoints = 10;

/**
 * Mann and Kendall's test with ties (corrected for continuity) of values in even steps of time, and the slope of Theil
 * and Sen: the median over all pairs. `undefined` for fewer than ten values, or a median of 0.
 */
export function testTrend(values: readonly number[]): Trend | undefined {
  const middle = median(values);
  if (values.length < fewestPoints || middle === 0) return undefined;
  const slopes: number[] = [];
  let score = 0;
  values.forEach((early, i) => {
    for (let j = i + 1; j < values.length; j++) {
      const rise = (values[j] ?? early) - early;
      score += Math.sign(rise);
      slopes.push(rise / (j - i));
    }
  });
  return {
    points: values.length,
    change: (median(slopes) * (values.length - 1)) / middle,
    pValue: 1 - normalShare(Math.max(0, Math.abs(score) - 1) / Math.sqrt(varianceOfScore(values))),
  };
}

function varianceOfScore(values: readonly number[]): number {
  const term = (n: number) => n * (n - 1) * (2 * n + 5);
  const ties = new Map<number, number>();
  for (const value of values) ties.set(value, (ties.get(value) ?? 0) + 1);
  const tied = [...ties.values()].reduce((sum, count) => sum + term(count), 0);
  // All the same: no score, whatever it is divided by.
  return Math.max(1, (term(values.length) - tied) / 18);
}
