// What many op families need: constants in a value's own element type, and detours around kernels ONNX Runtime lacks.

import type { DType } from "../core/dtype.ts";
import type { Graph } from "../onnx/graph.ts";
import type { Value } from "../onnx/types.ts";
import type { Op } from "./op.ts";

/** The element type of a value; 4-bit weights have none that arithmetic could use, and count as their 8-bit kin. */
export function denseDType(value: Pick<Value, "dtype">): DType {
  if (value.dtype === "int4") return "int8";
  return value.dtype === "uint4" ? "uint8" : value.dtype;
}

export function isFloatValue(value: Value): boolean {
  return denseDType(value).includes("float");
}

/** A rank-0 constant of `like`'s element type. */
export function scalarLike(g: Graph, like: Value, number: number): Value {
  return g.scalar(number, denseDType(like));
}

/** `value` in `like`'s element type: parameters may have another float type than x from iOS17 on. */
export function castLike(g: Graph, value: Value, like: Value): Value {
  return g.cast(value, denseDType(like));
}

/**
 * A scalar parameter in x's element type: a constant where it is known, else the run-time value itself.
 * `fallback` undefined: the parameter is required.
 */
export function parameterLike(op: Op, g: Graph, name: string, x: Value, fallback?: number): Value {
  if (!op.has(name) && fallback !== undefined) return scalarLike(g, x, fallback);
  const known = op.numbers(name);
  if (known === undefined) return castLike(g, op.value(name), x);
  return scalarLike(g, x, op.float(name));
}

/** A vector of one number a channel, shaped to broadcast along axis 1 of x, in x's element type. */
export function channelVector(op: Op, g: Graph, name: string, x: Value): Value {
  const values = castLike(g, op.value(name), x);
  const trailing = Math.max(op.rank(x) - 2, 0);
  if (trailing === 0) return values;
  return g.node("Reshape", [values, g.vector([-1, ...Array<number>(trailing).fill(1)])]);
}

/**
 * Runs `compute` on the values in a type ONNX Runtime has the kernel for, and gives the result back in theirs.
 * Values already in one of `types` pass as they are; others are taken through the first of `types`.
 */
export function withTypes(
  g: Graph,
  values: readonly Value[],
  types: readonly DType[],
  compute: (values: readonly Value[]) => Value,
): Value {
  const [first] = values;
  const [detour] = types;
  if (first === undefined || detour === undefined || types.includes(denseDType(first)))
    return compute(values);
  return g.cast(compute(values.map((value) => g.cast(value, detour))), denseDType(first));
}

/** The size of one axis of a value as an int64 scalar: a constant where it is known. */
export function sizeOf(g: Graph, value: Value, axis: number): Value {
  const size = value.shape?.[axis];
  if (typeof size === "number") return g.scalar(size, "int64");
  return g.node("Gather", [g.node("Shape", [value]), g.scalar(axis, "int64")]);
}
