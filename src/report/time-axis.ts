// The time axis of a chart: milliseconds in the unit that suits their length.

import type { LineChart } from "./document.ts";

const units = [
  { unit: "s", ms: 1_000, from: 0 },
  { unit: "min", ms: 60_000, from: 300_000 },
  { unit: "h", ms: 3_600_000, from: 4 * 3_600_000 },
] as const;

export function timeAxis(valuesMs: readonly number[], label = "time"): LineChart["x"] {
  const longest = Math.max(0, ...valuesMs.slice(-1));
  const { unit, ms } = units.findLast(({ from }) => longest >= from) ?? units[0];
  return { label, unit, values: valuesMs.map((value) => value / ms) };
}

/** Values in milliseconds on an axis of milliseconds, or of microseconds or seconds where all of them are. */
export function latencyUnit(greatestMs: number): { readonly unit: string; readonly scale: number } {
  if (greatestMs < 1) return { unit: "µs", scale: 1_000 };
  return greatestMs < 5_000 ? { unit: "ms", scale: 1 } : { unit: "s", scale: 1 / 1_000 };
}

/** 0 where there is none; of any number of values. */
export function greatestOf(values: readonly (number | null | undefined)[]): number {
  return values.reduce<number>((greatest, value) => Math.max(greatest, value ?? 0), 0);
}
