// Sparse weights: a bit for every element says whether it is stored; the rest are zero.

import { elementCount } from "../../core/tensor.ts";
import type { DType } from "../../core/dtype.ts";
import type { MilTensor } from "../../formats/mil.ts";
import { denseTensor, rawElements, rawZeros } from "./unpack.ts";

type DenseTensor = MilTensor & { readonly dtype: DType };

/** How many of the first `count` bits are set. */
export function countStored(mask: Uint8Array<ArrayBuffer>, count: number): number {
  let stored = 0;
  for (let i = 0; i < count; i++) if (((mask[i >> 3] ?? 0) >> (i & 7)) & 1) stored++;
  return stored;
}

/** The dense tensor. `stored` holds the elements of set bits, in order; as many as `countStored` says. */
export function decodeSparse(
  mask: Uint8Array<ArrayBuffer>,
  shape: readonly number[],
  stored: DenseTensor,
  what: string,
): DenseTensor {
  const count = elementCount(shape);
  const out = rawZeros(stored.dtype, count, what);
  const elements = rawElements(stored.bytes, stored.dtype);
  for (let i = 0, next = 0; i < count; i++) {
    if (((mask[i >> 3] ?? 0) >> (i & 7)) & 1) out[i] = elements[next++] ?? 0;
  }
  return denseTensor(stored.dtype, shape, out);
}

/** The elements of set bits, in order: the inverse of `decodeSparse`. */
export function storedElements(mask: Uint8Array<ArrayBuffer>, dense: DenseTensor, what: string): DenseTensor {
  const count = elementCount(dense.shape);
  const out = rawZeros(dense.dtype, countStored(mask, count), what);
  const elements = rawElements(dense.bytes, dense.dtype);
  for (let i = 0, next = 0; i < count; i++) {
    if (((mask[i >> 3] ?? 0) >> (i & 7)) & 1) out[next++] = elements[i] ?? 0;
  }
  return denseTensor(dense.dtype, [out.length], out);
}

/** The mask with every bit repeated `times` along an axis of `shape`. */
export function repeatMask(
  mask: Uint8Array<ArrayBuffer>,
  shape: readonly number[],
  axis: number,
  times: number,
): Uint8Array<ArrayBuffer> {
  const count = elementCount(shape);
  const inner = elementCount(shape.slice(axis + 1));
  const out = new Uint8Array(new ArrayBuffer(Math.ceil((count * times) / 8)));
  for (let i = 0; i < count; i++) {
    if ((((mask[i >> 3] ?? 0) >> (i & 7)) & 1) === 0) continue;
    const inside = i % inner;
    const first = (i - inside) * times + inside;
    for (let v = 0; v < times; v++) {
      const to = first + v * inner;
      out[to >> 3] = (out[to >> 3] ?? 0) | (1 << (to & 7));
    }
  }
  return out;
}
