// How figures and operations of a comparison are written for people.

import { formatCount } from "../../core/quantity.ts";
import type { ParityOperation } from "./schema.ts";

export function formatError(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
}

/** Enough digits to tell it from 1. */
export function formatCosine(value: number): string {
  const gap = 1 - value;
  if (gap <= 0) return "1";
  const digits = Math.min(12, Math.max(4, 1 - Math.floor(Math.log10(gap))));
  return value.toFixed(digits);
}

export function describeOperation(op: ParityOperation): string {
  const { type, name, ofRange, odd, inputOfRange, index, of } = op;
  const error =
    odd > 0 ? `${formatCount(odd)} elements NaN or infinite` : `${formatError(ofRange)} of its range`;
  const before = inputOfRange > 0 ? `, ${formatError(inputOfRange)} before it` : "";
  return `${type} "${name}" (${op.function}, operation ${index} of ${of}): ${error}${before}`;
}
