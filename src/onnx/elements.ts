// What is known about a value's elements before the run, and the index arithmetic that inference and folding share.

import { elementCount, numbersOf } from "../core/tensor.ts";
import type { Constant, Dim, OnnxDType, Value } from "./types.ts";

/** Constants with more elements are never evaluated here: ONNX Runtime does that better. */
export const maxFoldElements = 4096;

/** The elements of a small constant, else undefined. 64-bit integers beyond 2^53 lose precision. */
export function constantNumbers(value: Value | undefined): readonly number[] | undefined {
  return value?.constant === undefined ? undefined : numbersOfConstant(value.constant);
}

export function numbersOfConstant(constant: Constant): readonly number[] | undefined {
  const { dtype, bytes } = constant;
  if (elementCount(constant.shape) > maxFoldElements || dtype === "int4" || dtype === "uint4")
    return undefined;
  return [...numbersOf({ dtype, bytes })];
}

/** The elements of a small integer value where all are known: a constant's numbers, or the tracked numbers and symbols. */
export function knownElements(value: Value | undefined): readonly Dim[] | undefined {
  const elements = partialElements(value);
  const known = elements?.filter((element) => element !== undefined);
  return known?.length === elements?.length ? known : undefined;
}

/** The elements of a small integer value, each as far as known; undefined where nothing is. */
export function partialElements(value: Value | undefined): readonly (Dim | undefined)[] | undefined {
  if (value === undefined || !isInteger(value.dtype)) return undefined;
  return constantNumbers(value) ?? value.elements;
}

export function isInteger(dtype: OnnxDType): boolean {
  return dtype.includes("int");
}

/** Whether a shape is known, and known to be numbers only. */
export function isStatic(shape: readonly Dim[] | undefined): shape is readonly number[] {
  return shape?.every((dim) => typeof dim === "number") ?? false;
}

/** Element distances of a dense row-major array. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = Array.from({ length: shape.length }, (): number => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) {
    strides[axis] = (strides[axis + 1] ?? 1) * (shape[axis + 1] ?? 1);
  }
  return strides;
}

/** The index of flat element `index` of an array of `shape`. */
export function unravel(index: number, shape: readonly number[]): number[] {
  const position = Array.from({ length: shape.length }, (): number => 0);
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    position[axis] = rest % size;
    rest = Math.floor(rest / size);
  }
  return position;
}

/** Of every element of a broadcast result, the flat index it reads in an operand of `shape`. */
export function broadcastIndices(shape: readonly number[], result: readonly number[]): number[] {
  const missing = result.length - shape.length;
  const strides = stridesOf(shape);
  const count = elementCount(result);
  if (elementCount(shape) === count) return Array.from({ length: count }, (_, index) => index);
  return Array.from({ length: count }, (_, index) =>
    unravel(index, result).reduce(
      (sum, at, axis) =>
        axis < missing || shape[axis - missing] === 1 ? sum : sum + at * (strides[axis - missing] ?? 1),
      0,
    ),
  );
}

export interface SliceSpan {
  readonly first: number;
  readonly count: number;
}

/** Slice's start and end on an axis of `size`, clamped as ONNX says. `step` is not 0. */
export function sliceSpan(size: number, start: number, end: number, step: number): SliceSpan {
  const wrap = (at: number) => (at < 0 ? at + size : at);
  const clamp = (at: number, low: number, high: number) => Math.min(Math.max(at, low), high);
  if (step > 0) {
    const first = clamp(wrap(start), 0, size);
    const last = clamp(wrap(end), 0, size);
    return { first, count: Math.max(0, Math.ceil((last - first) / step)) };
  }
  const first = clamp(wrap(start), 0, size - 1);
  const last = clamp(wrap(end), -1, size - 1);
  return { first, count: size === 0 ? 0 : Math.max(0, Math.ceil((last - first) / step)) };
}
