// Closeness of tensors: one table of tolerances by element type, and comparisons that show the whole tensor on failure.

import { expect } from "bun:test";
import type { DType } from "../../src/core/dtype.ts";
import { numbersOf, type Tensor } from "../../src/core/tensor.ts";

/** A result is close when |actual - expected| <= absolute + relative * |expected|. */
export interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
}

const exact: Tolerance = { absolute: 0, relative: 0 };

/** For one op. Whole networks add up rounding and bring their own. */
export const tolerances: Readonly<Record<DType, Tolerance>> = {
  float64: { absolute: 1e-12, relative: 1e-12 },
  float32: { absolute: 1e-6, relative: 1e-5 },
  float16: { absolute: 1e-3, relative: 2e-3 },
  bfloat16: { absolute: 1e-2, relative: 1e-2 },
  bool: exact,
  int8: exact,
  int16: exact,
  int32: exact,
  int64: exact,
  uint8: exact,
  uint16: exact,
  uint32: exact,
  uint64: exact,
};

/** NaN is close to NaN, an infinity only to itself. */
export function isClose(actual: number, expected: number, tolerance: Tolerance): boolean {
  if (Object.is(actual, expected) || actual === expected) return true;
  if (!Number.isFinite(actual) || !Number.isFinite(expected)) return false;
  return Math.abs(actual - expected) <= tolerance.absolute + tolerance.relative * Math.abs(expected);
}

/** Element type, shape and every value, in one comparison. */
export function expectClose(actual: Tensor, expected: Tensor, tolerance?: Tolerance): void {
  expectAllClose({ result: actual }, { result: expected }, tolerance);
}

/** Several tensors by name: the same names, each close to its counterpart. */
export function expectAllClose(
  actual: Readonly<Record<string, Tensor>>,
  expected: Readonly<Record<string, Tensor>>,
  tolerance?: Tolerance,
): void {
  const entries = Object.entries(actual).map(([name, tensor]) => [
    name,
    settle(tensor, expected[name], tolerance),
  ]);
  expect(Object.fromEntries(entries)).toEqual(
    Object.fromEntries(Object.entries(expected).map(([name, tensor]) => [name, readable(tensor)])),
  );
}

/** As `readable`, with every value that is close to the expected one replaced by it. */
function settle(actual: Tensor, expected: Tensor | undefined, tolerance: Tolerance | undefined) {
  const plain = readable(actual);
  if (expected === undefined) return plain;
  const allowed = tolerance ?? tolerances[expected.dtype];
  const wanted = numbersOf(expected);
  const values = plain.values.map((value, index) => {
    const other = wanted[index];
    return other !== undefined && isClose(value, other, allowed) ? other : value;
  });
  return { ...plain, values };
}

function readable(tensor: Tensor) {
  return { dtype: tensor.dtype, shape: [...tensor.shape], values: [...numbersOf(tensor)] };
}
