// MIL's activation ops. Semantics: coremltools, mil/ops/defs/iOS15/activation.py and iOS17/activation.py.

import { channelVector, scalarLike } from "../arguments.ts";
import type { OpTable } from "../op.ts";

export const activation = {
  relu: (op, g) => g.node("Relu", [op.value("x")]),
  sigmoid: (op, g) => g.node("Sigmoid", [op.value("x")]),
  softplus: (op, g) => g.node("Softplus", [op.value("x")]),
  softsign: (op, g) => g.node("Softsign", [op.value("x")]),
  elu: (op, g) => g.node("Elu", [op.value("x")], { alpha: op.float("alpha") }),
  leaky_relu: (op, g) => g.node("LeakyRelu", [op.value("x")], { alpha: op.float("alpha") }),
  sigmoid_hard: (op, g) =>
    g.node("HardSigmoid", [op.value("x")], { alpha: op.float("alpha"), beta: op.float("beta") }),

  softmax(op, g) {
    const x = op.value("x");
    const axis = op.int("axis", -1);
    return g.node("Softmax", [x], { axis: x.shape ? op.axis(axis, x.shape.length) : axis });
  },

  relu6(op, g) {
    const x = op.value("x");
    return g.node("Clip", [x, scalarLike(g, x, 0), scalarLike(g, x, 6)]);
  },

  silu(op, g) {
    const x = op.value("x");
    return g.node("Mul", [x, g.node("Sigmoid", [x])]);
  },

  gelu(op, g) {
    const x = op.value("x");
    const mode = op.oneOf("mode", ["EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"], "EXACT");
    if (mode === "SIGMOID_APPROXIMATION") {
      const gate = g.node("Sigmoid", [g.node("Mul", [x, scalarLike(g, x, 1.702)])]);
      return g.node("Mul", [x, gate]);
    }
    return g.node("Gelu", [x], { approximate: mode === "EXACT" ? "none" : "tanh" });
  },

  clamped_relu(op, g) {
    const x = op.value("x");
    const leaky = g.node("LeakyRelu", [x], { alpha: op.float("alpha") });
    return g.node("Min", [leaky, scalarLike(g, x, op.float("beta"))]);
  },

  // ONNX ThresholdedRelu drops x when x equals alpha; MIL keeps it.
  thresholded_relu: (op, g) =>
    g.node("ThresholdedRelu", [op.value("x")], { alpha: justBelow(op.float("alpha")) }),

  scaled_tanh(op, g) {
    const x = op.value("x");
    const inner = g.node("Tanh", [g.node("Mul", [x, scalarLike(g, x, op.float("beta"))])]);
    return g.node("Mul", [inner, scalarLike(g, x, op.float("alpha"))]);
  },

  linear_activation(op, g) {
    const x = op.value("x");
    const scaled = g.node("Mul", [x, scalarLike(g, x, op.float("alpha"))]);
    return g.node("Add", [scaled, scalarLike(g, x, op.float("beta"))]);
  },

  prelu(op, g) {
    const x = op.value("x");
    return g.node("PRelu", [x, channelVector(op, g, "alpha", x)]);
  },

  softplus_parametric(op, g) {
    const x = op.value("x");
    const inner = g.node("Softplus", [g.node("Mul", [x, channelVector(op, g, "beta", x)])]);
    return g.node("Mul", [inner, channelVector(op, g, "alpha", x)]);
  },
} satisfies OpTable;

/** The greatest single-precision number below this one. */
function justBelow(number: number): number {
  const bits = new DataView(new ArrayBuffer(4));
  bits.setFloat32(0, number);
  if (number === 0) return -(2 ** -149);
  bits.setUint32(0, bits.getUint32(0) + (number > 0 ? -1 : 1));
  return bits.getFloat32(0);
}
