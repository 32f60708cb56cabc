// The statistics of measurements: quantiles, spread, intervals of confidence, slopes. Nothing here knows what was measured.

import { randomSource } from "../codecs/generate.ts";

/** An estimate with the interval that holds the truth with this confidence (0.95: 19 times in 20). */
export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
  readonly confidence: number;
}

export interface BootstrapOptions {
  /** Default 0.95. */
  readonly confidence?: number | undefined;
  /** Default 2,000. */
  readonly resamples?: number | undefined;
  /** The same seed gives the same interval. Default 0. */
  readonly seed?: number | undefined;
}

export interface Slope extends Interval {
  readonly intercept: number;
}

const defaultConfidence = 0.95;
const defaultResamples = 2_000;

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Between the two nearest of the sorted values in proportion, as numpy does by default. NaN for no values. */
export function quantile(sorted: ArrayLike<number>, at: number): number {
  const position = Math.min(Math.max(at, 0), 1) * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] ?? Number.NaN;
  const high = sorted[below + 1] ?? low;
  return low + (high - low) * (position - below);
}

export function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}

/** The median distance from the median: a spread that single outliers cannot move. Not scaled to a standard deviation. */
export function medianAbsoluteDeviation(values: readonly number[]): number {
  const middle = median(values);
  return median(values.map((value) => Math.abs(value - middle)));
}

/**
 * The percentile bootstrap: what the statistic says of samples drawn from the values with replacement. Values that
 * follow each other closely in time are less independent than it takes for granted: give it one value per block.
 */
export function bootstrapInterval(
  values: readonly number[],
  statistic: (values: readonly number[]) => number,
  options: BootstrapOptions = {},
): Interval {
  const { confidence = defaultConfidence, resamples = defaultResamples, seed = 0 } = options;
  const next = randomSource(`bootstrap/${seed}`);
  const drawn = Array.from({ length: resamples }, () =>
    statistic(values.map(() => values[Math.floor((next() / 2 ** 32) * values.length)] ?? Number.NaN)),
  ).sort((a, b) => a - b);
  const tail = (1 - confidence) / 2;
  return {
    estimate: statistic(values),
    low: quantile(drawn, tail),
    high: quantile(drawn, 1 - tail),
    confidence,
  };
}

/**
 * How many times as large the first measure of each pair is: the median ratio, with its bootstrap interval. What
 * moves both measures of a pair alike (another program, a warmer chip) cancels out.
 */
export function pairedRatio(
  pairs: readonly (readonly [number, number])[],
  options: BootstrapOptions = {},
): Interval {
  return bootstrapInterval(
    pairs.map(([first, second]) => first / second),
    median,
    options,
  );
}

/**
 * The straight line with the least squares through the points, and the interval of its slope under independent,
 * normally distributed errors. `undefined` for fewer than three points, or all at one x.
 */
export function fitSlope(
  points: readonly (readonly [number, number])[],
  confidence = defaultConfidence,
): Slope | undefined {
  const degrees = points.length - 2;
  const [centerX, centerY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  let [xx, xy] = [0, 0];
  for (const [x, y] of points) {
    xx += (x - centerX) ** 2;
    xy += (x - centerX) * (y - centerY);
  }
  if (degrees < 1 || xx === 0) return undefined;
  const estimate = xy / xx;
  const residues = points.reduce((sum, [x, y]) => sum + (y - centerY - estimate * (x - centerX)) ** 2, 0);
  const error = Math.sqrt(residues / degrees / xx);
  const reach = studentQuantile(0.5 + confidence / 2, degrees) * error;
  return {
    estimate,
    low: estimate - reach,
    high: estimate + reach,
    confidence,
    intercept: centerY - estimate * centerX,
  };
}

/**
 * Which quantiles of a sample hold the true quantile `at` between them: the binomial distribution of the rank, by its
 * normal approximation, from 0 to 1.
 */
export function quantileBounds(
  count: number,
  at: number,
  confidence = defaultConfidence,
): { readonly low: number; readonly high: number } {
  const reach =
    studentQuantile(0.5 + confidence / 2, Number.POSITIVE_INFINITY) * Math.sqrt((at * (1 - at)) / count);
  return { low: Math.max(0, at - reach), high: Math.min(1, at + reach) };
}

/** Beyond this many degrees of freedom the distribution is the normal one, plus one term. */
const manyDegrees = 1_000;

/** Inverse of Student's distribution for whole degrees of freedom, and of the normal one for Infinity. `at` from 0.5 on. */
export function studentQuantile(at: number, degrees: number): number {
  if (degrees > manyDegrees) {
    const z = bisect((value) => normalShare(value), 2 * at - 1);
    return z + (z ** 3 + z) / (4 * degrees);
  }
  return bisect((value) => studentShare(value, degrees), 2 * at - 1);
}

/** Where a function that grows from 0 towards 1 reaches `target`. */
function bisect(share: (value: number) => number, target: number): number {
  let [low, high] = [0, 1];
  while (share(high) < target && high < 1e12) high *= 2;
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (share(middle) < target) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** How much of Student's distribution lies within ±t: Abramowitz and Stegun, 26.7.3 and 26.7.4. */
function studentShare(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  const isOdd = degrees % 2 === 1;
  let term = isOdd ? cosine : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let k = isOdd ? 3 : 2; k < degrees; k += 2) {
    term *= ((k - 1) / k) * cosine ** 2;
    sum += term;
  }
  return isOdd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum;
}

/** How much of the normal distribution lies within ±z, for z from 0 on: its power series. */
export function normalShare(z: number): number {
  let term = z;
  let sum = z;
  for (let k = 1; k < 200; k++) {
    term *= (-z * z) / (2 * k);
    sum += term / (2 * k + 1);
  }
  return z > 6 ? 1 : Math.sqrt(2 / Math.PI) * sum;
}
