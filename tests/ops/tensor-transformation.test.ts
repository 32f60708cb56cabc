import { expect, test } from "bun:test";
import { f32, tensorOf } from "../../src/core/tensor.ts";
import { lower } from "../../src/lowering/lower.ts";
import { milFunction, milOp, tensorType } from "../support/mil-program.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

const x = f32([1, 2, 3, 4, 5, 6], [2, 3]);
const image = f32([1, 2, 3, 4, 5, 6], [1, 1, 2, 3]);

opCases("tensor-transformation", fixtureRows("tensor-transformation"));

opCases("tensor-transformation refuses", [
  {
    name: "depth_to_space of rank 2",
    op: "depth_to_space",
    inputs: { x },
    constants: { block_size: 2 },
    expect: { error: '"x" must have 4 axes, got 2', code: "BAD_MODEL" },
  },
  {
    name: "pixel_shuffle of channels that do not divide",
    op: "pixel_shuffle",
    inputs: { x: image },
    constants: { upscale_factor: 2 },
    expect: { error: '"upscale_factor" asks for a multiple of 4, x has 1', code: "BAD_MODEL" },
  },
  {
    name: "a block of nothing",
    op: "depth_to_space",
    inputs: { x: image },
    constants: { block_size: 0 },
    expect: { error: '"block_size" must be positive, got 0', code: "BAD_MODEL" },
  },
  {
    name: "space_to_depth of a width that does not divide",
    op: "space_to_depth",
    inputs: { x: image },
    constants: { block_size: 2 },
    expect: { error: '"block_size" asks for a multiple of 2, x has 3', code: "BAD_MODEL" },
  },
  {
    name: "pixel_unshuffle by a negative factor",
    op: "pixel_unshuffle",
    opset: 16,
    inputs: { x: image },
    constants: { downscale_factor: -2 },
    expect: { error: '"downscale_factor" must be positive, got -2', code: "BAD_MODEL" },
  },
  {
    name: "space_to_batch with one block size",
    op: "space_to_batch",
    inputs: { x: image },
    constants: { block_shape: [2], paddings: [0, 0, 0, 0] },
    expect: { error: '"block_shape" must be two positive sizes, got 2', code: "BAD_MODEL" },
  },
  {
    name: "space_to_batch with negative paddings",
    op: "space_to_batch",
    inputs: { x: image },
    constants: { block_shape: [1, 1], paddings: [0, -1, 0, 0] },
    expect: { error: '"paddings" must be four amounts, none negative, got 0, -1, 0, 0', code: "BAD_MODEL" },
  },
  {
    name: "batch_to_space of too few batches",
    op: "batch_to_space",
    inputs: { x: image },
    constants: { block_shape: [2, 2], crops: [0, 0, 0, 0] },
    expect: { error: '"block_shape" asks for a multiple of 4, x has 1', code: "BAD_MODEL" },
  },
  {
    name: "expand_dims at one axis twice",
    op: "expand_dims",
    inputs: { x },
    constants: { axes: [0, -4] },
    expect: { error: '"axes" must name each axis once, got 0, -4', code: "BAD_MODEL" },
  },
  {
    name: "squeeze of an axis that does not exist",
    op: "squeeze",
    inputs: { x },
    constants: { axes: [2] },
    expect: { error: '"axes" must lie between -2 and 1, got 2', code: "BAD_MODEL" },
  },
  {
    name: "reshape to another number of elements",
    op: "reshape",
    inputs: { x },
    constants: { shape: [4, 2] },
    expect: { error: "6 elements (2 x 3) do not fit into shape 4 x 2", code: "BAD_MODEL" },
  },
  {
    name: "reshape to a shape that does not divide",
    op: "reshape",
    inputs: { x },
    constants: { shape: [4, -1] },
    expect: { error: "6 elements (2 x 3) do not fit into shape 4 x -1", code: "BAD_MODEL" },
  },
  {
    name: "reshape with two sizes to infer",
    op: "reshape",
    inputs: { x },
    constants: { shape: [-1, -1] },
    expect: { error: '"shape" may hold one -1, got -1, -1', code: "BAD_MODEL" },
  },
  {
    name: "reshape to a negative size",
    op: "reshape",
    inputs: { x },
    constants: { shape: [-2, 3] },
    expect: { error: '"shape" must not hold -2', code: "BAD_MODEL" },
  },
  {
    name: "reshape with a 0 and another rank before iOS17",
    op: "reshape",
    inputs: { x },
    constants: { shape: [0, 3, 1] },
    expect: { error: `"shape" with a 0 must have the 2 values of x's rank, got 3`, code: "BAD_MODEL" },
  },
  {
    name: "reshape to a matrix of sizes",
    op: "reshape",
    inputs: { x },
    constants: { shape: tensorOf("int32", [6, 1], [2, 1]) },
    expect: { error: '"shape" must be a vector, got rank 2', code: "BAD_MODEL" },
  },
  {
    name: "reshape_like with lists of different lengths",
    op: "reshape_like",
    opset: 16,
    inputs: { x, ref_tensors: [x] },
    constants: {
      begins: [tensorOf("int32", [0], []), tensorOf("int32", [0], [])],
      ends: 2,
      end_masks: false,
    },
    expect: { error: '"begins" must have 1 values, got 2', code: "BAD_MODEL" },
  },
  {
    name: "reverse_sequence along the batch",
    op: "reverse_sequence",
    inputs: { x, lengths: tensorOf("int32", [1, 2]) },
    expect: { error: '"seq_axis" and "batch_axis" must differ, both are 0', code: "BAD_MODEL" },
  },
  {
    name: "transpose by half a permutation",
    op: "transpose",
    inputs: { x },
    constants: { perm: [0] },
    expect: { error: '"perm" must have 2 values, got 1', code: "BAD_MODEL" },
  },
  {
    name: "transpose by no permutation",
    op: "transpose",
    inputs: { x },
    constants: { perm: [1, -1] },
    expect: { error: '"perm" must name each axis once, got 1, -1', code: "BAD_MODEL" },
  },
  {
    name: "a slice with a stride of 0",
    op: "slice_by_index",
    inputs: { x },
    constants: { begin: [0, 0], end: [2, 3], stride: [1, 0] },
    expect: { error: '"stride" must not be 0', code: "BAD_MODEL" },
  },
  {
    name: "a slice with too few bounds",
    op: "slice_by_index",
    inputs: { x },
    constants: { begin: [0], end: [2, 3] },
    expect: { error: '"begin" must have 2 values, got 1', code: "BAD_MODEL" },
  },
  {
    name: "a slice with too many masks",
    op: "slice_by_index",
    inputs: { x },
    constants: { begin: [0, 0], end: [2, 3], end_mask: [true, true, true] },
    expect: { error: '"end_mask" must have 2 values, got 3', code: "BAD_MODEL" },
  },
  {
    name: "an index outside of its axis",
    op: "slice_by_index",
    inputs: { x },
    constants: { begin: [0, 3], end: [0, 0], squeeze_mask: [false, true] },
    expect: { error: "index 3 is outside an axis of 3 elements", code: "BAD_MODEL" },
  },
  {
    name: "slice_update with an update of another rank",
    op: "slice_update",
    opset: 18,
    inputs: { x, update: f32([1, 2]) },
    constants: { begin: [0, 0], end: [1, 2] },
    expect: { error: '"update" must have 2 axes, got 1', code: "BAD_MODEL" },
  },
  {
    name: "slice_update with an update of another size",
    op: "slice_update",
    opset: 18,
    inputs: { x, update: f32([1, 2], [1, 2]) },
    constants: { begin: [0, 0], end: [1, 3] },
    expect: { error: '"update" must have shape [1, 3], got [1, 2]', code: "BAD_MODEL" },
  },
  {
    name: "windows larger than the axis",
    op: "sliding_windows",
    inputs: { x },
    constants: { axis: 1, size: 4 },
    expect: { error: '"size" must not exceed the 3 elements, got 4', code: "BAD_MODEL" },
  },
  {
    name: "windows of nothing",
    op: "sliding_windows",
    inputs: { x },
    constants: { axis: 1, size: 0 },
    expect: { error: '"size" and "stride" must be positive, got 0 and 1', code: "BAD_MODEL" },
  },
]);

test("squeeze of axes of unknown size follows the declared rank", () => {
  const squeezed = (
    shape: readonly (number | undefined)[],
    rank: number | undefined,
    axes?: readonly number[],
  ) => {
    const y = tensorType(
      "float32",
      rank === undefined ? undefined : Array.from({ length: rank }, () => undefined),
    );
    const op = milOp("squeeze", axes ? { x: "=x", axes } : { x: "=x" }, { y });
    const [output] = lower(milFunction({ x: tensorType("float32", shape) }, [op], ["y"])).outputs;
    return output?.shape;
  };
  expect(squeezed([1, undefined, undefined], 2)).toEqual(["x_d1", "x_d2"]);
  expect(squeezed([1, undefined, 3], 1)).toEqual([3]);
  expect(squeezed([1, undefined, 3], undefined)).toEqual(["x_d1", 3]);
  expect(squeezed([1, undefined, 3], undefined, [0, 1])).toEqual([3]);
  expect(squeezed([1, undefined, 3], 2, [0, 1])).toEqual(["x_d1", 3]);
  expect(() => squeezed([undefined, undefined, 3], 2)).toThrow(
    'Cannot lower squeeze "y": squeezing some of several axes of unknown size is not supported',
  );
});
