// How far one answer is from another: the figures of one output for one input, and of one output over all inputs.

import type { Pair } from "./values.ts";
import { halfDistance, singleDistance, sumRows, UlpHistogram, type UlpRow } from "./ulp.ts";

/**
 * NaN on both sides, and the same infinity on both sides, are no difference; where only one side has them the element
 * counts as `odd` and is in no other figure. `null`: not defined here (no spread, no floats, no row of scores).
 */
export interface Figures {
  /** Elements compared. */
  readonly count: number;
  readonly isEqual: boolean;
  readonly odd: number;
  readonly maxAbs: number;
  readonly meanAbs: number;
  /** Of elements whose reference is at least a thousandth of the greatest. */
  readonly maxRel: number;
  /** maxAbs as a share of the greatest magnitude of the reference. */
  readonly ofRange: number;
  readonly cosine: number | null;
  /** Against the span of the reference's values; null also where there is no error. */
  readonly psnrDb: number | null;
  readonly ulp32: readonly UlpRow[];
  readonly ulp16: readonly UlpRow[];
  readonly isTopSame: boolean | null;
  /** Share of the k best that both have. */
  readonly topShared: number | null;
}

const leastShare = 1e-3;

/** `topK`: how many of a row of scores are looked at. */
export function comparePair(pair: Pair, topK: number): Figures {
  if (pair.kind === "words") return wordFigures(pair.isEqual);
  const { subject, reference } = pair;
  const count = reference.length;
  const { largest, span } = extentOf(reference);
  let [odd, compared] = [0, 0];
  let [maxAbs, sumAbs, sumSquares, maxRel] = [0, 0, 0, 0];
  let [dot, subjectNorm, referenceNorm] = [0, 0, 0];
  const [ulp32, ulp16] = [new UlpHistogram(), new UlpHistogram()];
  for (let i = 0; i < count; i++) {
    const [a, b] = [subject[i] ?? Number.NaN, reference[i] ?? Number.NaN];
    if (!Number.isFinite(a) || !Number.isFinite(b)) {
      if (Object.is(a, b)) continue;
      odd++;
      continue;
    }
    const error = Math.abs(a - b);
    compared++;
    sumAbs += error;
    sumSquares += error * error;
    dot += a * b;
    subjectNorm += a * a;
    referenceNorm += b * b;
    if (error > maxAbs) maxAbs = error;
    const size = Math.abs(b);
    if (size > 0 && size >= leastShare * largest && error / size > maxRel) maxRel = error / size;
    if (pair.isFloat) {
      ulp32.add(singleDistance(a, b));
      ulp16.add(halfDistance(a, b));
    }
  }
  const norm = Math.sqrt(subjectNorm) * Math.sqrt(referenceNorm);
  const rms = Math.sqrt(sumSquares / Math.max(compared, 1));
  return {
    count,
    isEqual: odd === 0 && maxAbs === 0,
    odd,
    maxAbs,
    meanAbs: sumAbs / Math.max(compared, 1),
    maxRel,
    ofRange: maxAbs === 0 ? 0 : largest > 0 ? maxAbs / largest : Number.MAX_VALUE,
    // Rounding may take it a little beyond 1.
    cosine: norm > 0 ? Math.min(1, dot / norm) : null,
    psnrDb: rms > 0 && span > 0 ? 20 * Math.log10(span / rms) : null,
    ulp32: ulp32.rows(),
    ulp16: ulp16.rows(),
    ...(pair.areScores ? compareRanks(subject, reference, topK) : { isTopSame: null, topShared: null }),
  };
}

/** Of the finite numbers: the greatest magnitude, and greatest minus least. */
function extentOf(values: Float64Array): { readonly largest: number; readonly span: number } {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return most < least
    ? { largest: 0, span: 0 }
    : { largest: Math.max(Math.abs(least), Math.abs(most)), span: most - least };
}

function wordFigures(isEqual: boolean): Figures {
  return {
    count: 1,
    isEqual,
    odd: 0,
    maxAbs: 0,
    meanAbs: 0,
    maxRel: 0,
    ofRange: 0,
    cosine: null,
    psnrDb: null,
    ulp32: [],
    ulp16: [],
    isTopSame: null,
    topShared: null,
  };
}

function compareRanks(
  subject: Float64Array,
  reference: Float64Array,
  topK: number,
): Pick<Figures, "isTopSame" | "topShared"> {
  const [mine, theirs] = [bestOf(subject, topK), bestOf(reference, topK)];
  const shared = mine.filter((index) => theirs.includes(index)).length;
  return { isTopSame: mine[0] === theirs[0], topShared: theirs.length > 0 ? shared / theirs.length : null };
}

/** Places of the greatest numbers, greatest first; NaN is no score. */
function bestOf(values: Float64Array, count: number): readonly number[] {
  const best: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? Number.NaN;
    if (Number.isNaN(value)) continue;
    let at = best.length;
    while (at > 0 && value > (values[best[at - 1] ?? 0] ?? 0)) at--;
    if (at >= count) continue;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
  }
  return best;
}

/** Of one output over all inputs: the worst of each figure, shares and sums where these say more. */
export interface Summary {
  readonly inputs: number;
  readonly equalInputs: number;
  readonly count: number;
  readonly odd: number;
  readonly maxAbs: number;
  readonly meanAbs: number;
  readonly maxRel: number;
  readonly ofRange: number;
  readonly cosine: number | null;
  readonly psnrDb: number | null;
  readonly topSame: number | null;
  readonly topShared: number | null;
  readonly ulp32: UlpRow[];
  readonly ulp16: UlpRow[];
  /** Place of the input with the greatest share of the range, odd elements before all. */
  readonly worstInput: number;
}

export function summarizeFigures(all: readonly Figures[]): Summary {
  const worst = (pick: (figures: Figures) => number) => Math.max(...all.map(pick));
  const badness = all.map(({ odd, ofRange }) => (odd > 0 ? Infinity : ofRange));
  const count = sum(all.map((figures) => figures.count));
  return {
    inputs: all.length,
    equalInputs: all.filter(({ isEqual }) => isEqual).length,
    count,
    odd: sum(all.map(({ odd }) => odd)),
    maxAbs: worst(({ maxAbs }) => maxAbs),
    meanAbs: sum(all.map((figures) => figures.meanAbs * figures.count)) / Math.max(count, 1),
    maxRel: worst(({ maxRel }) => maxRel),
    ofRange: worst(({ ofRange }) => ofRange),
    cosine: leastOf(all.map(({ cosine }) => cosine)),
    psnrDb: leastOf(all.map(({ psnrDb }) => psnrDb)),
    topSame: meanOf(all.map(({ isTopSame }) => (isTopSame === null ? null : Number(isTopSame)))),
    topShared: meanOf(all.map(({ topShared }) => topShared)),
    ulp32: sumRows(all.map(({ ulp32 }) => ulp32)),
    ulp16: sumRows(all.map(({ ulp16 }) => ulp16)),
    worstInput: badness.indexOf(Math.max(...badness)),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function defined(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}

function leastOf(values: readonly (number | null)[]): number | null {
  const known = defined(values);
  return known.length === 0 ? null : Math.min(...known);
}

function meanOf(values: readonly (number | null)[]): number | null {
  const known = defined(values);
  return known.length === 0 ? null : sum(known) / known.length;
}
