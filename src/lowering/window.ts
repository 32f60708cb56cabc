// Sliding windows as conv and the pools take them. Padding rules: coremltools, mil/ops/defs/_utils.py, aggregated_pad.

import type { Graph } from "../onnx/graph.ts";
import type { Attributes, Dim, Value } from "../onnx/types.ts";
import { scalarLike } from "./arguments.ts";
import type { Op } from "./op.ts";

export type Padding =
  | { readonly kind: "explicit"; readonly before: readonly number[]; readonly after: readonly number[] }
  /** "same" over axes whose size only the run knows. `lower`: the odd element goes in front. */
  | { readonly kind: "same"; readonly lower: boolean };

/** One number a spatial axis everywhere. */
export interface Window {
  /** `undefined`: the kernel's size is known only at run time. */
  readonly kernel: readonly number[] | undefined;
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: Padding;
}

/** `kernel` may hold symbols where a weight is computed at run time. `padTypes`: what this op allows. */
export interface WindowShape {
  readonly x: Value;
  readonly kernel: readonly Dim[];
  readonly defaultPadType?: "valid";
}

const padTypes = ["valid", "custom", "same", "same_lower"] as const;

/** Reads strides, dilations, pad_type and pad of an op whose window is `kernel`. */
export function readWindow(op: Op, { x, kernel, defaultPadType }: WindowShape): Window {
  const rank = kernel.length;
  const known = kernel.every((size) => typeof size === "number") ? kernel : undefined;
  const strides = spatialInts(op, "strides", rank, 1);
  const dilations = spatialInts(op, "dilations", rank, 1);
  const sizes = x.shape?.slice(2) ?? kernel.map(() => "unknown");
  const padding = readPadding(op, { sizes, kernel: known, strides, dilations, defaultPadType });
  return { kernel: known, strides, dilations, padding };
}

/** A list of one positive number a spatial axis. */
export function spatialInts(op: Op, name: string, rank: number, fallback?: number): readonly number[] {
  const list = op.ints(name, fallback === undefined ? undefined : Array<number>(rank).fill(fallback));
  if (list.length !== rank) op.bad(`"${name}" must have ${rank} values, got ${list.length}`);
  const wrong = list.find((value) => value < 1);
  if (wrong !== undefined) op.bad(`"${name}" must be positive, got ${wrong}`);
  return list;
}

/** `pad` of the op: before and after each spatial axis. */
export function customPads(op: Op, rank: number): Extract<Padding, { kind: "explicit" }> {
  const pad = op.ints("pad", Array<number>(2 * rank).fill(0));
  if (pad.length !== 2 * rank) op.bad(`"pad" must have ${2 * rank} values, got ${pad.length}`);
  const negative = pad.find((value) => value < 0);
  if (negative !== undefined) op.bad(`"pad" must not be negative, got ${negative}`);
  return {
    kind: "explicit",
    before: pad.filter((_, index) => index % 2 === 0),
    after: pad.filter((_, index) => index % 2 === 1),
  };
}

/** Length of a kernel with its gaps. */
export function extent(kernel: number, dilation: number): number {
  return (kernel - 1) * dilation + 1;
}

/** Attributes of ONNX Conv and the pools; what equals ONNX's default is left out. */
export function windowAttributes({ strides, dilations, padding }: Window): Attributes {
  return {
    strides: strides.some((stride) => stride !== 1) ? strides : undefined,
    dilations: dilations.some((dilation) => dilation !== 1) ? dilations : undefined,
    pads: padding.kind === "explicit" ? onnxPads(padding.before, padding.after) : undefined,
    auto_pad: padding.kind === "same" ? (padding.lower ? "SAME_LOWER" : "SAME_UPPER") : undefined,
  };
}

/** ONNX's order: all starts, then all ends. `undefined` where nothing is padded. */
export function onnxPads(before: readonly number[], after: readonly number[]): readonly number[] | undefined {
  const pads = [...before, ...after];
  return pads.some((pad) => pad !== 0) ? pads : undefined;
}

/** The window over an input that is padded already. */
export function withoutPadding(window: Window): Window {
  const zeros = window.strides.map(() => 0);
  return { ...window, padding: { kind: "explicit", before: zeros, after: zeros } };
}

/**
 * x padded for "same" by nodes, with zeros or another number: where ONNX Runtime's auto_pad fails, which ignores dilations
 * and lets pools skip elements when the stride exceeds the kernel.
 */
export function padAtRunTime(
  g: Graph,
  x: Value,
  window: Window & { readonly kernel: readonly number[] },
  fill = 0,
): Value {
  const { kernel, strides, dilations, padding } = window;
  const lower = padding.kind === "same" && padding.lower;
  const rank = kernel.length;
  const stride = g.vector(strides);
  const extents = g.vector(kernel.map((size, axis) => extent(size, dilations[axis] ?? 1)));
  const sizes = g.node("Shape", [x], { start: 2, end: 2 + rank });
  // total = max(0, (ceil(size / stride) - 1) * stride + extent - size)
  const steps = g.node("Div", [g.node("Sub", [sizes, g.scalar(1, "int64")]), stride]);
  const reach = g.node("Add", [g.node("Mul", [steps, stride]), extents]);
  const total = g.node("Max", [g.node("Sub", [reach, sizes]), g.vector([0])]);
  const half = g.node("Div", [total, g.scalar(2, "int64")]);
  const rest = g.node("Sub", [total, half]);
  const none = g.vector([0, 0]);
  const pads = g.node("Concat", lower ? [none, rest, none, half] : [none, half, none, rest], { axis: 0 });
  return g.node("Pad", fill === 0 ? [x, pads] : [x, pads, scalarLike(g, x, fill)]);
}

interface PaddingShape {
  readonly sizes: readonly Dim[];
  readonly kernel: readonly number[] | undefined;
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly defaultPadType: "valid" | undefined;
}

function readPadding(op: Op, shape: PaddingShape): Padding {
  const { sizes, kernel, strides, dilations } = shape;
  const zeros = strides.map(() => 0);
  const padType = op.oneOf("pad_type", padTypes, shape.defaultPadType);
  if (padType === "valid") return { kind: "explicit", before: zeros, after: zeros };
  if (padType === "custom") return customPads(op, strides.length);
  const lower = padType === "same_lower";
  const totals = strides.map((stride, axis) => {
    const size = sizes[axis];
    const length = kernel?.[axis];
    if (length === undefined) return undefined;
    const reach = extent(length, dilations[axis] ?? 1);
    if (typeof size === "number") return Math.max(0, (Math.ceil(size / stride) - 1) * stride + reach - size);
    return stride === 1 ? reach - 1 : undefined;
  });
  if (!totals.every((total) => total !== undefined)) return { kind: "same", lower };
  const halves = totals.map((total) => Math.floor(total / 2));
  const rests = totals.map((total, axis) => total - (halves[axis] ?? 0));
  return lower
    ? { kind: "explicit", before: rests, after: halves }
    : { kind: "explicit", before: halves, after: rests };
}
