// Foreign memory orders made ours: big endian to little, column-major to row-major.

import { byteSize } from "../core/dtype.ts";
import type { Tensor } from "../core/tensor.ts";

/** Reverses the bytes of every element, in place. */
export function swapBytes(bytes: Uint8Array<ArrayBuffer>, size: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (size === 2) buffer.swap16();
  else if (size === 4) buffer.swap32();
  else if (size === 8) buffer.swap64();
}

/** A row-major copy of elements that lie column-major (first axis fastest). */
export function reorderFortran(tensor: Tensor): Tensor {
  const { dtype, shape, bytes } = tensor;
  if (bytes.length === 0 || shape.filter((axis) => axis > 1).length < 2) return tensor;
  const size = byteSize(dtype);
  const out = new Uint8Array(new ArrayBuffer(bytes.length));
  // Elements move as integer words, not as floats: a signalling NaN would change on the way.
  const from = wordsOf(bytes.byteOffset % size === 0 ? bytes : bytes.slice(), size);
  const to = wordsOf(out, size);
  const words = size === 8 ? 2 : 1;
  const rank = shape.length;
  const strides: number[] = [];
  let stride = words;
  for (const axis of shape) {
    strides.push(stride);
    stride *= axis;
  }
  const inner = shape[rank - 1] ?? 1;
  const innerStride = strides[rank - 1] ?? 1;
  const index = shape.map(() => 0);
  let base = 0; // where the present row begins in `from`
  for (let row = 0; row < to.length; row += inner * words) {
    for (let i = 0; i < inner; i++) {
      to[row + i * words] = from[base + i * innerStride] ?? 0;
      if (words === 2) to[row + i * 2 + 1] = from[base + i * innerStride + 1] ?? 0;
    }
    for (let axis = rank - 2; axis >= 0; axis--) {
      const position = (index[axis] ?? 0) + 1;
      base += strides[axis] ?? 0;
      if (position < (shape[axis] ?? 1)) {
        index[axis] = position;
        break;
      }
      base -= position * (strides[axis] ?? 0);
      index[axis] = 0;
    }
  }
  return { dtype, shape, bytes: out };
}

function wordsOf(
  { buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>,
  size: number,
): Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  if (size === 1) return new Uint8Array(buffer, byteOffset, byteLength);
  if (size === 2) return new Uint16Array(buffer, byteOffset, byteLength / 2);
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}
