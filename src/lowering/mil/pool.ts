// MIL's pools. Semantics: coremltools, mil/ops/defs/iOS15/pool.py.

import type { Graph } from "../../onnx/graph.ts";
import type { Attributes, Value } from "../../onnx/types.ts";
import { scalarLike } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";
import {
  padAtRunTime,
  readWindow,
  spatialInts,
  type Window,
  windowAttributes,
  withoutPadding,
} from "../window.ts";

export const pool = {
  max_pool: (op, g) => slide(op, g, { kind: "MaxPool", largestRank: 5 }),
  l2_pool: (op, g) => slide(op, g, { kind: "LpPool", largestRank: 4, attributes: { p: 2 } }),
  avg_pool(op, g) {
    const excluded = op.bool("exclude_padding_from_average", false);
    const attributes = { count_include_pad: excluded ? 0 : 1 };
    return slide(op, g, { kind: "AveragePool", largestRank: 5, attributes });
  },
} satisfies OpTable;

interface Pool {
  readonly kind: string;
  readonly largestRank: number;
  readonly attributes?: Attributes;
}

/** x [N, C, spatial…]. */
function slide(op: Op, g: Graph, { kind, largestRank, attributes = {} }: Pool): Value {
  const x = op.value("x");
  const sizes = op.ints("kernel_sizes");
  const rank = x.shape?.length ?? sizes.length + 2;
  if (rank < 3 || rank > largestRank) op.bad(`"x" must have rank 3 to ${largestRank}, got ${rank}`);
  const kernel = spatialInts(op, "kernel_sizes", rank - 2);
  const read = readWindow(op, { x, kernel });
  const asksForMore = op.bool("ceil_mode", false);
  if (asksForMore) checkCeilMode(op, x, kernel, read);
  checkPadding(op, kernel, read);
  const { window, roundsUp } = asksForMore
    ? reachingOver(x, { ...read, kernel }, attributes["count_include_pad"] === 1)
    : { window: read, roundsUp: false };
  const given = { ...attributes, kernel_shape: kernel, ceil_mode: roundsUp ? 1 : undefined };
  const skips = kernel.some((length, axis) => length < (window.strides[axis] ?? 1));
  if (window.padding.kind === "explicit" || !skips) {
    return g.node(kind, [x], { ...windowAttributes(window), ...given });
  }
  const apply = (value: Value, fill: number): Value => {
    const padded = padAtRunTime(g, value, { ...window, kernel }, fill);
    return g.node(kind, [padded], { ...windowAttributes(withoutPadding(window)), ...given });
  };
  const pooled = apply(x, kind === "MaxPool" ? Number.NEGATIVE_INFINITY : 0);
  if (attributes["count_include_pad"] !== 0) return pooled;
  // Padding is not counted: divide by the share of each window that lies inside x.
  const shape = g.node("Concat", [g.vector([1, 1]), g.node("Shape", [x], { start: 2 })], { axis: 0 });
  return g.node("Div", [pooled, apply(g.node("Expand", [scalarLike(g, x, 1), shape]), 0)]);
}

/**
 * ceil_mode as padding behind, where the sizes are known: ONNX Runtime infers more results than it gives where the last
 * window would begin in the padding. An average that counts its padding keeps the mode, for what lies behind the padding
 * does not count; such windows are then cut off by less padding.
 */
function reachingOver(
  x: Value,
  window: Window & { readonly kernel: readonly number[] },
  countsPadding: boolean,
): { readonly window: Window; readonly roundsUp: boolean } {
  const { kernel, strides, padding } = window;
  if (padding.kind === "same") return { window, roundsUp: true };
  let roundsUp = false;
  const after: number[] = [];
  for (const [axis, length] of kernel.entries()) {
    const size = x.shape?.[2 + axis];
    if (typeof size !== "number") return { window, roundsUp: true };
    const stride = strides[axis] ?? 1;
    const [before, behind] = [padding.before[axis] ?? 0, padding.after[axis] ?? 0];
    const steps = (size + before + behind - length) / stride;
    const beginsBehind = Math.ceil(steps) * stride >= size + before;
    const last = beginsBehind ? Math.ceil(steps) - 1 : Math.ceil(steps);
    const reach = Math.max(0, last * stride + length - size - before);
    const isCut = countsPadding && !beginsBehind;
    after.push(isCut ? behind : reach);
    roundsUp ||= isCut && !Number.isInteger(steps);
  }
  return { window: { ...window, padding: { ...padding, after } }, roundsUp };
}

/** ONNX Runtime refuses windows that may lie in the padding altogether. */
function checkPadding(op: Op, kernel: readonly number[], { padding }: Window): void {
  if (padding.kind === "same") return;
  kernel.forEach((length, axis) => {
    const most = Math.max(padding.before[axis] ?? 0, padding.after[axis] ?? 0);
    if (most >= length) op.unsupported(`padding of ${most} with a kernel of ${length}`);
  });
}

function checkCeilMode(op: Op, x: Value, kernel: readonly number[], { strides, padding }: Window): void {
  if (kernel.length > 2) op.bad(`"ceil_mode" is for 1 or 2 spatial axes, got ${kernel.length}`);
  if (op.string("pad_type").startsWith("same")) op.bad(`"ceil_mode" does not go with pad_type "same"`);
  if (padding.kind === "same") return;
  kernel.forEach((length, axis) => {
    const before = padding.before[axis] ?? 0;
    const after = padding.after[axis] ?? 0;
    if (before !== after) op.bad(`"pad" must be symmetric with "ceil_mode", got ${before} and ${after}`);
    // Without padding Core ML counts a last window that lies wholly behind the input; ONNX drops it.
    const size = x.shape?.[2 + axis];
    const stride = strides[axis] ?? 1;
    if (typeof size !== "number" || before > 0 || length >= stride) return;
    const start = Math.ceil((size - length) / stride) * stride;
    if (start >= size) op.unsupported("ceil_mode with a window behind the input's end");
  });
}
