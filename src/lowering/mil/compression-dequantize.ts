// Quantised constants as ONNX's DequantizeLinear, where it can express the blocks: the weight stays as small as stored,
// and ONNX Runtime multiplies it out once, at load, by the same formula.

import type { DType } from "../../core/dtype.ts";
import { elementCount, numbersOf } from "../../core/tensor.ts";
import type { MilTensor } from "../../formats/mil.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Constant, Value } from "../../onnx/types.ts";
import { refineGrid } from "../weights/blocks.ts";
import { asIntegers } from "../weights/shift-scale.ts";
import { asDType, denseTensor } from "../weights/unpack.ts";

type DenseTensor = MilTensor & { readonly dtype: DType };

interface Quantised {
  readonly data: MilTensor;
  /** Its shape counts the blocks along each axis of data. */
  readonly scale: DenseTensor;
  /** Of scale's shape. */
  readonly offset: DenseTensor | undefined;
}

/** The weight as `type`. `undefined` where ONNX has no such form: data that is no 4 or 8-bit integer, offsets that are none. */
export function dequantized(g: Graph, weight: Quantised, type: "float16" | "float32"): Value | undefined {
  const { data, scale, offset } = weight;
  const { dtype } = data;
  if (dtype !== "int8" && dtype !== "uint8" && dtype !== "int4" && dtype !== "uint4") return undefined;
  if (elementCount(data.shape) === 0) return undefined;
  const layout = layoutOf(data.shape, scale.shape);
  const arranged = (tensor: DenseTensor) => refineGrid(numbersOf(tensor), scale.shape, layout.grid);
  const zeros = offset && asIntegers(arranged(offset), dtype);
  if (offset && zeros === undefined) return undefined;
  const scales = asDType(denseTensor("float32", layout.shape, arranged(scale)), type);
  const inputs: readonly Constant[] = [
    { dtype, shape: data.shape, bytes: data.bytes, source: data.source },
    { dtype: scales.dtype, shape: layout.shape, bytes: scales.bytes },
    ...(zeros ? [{ dtype, shape: layout.shape, bytes: zeros }] : []),
  ];
  return g.node(
    "DequantizeLinear",
    inputs.map((constant) => g.constant(constant)),
    layout.attributes,
  );
}

interface Layout {
  /** Blocks along each axis that scale and zero point must spell out. */
  readonly grid: readonly number[];
  /** The shape ONNX wants them in. */
  readonly shape: readonly number[];
  readonly attributes: { readonly axis?: number; readonly block_size?: number };
}

/** One scale for all, one for each place along an axis, or blocks along one axis and every place along the others. */
function layoutOf(shape: readonly number[], grid: readonly number[]): Layout {
  const divided = grid.flatMap((blocks, axis) => (blocks > 1 ? [axis] : []));
  const [axis = 0] = divided;
  if (divided.length === 0) return { grid, shape: [], attributes: {} };
  if (divided.length === 1 && grid[axis] === shape[axis]) {
    return { grid, shape: [shape[axis] ?? 1], attributes: { axis } };
  }
  // Of several partly divided axes one can stay so; the longest blocks save most.
  const blockOf = (at: number) => (shape[at] ?? 1) / (grid[at] ?? 1);
  const blocked = divided.reduce((best, at) => (blockOf(at) > blockOf(best) ? at : best), axis);
  const full = shape.map((size, at) => (at === blocked ? (grid[at] ?? 1) : size));
  return { grid: full, shape: full, attributes: { axis: blocked, block_size: blockOf(blocked) } };
}
