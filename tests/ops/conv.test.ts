// conv, conv_quantized, conv_transpose. Expected values: by hand here, in numpy in scripts/fixtures/ops/conv.py.

import { f32, tensorOf } from "../../src/core/tensor.ts";
import { type OpCase, opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

const x = f32([1, 2, 3, 4], [1, 1, 4]);
const pair = f32([1, 10], [1, 1, 2]);
const refused: readonly OpCase[] = [
  {
    name: "conv refuses a list of the wrong length",
    op: "conv",
    inputs: { x },
    constants: { weight: pair, dilations: [1, 1] },
    expect: { error: '"dilations" must have 1 values, got 2', code: "BAD_MODEL" },
  },
  {
    name: "conv refuses pads of the wrong length",
    op: "conv",
    inputs: { x },
    constants: { weight: pair, pad_type: "custom", pad: [1] },
    expect: { error: '"pad" must have 2 values, got 1', code: "BAD_MODEL" },
  },
  {
    name: "conv refuses negative pads",
    op: "conv",
    inputs: { x },
    constants: { weight: pair, pad_type: "custom", pad: [1, -1] },
    expect: { error: '"pad" must not be negative, got -1', code: "BAD_MODEL" },
  },
  {
    name: "conv refuses a stride of zero",
    op: "conv",
    inputs: { x },
    constants: { weight: pair, strides: [0] },
    expect: { error: '"strides" must be positive, got 0', code: "BAD_MODEL" },
  },
  {
    name: "conv refuses an unknown pad_type",
    op: "conv",
    inputs: { x },
    constants: { weight: pair, pad_type: "reflect" },
    expect: { error: '"pad_type" must be one of valid, custom, same, same_lower, got "reflect"' },
  },
  {
    name: "conv refuses a matrix",
    op: "conv",
    inputs: { x: f32([1, 2], [1, 2]) },
    constants: { weight: f32([1], [1, 1]) },
    expect: { error: '"x" must have rank 3 to 5, got 2', code: "BAD_MODEL" },
  },
  {
    name: "conv refuses a weight of another rank",
    op: "conv",
    inputs: { x },
    constants: { weight: f32([1], [1, 1, 1, 1]) },
    expect: { error: '"weight" must have rank 3 as "x" has, got 4', code: "BAD_MODEL" },
  },
  {
    name: "conv refuses a weight for other channels",
    op: "conv",
    inputs: { x },
    constants: { weight: f32([1, 2], [1, 2, 1]), groups: 2 },
    expect: { error: '"weight" is for 4 input channels, "x" has 1', code: "BAD_MODEL" },
  },
  {
    name: "conv refuses no groups",
    op: "conv",
    inputs: { x },
    constants: { weight: pair, groups: 0 },
    expect: { error: '"groups" must be positive, got 0', code: "BAD_MODEL" },
  },
  {
    name: "conv_quantized refuses a look-up table",
    op: "conv_quantized",
    inputs: { x },
    constants: { weight: tensorOf("uint8", [1], [1, 1, 1]), quantization_type: "lut" },
    expect: { error: "quantization_type lut is not supported", code: "UNSUPPORTED" },
  },
  {
    name: "conv_quantized refuses 9 bits",
    op: "conv_quantized",
    inputs: { x },
    constants: { weight: tensorOf("uint8", [1], [1, 1, 1]), quantization_type: "linear", nbits: 9 },
    expect: { error: '"nbits" must lie between 1 and 8, got 9', code: "BAD_MODEL" },
  },
  {
    name: "conv_quantized refuses scales that fit no channel",
    op: "conv_quantized",
    inputs: { x },
    constants: {
      weight: tensorOf("uint8", [1], [1, 1, 1]),
      quantization_type: "linear",
      quant_scale: [0.5, 1],
      quant_bias: 0,
    },
    expect: { error: '"quant_scale" must have 1 or 1 values, got 2', code: "BAD_MODEL" },
  },
  {
    name: "conv_transpose refuses same_lower",
    op: "conv_transpose",
    inputs: { x },
    constants: { weight: pair, pad_type: "same_lower" },
    expect: { error: '"pad_type" must be one of valid, same, custom', code: "BAD_MODEL" },
  },
  {
    name: "conv_transpose refuses a short output_shape",
    op: "conv_transpose",
    inputs: { x },
    constants: { weight: pair, output_shape: [5] },
    expect: { error: '"output_shape" must have 3 values, got 1', code: "BAD_MODEL" },
  },
  {
    name: "conv_transpose refuses a weight for other channels",
    op: "conv_transpose",
    inputs: { x },
    constants: { weight: f32([1, 2], [2, 1, 1]) },
    expect: { error: '"weight" is for 2 input channels, "x" has 1', code: "BAD_MODEL" },
  },
  {
    name: "conv_transpose refuses a weight of another rank",
    op: "conv_transpose",
    inputs: { x },
    constants: { weight: f32([1], [1, 1, 1, 1]) },
    expect: { error: '"weight" must have rank 3 as "x" has, got 4', code: "BAD_MODEL" },
  },
];

opCases("conv", [
  {
    name: "conv correlates: the kernel is not turned around",
    op: "conv",
    inputs: { x },
    constants: { weight: pair },
    expect: f32([21, 32, 43], [1, 1, 3]),
  },
  {
    name: "conv_transpose spreads every element over the kernel",
    op: "conv_transpose",
    inputs: { x },
    constants: { weight: pair, strides: [2] },
    expect: f32([1, 10, 2, 20, 3, 30, 4, 40], [1, 1, 8]),
  },
  ...fixtureRows("conv"),
  ...refused,
]);
