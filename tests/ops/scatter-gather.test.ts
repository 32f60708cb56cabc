import { f32, tensorOf } from "../../src/core/tensor.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

const x = f32([1, 2, 3, 4, 5, 6], [2, 3]);
const vector = f32([1, 2, 3]);

opCases("scatter-gather", fixtureRows("scatter-gather"));

opCases("scatter-gather refuses", [
  {
    name: "a known index outside of its axis",
    op: "gather",
    inputs: { x },
    constants: { indices: [0, 2] },
    expect: { error: "index 2 is outside an axis of 2 elements", code: "BAD_MODEL" },
  },
  {
    name: "a known index below the axis",
    op: "gather",
    inputs: { x },
    constants: { indices: -4, axis: 1 },
    expect: { error: "index -4 is outside an axis of 3 elements", code: "BAD_MODEL" },
  },
  {
    name: "a known negative index that is validated",
    op: "gather",
    opset: 17,
    inputs: { x },
    constants: { indices: -1, validate_indices: true },
    expect: { error: "index -1 is outside an axis of 2 elements", code: "BAD_MODEL" },
  },
  {
    name: "a negative index of the run that is validated",
    op: "gather",
    opset: 17,
    inputs: { x: vector, indices: tensorOf("int32", [1, -1]) },
    constants: { validate_indices: true },
    expect: { error: "idx=2147483647", code: "NATIVE" },
  },
  {
    name: "an index of the run outside of its axis",
    op: "scatter_nd",
    opset: 17,
    inputs: { data: vector, indices: tensorOf("int32", [3], [1, 1]), updates: f32([1]) },
    constants: { mode: "update", validate_indices: true },
    expect: { error: "indice = 3", code: "NATIVE" },
  },
  {
    name: "batch_dims beyond the gathered axis",
    op: "gather",
    opset: 16,
    inputs: { x, indices: tensorOf("int32", [0, 0], [2, 1]) },
    constants: { axis: 0, batch_dims: 1 },
    expect: {
      error: `"batch_dims" must lie between 0 and the 0 axes before "axis", got 1`,
      code: "BAD_MODEL",
    },
  },
  {
    name: "more axes of indices than x has",
    op: "gather_nd",
    inputs: { x: vector, indices: tensorOf("int32", [0, 0], [1, 2]) },
    expect: {
      error: "indices of 2 axes after 0 batch axes need more axes than the 1 of x",
      code: "BAD_MODEL",
    },
  },
  {
    name: "more axes of indices than data has",
    op: "scatter_nd",
    inputs: { data: vector, indices: tensorOf("int32", [0, 0], [1, 2]), updates: f32([1]) },
    expect: { error: "indices of 2 axes need more axes than the 1 of data", code: "BAD_MODEL" },
  },
  {
    name: "updates of another rank",
    op: "scatter",
    inputs: { data: x, indices: tensorOf("int32", [0]), updates: vector },
    expect: { error: '"updates" must have 2 axes, got 1', code: "BAD_MODEL" },
  },
  {
    name: "an unknown mode",
    op: "scatter_along_axis",
    inputs: { data: vector, indices: tensorOf("int32", [0]), updates: f32([1]) },
    constants: { mode: "pow" },
    expect: {
      error: '"mode" must be one of update, add, sub, mul, div, max, min, got "pow"',
      code: "BAD_MODEL",
    },
  },
]);
