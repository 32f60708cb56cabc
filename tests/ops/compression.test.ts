// MIL's compressed constants, and quantisation at run time. Rows of scripts/fixtures/ops/compression.py are coremltools'
// own decompression; whole packages are in compressed-packages.test.ts.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bitSize, type DType, type ElementType } from "../../src/core/dtype.ts";
import { f32, type Tensor, tensorOf } from "../../src/core/tensor.ts";
import type { MilBinding, MilFunction, MilOp } from "../../src/formats/mil.ts";
import { expectClose } from "../support/close.ts";
import {
  constOp,
  functionOf,
  milValue,
  opCases,
  packed,
  type Packed,
  runFunction,
} from "../support/op-cases.ts";

interface Stored {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface StoredRow {
  readonly name: string;
  readonly op: string;
  /** The op's two results go through constexpr_sparse_to_dense. */
  readonly sparse: boolean;
  readonly arguments: Readonly<Record<string, Stored>>;
  readonly expect: Stored & { readonly dtype: DType };
}

const fixture = join(import.meta.dir, "..", "fixtures", "ops", "compression.json");
const stored = JSON.parse(readFileSync(fixture, "utf8")) as readonly StoredRow[];

describe("compression of iOS18, against coremltools", () => {
  for (const row of stored) {
    for (const precision of ["float32", "model"] as const) {
      test(`${row.op}: ${row.name}, in ${precision} precision`, async () => {
        const { y } = await runFunction(weightFunction(row), new Map(), precision);
        const { dtype, data, shape } = row.expect;
        if (y === undefined) throw new Error("The function gives y");
        expectClose(y, tensorOf(dtype, data, shape));
      });
    }
  }
});

const bits = (...bytes: readonly number[]) => Uint8Array.from(bytes);

opCases("constexpr ops of iOS16", [
  {
    name: "constexpr_cast widens halves",
    op: "constexpr_cast",
    opset: 16,
    attributes: { source_val: tensorOf("float16", [0.5, -3]), output_dtype: "fp32" },
    expect: f32([0.5, -3]),
  },
  {
    name: "constexpr_affine_dequantize takes one scale and zero point for all",
    op: "constexpr_affine_dequantize",
    opset: 16,
    attributes: affine({ zero_point: tensorOf("uint8", [4], []), scale: f32([0.5], []) }),
    expect: f32([-2, -1.5, -1, -0.5, 0, 125.5], [2, 3]),
  },
  {
    name: "constexpr_affine_dequantize takes scales and zero points along an axis counted from the end",
    op: "constexpr_affine_dequantize",
    opset: 16,
    attributes: affine({ zero_point: tensorOf("uint8", [0, 1, 2]), scale: f32([1, 0.5, 0.25]), axis: -1 }),
    expect: f32([0, 0, 0, 3, 1.5, 63.25], [2, 3]),
  },
  {
    name: "constexpr_affine_dequantize takes one scale and zero points along an axis",
    op: "constexpr_affine_dequantize",
    opset: 16,
    attributes: affine({ zero_point: tensorOf("uint8", [0, 3]), scale: f32([2], []) }),
    expect: f32([0, 2, 4, 0, 2, 504], [2, 3]),
  },
  {
    name: "constexpr_affine_dequantize takes a zero point between whole numbers",
    op: "constexpr_affine_dequantize",
    opset: 16,
    attributes: affine({ zero_point: f32([0.5], []), scale: f32([2], []) }),
    expect: f32([-1, 1, 3, 5, 7, 509], [2, 3]),
  },
  {
    name: "constexpr_affine_dequantize refuses scales that do not fit the axis",
    op: "constexpr_affine_dequantize",
    opset: 16,
    attributes: affine({ zero_point: tensorOf("uint8", [0, 1, 2]), scale: f32([1, 2, 3]) }),
    expect: {
      error: '"scale" of shape [3, 1] does not divide data of shape [2, 3]',
      code: "BAD_MODEL",
    },
  },
  {
    name: "constexpr_affine_dequantize refuses zero points of another number than the scales",
    op: "constexpr_affine_dequantize",
    opset: 16,
    attributes: affine({ zero_point: tensorOf("uint8", [0, 1, 2]), scale: f32([1, 2]), axis: 1 }),
    expect: { error: '"scale" has 2 values for 3 blocks', code: "BAD_MODEL" },
  },
  {
    // The packing that constexpr_lut_to_dense describes: index i in bits [n*i, n*i + n), lowest first.
    name: "constexpr_lut_to_dense reads 2-bit indices from the lowest bits up",
    op: "constexpr_lut_to_dense",
    opset: 16,
    attributes: lut(bits(0b11100100, 0b01), f32([10, 20, 30, 40]), [5]),
    expect: f32([10, 20, 30, 40, 20]),
  },
  {
    name: "constexpr_lut_to_dense reads 6-bit indices across bytes",
    op: "constexpr_lut_to_dense",
    opset: 16,
    // 1, 62, 33, 12, 5 in 6 bits each.
    attributes: lut(bits(0b10000001, 0b00011111, 0b00110010, 0b000101), f32(range(64)), [5, 1]),
    expect: f32([1, 62, 33, 12, 5], [5, 1]),
  },
  {
    name: "constexpr_lut_to_dense keeps whole numbers whole",
    op: "constexpr_lut_to_dense",
    opset: 16,
    attributes: lut(bits(0b101), tensorOf("int8", [-7, 9]), [3]),
    expect: tensorOf("int8", [9, -7, 9]),
  },
  {
    name: "constexpr_lut_to_dense refuses a table of another size",
    op: "constexpr_lut_to_dense",
    opset: 16,
    attributes: lut(bits(0), f32([1, 2, 3]), [3]),
    expect: { error: '"lut" must have 2, 4, 16, 64 or 256 entries, got 3', code: "BAD_MODEL" },
  },
  {
    name: "constexpr_lut_to_dense refuses indices that end too early",
    op: "constexpr_lut_to_dense",
    opset: 16,
    attributes: lut(bits(0), f32([1, 2]), [9]),
    expect: { error: "[9] of uint1 needs 2 bytes, got 1", code: "BAD_MODEL" },
  },
  {
    name: "constexpr_lut_to_dense refuses a shape beyond every memory",
    op: "constexpr_lut_to_dense",
    opset: 16,
    attributes: lut(bits(0), f32([1, 2]), [65536, 65536]),
    expect: { error: "[65536, 65536] is too large", code: "BAD_MODEL" },
  },
  {
    // The example in constexpr_sparse_to_dense's own description: elements 2 and 3 of five are stored.
    name: "constexpr_sparse_to_dense puts stored elements where the mask has bits",
    op: "constexpr_sparse_to_dense",
    opset: 16,
    attributes: {
      nonzero_data: f32([7, 8]),
      mask: tensorOf("uint8", [0b01100]),
      shape: tensorOf("uint32", [5]),
    },
    expect: f32([0, 0, 7, 8, 0]),
  },
  {
    name: "constexpr_sparse_to_dense refuses a mask that keeps more than is stored",
    op: "constexpr_sparse_to_dense",
    opset: 16,
    attributes: {
      nonzero_data: f32([7]),
      mask: tensorOf("uint8", [0b01100]),
      shape: tensorOf("uint32", [5]),
    },
    expect: { error: "its mask keeps 2 elements, but 1 are stored", code: "BAD_MODEL" },
  },
]);

opCases("constexpr ops of iOS18", [
  {
    // Case 1 of the op's own description: two tables of four entries, three rows each.
    name: "constexpr_lut_to_dense has a table for each group of rows",
    op: "constexpr_lut_to_dense",
    opset: 18,
    constants: {
      indices: packed("uint2", [2, 3, 3, 0, 1, 0, 3, 0, 2, 1, 0, 3], [6, 2]),
      lut: tensorOf("float16", [1, 5, 9, 13, 2, 10, 18, 26], [2, 1, 4, 1]),
    },
    expect: tensorOf("float16", [9, 13, 13, 1, 5, 1, 26, 2, 18, 10, 2, 26], [6, 2]),
  },
  {
    // Case 2.1 of the description, with a = 1 2 3 and b = 4 5 6.
    name: "constexpr_lut_to_dense lays vectors along an axis",
    op: "constexpr_lut_to_dense",
    opset: 18,
    constants: {
      indices: packed("uint1", [0, 0, 1, 0, 1, 1, 0, 0], [2, 2, 2]),
      lut: tensorOf("int8", [1, 2, 3, 4, 5, 6], [1, 1, 1, 2, 3]),
      vector_axis: 1,
    },
    expect: tensorOf(
      "int8",
      [1, 1, 2, 2, 3, 3, 4, 1, 5, 2, 6, 3, 4, 4, 5, 5, 6, 6, 1, 1, 2, 2, 3, 3],
      [2, 6, 2],
    ),
  },
  {
    name: "constexpr_lut_to_dense needs to know along which axis its vectors lie",
    op: "constexpr_lut_to_dense",
    opset: 18,
    constants: { indices: packed("uint1", [0, 1]), lut: f32([1, 2, 3, 4], [1, 2, 2]) },
    expect: { error: 'input "vector_axis" is missing', code: "BAD_MODEL" },
  },
  {
    name: "constexpr_lut_to_dense refuses an axis outside the rank",
    op: "constexpr_lut_to_dense",
    opset: 18,
    constants: { indices: packed("uint1", [0, 1]), lut: f32([1, 2, 3, 4], [1, 2, 2]), vector_axis: 1 },
    expect: { error: '"vector_axis" must lie between -1 and 0, got 1', code: "BAD_MODEL" },
  },
  {
    name: "constexpr_lut_to_dense refuses a table that does not match the width of the indices",
    op: "constexpr_lut_to_dense",
    opset: 18,
    constants: { indices: packed("uint2", [0, 1]), lut: f32([1, 2], [1, 2, 1]) },
    expect: { error: '"lut" has 2 entries for 2-bit indices', code: "BAD_MODEL" },
  },
  {
    name: "constexpr_lut_to_dense refuses groups that do not divide the indices",
    op: "constexpr_lut_to_dense",
    opset: 18,
    constants: { indices: packed("uint1", [0, 1, 1]), lut: f32([1, 2, 3, 4], [2, 2, 1]) },
    expect: { error: '"lut" of shape [2, 2, 1] does not divide indices of shape [3]', code: "BAD_MODEL" },
  },
  {
    name: "constexpr_lut_to_dense refuses a table of another rank",
    op: "constexpr_lut_to_dense",
    opset: 18,
    constants: { indices: packed("uint1", [0, 1, 1]), lut: f32([1, 2], [2, 1]) },
    expect: { error: '"lut" must have rank 3, got 2', code: "BAD_MODEL" },
  },
  {
    name: "constexpr_lut_to_dense refuses indices that are none",
    op: "constexpr_lut_to_dense",
    opset: 18,
    constants: { indices: f32([0, 1]), lut: f32([1, 2], [1, 2, 1]) },
    expect: { error: "indices cannot be float32", code: "BAD_MODEL" },
  },
  {
    name: "constexpr_lut_to_dense refuses vectors that would fill the memory",
    op: "constexpr_lut_to_dense",
    opset: 18,
    constants: {
      indices: packed("uint1", Array(40000).fill(1)),
      lut: f32(Array(40000).fill(1), [1, 2, 20000]),
      vector_axis: 0,
    },
    expect: { error: "3200000000 bytes are too many", code: "BAD_MODEL" },
  },
  {
    name: "constexpr_blockwise_shift_scale of halves gives halves",
    op: "constexpr_blockwise_shift_scale",
    opset: 18,
    constants: { data: packed("int4", [-8, 7, 1, -1], [2, 2]), scale: tensorOf("float16", [0.1, 3], [2, 1]) },
    expect: tensorOf("float16", [-0.8, 0.7, 3, -3], [2, 2]),
  },
  {
    name: "constexpr_blockwise_shift_scale refuses blocks that do not divide the data",
    op: "constexpr_blockwise_shift_scale",
    opset: 18,
    constants: { data: tensorOf("int8", [1, 2, 3], [1, 3]), scale: f32([1, 2], [1, 2]) },
    expect: { error: '"scale" of shape [1, 2] does not divide data of shape [1, 3]', code: "BAD_MODEL" },
  },
  {
    name: "constexpr_blockwise_shift_scale refuses offsets of another shape",
    op: "constexpr_blockwise_shift_scale",
    opset: 18,
    constants: {
      data: tensorOf("int8", [1, 2], [1, 2]),
      scale: f32([1, 2], [1, 2]),
      offset: tensorOf("int8", [1], [1, 1]),
    },
    expect: { error: '"offset" has shape [1, 1], "scale" [1, 2]', code: "BAD_MODEL" },
  },
  {
    name: "constexpr_blockwise_shift_scale refuses data computed at run time",
    op: "constexpr_blockwise_shift_scale",
    opset: 18,
    inputs: { data: tensorOf("int8", [1, 2], [1, 2]) },
    constants: { scale: f32([1], [1, 1]) },
    expect: { error: '"data" must be a constant tensor', code: "BAD_MODEL" },
  },
  {
    name: "constexpr_sparse_to_dense keeps a mask of bits and 4-bit elements",
    op: "constexpr_sparse_to_dense",
    opset: 18,
    constants: {
      mask: packed("uint1", [0, 1, 1, 0, 0, 0, 0, 0, 1], [3, 3]),
      nonzero_data: packed("int4", [-8, 7, -1]),
    },
    outputs: [{ dtype: "int8", shape: [3, 3] }],
    expect: tensorOf("int8", [0, -8, 7, 0, 0, 0, 0, 0, -1], [3, 3]),
  },
]);

opCases("quantize", [
  {
    name: "quantize rounds half to even and stays in range",
    op: "quantize",
    opset: 17,
    inputs: { input: f32([-1000, -0.75, -0.25, 0.25, 0.75, 1000]) },
    constants: { scale: f32([0.5], []), output_dtype: "int8" },
    expect: tensorOf("int8", [-128, -2, 0, 0, 2, 127]),
    dynamic: true,
  },
  {
    name: "quantize adds the zero point after rounding",
    op: "quantize",
    opset: 17,
    inputs: { input: f32([-1, 0.3, 100]) },
    constants: { scale: f32([0.5], []), zero_point: tensorOf("uint8", [128], []), output_dtype: "uint8" },
    expect: tensorOf("uint8", [126, 129, 255]),
  },
  {
    name: "quantize has scales along an axis",
    op: "quantize",
    opset: 17,
    inputs: { input: f32([1, 2, 3, 4], [2, 2]) },
    constants: {
      scale: f32([0.5, 2]),
      zero_point: tensorOf("int8", [1, -1]),
      axis: -1,
      output_dtype: "int8",
    },
    expect: tensorOf("int8", [3, 0, 7, 1], [2, 2]),
    dynamic: true,
  },
  {
    name: "quantize takes halves",
    op: "quantize",
    opset: 17,
    inputs: { input: tensorOf("float16", [1, -2.5]) },
    constants: { scale: tensorOf("float16", [0.5], []), output_dtype: "int8" },
    expect: tensorOf("int8", [2, -5]),
  },
  {
    name: "quantize needs an axis for several scales",
    op: "quantize",
    opset: 17,
    inputs: { input: f32([1, 2]) },
    constants: { scale: f32([1, 2]), output_dtype: "int8" },
    expect: { error: 'it needs an "axis" for 2 scales', code: "BAD_MODEL" },
  },
]);

opCases("dequantize", [
  {
    name: "dequantize takes the zero point off first",
    op: "dequantize",
    opset: 17,
    inputs: { input: tensorOf("uint8", [0, 128, 255]) },
    constants: { scale: f32([0.5], []), zero_point: tensorOf("uint8", [128], []) },
    expect: f32([-64, 0, 63.5]),
    dynamic: true,
  },
  {
    name: "dequantize needs no zero point",
    op: "dequantize",
    opset: 17,
    inputs: { input: tensorOf("int8", [-128, 3]) },
    constants: { scale: f32([0.25], []) },
    expect: f32([-32, 0.75]),
  },
  {
    name: "dequantize has scales along an axis, and gives their type",
    op: "dequantize",
    opset: 17,
    inputs: { input: tensorOf("int8", [1, 2, 3, 4], [2, 2]) },
    constants: { scale: tensorOf("float16", [0.5, 2]), zero_point: tensorOf("int8", [1, -1]), axis: 0 },
    expect: tensorOf("float16", [0, 0.5, 8, 10], [2, 2]),
    dynamic: true,
  },
]);

test("a weight that nothing needs is never decoded", async () => {
  const broken = functionOf(
    { op: "constexpr_lut_to_dense", opset: 16, attributes: lut(bits(0), f32([1, 2, 3]), [3]) },
    { weight: { dtype: "float32", shape: [3] } },
  );
  const used = functionOf({ op: "square", inputs: { x: f32([3]) } }, { y: { dtype: "float32", shape: [1] } });
  const operations = [...broken.block.operations, ...used.block.operations];
  const fn: MilFunction = { ...used, opset: "iOS16", block: { ...used.block, operations } };
  const results = await runFunction(fn, new Map([["x", f32([3])]]));
  expect(Object.keys(results)).toEqual(["y"]);
});

/** The row's op on constants, its result (through sparse_to_dense where the row says so) called y. */
function weightFunction(row: StoredRow): MilFunction {
  const operations: MilOp[] = [];
  const inputs = new Map<string, readonly MilBinding[]>();
  for (const [name, { dtype, shape, data }] of Object.entries(row.arguments)) {
    operations.push(constOp(name, milValue(weight(dtype, data, shape))));
    inputs.set(name, [{ kind: "name", name }]);
  }
  const type = { kind: "tensor", dtype: row.expect.dtype, shape: row.expect.shape } as const;
  const sparseTypes = [
    { name: "mask", type: { kind: "tensor", dtype: "uint1", shape: row.expect.shape } },
    { name: "values", type: { kind: "tensor", dtype: row.expect.dtype, shape: [undefined] } },
  ] as const;
  const rest = { blocks: [], attributes: new Map() };
  operations.push({
    type: row.op,
    inputs,
    outputs: row.sparse ? sparseTypes : [{ name: "y", type }],
    ...rest,
  });
  if (row.sparse) {
    const joined = new Map<string, readonly MilBinding[]>([
      ["mask", [{ kind: "name", name: "mask" }]],
      ["nonzero_data", [{ kind: "name", name: "values" }]],
    ]);
    operations.push({
      type: "constexpr_sparse_to_dense",
      inputs: joined,
      outputs: [{ name: "y", type }],
      ...rest,
    });
  }
  const block = { inputs: [], operations, outputs: ["y"] };
  return { name: "main", opset: "iOS18", inputs: [], block, attributes: new Map() };
}

function weight(dtype: ElementType, data: readonly number[], shape: readonly number[]): Packed {
  return bitSize[dtype] < 8 ? packed(dtype, data, shape) : tensorOf(dtype as DType, data, shape);
}

/** quantized_data is 0 1 2, 3 4 255. */
function affine(parameters: { zero_point: Tensor; scale: Tensor; axis?: number }) {
  return { quantized_data: tensorOf("uint8", [0, 1, 2, 3, 4, 255], [2, 3]), axis: 0, ...parameters };
}

function lut(indices: Uint8Array, table: Tensor, shape: readonly number[]) {
  return { indices: tensorOf("uint8", indices), lut: table, shape: tensorOf("uint32", shape) };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
