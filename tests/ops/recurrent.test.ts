// MIL's recurrent layers. The usual cases are rows that scripts/fixtures/ops/recurrent.py computed.

import { f32 } from "../../src/core/tensor.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

opCases("recurrent, against numpy", fixtureRows("recurrent"));

const x = f32([1, 2, 3], [3, 1, 1]);
const initial_h = f32([0], [1, 1]);

opCases("recurrent", [
  {
    // A running sum: h = x + h'.
    name: "a reversed layer lists its steps in the order it takes them",
    op: "rnn",
    inputs: { x, initial_h },
    constants: {
      weight_ih: f32([1], [1, 1]),
      weight_hh: f32([1], [1, 1]),
      activation: "linear",
      direction: "reverse",
      output_sequence: true,
    },
    expect: { y: f32([3, 5, 6], [3, 1, 1]), h: f32([6], [1, 1]) },
  },
  {
    name: "weights that do not fit the hidden size are refused",
    op: "gru",
    inputs: { x, initial_h },
    constants: { weight_ih: f32([1, 2], [2, 1]), weight_hh: f32([1, 2, 3], [3, 1]) },
    expect: { error: '"weight_ih" must have shape [3, *], got [2, 1]', code: "BAD_MODEL" },
  },
  {
    name: "gru is never bidirectional",
    op: "gru",
    inputs: { x, initial_h },
    constants: {
      weight_ih: f32([1, 2, 3], [3, 1]),
      weight_hh: f32([1, 2, 3], [3, 1]),
      direction: "bidirectional",
    },
    expect: { error: '"direction" must be one of forward, reverse, got "bidirectional"', code: "BAD_MODEL" },
  },
  {
    name: "an activation nobody knows is refused",
    op: "rnn",
    inputs: { x, initial_h },
    constants: { weight_ih: f32([1], [1, 1]), weight_hh: f32([1], [1, 1]), activation: "swish" },
    expect: { error: '"activation" must be one of sigmoid', code: "BAD_MODEL" },
  },
]);
