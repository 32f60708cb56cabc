// MIL's normalizations. Semantics: coremltools, mil/ops/defs/iOS15/normalization.py and iOS17/normalization.py.

import { elementCount, tensorOf } from "../../core/tensor.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { castLike, denseDType, scalarLike } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";
import { prove } from "../proof.ts";

/** Elements of ones or zeros that are still written as a constant. */
const largestFill = 2 ** 16;

export const normalization = {
  batch_norm(op, g) {
    const x = op.value("x");
    const mean = castLike(g, op.value("mean"), x);
    const variance = castLike(g, op.value("variance"), x);
    const gamma = parameterOver(op, g, "gamma", { x, axes: [1], fallback: 1 });
    const beta = parameterOver(op, g, "beta", { x, axes: [1], fallback: 0 });
    return g.node("BatchNormalization", [x, gamma, beta, mean, variance], { epsilon: epsilon(op) });
  },

  // ONNX Runtime ends the process at halves without a position to normalize over.
  instance_norm(op, g) {
    const given = op.value("x");
    const rank = op.rank(given);
    if (rank < 3) op.bad(`"x" must have rank 3 or more, got ${rank}`);
    const wanted = Array.from({ length: rank }, (_, axis) => (axis < 2 ? "any" : "some"));
    const x = prove(op, g, given, wanted);
    const gamma = parameterOver(op, g, "gamma", { x, axes: [1], fallback: 1 });
    const beta = parameterOver(op, g, "beta", { x, axes: [1], fallback: 0 });
    return g.node("InstanceNormalization", [x, gamma, beta], { epsilon: epsilon(op) });
  },

  layer_norm(op, g) {
    const x = op.value("x");
    const rank = op.rank(x);
    const axes = normalizedAxes(op, rank);
    const others = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => !axes.includes(axis));
    const gamma = parameterOver(op, g, "gamma", { x, axes, fallback: 1 });
    const beta = op.optional("beta");
    const axis = rank - axes.length;
    const normalize = (value: Value): Value =>
      g.node("LayerNormalization", [value, gamma, beta && castLike(g, beta, x)], {
        axis,
        epsilon: epsilon(op),
      });
    if (axes.every((value, index) => value === axis + index)) return normalize(x);
    // ONNX normalizes trailing axes only; two transposes cost less than the formula in nine nodes.
    const perm = [...others, ...axes];
    const inverse = perm.map((_, position) => perm.indexOf(position));
    return g.node("Transpose", [normalize(g.node("Transpose", [x], { perm }))], { perm: inverse });
  },

  // Over exactly the last three axes. In float32: squares overflow float16, and epsilon underflows there.
  l2_norm(op, g) {
    const x = op.value("x");
    const rank = op.rank(x);
    if (rank < 3) op.bad(`"x" must have rank 3 or more, got ${rank}`);
    const wide = g.cast(x, "float32");
    const squares = g.node("ReduceSumSquare", [wide, g.vector([-3, -2, -1])], { keepdims: 1 });
    const shifted = g.node("Add", [squares, g.scalar(op.float("epsilon", 1e-6), "float32")]);
    return castLike(g, g.node("Div", [wide, g.node("Sqrt", [shifted])]), x);
  },

  local_response_norm(op, g) {
    const x = op.value("x");
    const size = op.int("size");
    if (size < 1) op.bad(`"size" must be positive, got ${size}`);
    const rank = op.rank(x);
    if (rank < 3 || rank > 4) op.bad(`"x" must have rank 3 or 4, got ${rank}`);
    const factors = { alpha: op.float("alpha", 1e-4), beta: op.float("beta", 0.75), k: op.float("k", 1) };
    const { alpha, beta, k } = factors;
    if (size % 2 === 0) return evenResponseNorm(op, g, x, { size, ...factors });
    // ONNX Runtime wants two spatial axes.
    const missing = Array.from({ length: 4 - rank }, (_, index) => rank + index);
    const image = missing.length > 0 ? g.node("Unsqueeze", [x, g.vector(missing)]) : x;
    const normalized = g.node("LRN", [image], { size, alpha, beta, bias: k });
    return missing.length > 0 ? g.node("Squeeze", [normalized, g.vector(missing)]) : normalized;
  },
} satisfies OpTable;

function epsilon(op: Op): number {
  return op.float("epsilon", 1e-5);
}

/** Sorted, each once. */
function normalizedAxes(op: Op, rank: number): readonly number[] {
  const all = Array.from({ length: rank }, (_, axis) => axis);
  const axes = new Set(op.ints("axes", all).map((axis) => op.axis(axis, rank, "axes")));
  if (axes.size === 0) op.bad('"axes" must not be empty');
  return [...axes].toSorted((a, b) => a - b);
}

/** A parameter over some axes of x, in x's element type; filled with `fallback` where absent. */
function parameterOver(op: Op, g: Graph, name: string, { x, axes, fallback }: Over): Value {
  const given = op.optional(name);
  if (given) return castLike(g, given, x);
  const shape = op.shape(x);
  const sizes = axes.map((axis) => shape[axis]);
  if (!sizes.every((size) => typeof size === "number")) {
    const all = g.node("Shape", [x]);
    return g.node("Expand", [scalarLike(g, x, fallback), g.node("Gather", [all, g.vector(axes)])]);
  }
  const count = elementCount(sizes);
  if (count > largestFill) return g.node("Expand", [scalarLike(g, x, fallback), g.vector(sizes)]);
  return g.constant(tensorOf(denseDType(x), Array<number>(count).fill(fallback), sizes));
}

interface Over {
  readonly x: Value;
  readonly axes: readonly number[];
  readonly fallback: number;
}

interface ResponseNorm {
  readonly size: number;
  readonly alpha: number;
  readonly beta: number;
  readonly k: number;
}

/** An even window is one channel longer behind than in front; ONNX LRN takes odd sizes only. */
function evenResponseNorm(op: Op, g: Graph, x: Value, { size, alpha, beta, k }: ResponseNorm): Value {
  const spatial = op.rank(x) - 2;
  const zeros = Array<number>(spatial).fill(0);
  const squares = g.node("Unsqueeze", [g.node("Mul", [x, x]), g.vector([1])]);
  const means = g.node("AveragePool", [squares], {
    kernel_shape: [size, ...zeros.map(() => 1)],
    pads: [size / 2 - 1, ...zeros, size / 2, ...zeros],
    count_include_pad: 1,
  });
  const mean = g.node("Squeeze", [means, g.vector([1])]);
  const base = g.node("Add", [g.node("Mul", [mean, scalarLike(g, x, alpha)]), scalarLike(g, x, k)]);
  return g.node("Div", [x, g.node("Pow", [base, scalarLike(g, x, beta)])]);
}
