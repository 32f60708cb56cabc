// MIL's attention. The usual cases are rows that scripts/fixtures/ops/linear.py computed.

import { f32, tensorOf } from "../../src/core/tensor.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

const nan = Number.NaN;
const query = f32([1, 2], [1, 2, 1]);
const key = f32([1, 3], [1, 2, 1]);
const value = f32([5, 7], [1, 2, 1]);

opCases("transformers, against numpy", fixtureRows("transformers"));

opCases("transformers", [
  {
    name: "a row that the mask leaves nothing is no number, the others are as always",
    op: "scaled_dot_product_attention",
    opset: 18,
    inputs: { query, key, value },
    constants: { attn_mask: tensorOf("bool", [0, 0, 1, 0], [1, 2, 2]) },
    expect: f32([nan, 5], [1, 2, 1]),
  },
  {
    name: "operands of different ranks are refused",
    op: "scaled_dot_product_attention",
    opset: 18,
    inputs: { query, key: f32([1, 3], [2, 1]), value },
    expect: { error: "must have the same rank", code: "BAD_MODEL" },
  },
]);
