// MIL's activation ops. Semantics: coremltools, mil/ops/defs/iOS15/activation.py and iOS17/activation.py.

import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import type { Op, OpTable } from "../op.ts";

export const activation = {
  relu: (op, g) => g.node("Relu", [op.value("x")]),
  sigmoid: (op, g) => g.node("Sigmoid", [op.value("x")]),
  softplus: (op, g) => g.node("Softplus", [op.value("x")]),
  softsign: (op, g) => g.node("Softsign", [op.value("x")]),
  elu: (op, g) => g.node("Elu", [op.value("x")], { alpha: op.float("alpha") }),
  leaky_relu: (op, g) => g.node("LeakyRelu", [op.value("x")], { alpha: op.float("alpha") }),
  softmax: (op, g) => g.node("Softmax", [op.value("x")], { axis: op.int("axis", -1) }),
  sigmoid_hard: (op, g) =>
    g.node("HardSigmoid", [op.value("x")], { alpha: op.float("alpha"), beta: op.float("beta") }),

  relu6(op, g) {
    const x = op.value("x");
    return g.node("Clip", [x, constantLike(g, x, 0), constantLike(g, x, 6)]);
  },

  silu(op, g) {
    const x = op.value("x");
    return g.node("Mul", [x, g.node("Sigmoid", [x])]);
  },

  gelu(op, g) {
    const x = op.value("x");
    const mode = op.oneOf("mode", ["EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"], "EXACT");
    if (mode === "SIGMOID_APPROXIMATION") {
      const gate = g.node("Sigmoid", [g.node("Mul", [x, constantLike(g, x, 1.702)])]);
      return g.node("Mul", [x, gate]);
    }
    return g.node("Gelu", [x], { approximate: mode === "EXACT" ? "none" : "tanh" });
  },

  clamped_relu(op, g) {
    const x = op.value("x");
    const leaky = g.node("LeakyRelu", [x], { alpha: op.float("alpha") });
    return g.node("Min", [leaky, constantLike(g, x, op.float("beta"))]);
  },

  // ONNX ThresholdedRelu drops x when x equals alpha; MIL keeps it.
  thresholded_relu(op, g) {
    const x = op.value("x");
    const kept = g.node("GreaterOrEqual", [x, constantLike(g, x, op.float("alpha"))]);
    return g.node("Where", [kept, x, constantLike(g, x, 0)]);
  },

  scaled_tanh(op, g) {
    const x = op.value("x");
    const inner = g.node("Tanh", [g.node("Mul", [x, constantLike(g, x, op.float("beta"))])]);
    return g.node("Mul", [inner, constantLike(g, x, op.float("alpha"))]);
  },

  linear_activation(op, g) {
    const x = op.value("x");
    const scaled = g.node("Mul", [x, constantLike(g, x, op.float("alpha"))]);
    return g.node("Add", [scaled, constantLike(g, x, op.float("beta"))]);
  },

  prelu: (op, g) => g.node("PRelu", [op.value("x"), perChannel(op, g, "alpha")]),

  softplus_parametric(op, g) {
    const inner = g.node("Softplus", [g.node("Mul", [op.value("x"), perChannel(op, g, "beta")])]);
    return g.node("Mul", [inner, perChannel(op, g, "alpha")]);
  },
} satisfies OpTable;

/** A scalar constant of x's element type. */
function constantLike(g: Graph, x: Value, value: number): Value {
  return g.cast(g.scalar(value, "float32"), x.dtype === "float16" ? "float16" : "float32");
}

/** A vector of one number a channel, shaped to broadcast along axis 1 of x. */
function perChannel(op: Op, g: Graph, name: string): Value {
  const x = op.value("x");
  const values = g.cast(op.value(name), x.dtype === "float16" ? "float16" : "float32");
  const trailing = Math.max(op.rank(x) - 2, 0);
  return g.node("Reshape", [values, g.vector([-1, ...Array<number>(trailing).fill(1)])]);
}
