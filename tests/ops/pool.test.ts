// The pools. Expected values: by hand here, in numpy in scripts/fixtures/ops/pool.py.

import { describe, expect, test } from "bun:test";
import { f32 } from "../../src/core/tensor.ts";
import { lower } from "../../src/lowering/lower.ts";
import { serializeModel } from "../../src/onnx/serialize.ts";
import { expectAllClose } from "../support/close.ts";
import { milFunction, milOp, tensorType } from "../support/mil-program.ts";
import { opCases, runFunction } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";
import { portableRuntime } from "../support/portable.ts";

const x = f32([1, 2, 3, 4, 5], [1, 1, 5]);
const image = f32([1], [1, 1, 1, 1]);

opCases("pool", [
  {
    name: "avg_pool counts padding unless told otherwise",
    op: "avg_pool",
    inputs: { x },
    constants: { kernel_sizes: [2], strides: [4], pad_type: "custom", pad: [1, 0] },
    expect: f32([0.5, 4.5], [1, 1, 2]),
  },
  ...fixtureRows("pool"),
  {
    name: "ceil_mode refuses asymmetric pads",
    op: "max_pool",
    inputs: { x },
    constants: { kernel_sizes: [2], pad_type: "custom", pad: [1, 0], ceil_mode: true },
    expect: { error: '"pad" must be symmetric with "ceil_mode", got 1 and 0', code: "BAD_MODEL" },
  },
  {
    name: "ceil_mode refuses same",
    op: "max_pool",
    inputs: { x },
    constants: { kernel_sizes: [2], pad_type: "same", ceil_mode: true },
    expect: { error: '"ceil_mode" does not go with pad_type "same"', code: "BAD_MODEL" },
  },
  {
    name: "ceil_mode refuses three axes",
    op: "max_pool",
    inputs: { x: f32([1], [1, 1, 1, 1, 1]) },
    constants: { kernel_sizes: [1, 1, 1], pad_type: "valid", ceil_mode: true },
    expect: { error: '"ceil_mode" is for 1 or 2 spatial axes, got 3', code: "BAD_MODEL" },
  },
  {
    name: "ceil_mode refuses a window that begins behind the input",
    op: "max_pool",
    inputs: { x },
    constants: { kernel_sizes: [1], strides: [3], pad_type: "valid", ceil_mode: true },
    expect: { error: "ceil_mode with a window behind the input's end is not supported", code: "UNSUPPORTED" },
  },
  {
    name: "l2_pool refuses three axes",
    op: "l2_pool",
    inputs: { x: f32([1], [1, 1, 1, 1, 1]) },
    constants: { kernel_sizes: [1, 1, 1], pad_type: "valid" },
    expect: { error: '"x" must have rank 3 to 4, got 5', code: "BAD_MODEL" },
  },
  {
    name: "a kernel for other axes is refused",
    op: "avg_pool",
    inputs: { x: image },
    constants: { kernel_sizes: [1], pad_type: "valid" },
    expect: { error: '"kernel_sizes" must have 2 values, got 1', code: "BAD_MODEL" },
  },
  {
    name: "pad_type is required",
    op: "avg_pool",
    inputs: { x: image },
    constants: { kernel_sizes: [1, 1] },
    expect: { error: 'input "pad_type" is missing', code: "BAD_MODEL" },
  },
]);

// ONNX Runtime would fuse the two, and then let no padding win.
describe("pools of what the program padded with zeros", () => {
  const padded = milOp("pad", { x: "=x", pad: [1, 1], mode: "constant" }, { p: tensorType("float32") });
  for (const [op, size, expected] of [
    ["max_pool", 2, [0, -1, -1, 0]],
    ["max_pool", 1, [0, -1, -2, -1, 0]],
    ["avg_pool", 1, [0, -1, -2, -1, 0]],
    ["l2_pool", 1, [0, 1, 2, 1, 0]],
  ] as const) {
    test(`${op} of ${size}`, async () => {
      const pool = milOp(
        op,
        { x: "=p", kernel_sizes: [size], pad_type: "valid" },
        { y: tensorType("float32") },
      );
      const fn = milFunction({ x: tensorType("float32", [1, 1, 3]) }, [padded, pool], ["y"]);
      const y = f32([...expected], [1, 1, expected.length]);
      expectAllClose(await runFunction(fn, new Map([["x", f32([-1, -2, -1], [1, 1, 3])]])), { y });
    });
  }
});

// ONNX Runtime would announce a third result, and not give it.
describe("ceil_mode drops a window that begins in the padding", () => {
  for (const [op, options, expected] of [
    ["max_pool", {}, [1, 3]],
    ["l2_pool", {}, [1, Math.sqrt(13)]],
    ["avg_pool", {}, [0.5, 2.5]],
    ["avg_pool", { exclude_padding_from_average: true }, [1, 2.5]],
  ] as const) {
    test(`${op} ${JSON.stringify(options)}`, async () => {
      const window = { kernel_sizes: [2], strides: [2], pad_type: "custom", pad: [1, 1], ceil_mode: true };
      const pool = milOp(op, { x: "=x", ...window, ...options }, { y: tensorType("float32") });
      const fn = milFunction({ x: tensorType("float32", [1, 1, 3]) }, [pool], ["y"]);
      const runtime = await portableRuntime();
      using session = runtime.createSession(serializeModel(lower(fn).graph).bytes, { threads: 1 });
      expect(session.outputs[0]?.dims).toEqual([1, 1, 2]);
      const y = f32([...expected], [1, 1, 2]);
      expectAllClose(await runFunction(fn, new Map([["x", f32([1, 2, 3], [1, 1, 3])]])), { y });
    });
  }
});
