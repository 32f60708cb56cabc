// Sizes and small integer vectors: constants where the program knows them, shape arithmetic in the graph where it does not.

import { knownElements } from "../onnx/elements.ts";
import type { Graph } from "../onnx/graph.ts";
import type { Dim, Value } from "../onnx/types.ts";
import type { Op } from "./op.ts";

/** One axis of a wanted shape: what is known of it, and how to get it as an int64 vector of one element. */
export interface Size {
  readonly dim: Dim | undefined;
  vector(): Value;
}

/** The end of int64: "to the end" as an end of Slice, "the last element" as its start when it steps backwards. */
export const farEnd = Number.MAX_SAFE_INTEGER;
/** The other end: "through index 0" for a Slice that steps backwards. */
export const farStart = Number.MIN_SAFE_INTEGER;

/** Size of an axis of `value`. */
export function sizeOfAxis(g: Graph, value: Value, axis: number): Size {
  const dim = value.shape?.[axis];
  return {
    dim,
    vector: () =>
      typeof dim === "number" ? g.vector([dim]) : g.node("Shape", [value], { start: axis, end: axis + 1 }),
  };
}

/** All sizes of `value`, whose rank must be known. */
export function sizesOf(g: Graph, value: Value, rank: number): readonly Size[] {
  return Array.from({ length: rank }, (_, axis) => sizeOfAxis(g, value, axis));
}

/** The size divided by or multiplied with a whole number. */
export function scaledSize(g: Graph, size: Size, op: "Div" | "Mul", by: number): Size {
  const { dim } = size;
  const known = typeof dim === "number" ? (op === "Div" ? Math.floor(dim / by) : dim * by) : undefined;
  if (by === 1) return size;
  return {
    dim: known,
    vector: () => (known === undefined ? g.node(op, [size.vector(), g.vector([by])]) : g.vector([known])),
  };
}

/** An integer argument as an int64 vector; a scalar counts as a vector of one element. */
export function vectorArgument(op: Op, g: Graph, name: string): Value {
  const value = op.value(name);
  const vector = value.shape?.length === 0 ? g.node("Unsqueeze", [value, g.vector([0])]) : value;
  if (vector.shape !== undefined && vector.shape.length !== 1) {
    return op.bad(`"${name}" must be a vector, got rank ${vector.shape.length}`);
  }
  return g.cast(vector, "int64");
}

/** The length of a vector, where it is known. */
export function lengthOfVector(value: Value): number | undefined {
  const length = value.shape?.length === 1 ? value.shape[0] : undefined;
  return typeof length === "number" ? length : knownElements(value)?.length;
}

/** One element of an int64 vector that the run computes. */
export interface Element {
  readonly vector: Value;
  readonly index: number;
}

/** An int64 vector of numbers and of elements of other vectors. */
export function joinVector(g: Graph, parts: readonly (number | Element)[]): Value {
  const pieces: Value[] = [];
  for (let at = 0; at < parts.length; ) {
    const part = parts[at];
    const run = parts.slice(at, at + runLength(parts, at));
    pieces.push(
      part === undefined || typeof part === "number"
        ? g.vector(run.filter((item) => typeof item === "number"))
        : pick(
            g,
            part.vector,
            run.flatMap((item) => (typeof item === "number" ? [] : [item.index])),
          ),
    );
    at += run.length;
  }
  const [only] = pieces;
  if (only === undefined) return g.vector([]);
  return pieces.length === 1 ? only : g.node("Concat", pieces, { axis: 0 });
}

/** How many parts from `start` on are numbers, or come from one vector. */
function runLength(parts: readonly (number | Element)[], start: number): number {
  const sourceOf = (part: number | Element | undefined) =>
    typeof part === "object" ? part.vector.name : undefined;
  const source = sourceOf(parts[start]);
  const end = parts.findIndex((part, at) => at > start && sourceOf(part) !== source);
  return (end === -1 ? parts.length : end) - start;
}

/** Some elements of a vector; all of them in order are the vector itself. */
function pick(g: Graph, vector: Value, indices: readonly number[]): Value {
  const isWhole = lengthOfVector(vector) === indices.length && indices.every((index, at) => index === at);
  return isWhole ? vector : g.node("Gather", [vector, g.vector(indices)]);
}

/** The shape of `value` as an int64 vector. */
export function shapeVector(g: Graph, value: Value): Value {
  const { shape } = value;
  if (shape?.every((dim) => typeof dim === "number")) return g.vector(shape);
  return g.node("Shape", [value]);
}

/**
 * `x` in another shape: −1 is what remains. Sizes that x has on the same axis are copied and one unknown size is left
 * to be inferred, so that shape arithmetic is needed in rare cases only; `whole` gives it where it exists already.
 */
export function reshape(g: Graph, x: Value, wanted: readonly (number | Size)[], whole?: () => Value): Value {
  const dims = wanted.map((size) => (typeof size === "number" ? size : size.dim));
  if (isSameShape(x, dims)) return x;
  const hasZero = dims.includes(0);
  let canInfer = !hasZero && !dims.includes(-1);
  const parts = wanted.map((size, axis) => {
    const dim = dims[axis];
    if (typeof size === "number") return size;
    if (typeof dim === "number") return dim;
    if (!hasZero && dim !== undefined && dim === x.shape?.[axis]) return 0;
    if (!canInfer) return size;
    canInfer = false;
    return -1;
  });
  const isKnown = parts.every((part) => typeof part === "number");
  const shape =
    whole && !isKnown
      ? whole()
      : joinVector(
          g,
          parts.map((part) => (typeof part === "number" ? part : { vector: part.vector(), index: 0 })),
        );
  const allowzero = hasZero && shape.constant !== undefined ? 1 : undefined;
  const result = g.node("Reshape", [x, shape], { allowzero });
  return g.refine(
    result,
    dims.map((dim) => (dim === -1 ? undefined : dim)),
  );
}

function isSameShape(x: Value, dims: readonly (Dim | undefined)[]): boolean {
  if (x.shape?.length !== dims.length) return false;
  return x.shape.every((dim, axis) => dim === dims[axis]);
}
