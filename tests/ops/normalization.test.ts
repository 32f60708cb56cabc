// The normalizations. Expected values: by hand here, in numpy in scripts/fixtures/ops/normalization.py.

import { f32 } from "../../src/core/tensor.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

opCases("normalization", [
  {
    name: "l2_norm divides by the root of the sum of squares",
    op: "l2_norm",
    inputs: { x: f32([3, 0, 0, 4], [1, 2, 2]) },
    constants: { epsilon: 0 },
    expect: f32([0.6, 0, 0, 0.8], [1, 2, 2]),
  },
  ...fixtureRows("normalization"),
  {
    name: "l2_norm refuses a matrix",
    op: "l2_norm",
    inputs: { x: f32([1], [1, 1]) },
    expect: { error: '"x" must have rank 3 or more, got 2', code: "BAD_MODEL" },
  },
  {
    name: "layer_norm refuses an axis outside the rank",
    op: "layer_norm",
    inputs: { x: f32([1], [1, 1]) },
    constants: { axes: [2] },
    expect: { error: '"axes" must lie between -2 and 1, got 2', code: "BAD_MODEL" },
  },
  {
    name: "local_response_norm refuses an empty window",
    op: "local_response_norm",
    inputs: { x: f32([1], [1, 1, 1]) },
    constants: { size: 0 },
    expect: { error: '"size" must be positive, got 0', code: "BAD_MODEL" },
  },
]);
