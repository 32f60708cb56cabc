// MIL's reductions. The usual cases are rows that scripts/fixtures/ops/reduction.py computed.

import { f32, tensorOf } from "../../src/core/tensor.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

const inf = Number.POSITIVE_INFINITY;
const x = f32([1, -2, 3, 4], [2, 2]);
const noAxes = tensorOf("int32", [], [0]);

opCases("reduction, against numpy", fixtureRows("reduction"));

opCases("reduction", [
  {
    name: "a mean of whole numbers drops the fraction",
    op: "reduce_mean",
    inputs: { x: tensorOf("int32", [1, 2, 4]) },
    expect: tensorOf("int32", [2], []),
  },
  {
    name: "a root of whole numbers is computed as a float",
    op: "reduce_log_sum_exp",
    inputs: { x: tensorOf("int32", [3, 3, 3]) },
    expect: tensorOf("int32", [4], []),
  },
  {
    name: "reduce_log_sum_exp does not overflow",
    op: "reduce_log_sum_exp",
    inputs: { x: f32([1000, 1000]) },
    expect: f32([1000 + Math.LN2], []),
  },
  {
    name: "reduce_log_sum of zero is minus infinity",
    op: "reduce_log_sum",
    inputs: { x: f32([1, -1]) },
    expect: f32([-inf], []),
  },
  ...(
    [
      ["reduce_sum", [1, -2, 3, 4]],
      ["reduce_l1_norm", [1, 2, 3, 4]],
      ["reduce_l2_norm", [1, 2, 3, 4]],
      ["reduce_sum_square", [1, 4, 9, 16]],
      ["reduce_log_sum_exp", [1, -2, 3, 4]],
    ] as const
  ).map(([op, values]) => ({
    name: `${op} over no axis at all acts on single elements`,
    op,
    inputs: { x },
    constants: { axes: noAxes },
    expect: f32(values, [2, 2]),
  })),
  {
    name: "reduce_log_sum over no axis at all is the logarithm",
    op: "reduce_log_sum",
    inputs: { x: f32([1, Math.E]) },
    constants: { axes: noAxes },
    expect: f32([0, 1]),
  },
  {
    name: "an axis outside the rank is refused",
    op: "reduce_sum",
    inputs: { x },
    constants: { axes: [2] },
    expect: { error: '"axes" must lie between -2 and 1, got 2', code: "BAD_MODEL" },
  },
  {
    name: "an axis named twice is refused",
    op: "reduce_sum",
    inputs: { x },
    constants: { axes: [1, -1] },
    expect: { error: '"axes" names an axis twice: 1, -1', code: "BAD_MODEL" },
  },
  {
    name: "reduce_argmax refuses an axis outside the rank",
    op: "reduce_argmax",
    inputs: { x },
    constants: { axis: -3 },
    expect: { error: '"axis" must lie between -2 and 1, got -3', code: "BAD_MODEL" },
  },
  {
    name: "reduce_argmax finds the first true",
    op: "reduce_argmax",
    inputs: { x: tensorOf("bool", [0, 1, 1]) },
    expect: tensorOf("int32", [1], []),
  },
]);
