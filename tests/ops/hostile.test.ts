// Values and sizes at which a kernel of ONNX Runtime would end the whole process, stay busy for ever, or read beyond its
// memory: every row here did one of these once.

import { describe, expect, test } from "bun:test";
import { CoremlxError } from "../../src/core/errors.ts";
import { f32, type Tensor, tensorOf, zeros } from "../../src/core/tensor.ts";
import { milFunction, milOp, tensorType } from "../support/mil-program.ts";
import { type OpCase, opCases, runFunction, runOp } from "../support/op-cases.ts";

const ones = (...shape: number[]): Tensor =>
  f32(
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 1),
    shape,
  );
const empty = (...shape: number[]): Tensor => zeros("float32", shape);
const integers = (values: readonly number[], shape?: readonly number[]) => tensorOf("int32", values, shape);

describe("hostile divisors", () => {
  // -2^31 / -1 and 7 / 0 have no result, which one depends on the processor; the element beside them does not.
  for (const op of ["scatter", "scatter_along_axis", "scatter_nd"]) {
    test(`${op} by -1 and by 0 spoils these elements alone`, async () => {
      const inputs = {
        data: integers([-(2 ** 31), 7, -7]),
        indices: op === "scatter_nd" ? integers([0, 1, 2, 2], [4, 1]) : integers([0, 1, 2]),
        updates: op === "scatter_nd" ? integers([-1, 0, 2, 2]) : integers([-1, 0, 2]),
      };
      const row = { op, inputs, constants: { mode: "div" } };
      const { y } = await runOp(row, { y: { dtype: "int32", shape: [3] } });
      expect(y && new DataView(y.bytes.buffer).getInt32(8, true)).toBe(op === "scatter_nd" ? -1 : -3);
    });
  }
});

const lstm = {
  weight_ih: ones(8, 2),
  weight_hh: ones(8, 2),
};
const gru = { weight_ih: ones(6, 2), weight_hh: ones(6, 2) };
const resample = {
  sampling_mode: "bilinear",
  padding_mode: "border",
  padding_value: f32([0], []),
  coordinates_mode: "normalized_minus_one_to_one",
  align_corners: true,
};

/** Each is refused where its sizes are known, and fails its run alone where they are not. */
const sizes: readonly (Omit<OpCase, "expect"> & { readonly error: string })[] = [
  {
    name: "scatter_nd by indices of no axis",
    op: "scatter_nd",
    inputs: { data: ones(2), indices: zeros("int32", [3, 0]), updates: ones(3, 2) },
    error: '"indices" must not be empty',
  },
  {
    name: "topk of no rows",
    op: "topk",
    inputs: { x: empty(0, 3) },
    constants: { k: 2, axis: 1 },
    error: '"x" must not be empty',
  },
  {
    name: "argsort of no rows",
    op: "argsort",
    inputs: { x: empty(0, 3) },
    constants: { axis: 1 },
    error: '"x" must not be empty',
  },
  {
    name: "non_maximum_suppression in no image",
    op: "non_maximum_suppression",
    inputs: { boxes: empty(0, 3, 4), scores: empty(0, 3, 1) },
    constants: { iou_threshold: f32([0.5], []), score_threshold: f32([0.5], []), max_boxes: 2 },
    error: '"x" must not be empty',
  },
  {
    name: "lstm over a batch of none",
    op: "lstm",
    inputs: { x: empty(3, 0, 2), initial_h: empty(0, 2), initial_c: empty(0, 2) },
    constants: lstm,
    error: '"x" must not be empty',
  },
  {
    name: "lstm over values its weight is not for",
    op: "lstm",
    inputs: { x: ones(3, 1, 9), initial_h: empty(1, 2), initial_c: empty(1, 2) },
    constants: lstm,
    error: '"x" must have size 2 on axis 2, got [3, 1, 9]',
  },
  {
    name: "gru over no steps",
    op: "gru",
    inputs: { x: empty(0, 1, 2), initial_h: empty(1, 2) },
    constants: gru,
    error: '"x" must not be empty',
  },
  {
    name: "resample of a picture without pixels",
    op: "resample",
    inputs: { x: empty(1, 1, 0, 2), coordinates: ones(1, 1, 1, 2) },
    constants: resample,
    error: '"x" must not be empty',
  },
  {
    name: "crop_resize of a picture without pixels",
    op: "crop_resize",
    opset: 17,
    inputs: { x: empty(1, 1, 0, 2), boxes: ones(1, 4) },
    constants: { target_height: 2, target_width: 2 },
    error: '"x" must not be empty',
  },
  {
    name: "instance_norm of halves over nothing",
    op: "instance_norm",
    inputs: { x: zeros("float16", [2, 3, 0]) },
    constants: { gamma: ones(3), beta: ones(3) },
    opset: 17,
    error: '"x" must not be empty',
  },
  {
    name: "conv of channels its weight is not for",
    op: "conv",
    inputs: { x: ones(1, 4, 4, 4) },
    constants: { weight: ones(8, 8, 3, 3), pad_type: "valid" },
    error: '"weight" is for 8 input channels, "x" has 4',
  },
  {
    name: "conv with a bias for fewer channels",
    op: "conv",
    inputs: { x: ones(1, 1, 4, 4), bias: ones(1) },
    constants: { weight: ones(8, 1, 3, 3), pad_type: "valid" },
    error: '"bias" must have size 8 on axis 0, got [1]',
  },
  {
    name: "conv with a weight of the run and a bias for fewer channels",
    op: "conv",
    inputs: { x: ones(1, 1, 4, 4), weight: ones(8, 1, 3, 3), bias: ones(1) },
    constants: { pad_type: "valid" },
    error: '"bias" must have size 8 on axis 0, got [1]',
  },
  {
    name: "conv_transpose of no positions",
    op: "conv_transpose",
    inputs: { x: empty(1, 3, 0) },
    constants: { weight: ones(3, 1, 3) },
    error: '"x" must not be empty',
  },
  {
    name: "conv of no channels",
    op: "conv",
    inputs: { x: empty(1, 0, 4, 4), weight: empty(1, 0, 3, 3) },
    constants: { pad_type: "valid" },
    error: '"weight" must not be empty',
  },
  {
    name: "conv with a kernel of no elements",
    op: "conv",
    inputs: { x: ones(1, 1, 4, 4), weight: empty(1, 1, 0, 0) },
    constants: { pad_type: "valid" },
    error: '"weight" must not be empty',
  },
];

opCases(
  "hostile sizes that are known",
  sizes.map(({ error, ...row }) => ({ ...row, expect: { error, code: "BAD_MODEL" } })),
);

describe("hostile sizes of the run", () => {
  for (const { name, error: _, ...row } of sizes) {
    test(name, async () => {
      const failure = await runOp(row, { y: { dtype: "float32" } }, { dynamic: true }).catch(
        (error) => error,
      );
      expect(failure).toBeInstanceOf(CoremlxError);
      expect(failure.code).toBe("NATIVE");
    });
  }

  test("an update that does not fit its slice leaves no longer tensor behind", async () => {
    const row: Omit<OpCase, "name" | "expect"> = {
      op: "slice_update",
      opset: 18,
      inputs: { x: ones(3), update: ones(1), begin: integers([5]), end: integers([6]) },
    };
    const failure = await runOp(row, { y: { dtype: "float32", shape: [3] } }).catch((error) => error);
    expect(failure.code).toBe("NATIVE");
  });

  test("an update of all of a tensor that is larger", async () => {
    const row: Omit<OpCase, "name" | "expect"> = {
      op: "slice_update",
      opset: 18,
      inputs: { x: ones(3), update: ones(4) },
      constants: { begin: [0], end: [0], end_mask: [true] },
    };
    const failure = await runOp(row, { y: { dtype: "float32" } }, { dynamic: true }).catch((error) => error);
    expect(failure.code).toBe("NATIVE");
  });

  test("sizes of split that add up with negative ones among them", async () => {
    const row: Omit<OpCase, "name" | "expect"> = {
      op: "split",
      inputs: { x: ones(3), split_sizes: integers([2 ** 31 - 1, 4 - 2 ** 31]) },
      constants: { axis: 0 },
    };
    const outputs = { a: { dtype: "float32" }, b: { dtype: "float32" } } as const;
    const failure = await runOp(row, outputs, { dynamic: true }).catch((error) => error);
    expect(failure.code).toBe("NATIVE");
  });
});

describe("sizes that a program claims and does not keep", () => {
  const open = tensorType("float32", [undefined, undefined, undefined]);
  const claim = (shape: readonly number[]) => [
    milOp("transpose", { x: "=given", perm: [0, 1, 2] }, { x: tensorType("float32", shape) }),
  ];

  test("fail the run of an lstm", async () => {
    const state = tensorType("float32", [1, 2]);
    const layer = milOp(
      "lstm",
      { x: "=x", initial_h: "=h", initial_c: "=h", ...lstm },
      { y: tensorType("float32"), y_h: state, y_c: state },
    );
    const fn = milFunction({ given: open, h: state }, [...claim([3, 1, 2]), layer], ["y"]);
    const inputs = new Map([
      ["given", ones(3, 1, 9)],
      ["h", ones(1, 2)],
    ]);
    const failure = await runFunction(fn, inputs).catch((error) => error);
    expect(failure.code).toBe("NATIVE");
    inputs.set("given", ones(3, 1, 2));
    expect((await runFunction(fn, inputs))["y"]?.shape).toEqual([1, 1, 2]);
  });

  test("fail the run of a convolution", async () => {
    const layer = milOp(
      "conv",
      { x: "=x", weight: ones(8, 8, 3), pad_type: "valid" },
      { y: tensorType("float32") },
    );
    const fn = milFunction({ given: open }, [...claim([1, 8, 4]), layer], ["y"]);
    const failure = await runFunction(fn, new Map([["given", ones(1, 4, 4)]])).catch((error) => error);
    expect(failure.code).toBe("NATIVE");
    expect((await runFunction(fn, new Map([["given", ones(1, 8, 4)]])))["y"]?.shape).toEqual([1, 8, 2]);
  });
});

opCases("hostile halves", [
  ...["reduce_l1_norm", "reduce_sum_square"].map((op) => ({
    name: `${op} of nothing`,
    op,
    inputs: { x: zeros("float16", [3, 0]) },
    dynamic: true as const,
    expect: tensorOf("float16", [0], []),
  })),
  {
    name: "reduce_log_sum of nothing",
    op: "reduce_log_sum",
    inputs: { x: zeros("float16", [3, 0]) },
    dynamic: true,
    expect: tensorOf("float16", [-Infinity], []),
  },
]);

opCases("hostile parameters", [
  {
    name: "conv_transpose in no groups",
    op: "conv_transpose",
    inputs: { x: ones(1, 3, 4) },
    constants: { weight: ones(3, 1, 3), groups: 0 },
    expect: { error: '"groups" must be positive, got 0', code: "BAD_MODEL" },
  },
  {
    name: "conv_transpose in groups that do not divide the channels",
    op: "conv_transpose",
    inputs: { x: ones(1, 3, 4) },
    constants: { weight: ones(3, 1, 3), groups: 2 },
    expect: { error: '"groups" must divide the 3 input channels, got 2', code: "BAD_MODEL" },
  },
  {
    name: "random_uniform from above to below",
    op: "random_uniform",
    constants: { shape: [3], low: f32([5.5], []), high: f32([-5.5], []) },
    expect: { error: '"low" must not be above "high", got 5.5 and -5.5', code: "BAD_MODEL" },
  },
  {
    name: "random_normal with a negative deviation",
    op: "random_normal",
    constants: { shape: [3], stddev: f32([-1], []) },
    expect: { error: '"stddev" must not be negative, got -1', code: "BAD_MODEL" },
  },
  {
    name: "random_normal without a deviation gives the mean",
    op: "random_normal",
    constants: { shape: [2], mean: f32([1.5], []), stddev: f32([0], []) },
    expect: f32([1.5, 1.5]),
  },
  {
    name: "more boxes than anyone has",
    op: "non_maximum_suppression",
    inputs: { boxes: ones(1, 3, 4), scores: ones(1, 3, 1) },
    constants: { iou_threshold: f32([0.5], []), score_threshold: f32([0.5], []), max_boxes: 2 ** 31 - 1 },
    expect: { error: '"max_boxes" of 2147483647, more than 1048576, is not supported', code: "UNSUPPORTED" },
  },
  {
    name: "padding to more elements than fit into memory",
    op: "pad",
    inputs: { x: ones(3) },
    constants: { pad: [2 ** 31 - 1, 2 ** 31 - 1] },
    expect: {
      error: "its result float32[4294967297] has more than 1073741824 elements",
      code: "UNSUPPORTED",
    },
  },
  {
    name: "resizing to more elements than fit into memory",
    op: "resize_bilinear",
    inputs: { x: ones(1, 1, 2, 2) },
    constants: { target_size_height: 1, target_size_width: 1e9 },
    dynamic: true,
    expect: {
      error: "a target of 1 x 1000000000, more than 67108864 elements, is not supported",
      code: "UNSUPPORTED",
    },
  },
  {
    name: "scaling to more elements than fit into memory",
    op: "upsample_nearest_neighbor",
    inputs: { x: ones(1, 1, 2, 2) },
    constants: { scale_factor_height: 100_000, scale_factor_width: 100_000 },
    expect: { error: "a scale factor of 100000 x 100000 is not supported", code: "UNSUPPORTED" },
  },
  {
    name: "pools whose windows may lie in the padding",
    op: "max_pool",
    inputs: { x: ones(1, 1, 4) },
    constants: { kernel_sizes: [2], pad: [2, 2], pad_type: "custom" },
    expect: { error: "padding of 2 with a kernel of 2 is not supported", code: "UNSUPPORTED" },
  },
  {
    name: "softmax along an axis x does not have",
    op: "softmax",
    inputs: { x: ones(3) },
    constants: { axis: 5 },
    expect: { error: '"axis" must lie between -1 and 0, got 5', code: "BAD_MODEL" },
  },
  {
    name: "softmax of a scalar",
    op: "softmax",
    inputs: { x: f32([1], []) },
    expect: { error: 'a scalar has no "axis" -1', code: "BAD_MODEL" },
  },
  {
    name: "gather_nd by a scalar",
    op: "gather_nd",
    inputs: { x: ones(3), indices: integers([0], []) },
    expect: { error: '"x" and "indices" must not be scalars', code: "BAD_MODEL" },
  },
  {
    name: "gather_nd with fewer than no batch dimensions",
    op: "gather_nd",
    opset: 16,
    inputs: { x: ones(2, 3), indices: integers([0, 0], [2, 1]) },
    constants: { batch_dims: -2 },
    expect: { error: '"batch_dims" must lie between 0 and 1, got -2', code: "BAD_MODEL" },
  },
  {
    name: "an equation that is none",
    op: "einsum",
    inputs: { values: [ones(2, 3), ones(3, 2)] },
    constants: { equation: "a!b,,->->" },
    expect: { error: '"equation" must be of the form "nchw,nwhu->nchu", got "a!b,,->->"', code: "BAD_MODEL" },
  },
  {
    name: "an equation for more values",
    op: "einsum",
    inputs: { values: [ones(2, 3), ones(3, 2)] },
    constants: { equation: "ab,bc,cd->ad" },
    expect: { error: '"equation" is for 3 values, got 2', code: "BAD_MODEL" },
  },
]);
