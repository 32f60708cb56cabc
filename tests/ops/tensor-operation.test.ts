import { f32, tensorOf } from "../../src/core/tensor.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

const x = f32([1, 2, 3, 4, 5, 6], [2, 3]);
const indices = tensorOf("int32", [0, 1]);

opCases("tensor-operation", fixtureRows("tensor-operation"));

opCases("tensor-operation refuses", [
  {
    name: "band_part of a vector",
    op: "band_part",
    inputs: { x: f32([1, 2]) },
    expect: { error: '"x" must have two axes or more, got 1', code: "BAD_MODEL" },
  },
  {
    name: "cumsum outside of the axes",
    op: "cumsum",
    inputs: { x },
    constants: { axis: 2 },
    expect: { error: '"axis" must lie between -2 and 1, got 2', code: "BAD_MODEL" },
  },
  {
    name: "concat of nothing",
    op: "concat",
    inputs: { values: [] },
    constants: { axis: 0 },
    expect: { error: '"values" must hold at least one tensor', code: "BAD_MODEL" },
  },
  {
    name: "concat of different ranks",
    op: "concat",
    inputs: { values: [x, f32([1])] },
    constants: { axis: 0 },
    expect: { error: '"values" must have the same rank, got 2 and 1', code: "BAD_MODEL" },
  },
  {
    name: "concat of sizes that do not fit",
    op: "concat",
    inputs: { values: [x, f32([1, 2], [1, 2])] },
    constants: { axis: 0 },
    expect: { error: "sizes 3 and 2 differ", code: "BAD_MODEL" },
  },
  {
    name: "split into parts that do not divide the axis",
    op: "split",
    inputs: { x },
    constants: { num_splits: 2, axis: 1 },
    outputs: [{ dtype: "float32" }, { dtype: "float32" }],
    expect: { error: '"num_splits" must divide the 3 elements, got 2', code: "BAD_MODEL" },
  },
  {
    name: "split sizes that do not add up",
    op: "split",
    inputs: { x },
    constants: { split_sizes: [1, 1], axis: 1 },
    outputs: [{ dtype: "float32" }, { dtype: "float32" }],
    expect: { error: '"split_sizes" must add up to 3, got 2', code: "BAD_MODEL" },
  },
  {
    name: "negative split sizes",
    op: "split",
    inputs: { x },
    constants: { split_sizes: [4, -1], axis: 1 },
    outputs: [{ dtype: "float32" }, { dtype: "float32" }],
    expect: { error: '"split_sizes" must not be negative, got 4, -1', code: "BAD_MODEL" },
  },
  {
    name: "more split sizes than results",
    op: "split",
    inputs: { x },
    constants: { split_sizes: [1, 1, 1], axis: 1 },
    expect: { error: "3 sizes for 1 results", code: "BAD_MODEL" },
  },
  {
    name: "other results than num_splits",
    op: "split",
    inputs: { x },
    constants: { num_splits: 3, axis: 1 },
    expect: { error: '"num_splits" is 3 for 1 results', code: "BAD_MODEL" },
  },
  {
    name: "split into no parts",
    op: "split",
    inputs: { x },
    constants: { num_splits: 0, axis: 1 },
    expect: { error: '"num_splits" must be positive, got 0', code: "BAD_MODEL" },
  },
  {
    name: "tile with too few counts",
    op: "tile",
    inputs: { x },
    constants: { reps: [2] },
    expect: { error: '"reps" must have 2 values, got 1', code: "BAD_MODEL" },
  },
  {
    name: "pad with half a pair",
    op: "pad",
    inputs: { x },
    constants: { pad: [1, 2, 3] },
    expect: { error: '"pad" must have at most 4 values, two an axis, got 3', code: "BAD_MODEL" },
  },
  {
    name: "pad with half a pair of the run",
    op: "pad",
    inputs: { x, pad: tensorOf("int32", [1, 2, 3]) },
    expect: { error: '"pad" must have at most 4 values, two an axis, got 3', code: "BAD_MODEL" },
  },
  {
    name: "a negative pad",
    op: "pad",
    inputs: { x },
    constants: { pad: [-1, 0] },
    expect: { error: '"pad" must not be negative, got -1', code: "BAD_MODEL" },
  },
  {
    name: "a reflection beyond the size",
    op: "pad",
    inputs: { x },
    constants: { pad: [0, 0, 3, 0], mode: "reflect" },
    expect: { error: '"pad" must be smaller than the 3 elements it reflects, got 3', code: "BAD_MODEL" },
  },
  {
    name: "an unknown mode of pad",
    op: "pad",
    inputs: { x },
    constants: { pad: [1, 0], mode: "circular" },
    expect: {
      error: '"mode" must be one of constant, reflect, replicate, got "circular"',
      code: "BAD_MODEL",
    },
  },
  {
    name: "one_hot with a negative size",
    op: "one_hot",
    inputs: { indices },
    constants: { one_hot_vector_size: -1 },
    expect: { error: '"one_hot_vector_size" must not be negative, got -1', code: "BAD_MODEL" },
  },
  {
    name: "topk of more than there is",
    op: "topk",
    inputs: { x },
    constants: { k: 4 },
    outputs: [{ dtype: "float32" }, { dtype: "int32" }],
    expect: { error: '"k" must not exceed the 3 elements, got 4', code: "BAD_MODEL" },
  },
  {
    name: "topk with a negative k",
    op: "topk",
    inputs: { x },
    constants: { k: -2 },
    outputs: [{ dtype: "float32" }, { dtype: "int32" }],
    expect: { error: '"k" must be positive, or -1 for all, got -2', code: "BAD_MODEL" },
  },
  {
    name: "topk with indices of another type",
    op: "topk",
    opset: 17,
    inputs: { x },
    constants: { output_indices_dtype: "int8" },
    outputs: [{ dtype: "float32" }, { dtype: "int8" }],
    expect: { error: '"output_indices_dtype" must be one of int32, uint16, got "int8"', code: "BAD_MODEL" },
  },
]);
