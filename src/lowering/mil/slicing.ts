// The slicing ops of MIL's tensor_transformation family. Semantics: coremltools, mil/ops/defs/iOS15/tensor_transformation.py
// and iOS18/tensor_transformation.py; slices clamp as numpy's do.

import { partialElements, sliceSpan } from "../../onnx/elements.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Dim, Value } from "../../onnx/types.ts";
import { denseDType } from "../arguments.ts";
import type { Lowering, Op } from "../op.ts";
import {
  type Element,
  farEnd,
  farStart,
  joinVector,
  lengthOfVector,
  shapeVector,
  vectorArgument,
} from "../sizes.ts";

/** A position known now, or an element of an int64 vector that the run computes. */
type Position = number | Element;

/** What happens to one axis. */
type AxisSlice =
  | { readonly kind: "all" }
  | { readonly kind: "pick"; readonly axis: number; readonly at: Position }
  | {
      readonly kind: "range";
      readonly axis: number;
      readonly begin: Position;
      readonly end: Position;
      readonly step: number;
    };
type Range = Extract<AxisSlice, { kind: "range" }>;
type Pick = Extract<AxisSlice, { kind: "pick" }>;

export const slice_by_index: Lowering = (op, g) => {
  const x = op.value("x");
  const slices = readSlices(op, g, x);
  const picks = slices.filter((slice) => slice.kind === "pick");
  const ranges = slices.filter((slice) => slice.kind === "range");
  const [only] = picks;
  if (only !== undefined && picks.length === 1) {
    return g.node("Gather", [slice(g, x, ranges), scalarOf(g, only.at)], { axis: only.axis });
  }
  const whole = slice(g, x, [...ranges, ...picks.map((pick) => rangeOf(g, pick))]);
  return picks.length === 0 ? whole : g.node("Squeeze", [whole, g.vector(picks.map(({ axis }) => axis))]);
};

export const slice_by_size: Lowering = (op, g) => {
  const x = op.value("x");
  const rank = op.rank(x);
  const begin = positions(op, g, "begin", rank);
  const size = positions(op, g, "size", rank);
  const ranges = x.shape?.flatMap((dim, axis): Range[] => {
    const from = begin(axis);
    const count = size(axis);
    const isWhole = from === 0 && (count === dim || (typeof count === "number" && count < 0));
    return isWhole ? [] : [{ kind: "range", axis, begin: from, end: endOf(g, from, count), step: 1 }];
  });
  return slice(g, x, ranges ?? []);
};

export const slice_update: Lowering = (op, g) => {
  const x = op.value("x");
  const slices = readSlices(op, g, x);
  const picks = slices.filter((part) => part.kind === "pick");
  const ranges = slices.flatMap((part): Range[] => {
    if (part.kind === "all") return [];
    return [part.kind === "pick" ? rangeOf(g, part) : part];
  });
  const given = g.cast(op.value("update"), denseDType(x));
  const expected = op.rank(x) - picks.length;
  if (op.rank(given, "update") !== expected) {
    op.bad(`"update" must have ${expected} axes, got ${op.rank(given, "update")}`);
  }
  const update =
    picks.length === 0 ? given : g.node("Unsqueeze", [given, g.vector(picks.map(({ axis }) => axis))]);
  checkUpdate(op, x, update, ranges);
  const updated = overwrite(g, x, update, ranges);
  // An update that is larger than its slice, or a slice that lies beyond x, would give a longer x.
  const isChecked =
    op.staticShape(x) !== undefined &&
    op.staticShape(update) !== undefined &&
    ranges.every(({ begin, end }) => typeof begin === "number" && typeof end === "number");
  return g.refine(isChecked ? updated : g.node("Reshape", [updated, shapeVector(g, x)]), x.shape);
};

/** The update must have the shape of the slice, as far as both are known. */
function checkUpdate(op: Op, x: Value, update: Value, ranges: readonly Range[]): void {
  const wanted = op.shape(x).map((size, axis): Dim => {
    const range = ranges.find((candidate) => candidate.axis === axis);
    if (range === undefined || typeof size !== "number") return range === undefined ? size : "unknown";
    const { begin, end, step } = range;
    if (typeof begin !== "number" || typeof end !== "number") return "unknown";
    return sliceSpan(size, begin, end, step).count;
  });
  const given = op.shape(update, "update");
  const isMisfit = wanted.some((size, axis) => {
    const other = given[axis];
    return typeof size === "number" && typeof other === "number" && size !== other;
  });
  if (isMisfit) op.bad(`"update" must have shape [${wanted.join(", ")}], got [${given.join(", ")}]`);
}

/** begin, end, stride and the masks, axis by axis. */
function readSlices(op: Op, g: Graph, x: Value): readonly AxisSlice[] {
  const shape = op.shape(x);
  const rank = shape.length;
  const begin = positions(op, g, "begin", rank);
  const end = positions(op, g, "end", rank);
  const stride = perAxis(op, "stride", op.ints("stride", Array<number>(rank).fill(1)), rank);
  const none = Array<boolean>(rank).fill(false);
  const [beginMask, endMask, squeezeMask] = ["begin_mask", "end_mask", "squeeze_mask"].map((name) =>
    perAxis(op, name, op.bools(name, none), rank),
  );
  return shape.map((size, axis): AxisSlice => {
    const isOpen = beginMask?.[axis] ?? false;
    if (squeezeMask?.[axis])
      return { kind: "pick", axis, at: pickPosition(op, isOpen ? 0 : begin(axis), size) };
    const step = stride[axis] ?? 1;
    if (step === 0) op.bad(`"stride" must not be 0`);
    const first = step > 0 ? 0 : farEnd;
    const last = step > 0 ? farEnd : farStart;
    const from = isOpen ? first : begin(axis);
    const to = endMask?.[axis] ? last : end(axis);
    const reachesEnd = typeof to === "number" && typeof size === "number" ? to >= size : to === farEnd;
    if (step === 1 && from === 0 && reachesEnd) return { kind: "all" };
    return { kind: "range", axis, begin: from, end: to, step };
  });
}

function pickPosition(op: Op, at: Position, size: Dim): Position {
  if (typeof at !== "number" || typeof size !== "number" || (at >= -size && at < size)) return at;
  return op.bad(`index ${at} is outside an axis of ${size} elements`);
}

function perAxis<T>(op: Op, name: string, list: readonly T[], rank: number): readonly T[] {
  return list.length === rank ? list : op.bad(`"${name}" must have ${rank} values, got ${list.length}`);
}

/** An integer vector argument by axis: numbers where they are known. */
function positions(op: Op, g: Graph, name: string, rank: number): (axis: number) => Position {
  const vector = vectorArgument(op, g, name);
  const length = lengthOfVector(vector);
  if (length !== undefined && length !== rank) op.bad(`"${name}" must have ${rank} values, got ${length}`);
  const elements = partialElements(vector);
  return (axis) => {
    const known = elements?.[axis];
    return typeof known === "number" ? known : { vector, index: axis };
  };
}

function vectorOf(g: Graph, position: Position): Value {
  return joinVector(g, [position]);
}

function scalarOf(g: Graph, position: Position): Value {
  if (typeof position === "number") return g.scalar(position, "int64");
  return g.node("Gather", [position.vector, g.scalar(position.index, "int64")]);
}

/** One index as a slice of length 1: -1 has no index after it. */
function rangeOf(g: Graph, { axis, at }: Pick): Range {
  if (typeof at === "number") {
    return { kind: "range", axis, begin: at, end: at === -1 ? farEnd : at + 1, step: 1 };
  }
  const next = g.node("Add", [vectorOf(g, at), g.vector([1])]);
  const end = g.node("Where", [g.node("Equal", [next, g.vector([0])]), g.vector([farEnd]), next]);
  return { kind: "range", axis, begin: at, end: { vector: end, index: 0 }, step: 1 };
}

/** Where a slice of `count` elements ends; a negative count takes all, a negative begin counts from the end. */
function endOf(g: Graph, begin: Position, count: Position): Position {
  if (typeof count === "number" && count < 0) return farEnd;
  if (typeof begin === "number" && typeof count === "number") {
    const end = begin + count;
    return begin < 0 && end >= 0 ? farEnd : end;
  }
  const zero = g.vector([0]);
  const from = vectorOf(g, begin);
  const end = begin === 0 ? vectorOf(g, count) : g.node("Add", [from, vectorOf(g, count)]);
  const tests: Value[] = [];
  if (typeof count !== "number") tests.push(g.node("Less", [vectorOf(g, count), zero]));
  if (typeof begin !== "number" || begin < 0) {
    const passesEnd = g.node("GreaterOrEqual", [end, zero]);
    const isNegative = typeof begin === "number" ? undefined : g.node("Less", [from, zero]);
    tests.push(isNegative ? g.node("And", [isNegative, passesEnd]) : passesEnd);
  }
  const isOpen = tests.reduce((either, test) => g.node("Or", [either, test]));
  return { vector: g.node("Where", [isOpen, g.vector([farEnd]), end]), index: 0 };
}

/** Slices several axes at once; `x` itself where there is nothing to slice. */
function slice(g: Graph, x: Value, ranges: readonly Range[]): Value {
  if (ranges.length === 0) return x;
  const inOrder = ranges.toSorted((a, b) => a.axis - b.axis);
  const steps = inOrder.map(({ step }) => step);
  return g.node("Slice", [
    x,
    joinVector(
      g,
      inOrder.map(({ begin }) => begin),
    ),
    joinVector(
      g,
      inOrder.map(({ end }) => end),
    ),
    g.vector(inOrder.map(({ axis }) => axis)),
    ...(steps.every((step) => step === 1) ? [] : [g.vector(steps)]),
  ]);
}

/** `x` with the elements in `ranges` replaced: axis by axis, from the outermost inwards. */
function overwrite(g: Graph, x: Value, update: Value, ranges: readonly Range[]): Value {
  const [range, ...inner] = ranges;
  if (range === undefined) return update;
  const slab = inner.length === 0 ? update : overwrite(g, slice(g, x, [range]), update, inner);
  return range.step === 1 ? splice(g, x, slab, range) : interlace(g, x, slab, range);
}

/** What lies before, the slab, what lies behind. */
function splice(g: Graph, x: Value, slab: Value, { axis, begin, end }: Range): Value {
  const size = x.shape?.[axis];
  const reachesEnd = typeof end === "number" && end >= (typeof size === "number" ? size : farEnd);
  const before = begin === 0 ? [] : [slice(g, x, [{ kind: "range", axis, begin: 0, end: begin, step: 1 }])];
  const behind = reachesEnd ? [] : [slice(g, x, [{ kind: "range", axis, begin: end, end: farEnd, step: 1 }])];
  const parts = [...before, slab, ...behind];
  return parts.length === 1 ? slab : g.node("Concat", parts, { axis });
}

/** With a stride the slab's rows go to the positions that the slice takes from 0, 1, 2, … */
function interlace(g: Graph, x: Value, slab: Value, range: Range): Value {
  const { axis } = range;
  const size = g.node("Squeeze", [g.node("Shape", [x], { start: axis, end: axis + 1 }), g.vector([0])]);
  const all = g.node("Range", [g.scalar(0, "int64"), size, g.scalar(1, "int64")]);
  const rows = g.node("Unsqueeze", [slice(g, all, [{ ...range, axis: 0 }]), g.vector([1])]);
  const rank = x.shape?.length ?? 0;
  const toFront = [axis, ...Array.from({ length: rank }, (_, at) => at).filter((at) => at !== axis)];
  const back = toFront.map((_, at) => toFront.indexOf(at));
  const move = (value: Value, perm: readonly number[]): Value =>
    axis === 0 ? value : g.node("Transpose", [value], { perm });
  return move(g.node("ScatterND", [move(x, toFront), rows, move(slab, toFront)]), back);
}
