// MIL's matrix products. The usual cases are rows that scripts/fixtures/ops/linear.py computed.

import { f32, tensorOf } from "../../src/core/tensor.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

opCases("linear, against numpy", fixtureRows("linear"));

opCases("linear", [
  {
    name: "linear refuses a weight that is no matrix",
    op: "linear",
    inputs: { x: f32([1, 2], [1, 2]) },
    constants: { weight: [1, 2] },
    expect: { error: '"weight" must have rank 2, got 1', code: "BAD_MODEL" },
  },
  {
    name: "linear refuses a weight of another width",
    op: "linear",
    inputs: { x: f32([1, 2], [1, 2]) },
    constants: { weight: f32([1, 2, 3], [1, 3]) },
    expect: { error: "3" },
  },
]);

opCases("einsum", [
  {
    // By hand: out[c, h, r] = sum over w of a[c, h, w] * b[w, h, r].
    name: "einsum takes the rank-3 equation",
    op: "einsum",
    inputs: { values: [f32([1, 2, 3, 4], [1, 2, 2]), f32([1, 0, 2, 1, 0, 1, 1, 3], [2, 2, 2])] },
    constants: { equation: "chw,whr->chr" },
    expect: f32([1, 2, 10, 15], [1, 2, 2]),
    dynamic: true,
  },
  {
    name: "einsum takes the rank-4 equation, under other letters and with spaces",
    op: "einsum",
    inputs: { values: [f32([1, 2, 3, 4], [1, 1, 2, 2]), f32([1, 0, 2, 1, 0, 1, 1, 3], [1, 2, 2, 2])] },
    constants: { equation: "abcd, adce -> abce" },
    expect: f32([1, 2, 10, 15], [1, 1, 2, 2]),
    dynamic: true,
  },
  {
    name: "einsum takes halves",
    op: "einsum",
    inputs: {
      values: [
        tensorOf("float16", [1, 2, 3, 4], [1, 2, 2]),
        tensorOf("float16", [1, 0, 2, 1, 0, 1, 1, 3], [2, 2, 2]),
      ],
    },
    constants: { equation: "chw,whr->chr" },
    expect: tensorOf("float16", [1, 2, 10, 15], [1, 2, 2]),
  },
  {
    name: "einsum needs operands",
    op: "einsum",
    constants: { equation: "chw,whr->chr" },
    expect: { error: '"values" is empty', code: "BAD_MODEL" },
  },
]);
