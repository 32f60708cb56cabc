// MIL's compressed constants, and quantisation at run time.
// Semantics: coremltools, mil/ops/defs/iOS16/constexpr_ops.py, iOS17/quantization_ops.py, iOS18/compression.py.
//
// A compressed weight becomes a constant that is decoded when something needs it, so that joint compression (one
// constexpr inside another) nests by itself. What ONNX can dequantise exactly stays compressed in the graph.

import { bitSize, type DType, type ElementType } from "../../core/dtype.ts";
import { elementCount, zeros } from "../../core/tensor.ts";
import type { MilTensor } from "../../formats/mil.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { castLike, denseDType } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";
import { divides } from "../weights/blocks.ts";
import { decodedShape, decodePalette, paletteProblem, type Palettised } from "../weights/palette.ts";
import { decodeShiftScale } from "../weights/shift-scale.ts";
import { countStored, decodeSparse, repeatMask, storedElements } from "../weights/sparse.ts";
import { asDType, checkedCount, indexBits, widen } from "../weights/unpack.ts";
import { dequantized } from "./compression-dequantize.ts";

type DenseTensor = MilTensor & { readonly dtype: DType };

export const compression = {
  constexpr_cast(op, g) {
    const to = op.dtypeNamed(op.string("output_dtype", "fp32"));
    define(op, () => asDType(dense(op, "source_val"), floatType(op, to)));
    return g.cast(op.value("source_val"), to);
  },

  /** iOS16: scale * (quantized_data - zero_point), both scalar or one number for each place along `axis`. */
  constexpr_affine_dequantize(op, g) {
    const data = op.tensor("quantized_data");
    const scale = dense(op, "scale");
    const offset = dense(op, "zero_point");
    const count = Math.max(elementCount(scale.shape), elementCount(offset.shape));
    const shape = alongAxis(op, count, data.shape);
    return shiftScale(
      op,
      g,
      data,
      spread(op, scale, "scale", shape),
      spread(op, offset, "zero_point", shape),
    );
  },

  /** scale[block] * (data - offset[block]); the shape of scale counts the blocks along each axis. */
  constexpr_blockwise_shift_scale(op, g) {
    const data = op.tensor("data");
    const offset = op.has("offset") ? dense(op, "offset") : undefined;
    return shiftScale(op, g, data, dense(op, "scale"), offset);
  },

  constexpr_lut_to_dense(op) {
    define(op, () => {
      if (op.has("shape")) return decodePalette(packedPalette(op), label(op));
      const indices = op.tensor("indices");
      return decodePalette(palettised(op, indices, indices.dtype), label(op));
    });
    return [];
  },

  constexpr_sparse_to_dense(op) {
    define(op, () => {
      const mask = op.tensor("mask");
      const shape = op.has("shape") ? op.ints("shape") : mask.shape;
      return sparse(op, mask, shape, dense(op, "nonzero_data"));
    });
    return [];
  },

  /** Results: the mask, and the stored elements after look-up. */
  constexpr_lut_to_sparse(op) {
    const decode = once(() => {
      const mask = op.tensor("indices_mask");
      const { dtype } = op.tensor("indices_nonzero_data");
      const indices = sparse(op, mask, mask.shape, dense(op, "indices_nonzero_data"));
      const weight = palettised(op, indices, dtype);
      const shape = decodedShape(weight);
      const times = weight.lut.shape.at(-1) ?? 1;
      const decoded = decodePalette(weight, label(op));
      const bytes = times === 1 ? mask.bytes : repeatMask(mask.bytes, mask.shape, weight.vectorAxis, times);
      const values = storedElements(bytes, decoded, label(op));
      return { mask: { ...mask, shape, bytes, source: undefined }, values };
    });
    define(op, () => decode().mask, 0);
    define(op, () => decode().values, 1);
    return [];
  },

  /** Results: the mask, and the stored elements after scale and shift. */
  constexpr_sparse_blockwise_shift_scale(op) {
    define(op, () => op.tensor("data_mask"), 0);
    define(
      op,
      () => {
        const mask = op.tensor("data_mask");
        const data = sparse(op, mask, mask.shape, dense(op, "nonzero_data"));
        const scale = dense(op, "scale");
        const offset = op.has("offset") ? dense(op, "offset") : undefined;
        checkBlocks(op, data, scale, offset);
        const decoded = decodeShiftScale({ data, scale, offset }, floatType(op, scale.dtype), label(op));
        return storedElements(mask.bytes, decoded, label(op));
      },
      1,
    );
    return [];
  },

  /** clip(round(input / scale) + zero_point), half to even. */
  quantize(op, g) {
    const input = op.value("input");
    const scale = castLike(g, op.value("scale"), input);
    const type = op.oneOf("output_dtype", ["int8", "uint8"]);
    const zero = g.cast(op.optional("zero_point") ?? zerosLike(op, g, scale), type);
    return g.node("QuantizeLinear", [input, scale, zero], axisOf(op, input, scale));
  },

  /** scale * (input - zero_point) */
  dequantize(op, g) {
    const input = op.value("input");
    const scale = op.value("scale");
    const zero = op.optional("zero_point");
    const inputs = [input, scale, zero && g.cast(zero, denseDType(input))];
    return g.node("DequantizeLinear", inputs, axisOf(op, input, scale));
  },
} satisfies OpTable;

function label(op: Op): string {
  return `${op.type} "${op.name}"`;
}

/** A result that is a constant, decoded at the first need. */
function define(op: Op, decode: () => MilTensor, index = 0): void {
  const output = op.outputs[index] ?? op.bad(`it has ${op.outputs.length} outputs, not ${index + 1}`);
  op.scope.defineConstant(output.name, decode);
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** A constant argument in a dense type. */
function dense(op: Op, name: string): DenseTensor {
  return widen(op.tensor(name), `"${name}" of ${label(op)}`);
}

/**
 * The type weights decode to: the declared one, also where the graph then works in float32. A float16 weight is the
 * rounded product; unrounded, MobileNetV2 in int8 ends 2 % of its range away from what coremltools decompresses.
 */
function floatType(op: Op, dtype: DType): "float32" | "float16" {
  return dtype === "float16" || dtype === "float32" ? dtype : op.bad(`it cannot give ${dtype}`);
}

/** The grid of blocks that the iOS16 form means: one, or one for each place along an axis. */
function alongAxis(op: Op, count: number, shape: readonly number[]): readonly number[] {
  const ones = shape.map(() => 1);
  return count === 1 ? ones : ones.with(op.axis(op.int("axis"), shape.length), count);
}

/** One number for all blocks written out for each of them; as many numbers as blocks get the grid's shape. */
function spread(op: Op, tensor: DenseTensor, name: string, shape: readonly number[]): DenseTensor {
  const count = elementCount(tensor.shape);
  const blocks = elementCount(shape);
  if (count === blocks) return { ...tensor, shape };
  if (count !== 1) op.bad(`"${name}" has ${count} values for ${blocks} blocks`);
  const bytes = new Uint8Array(new ArrayBuffer(tensor.bytes.byteLength * blocks));
  for (let i = 0; i < blocks; i++) bytes.set(tensor.bytes, i * tensor.bytes.byteLength);
  return { ...tensor, shape, bytes, source: undefined };
}

function shiftScale(
  op: Op,
  g: Graph,
  data: MilTensor,
  scale: DenseTensor,
  offset: DenseTensor | undefined,
): Value | readonly Value[] {
  checkedCount(data, label(op));
  checkBlocks(op, data, scale, offset);
  define(op, () =>
    decodeShiftScale({ data: widen(data, label(op)), scale, offset }, floatType(op, scale.dtype), label(op)),
  );
  const type = floatType(op, scale.dtype);
  const value = dequantized(g, { data, scale, offset }, type);
  return value ? g.cast(value, op.scope.graphDType(type)) : [];
}

function checkBlocks(op: Op, data: MilTensor, scale: MilTensor, offset: MilTensor | undefined): void {
  if (!divides(scale.shape, data.shape)) {
    op.bad(
      `"scale" of shape [${scale.shape.join(", ")}] does not divide data of shape [${data.shape.join(", ")}]`,
    );
  }
  if (offset && offset.shape.join() !== scale.shape.join()) {
    op.bad(`"offset" has shape [${offset.shape.join(", ")}], "scale" [${scale.shape.join(", ")}]`);
  }
}

/** The iOS18 form: indices are a tensor, stored as `dtype`; lut has two axes more. */
function palettised(op: Op, indices: MilTensor, dtype: ElementType): Palettised {
  const bits = indexBits(dtype) ?? op.bad(`indices cannot be ${dtype}`);
  const rank = indices.shape.length;
  const vectorAxis = op.has("vector_axis") ? op.axis(op.int("vector_axis"), rank, "vector_axis") : rank - 1;
  const lut = table(op);
  if (!op.has("vector_axis") && (lut.shape.at(-1) ?? 1) > 1) op.bad('input "vector_axis" is missing');
  return checkedPalette(op, bits, {
    indices: widen(indices, `"indices" of ${label(op)}`).bytes,
    shape: indices.shape,
    lut,
    vectorAxis,
  });
}

/** The iOS16 form: indices are a stream of bits, as many for each as the table of all elements needs. */
function packedPalette(op: Op): Palettised {
  const lut = table(op);
  const shape = op.ints("shape");
  const entries = elementCount(lut.shape);
  const dtype =
    streamTypes.get(entries) ?? op.bad(`"lut" must have 2, 4, 16, 64 or 256 entries, got ${entries}`);
  return checkedPalette(op, bitSize[dtype], {
    indices: widen({ ...op.tensor("indices"), dtype, shape }, `"indices" of ${label(op)}`).bytes,
    shape,
    lut: { ...lut, shape: [...shape.map(() => 1), entries, 1] },
    vectorAxis: Math.max(shape.length - 1, 0),
  });
}

/** What an index is stored as, by the number of entries it chooses from. */
const streamTypes: ReadonlyMap<number, ElementType> = new Map([
  [2, "uint1"],
  [4, "uint2"],
  [16, "uint4"],
  [64, "uint6"],
  [256, "uint8"],
]);

function checkedPalette(op: Op, bits: number, weight: Palettised): Palettised {
  const problem = paletteProblem(weight, bits);
  return problem === undefined ? weight : op.bad(problem);
}

/** The look-up table in the type its values shall have in the graph. */
function table(op: Op): DenseTensor {
  const lut = dense(op, "lut");
  return lut.dtype.includes("float") ? asDType(lut, floatType(op, lut.dtype)) : lut;
}

function sparse(op: Op, mask: MilTensor, shape: readonly number[], stored: DenseTensor): DenseTensor {
  const count = checkedCount({ ...mask, dtype: "uint1", shape }, `"mask" of ${label(op)}`);
  const wanted = countStored(mask.bytes, count);
  const given = elementCount(stored.shape);
  if (wanted !== given) op.bad(`its mask keeps ${wanted} elements, but ${given} are stored`);
  return decodeSparse(mask.bytes, shape, stored, label(op));
}

function zerosLike(op: Op, g: Graph, scale: Value): Value {
  return g.constant(zeros("uint8", op.staticShape(scale) ?? op.unsupported('"scale" of unknown shape')));
}

function axisOf(op: Op, input: Value, scale: Value): { readonly axis?: number } {
  if (op.has("axis")) return { axis: op.axis(op.int("axis"), op.rank(input, "input")) };
  const values = scale.shape?.length === 0 ? 1 : scale.shape?.[0];
  return values === 1 ? {} : op.bad(`it needs an "axis" for ${values} scales`);
}
