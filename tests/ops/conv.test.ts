// conv, conv_quantized, conv_transpose. Expected values: by hand here, in numpy in scripts/fixtures/ops/conv.py.

import { describe, expect, test } from "bun:test";
import { f32, tensorOf } from "../../src/core/tensor.ts";
import type { MilOp } from "../../src/formats/mil.ts";
import { lower } from "../../src/lowering/lower.ts";
import { prune } from "../../src/onnx/prune.ts";
import { expectAllClose } from "../support/close.ts";
import { type Argument, milFunction, milOp, tensorType } from "../support/mil-program.ts";
import { type OpCase, opCases, runFunction } from "../support/op-cases.ts";
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

describe("conv after pad", () => {
  const float = tensorType("float32");
  const x = f32([1, 2, 3], [1, 1, 3]);
  const weight = f32([1, 10], [1, 1, 2]);
  const conv = (pad: Readonly<Record<string, Argument>>) =>
    milOp("conv", { x: "=p", weight, ...pad }, { y: float });
  const run = (ops: readonly MilOp[], outputs: readonly string[]) => {
    const fn = milFunction({ x: tensorType("float32", [1, 1, 3]) }, ops, outputs);
    const { nodes } = prune(lower(fn).graph);
    const kinds = [...nodes.values()].flat().map(({ op }) => op);
    return runFunction(fn, new Map([["x", x]])).then((results) => ({ results, kinds }));
  };

  test("pads by itself", async () => {
    const pad = milOp("pad", { x: "=x", pad: [1, 2], mode: "constant" }, { p: float });
    const { results, kinds } = await run([pad, conv({ pad_type: "custom", pad: [0, 1] })], ["y"]);
    expect(kinds).not.toContain("Pad");
    expectAllClose(results, { y: f32([10, 21, 32, 3, 0, 0], [1, 1, 6]) });
  });

  test("leaves padding alone that is no zeros, or not along the window", async () => {
    const ones = milOp(
      "pad",
      { x: "=x", pad: [1, 0], mode: "constant", constant_val: f32([1], []) },
      { p: float },
    );
    expectAllClose((await run([ones, conv({ pad_type: "valid" })], ["y"])).results, {
      y: f32([11, 21, 32], [1, 1, 3]),
    });
    const batch = milOp("pad", { x: "=x", pad: [1, 0, 0, 0, 0, 0], mode: "constant" }, { p: float });
    expectAllClose((await run([batch, conv({ pad_type: "valid" })], ["y"])).results, {
      y: f32([0, 0, 21, 32], [2, 1, 2]),
    });
  });

  test("sees the padded sizes in same padding", async () => {
    const pad = milOp("pad", { x: "=x", pad: [0, 2], mode: "constant" }, { p: float });
    const { results } = await run([pad, conv({ pad_type: "same", strides: [2] })], ["y"]);
    expectAllClose(results, { y: f32([21, 3, 0], [1, 1, 3]) });
  });

  // ONNX Runtime would fuse pad and pool and lose what both read.
  test("and a pool read what the program gives out as well", async () => {
    const tanh = milOp("relu", { x: "=x" }, { t: float });
    const pad = milOp("pad", { x: "=t", pad: [1, 1], mode: "constant" }, { p: float });
    const pool = milOp("max_pool", { x: "=p", kernel_sizes: [2], pad_type: "valid" }, { z: float });
    const { results } = await run([tanh, pad, conv({ pad_type: "valid" }), pool], ["t", "y", "z"]);
    expectAllClose(results, { t: x, y: f32([10, 21, 32, 3], [1, 1, 4]), z: f32([1, 2, 3, 3], [1, 1, 4]) });
  });
});
