// MIL's activations. Formulas and halves are rows that scripts/fixtures/ops/activation.py computed.

import { f32, tensorOf } from "../../src/core/tensor.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

opCases("activation, against numpy", fixtureRows("activation"));

opCases("activation", [
  ...[0.5, 0, -1.25, 1e-3].map((alpha) => ({
    name: `thresholded_relu keeps a value equal to alpha ${alpha}`,
    op: "thresholded_relu",
    inputs: { x: f32([alpha - 0.25, alpha, alpha + 1]) },
    constants: { alpha: f32([alpha], []) },
    expect: f32([0, alpha, alpha + 1]),
  })),
  {
    name: "thresholded_relu keeps a half equal to alpha",
    op: "thresholded_relu",
    inputs: { x: tensorOf("float16", [0.4998, 0.5, 2]) },
    constants: { alpha: tensorOf("float16", [0.5], []) },
    expect: tensorOf("float16", [0, 0.5, 2]),
  },
  {
    name: "prelu takes one slope for every channel of rank 2",
    op: "prelu",
    inputs: { x: f32([-1, -2, 3, -4], [2, 2]) },
    constants: { alpha: [0.5, 2] },
    expect: f32([-0.5, -4, 3, -8], [2, 2]),
    dynamic: true,
  },
  {
    name: "softplus does not overflow",
    op: "softplus",
    inputs: { x: f32([-200, 0, 200]) },
    expect: f32([0, Math.LN2, 200]),
  },
  {
    name: "softmax of large numbers does not overflow",
    op: "softmax",
    inputs: { x: f32([1000, 1000, -1000]) },
    expect: f32([0.5, 0.5, 0]),
  },
  {
    name: "gelu refuses a mode it does not have",
    op: "gelu",
    inputs: { x: f32([1]) },
    constants: { mode: "FAST" },
    expect: {
      error: '"mode" must be one of EXACT, TANH_APPROXIMATION, SIGMOID_APPROXIMATION, got "FAST"',
      code: "BAD_MODEL",
    },
  },
  {
    name: "elu needs its alpha",
    op: "elu",
    inputs: { x: f32([1]) },
    expect: { error: 'Cannot lower elu "y": input "alpha" is missing', code: "BAD_MODEL" },
  },
]);
