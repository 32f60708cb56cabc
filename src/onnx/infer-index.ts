// Rules for ops that pick, search or reduce along axes.

import { constantNumbers, knownElements } from "./elements.ts";
import {
  axesIn,
  axisIn,
  type Call,
  expectDType,
  forAll,
  freshShape,
  integer,
  mismatch,
  need,
  type RuleTable,
  sameDType,
} from "./infer-rule.ts";
import type { Dim, OnnxDType, Shape } from "./types.ts";

const indexTypes: readonly OnnxDType[] = ["int32", "int64"];

export const indexRules: RuleTable = {
  Gather(call) {
    expectDType(call, 1, indexTypes);
    const { dtype, shape } = need(call, 0);
    const indices = need(call, 1).shape;
    if (shape === undefined || indices === undefined) return [{ dtype, shape: undefined }];
    const axis = axisIn(call, integer(call, "axis", 0), shape.length);
    return [{ dtype, shape: shape.toSpliced(axis, 1, ...indices) }];
  },
  GatherElements(call) {
    expectDType(call, 1, indexTypes);
    return [{ dtype: need(call, 0).dtype, shape: need(call, 1).shape }];
  },
  GatherND(call) {
    expectDType(call, 1, ["int64"]);
    const { dtype, shape } = need(call, 0);
    const indices = need(call, 1).shape;
    const depth = indices?.at(-1);
    if (shape === undefined || indices === undefined || typeof depth !== "number")
      return [{ dtype, shape: undefined }];
    const used = integer(call, "batch_dims", 0) + depth;
    if (used > shape.length || indices.length === 0)
      throw mismatch(call, `indices of depth ${depth} do not fit`);
    return [{ dtype, shape: [...indices.slice(0, -1), ...shape.slice(used)] }];
  },
  Compress(call) {
    const { dtype, shape } = need(call, 0);
    if (call.attributes["axis"] === undefined) return [{ dtype, shape: [call.unknownDim()] }];
    const axis = integer(call, "axis");
    return [{ dtype, shape: shape?.with(axisIn(call, axis, shape.length), call.unknownDim()) }];
  },
  NonZero: (call) => [
    { dtype: "int64", shape: [need(call, 0).shape?.length ?? call.unknownDim(), call.unknownDim()] },
  ],
  OneHot(call) {
    const { dtype } = need(call, 2);
    const { shape } = need(call, 0);
    if (shape === undefined) return [{ dtype, shape: undefined }];
    const axis = axisIn(call, integer(call, "axis", -1), shape.length + 1);
    return [{ dtype, shape: shape.toSpliced(axis, 0, sizeFrom(call, 1)) }];
  },
  TopK(call) {
    expectDType(call, 1, ["int64"]);
    const { dtype, shape } = need(call, 0);
    const axis = shape && axisIn(call, integer(call, "axis", -1), shape.length);
    const result = axis === undefined ? undefined : shape?.with(axis, sizeFrom(call, 1));
    return [
      { dtype, shape: result },
      { dtype: "int64", shape: result },
    ];
  },
  ...forAll("ArgMax ArgMin", (call) => {
    const { shape } = need(call, 0);
    return [{ dtype: "int64", shape: shape && reduced(call, shape, [integer(call, "axis", 0)]) }];
  }),
  ...forAll(
    "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare",
    (call) => {
      expectDType(call, 1, ["int64"]);
      return [{ dtype: need(call, 0).dtype, shape: reducedByInput(call) }];
    },
  ),
  NonMaxSuppression(call) {
    sameDType(call, [0, 1]);
    expectDType(call, 2, ["int64"]);
    return [{ dtype: "int64", shape: [call.unknownDim(), 3] }];
  },
  RoiAlign(call) {
    const { dtype, shape } = need(call, 0);
    const rois = need(call, 1).shape?.[0] ?? call.unknownDim();
    const size = [integer(call, "output_height", 1), integer(call, "output_width", 1)];
    return [{ dtype, shape: [rois, shape?.[1] ?? call.unknownDim(), ...size] }];
  },
};

/** The axes a Reduce op works on, counted from the front; undefined where they are known only at run time. */
export function reducedAxes(call: Call, rank: number): ReadonlySet<number> | undefined {
  const given = call.inputs[1];
  const axes = given === undefined ? [] : constantNumbers(given);
  if (axes === undefined) return undefined;
  if (axes.length > 0) return axesIn(call, axes, rank);
  const isNoop = integer(call, "noop_with_empty_axes", 0) !== 0;
  return new Set(isNoop ? [] : Array.from({ length: rank }, (_, axis) => axis));
}

function reducedByInput(call: Call): Shape {
  const { shape } = need(call, 0);
  const keeps = integer(call, "keepdims", 1) !== 0;
  if (shape === undefined) {
    const reducesAll = call.inputs[1] === undefined && integer(call, "noop_with_empty_axes", 0) === 0;
    return reducesAll && !keeps ? [] : undefined;
  }
  const axes = reducedAxes(call, shape.length);
  if (axes !== undefined) return withoutAxes(shape, axes, keeps);
  if (keeps) return freshShape(call, shape.length);
  const length = need(call, 1).shape?.[0];
  return typeof length === "number" ? freshShape(call, Math.max(0, shape.length - length)) : undefined;
}

function reduced(call: Call, shape: readonly Dim[], axes: readonly number[]): Shape {
  return withoutAxes(shape, axesIn(call, axes, shape.length), integer(call, "keepdims", 1) !== 0);
}

function withoutAxes(shape: readonly Dim[], axes: ReadonlySet<number>, keeps: boolean): readonly Dim[] {
  return keeps
    ? shape.map((dim, axis) => (axes.has(axis) ? 1 : dim))
    : shape.filter((_, axis) => !axes.has(axis));
}

/** The size held by a one-element input. */
function sizeFrom(call: Call, index: number): Dim {
  const size = knownElements(need(call, index))?.[0];
  if (typeof size === "number" && size < 0) throw mismatch(call, `a size of ${size} is impossible`);
  return size ?? call.unknownDim();
}
