// Palettised weights: each stored index picks a value, or a vector of values, from a look-up table.

import type { DType } from "../../core/dtype.ts";
import { elementCount } from "../../core/tensor.ts";
import type { MilTensor } from "../../formats/mil.ts";
import { divides, forEachRun } from "./blocks.ts";
import { checkedCount, denseTensor, rawElements, rawZeros } from "./unpack.ts";

type DenseTensor = MilTensor & { readonly dtype: DType };

export interface Palettised {
  /** One index a byte, row-major over `shape`. */
  readonly indices: Uint8Array<ArrayBuffer>;
  readonly shape: readonly number[];
  /** [...groups along each axis of shape, number of entries, length of an entry] */
  readonly lut: DenseTensor;
  /** The axis along which an entry's elements lie; only looked at where they are several. */
  readonly vectorAxis: number;
}

/** Why the parts do not fit together, or undefined. Decoding relies on it. */
export function paletteProblem(
  { shape, lut, vectorAxis }: Palettised,
  indexBits: number,
): string | undefined {
  if (lut.shape.length !== shape.length + 2) {
    return `"lut" must have rank ${shape.length + 2}, got ${lut.shape.length}`;
  }
  if (!divides(lut.shape.slice(0, -2), shape)) {
    return `"lut" of shape [${lut.shape.join(", ")}] does not divide indices of shape [${shape.join(", ")}]`;
  }
  if (vectorAxis < 0 || vectorAxis >= Math.max(shape.length, 1))
    return `"vector_axis" ${vectorAxis} is outside the rank`;
  const entries = lut.shape.at(-2);
  return entries === 2 ** indexBits ? undefined : `"lut" has ${entries} entries for ${indexBits}-bit indices`;
}

/** The shape after decoding: an entry of V elements makes its axis V times as long. */
export function decodedShape({ shape, lut, vectorAxis }: Palettised): readonly number[] {
  const vector = lut.shape.at(-1) ?? 1;
  return shape.map((size, axis) => (axis === vectorAxis ? size * vector : size));
}

/** The dense tensor, in the table's element type. */
export function decodePalette(weight: Palettised, what: string): DenseTensor {
  const { indices, shape, lut, vectorAxis } = weight;
  checkedCount(lut, what);
  const vector = lut.shape.at(-1) ?? 1;
  const entries = lut.shape.at(-2) ?? 0;
  const table = rawElements(lut.bytes, lut.dtype);
  const outShape = decodedShape(weight);
  const out = rawZeros(lut.dtype, elementCount(outShape), what);
  const inner = elementCount(shape.slice(vectorAxis + 1));
  forEachRun(shape, lut.shape.slice(0, -2), (start, length, block) => {
    const base = block * entries * vector;
    if (vector === 1) {
      for (let i = start; i < start + length; i++) out[i] = table[base + (indices[i] ?? 0)] ?? 0;
      return;
    }
    for (let i = start; i < start + length; i++) {
      const from = base + (indices[i] ?? 0) * vector;
      // Position i is (outer, at, inside) around the vector's axis; its elements lie `inner` apart.
      const inside = i % inner;
      const to = (i - inside) * vector + inside;
      for (let v = 0; v < vector; v++) out[to + v * inner] = table[from + v] ?? 0;
    }
  });
  return denseTensor(lut.dtype, outShape, out);
}
