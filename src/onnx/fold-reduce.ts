// Folding of reductions and running sums. Sums of floats are folded only where every order of adding gives the same.

import { elementCount } from "../core/tensor.ts";
import { constantNumbers, isInteger, stridesOf, unravel } from "./elements.ts";
import type { FoldCall } from "./fold.ts";
import { constantOf, exactNumbers } from "./fold-math.ts";
import { reducedAxes } from "./infer-index.ts";
import { axisIn, integer } from "./infer-rule.ts";
import type { Constant, OnnxDType } from "./types.ts";

/** Undefined: not to be folded. */
type Reducer = (values: readonly number[], dtype: OnnxDType) => number | undefined;

const reducers: Readonly<Record<string, Reducer>> = {
  ReduceSum: sum,
  ReduceProd(values, dtype) {
    const bound = exactBound(dtype);
    let product = 1;
    for (const value of values) {
      // The bound is on the product of magnitudes, so that any order of multiplying stays exact.
      product *= Math.max(1, Math.abs(value));
      if (!Number.isInteger(value) || product > bound) return undefined;
    }
    return values.reduce((a, b) => a * b, 1);
  },
  ReduceMax: (values) => (values.length === 0 ? undefined : values.reduce((a, b) => Math.max(a, b))),
  ReduceMin: (values) => (values.length === 0 ? undefined : values.reduce((a, b) => Math.min(a, b))),
  ReduceMean(values, dtype) {
    const total = sum(values, dtype);
    if (total === undefined || values.length === 0) return undefined;
    const mean = total / values.length;
    if (isInteger(dtype)) return Math.trunc(mean);
    return mean * values.length === total && Number.isInteger(mean) ? mean : undefined;
  },
};

export function reduction(call: FoldCall): Constant | undefined {
  const constant = call.inputs[0]?.constant;
  const numbers = constant && exactNumbers(constant);
  if (constant === undefined || numbers === undefined) return undefined;
  if (call.op === "CumSum") return runningSum(call, constant.shape, numbers);
  const reduce = Object.hasOwn(reducers, call.op) ? reducers[call.op] : undefined;
  const axes = reduce && reducedAxes(call, constant.shape.length);
  if (reduce === undefined || axes === undefined) return undefined;
  const groups = Array.from({ length: elementCount(call.shape) }, (): number[] => []);
  const kept = constant.shape.map((size, axis) => (axes.has(axis) ? 1 : size));
  const strides = stridesOf(kept);
  for (const [index, value] of numbers.entries()) {
    const position = unravel(index, constant.shape);
    const group = position.reduce(
      (at, step, axis) => (axes.has(axis) ? at : at + step * (strides[axis] ?? 1)),
      0,
    );
    groups[group]?.push(value);
  }
  const results = groups.map((values) => reduce(values, call.dtype));
  return results.every((value) => value !== undefined)
    ? constantOf(call.dtype, results, call.shape)
    : undefined;
}

function runningSum(
  call: FoldCall,
  shape: readonly number[],
  numbers: readonly number[],
): Constant | undefined {
  const [axis] = constantNumbers(call.inputs[1]) ?? [];
  if (axis === undefined || sum(numbers, call.dtype) === undefined) return undefined;
  const at = axisIn(call, axis, shape.length);
  const size = shape[at] ?? 0;
  const stride = stridesOf(shape)[at] ?? 1;
  const isExclusive = integer(call, "exclusive", 0) !== 0;
  const isReverse = integer(call, "reverse", 0) !== 0;
  const result = [...numbers];
  for (let start = 0; start < numbers.length; start++) {
    if (Math.floor(start / stride) % size !== 0) continue;
    let total = 0;
    for (let step = 0; step < size; step++) {
      const index = start + (isReverse ? size - 1 - step : step) * stride;
      const value = numbers[index] ?? 0;
      result[index] = isExclusive ? total : total + value;
      total += value;
    }
  }
  return constantOf(call.dtype, result, call.shape);
}

/** The sum, if all partial sums in any order are exact. */
function sum(values: readonly number[], dtype: OnnxDType): number | undefined {
  const magnitude = values.reduce((total, value) => total + Math.abs(value), 0);
  const isExact = values.every((value) => Number.isInteger(value)) && magnitude <= exactBound(dtype);
  return isExact ? values.reduce((a, b) => a + b, 0) : undefined;
}

/** Integers up to this magnitude are exact in the type. */
function exactBound(dtype: OnnxDType): number {
  if (dtype === "float16") return 2 ** 11;
  if (dtype === "float32") return 2 ** 24;
  if (!isInteger(dtype)) return Number.MAX_SAFE_INTEGER;
  const bits = Number(dtype.replace(/\D+/u, ""));
  return bits === 64 ? Number.MAX_SAFE_INTEGER : 2 ** (bits - 1) - 1;
}
