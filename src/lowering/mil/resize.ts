// Resizing by a sampling grid, for all of MIL's resize and upsample ops. Grids: coremltools, iOS15/image_resizing.py.

import { tensorOf } from "../../core/tensor.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Dim, Value } from "../../onnx/types.ts";
import { sizeOf, withTypes } from "../arguments.ts";
import type { Op } from "../op.ts";

export const samplingModes = [
  "STRICT_ALIGN_CORNERS",
  "ALIGN_CORNERS",
  "DEFAULT",
  "OFFSET_CORNERS",
  "UNALIGN_CORNERS",
] as const;
export type SamplingMode = (typeof samplingModes)[number];

/** linear: between grid points. nearest: grid points rounded, halves up. floor: rounded down. */
export type Interpolation = "linear" | "nearest" | "floor";

type Sizes = readonly (number | undefined)[] | Value;

export interface Resizing {
  readonly x: Value;
  /** Rising. */
  readonly axes: readonly number[];
  /** One size an axis, or an int64 vector that only the run knows. */
  readonly sizes: Sizes;
  /** Whole factors, where the op is given those; sizes may then be unknown. */
  readonly factors?: readonly number[] | undefined;
  readonly grid: SamplingMode;
  readonly interpolation: Interpolation;
}

export function resizeBy(op: Op, g: Graph, resizing: Resizing): Value {
  const known = withoutIdentities(op, resizing);
  if (known.axes.length === 0) return known.x;
  const resized = isDirect(op, known) ? resizeNode(op, g, known) : gatherAlongAxes(g, known);
  const shape = op.shape(resizing.x).map((dim, axis): Dim | undefined => {
    const index = resizing.axes.indexOf(axis);
    if (index < 0) return dim;
    return isValue(resizing.sizes) ? undefined : resizing.sizes[index];
  });
  return g.refine(resized, shape);
}

function isValue(sizes: Sizes): sizes is Value {
  return !Array.isArray(sizes);
}

/** Axes that keep their size drop out, but on the one grid that moves points even then. */
function withoutIdentities(op: Op, resizing: Resizing): Resizing {
  const { sizes, axes, factors, grid } = resizing;
  const shape = op.shape(resizing.x);
  if (isValue(sizes) || grid === "OFFSET_CORNERS") return resizing;
  const kept = axes.map((axis, index) => factors?.[index] !== 1 && shape[axis] !== sizes[index]);
  return {
    ...resizing,
    axes: axes.filter((_, index) => kept[index]),
    sizes: sizes.filter((_, index) => kept[index]),
    factors: factors?.filter((_, index) => kept[index]),
  };
}

/** Whether ONNX Resize has this grid and ONNX Runtime computes it exactly. */
function isDirect(op: Op, { x, axes, sizes, factors, grid, interpolation }: Resizing): boolean {
  if (grid === "OFFSET_CORNERS") return false;
  if (grid === "ALIGN_CORNERS" && (isValue(sizes) || sizes.includes(1))) return false;
  const shape = op.shape(x);
  if (interpolation === "linear") {
    const fromEnd = shape.length - Math.min(...axes);
    return fromEnd <= (shape.length % 2 === 0 ? 2 : 3) && shape.length >= 2 && shape.length <= 5;
  }
  if (isValue(sizes) || factors) return true;
  // ONNX Runtime divides by a float32 ratio: points that fall on a boundary go astray unless the ratio is exact.
  return axes.every((axis, index) => {
    const size = shape[axis];
    return typeof size !== "number" || isPowerOfTwo(size / greatestDivisor(size, sizes[index] ?? size));
  });
}

const transformations: Readonly<Record<SamplingMode, string>> = {
  STRICT_ALIGN_CORNERS: "align_corners",
  ALIGN_CORNERS: "align_corners",
  DEFAULT: "asymmetric",
  OFFSET_CORNERS: "",
  UNALIGN_CORNERS: "half_pixel",
};

function resizeNode(op: Op, g: Graph, resizing: Resizing): Value {
  const { x, axes, sizes, grid, interpolation } = resizing;
  const attributes = {
    mode: interpolation === "linear" ? "linear" : "nearest",
    coordinate_transformation_mode: transformations[grid],
    nearest_mode:
      interpolation === "linear" ? undefined : interpolation === "floor" ? "floor" : "round_prefer_ceil",
  };
  const factors = wholeFactors(op, resizing);
  if (factors) {
    // Scales for every axis: the form ONNX Runtime's blocked layout takes in.
    const scales = op.shape(x).map((_, axis) => factors[axes.indexOf(axis)] ?? 1);
    return g.node("Resize", [x, undefined, g.constant(tensorOf("float32", scales))], attributes);
  }
  const target = isValue(sizes) ? sizes : g.vector(sizes.map((size) => size ?? 0));
  return g.node("Resize", [x, undefined, undefined, target], { ...attributes, axes });
}

function wholeFactors(op: Op, { x, axes, sizes, factors }: Resizing): readonly number[] | undefined {
  if (factors) return factors;
  if (isValue(sizes)) return undefined;
  const shape = op.shape(x);
  const ratios = axes.map((axis, index) => (sizes[index] ?? 0) / Number(shape[axis]));
  return ratios.every((ratio) => Number.isInteger(ratio) && ratio > 0) ? ratios : undefined;
}

/** Sample points that are still written out as constants. */
const largestTable = 2 ** 16;

/** One axis after the other: two gathers and a blend, or one gather. */
function gatherAlongAxes(g: Graph, resizing: Resizing): Value {
  const { x, axes, sizes, factors } = resizing;
  const run = (value: Value): Value =>
    axes.reduce((current, axis, index) => {
      const size = targetSize(g, current, { axis, index, sizes, factors });
      return gatherAlongAxis(g, current, { ...resizing, axis, size });
    }, value);
  if (resizing.interpolation !== "linear") return run(x);
  return withTypes(g, [x], ["float32"], ([wide = x]) => run(wide));
}

interface Target {
  readonly axis: number;
  readonly index: number;
  readonly sizes: Sizes;
  readonly factors: readonly number[] | undefined;
}

function targetSize(g: Graph, x: Value, { axis, index, sizes, factors }: Target): number | Value {
  if (isValue(sizes)) return g.node("Gather", [sizes, g.scalar(index, "int64")]);
  const size = sizes[index];
  if (size !== undefined) return size;
  return g.node("Mul", [sizeOf(g, x, axis), g.scalar(factors?.[index] ?? 1, "int64")]);
}

interface AxisSampling {
  readonly axis: number;
  readonly size: number | Value;
  readonly grid: SamplingMode;
  readonly interpolation: Interpolation;
}

function gatherAlongAxis(g: Graph, x: Value, { axis, size, grid, interpolation }: AxisSampling): Value {
  const from = x.shape?.[axis];
  const { low, high, weight } =
    typeof from === "number" && typeof size === "number" && size <= largestTable
      ? neighboursNow(g, gridPoints(grid, from, size), { from, interpolation })
      : neighboursAtRunTime(g, { from: sizeOf(g, x, axis), size, grid, interpolation });
  const below = g.node("Gather", [x, low], { axis });
  if (high === undefined || weight === undefined) return below;
  const above = g.node("Gather", [x, high], { axis });
  const trailing = (x.shape?.length ?? 0) - axis - 1;
  const shaped = g.node("Reshape", [weight, g.vector([-1, ...Array<number>(trailing).fill(1)])]);
  return g.node("Add", [below, g.node("Mul", [g.node("Sub", [above, below]), shaped])]);
}

interface Neighbours {
  /** Indices, int64. */
  readonly low: Value;
  /** `undefined`: every point lies on an element. */
  readonly high: Value | undefined;
  /** Share of `high`, float32. */
  readonly weight: Value | undefined;
}

/** Where output element i of `to` looks in an axis of `from` elements; not clamped. */
function gridPoints(grid: SamplingMode, from: number, to: number): readonly number[] {
  return Array.from({ length: to }, (_, i) => gridPoint(grid, from, to, i));
}

function gridPoint(grid: SamplingMode, from: number, to: number, i: number): number {
  switch (grid) {
    case "STRICT_ALIGN_CORNERS":
      return to === 1 ? 0 : (i * (from - 1)) / (to - 1);
    case "ALIGN_CORNERS":
      return to === 1 ? (from - 1) / 2 : (i * (from - 1)) / (to - 1);
    case "DEFAULT":
      return (i * from) / to;
    case "OFFSET_CORNERS":
      return ((i + 0.5) * Math.max(1, from - 1)) / to;
    case "UNALIGN_CORNERS":
      return ((i + 0.5) * from) / to - 0.5;
  }
}

function neighboursNow(
  g: Graph,
  points: readonly number[],
  { from, interpolation }: { from: number; interpolation: Interpolation },
): Neighbours {
  const shift = interpolation === "nearest" ? 0.5 : 0;
  const clamped = points.map((point) => Math.min(Math.max(point + shift, 0), from - 1));
  const low = clamped.map(Math.floor);
  if (interpolation !== "linear") return { low: g.vector(low), high: undefined, weight: undefined };
  const weights = clamped.map((point, i) => point - (low[i] ?? 0));
  if (weights.every((weight) => weight === 0)) {
    return { low: g.vector(low), high: undefined, weight: undefined };
  }
  const high = low.map((index) => Math.min(index + 1, from - 1));
  return { low: g.vector(low), high: g.vector(high), weight: g.vector(weights, "float32") };
}

interface RunTimeSampling {
  readonly from: Value;
  readonly size: number | Value;
  readonly grid: SamplingMode;
  readonly interpolation: Interpolation;
}

function neighboursAtRunTime(g: Graph, { from, size, grid, interpolation }: RunTimeSampling): Neighbours {
  const number = (value: number): Value => g.scalar(value, "float32");
  const to = typeof size === "number" ? g.scalar(size, "int64") : size;
  const steps = g.cast(g.node("Range", [g.scalar(0, "int64"), to, g.scalar(1, "int64")]), "float32");
  const last = g.node("Sub", [g.cast(from, "float32"), number(1)]);
  const points = pointsAtRunTime(g, grid, {
    steps,
    from: g.cast(from, "float32"),
    last,
    to: g.cast(to, "float32"),
  });
  const shifted = interpolation === "nearest" ? g.node("Add", [points, number(0.5)]) : points;
  const clamped = g.node("Min", [g.node("Max", [shifted, number(0)]), last]);
  const floor = g.node("Floor", [clamped]);
  const low = g.cast(floor, "int64");
  if (interpolation !== "linear") return { low, high: undefined, weight: undefined };
  const next = g.node("Min", [g.node("Add", [floor, number(1)]), last]);
  return { low, high: g.cast(next, "int64"), weight: g.node("Sub", [clamped, floor]) };
}

interface Scales {
  readonly steps: Value;
  readonly from: Value;
  readonly last: Value;
  readonly to: Value;
}

/** `gridPoint` as nodes, all float32. */
function pointsAtRunTime(g: Graph, grid: SamplingMode, { steps, from, last, to }: Scales): Value {
  const number = (value: number): Value => g.scalar(value, "float32");
  const scaled = (points: Value, numerator: Value, divisor: Value): Value =>
    g.node("Div", [g.node("Mul", [points, numerator]), divisor]);
  const centred = g.node("Add", [steps, number(0.5)]);
  switch (grid) {
    case "DEFAULT":
      return scaled(steps, from, to);
    case "UNALIGN_CORNERS":
      return g.node("Sub", [scaled(centred, from, to), number(0.5)]);
    case "OFFSET_CORNERS":
      return scaled(centred, g.node("Max", [last, number(1)]), to);
    case "STRICT_ALIGN_CORNERS":
    case "ALIGN_CORNERS": {
      const divisor = g.node("Max", [g.node("Sub", [to, number(1)]), number(1)]);
      const points = scaled(steps, last, divisor);
      if (grid === "STRICT_ALIGN_CORNERS") return points;
      const isSingle = g.node("Equal", [to, number(1)]);
      return g.node("Where", [isSingle, g.node("Mul", [last, number(0.5)]), points]);
    }
  }
}

function greatestDivisor(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return x;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}
