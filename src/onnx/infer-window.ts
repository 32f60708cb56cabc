// Rules for ops on images and signals: convolution, pooling, resizing, sampling.

import { constantNumbers, knownElements } from "./elements.ts";
import {
  axisIn,
  type Call,
  expectDType,
  floatTypes,
  forAll,
  freshShape,
  integer,
  integers,
  mapDim,
  mismatch,
  misuse,
  need,
  type RuleTable,
  sameDType,
  text,
} from "./infer-rule.ts";
import type { Dim, Shape } from "./types.ts";

export const windowRules: RuleTable = {
  Conv(call) {
    expectDType(call, 0, floatTypes);
    const dtype = sameDType(call, [0, 1, 2]);
    const shapes = imageAndKernel(call);
    if (shapes === undefined) return [{ dtype, shape: undefined }];
    const { image, kernel } = shapes;
    const spatial = slid(call, image.slice(2), integers(call, "kernel_shape") ?? kernel.slice(2));
    return [{ dtype, shape: [image[0] ?? 1, kernel[0] ?? 1, ...spatial] }];
  },
  ConvTranspose(call) {
    expectDType(call, 0, floatTypes);
    const dtype = sameDType(call, [0, 1, 2]);
    const shapes = imageAndKernel(call);
    if (shapes === undefined) return [{ dtype, shape: undefined }];
    const { image, kernel } = shapes;
    const groups = integer(call, "group", 1);
    const channels = mapDim(call, kernel[1], (size) => size * groups);
    const spatial = spread(call, image.slice(2), integers(call, "kernel_shape") ?? kernel.slice(2));
    return [{ dtype, shape: [image[0] ?? 1, channels, ...spatial] }];
  },
  ...forAll("MaxPool AveragePool LpPool", (call) => {
    expectDType(call, 0, call.op === "MaxPool" ? [...floatTypes, "int8", "uint8"] : floatTypes);
    const { dtype, shape } = need(call, 0);
    const kernel = integers(call, "kernel_shape");
    if (kernel === undefined) throw misuse(call, `attribute "kernel_shape" is missing`);
    const image = shape ?? freshShape(call, kernel.length + 2);
    const result = [...image.slice(0, 2), ...slid(call, image.slice(2), kernel)];
    return [
      { dtype, shape: result },
      { dtype: "int64", shape: result },
    ];
  }),
  ...forAll("GlobalAveragePool GlobalMaxPool GlobalLpPool", (call) => {
    const { dtype, shape } = need(call, 0);
    return [{ dtype, shape: shape?.map((dim, axis) => (axis < 2 ? dim : 1)) }];
  }),
  Resize(call) {
    expectDType(call, 2, ["float32"]);
    expectDType(call, 3, ["int64"]);
    return [{ dtype: need(call, 0).dtype, shape: resized(call) }];
  },
  GridSample(call) {
    const { dtype, shape } = need(call, 0);
    const grid = need(call, 1).shape;
    const rank = shape?.length ?? grid?.length;
    if (rank === undefined) return [{ dtype, shape: undefined }];
    const image = shape ?? freshShape(call, rank);
    const points = grid ?? freshShape(call, rank);
    if (points.length !== rank || rank < 3) throw mismatch(call, "the grid's rank does not fit");
    return [{ dtype, shape: [...image.slice(0, 2), ...points.slice(1, -1)] }];
  },
};

function imageAndKernel(call: Call): { image: readonly Dim[]; kernel: readonly Dim[] } | undefined {
  const rank = need(call, 0).shape?.length ?? need(call, 1).shape?.length;
  if (rank === undefined) return undefined;
  const image = need(call, 0).shape ?? freshShape(call, rank);
  const kernel = need(call, 1).shape ?? freshShape(call, rank);
  if (rank < 3 || kernel.length !== rank) throw mismatch(call, "the ranks of image and kernel do not fit");
  return { image, kernel };
}

interface Window {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Begins, then ends. */
  readonly pads: readonly number[];
  readonly autoPad: string;
}

function windowOf(call: Call, axes: number): Window {
  const listOf = (name: string, length: number, fallback: number) => {
    const list = integers(call, name) ?? Array.from({ length: length }, (): number => fallback);
    if (list.length !== length)
      throw mismatch(call, `"${name}" must have ${length} values, got ${list.length}`);
    return list;
  };
  const window = {
    strides: listOf("strides", axes, 1),
    dilations: listOf("dilations", axes, 1),
    pads: listOf("pads", 2 * axes, 0),
    autoPad: text(call, "auto_pad", "NOTSET"),
  };
  if ([...window.strides, ...window.dilations].some((step) => step < 1)) {
    throw mismatch(call, "strides and dilations must be at least 1");
  }
  return window;
}

/** Sizes after sliding a window: Conv and the pools. */
function slid(call: Call, spatial: readonly Dim[], kernel: readonly Dim[]): readonly Dim[] {
  if (kernel.length !== spatial.length) throw mismatch(call, `the kernel has ${kernel.length} spatial axes`);
  const { strides, dilations, pads, autoPad } = windowOf(call, spatial.length);
  const roundsUp = integer(call, "ceil_mode", 0) !== 0;
  return spatial.map((dim, axis) => {
    const stride = strides[axis] ?? 1;
    if (autoPad.startsWith("SAME"))
      return stride === 1 ? dim : mapDim(call, dim, (size) => Math.ceil(size / stride));
    const size = kernel[axis];
    if (typeof size !== "number") return call.unknownDim();
    const begin = autoPad === "VALID" ? 0 : (pads[axis] ?? 0);
    const end = autoPad === "VALID" ? 0 : (pads[axis + spatial.length] ?? 0);
    const room = begin + end - (dilations[axis] ?? 1) * (size - 1) - 1;
    if (stride === 1) return room === -1 ? dim : mapDim(call, dim, (input) => input + room + 1);
    return mapDim(call, dim, (input) => {
      const steps = (input + room) / stride;
      if (!roundsUp) return Math.floor(steps) + 1;
      const count = Math.ceil(steps) + 1;
      return (count - 1) * stride >= input + begin ? count - 1 : count; // no window starts in the end padding
    });
  });
}

/** Sizes after ConvTranspose. */
function spread(call: Call, spatial: readonly Dim[], kernel: readonly Dim[]): readonly Dim[] {
  if (kernel.length !== spatial.length) throw mismatch(call, `the kernel has ${kernel.length} spatial axes`);
  const given = integers(call, "output_shape");
  if (given !== undefined) return given.slice(-spatial.length);
  const { strides, dilations, pads, autoPad } = windowOf(call, spatial.length);
  const extra = integers(call, "output_padding") ?? [];
  return spatial.map((dim, axis) => {
    const stride = strides[axis] ?? 1;
    if (autoPad.startsWith("SAME")) return stride === 1 ? dim : mapDim(call, dim, (input) => input * stride);
    const size = kernel[axis];
    if (typeof size !== "number") return call.unknownDim();
    const crop = autoPad === "VALID" ? 0 : (pads[axis] ?? 0) + (pads[axis + spatial.length] ?? 0);
    const room = (extra[axis] ?? 0) + (dilations[axis] ?? 1) * (size - 1) + 1 - crop - stride;
    return stride === 1 && room === 0 ? dim : mapDim(call, dim, (input) => input * stride + room);
  });
}

function resized(call: Call): Shape {
  const { shape } = need(call, 0);
  if (shape === undefined) return undefined;
  if (text(call, "keep_aspect_ratio_policy", "stretch") !== "stretch") return freshShape(call, shape.length);
  const axes = (integers(call, "axes") ?? shape.map((_, axis) => axis)).map((axis) =>
    axisIn(call, axis, shape.length),
  );
  const result = [...shape];
  const sizes = call.inputs[3];
  if (sizes !== undefined) {
    const known = knownElements(sizes);
    if (known !== undefined && known.length !== axes.length)
      throw mismatch(call, `${known.length} sizes do not fit`);
    axes.forEach((axis, index) => {
      result[axis] = known?.[index] ?? call.unknownDim();
    });
    return result;
  }
  const scales = constantNumbers(need(call, 2));
  if (scales !== undefined && scales.length !== axes.length)
    throw mismatch(call, `${scales.length} scales do not fit`);
  axes.forEach((axis, index) => {
    const scale = scales?.[index];
    const dim = shape[axis] ?? 1;
    if (scale === undefined) result[axis] = call.unknownDim();
    else if (scale !== 1) result[axis] = mapDim(call, dim, (size) => Math.floor(Math.fround(size * scale)));
  });
  return result;
}
