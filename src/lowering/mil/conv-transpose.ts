// MIL's conv_transpose. Semantics: coremltools, mil/ops/defs/iOS15/conv.py; crops and shortfalls by pad type.

import type { Graph } from "../../onnx/graph.ts";
import type { Attributes, Dim, Value } from "../../onnx/types.ts";
import { castLike } from "../arguments.ts";
import type { Op } from "../op.ts";
import { prove } from "../proof.ts";
import { customPads, extent, onnxPads, spatialInts } from "../window.ts";

/** What to take off the full result on one spatial axis; `grow` appends elements which only the bias reaches. */
interface Crop {
  readonly before: number;
  readonly after: number;
  readonly grow: number;
}

interface Axis {
  readonly size: Dim | undefined;
  readonly stride: number;
  readonly extent: number;
  /** The size `output_shape` asks for. */
  readonly wanted: number | undefined;
}

/** x [N, C_in, spatial…], weight [C_in, C_out / groups, kernel…], as in ONNX. */
export function convTranspose(op: Op, g: Graph): Value {
  const x = op.value("x");
  const weight = op.value("weight");
  const shape = op.shape(weight, "weight");
  const rank = x.shape?.length ?? shape.length;
  if (rank < 3 || rank > 5) op.bad(`"x" must have rank 3 to 5, got ${rank}`);
  if (shape.length !== rank) op.bad(`"weight" must have rank ${rank} as "x" has, got ${shape.length}`);
  const channels = x.shape?.[1];
  if (typeof channels === "number" && typeof shape[0] === "number" && channels !== shape[0]) {
    op.bad(`"weight" is for ${shape[0]} input channels, "x" has ${channels}`);
  }

  const groups = op.int("groups", 1);
  if (groups < 1) op.bad(`"groups" must be positive, got ${groups}`);
  if (typeof channels === "number" && channels % groups !== 0) {
    op.bad(`"groups" must divide the ${channels} input channels, got ${groups}`);
  }

  const spatial = rank - 2;
  const strides = spatialInts(op, "strides", spatial, 1);
  const dilations = spatialInts(op, "dilations", spatial, 1);
  const wanted = op.has("output_shape") ? op.ints("output_shape") : undefined;
  if (wanted && wanted.length !== rank) {
    op.bad(`"output_shape" must have ${rank} values, got ${wanted.length}`);
  }
  const axes = strides.map((stride, index): Axis => {
    const kernel = shape[2 + index];
    if (typeof kernel !== "number") return op.unsupported('"weight" with a kernel of unknown size');
    if (kernel < 1) return op.bad(`"weight" must have a kernel, got [${shape.join(", ")}]`);
    return {
      size: x.shape?.[2 + index],
      stride,
      extent: extent(kernel, dilations[index] ?? 1),
      wanted: wanted?.[2 + index],
    };
  });
  // ONNX Runtime ends the process at an x without elements, and trusts that the weight is for its channels.
  const elements = Array<"some">(spatial).fill("some");
  const inputs = typeof shape[0] === "number" ? shape[0] : "some";
  const proven = prove(op, g, x, ["any", inputs, ...elements]);
  const kernel = prove(op, g, weight, [inputs, "some", ...elements], "weight");
  const parameters = { x: proven, weight: castLike(g, kernel, x), bias: biasLike(op, g, x) };
  const attributes: Attributes = {
    group: groups,
    strides: strides.some((stride) => stride !== 1) ? strides : undefined,
    dilations: dilations.some((dilation) => dilation !== 1) ? dilations : undefined,
  };
  if (axes.some(({ size, wanted }) => wanted !== undefined && typeof size !== "number")) {
    return cropAtRunTime(op, g, parameters, attributes, axes);
  }
  return cropNow(g, parameters, attributes, {
    crops: readCrops(op, axes),
    limits: strides.map((stride, index) => Math.max(stride, dilations[index] ?? 1)),
  });
}

interface Parameters {
  readonly x: Value;
  readonly weight: Value;
  readonly bias: Value | undefined;
}

function biasLike(op: Op, g: Graph, x: Value): Value | undefined {
  const bias = op.optional("bias");
  return bias && castLike(g, bias, x);
}

function cropNow(
  g: Graph,
  { x, weight, bias }: Parameters,
  attributes: Attributes,
  { crops, limits }: { crops: readonly Crop[]; limits: readonly number[] },
): Value {
  const pads = onnxPads(
    crops.map(({ before }) => before),
    crops.map(({ after }) => after),
  );
  const grow = crops.map((crop) => crop.grow);
  // ONNX Runtime refuses an output_padding that is not below the larger of stride and dilation.
  if (grow.every((count, index) => count < (limits[index] ?? 1))) {
    const output_padding = grow.some((count) => count > 0) ? grow : undefined;
    return g.node("ConvTranspose", [x, weight, bias], { ...attributes, pads, output_padding });
  }
  const bare = g.node("ConvTranspose", [x, weight], { ...attributes, pads });
  const starts = Array<number>(grow.length + 2).fill(0);
  const grown = g.node("Pad", [bare, g.vector([...starts, 0, 0, ...grow])]);
  if (bias === undefined) return grown;
  const channels = g.vector([-1, ...grow.map(() => 1)]);
  return g.node("Add", [grown, g.node("Reshape", [bias, channels])]);
}

function readCrops(op: Op, axes: readonly Axis[]): readonly Crop[] {
  const padType = readPadType(op);
  const pads = padType === "custom" ? customPads(op, axes.length) : undefined;
  return axes.map(({ size, stride, extent, wanted }, index) => {
    const full = typeof size === "number" ? (size - 1) * stride + extent : undefined;
    if (pads) {
      const before = pads.before[index] ?? 0;
      const after = pads.after[index] ?? 0;
      if (wanted === undefined || full === undefined) return { before, after, grow: 0 };
      const rest = full - before - wanted;
      return { before, after: Math.max(rest, 0), grow: Math.max(-rest, 0) };
    }
    // The full result of "same" exceeds size * stride by extent - stride, whatever the size.
    const unasked = padType === "same" ? extent - stride : 0;
    const total = wanted !== undefined && full !== undefined ? full - wanted : unasked;
    if (total < 0) return { before: 0, after: 0, grow: -total };
    const before = Math.floor(total / 2);
    return { before, after: total - before, grow: 0 };
  });
}

function readPadType(op: Op): "valid" | "same" | "custom" {
  return op.oneOf("pad_type", ["valid", "same", "custom"], "valid");
}

/** `output_shape` with an input size that only the run knows: the crop is computed there. */
function cropAtRunTime(
  op: Op,
  g: Graph,
  { x, weight, bias }: Parameters,
  attributes: Attributes,
  axes: readonly Axis[],
): Value {
  const full = g.node("ConvTranspose", [x, weight], attributes);
  const wanted = g.vector(axes.map((axis) => axis.wanted ?? 0));
  const sizes = g.node("Shape", [full], { start: 2, end: 2 + axes.length });
  const pads = readPadType(op) === "custom" ? customPads(op, axes.length) : undefined;
  const total = g.node("Sub", [sizes, wanted]);
  const before = pads
    ? g.vector(pads.before)
    : g.node("Div", [g.node("Max", [total, g.vector([0])]), g.scalar(2, "int64")]);
  // Negative pads crop, positive ones grow.
  const after = g.node("Sub", [before, total]);
  const none = g.vector([0, 0]);
  const starts = g.node("Concat", [none, g.node("Neg", [before]), none, after], { axis: 0 });
  const cropped = g.refine(g.node("Pad", [full, starts]), [
    x.shape?.[0],
    undefined,
    ...axes.map((axis) => axis.wanted),
  ]);
  if (bias === undefined) return cropped;
  return g.node("Add", [cropped, g.node("Reshape", [bias, g.vector([-1, ...axes.map(() => 1)])])]);
}
