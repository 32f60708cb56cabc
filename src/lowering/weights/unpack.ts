// Stored weights as plain arrays: packed integers one a byte, and any dense type as raw elements to move about.

import { bitSize, byteSize, type DType, type ElementType, isPacked } from "../../core/dtype.ts";
import { CoremlxError } from "../../core/errors.ts";
import { elementCount, numbersOf } from "../../core/tensor.ts";
import type { MilTensor } from "../../formats/mil.ts";
import { isDense } from "../op.ts";

/** A decoded weight may not be larger: what the file stores can be a thousandth of it. ONNX ends at 2 GiB as well. */
export const maxDecodedBytes = 2 ** 31 - 1;

/** Elements by their bits alone, for moving them without looking at them. */
export type RawArray = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** Throws BAD_MODEL when `bytes` cannot hold the elements of `shape`, or these are too many. */
export function checkedCount(tensor: MilTensor, what: string): number {
  const count = elementCount(tensor.shape);
  if (!Number.isSafeInteger(count) || count * 4 > maxDecodedBytes) {
    throw new CoremlxError("BAD_MODEL", `Cannot decode ${what}: [${tensor.shape.join(", ")}] is too large`);
  }
  const needed = Math.ceil((bitSize[tensor.dtype] * count) / 8);
  if (tensor.bytes.byteLength >= needed) return count;
  throw new CoremlxError(
    "BAD_MODEL",
    `Cannot decode ${what}: [${tensor.shape.join(", ")}] of ${tensor.dtype} needs ${needed} bytes, got ${tensor.bytes.byteLength}`,
  );
}

/** The tensor in a dense type: packed integers become uint8, int4 becomes int8. Borrows what is dense already. */
export function widen(tensor: MilTensor, what: string): MilTensor & { readonly dtype: DType } {
  const count = checkedCount(tensor, what);
  const { dtype, shape, bytes } = tensor;
  if (isDense(dtype)) return { ...tensor, dtype };
  if (!isPacked(dtype)) {
    throw new CoremlxError(
      "UNSUPPORTED",
      `Cannot decode ${what}: weights of type ${dtype} are not supported`,
    );
  }
  const unpacked = unpackBits(bytes, bitSize[dtype], count);
  if (dtype !== "int4") return { kind: "tensor", dtype: "uint8", shape, bytes: unpacked, source: undefined };
  for (let i = 0; i < count; i++) unpacked[i] = ((unpacked[i] ?? 0) << 28) >> 28;
  return { kind: "tensor", dtype: "int8", shape, bytes: unpacked, source: undefined };
}

/** A stream of n-bit numbers, lowest bit of byte 0 first, one number a byte. n is 1, 2, 3, 4, 6 or 8. */
export function unpackBits(
  bytes: Uint8Array<ArrayBuffer>,
  bits: number,
  count: number,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(new ArrayBuffer(count));
  switch (bits) {
    case 8:
      out.set(bytes.subarray(0, count));
      return out;
    case 6:
      unpackSix(bytes, out);
      return out;
    case 3:
      unpackThree(bytes, out);
      return out;
    default: {
      // A whole number of elements a byte.
      const perByte = 8 / bits;
      const mask = (1 << bits) - 1;
      const whole = Math.floor(count / perByte);
      for (let at = 0, i = 0; at < whole; at++) {
        let byte = bytes[at] ?? 0;
        for (let k = 0; k < perByte; k++) {
          out[i++] = byte & mask;
          byte >>= bits;
        }
      }
      for (let i = whole * perByte; i < count; i++) {
        out[i] = ((bytes[whole] ?? 0) >> ((i % perByte) * bits)) & mask;
      }
      return out;
    }
  }
}

/** Four numbers in three bytes. */
function unpackSix(bytes: Uint8Array<ArrayBuffer>, out: Uint8Array<ArrayBuffer>): void {
  for (let i = 0, at = 0; i < out.length; i += 4, at += 3) {
    const a = bytes[at] ?? 0;
    const b = bytes[at + 1] ?? 0;
    const c = bytes[at + 2] ?? 0;
    out[i] = a & 63; // writes beyond the end of a typed array do nothing
    out[i + 1] = (a >> 6) | ((b & 15) << 2);
    out[i + 2] = (b >> 4) | ((c & 3) << 4);
    out[i + 3] = c >> 2;
  }
}

/** Eight numbers in three bytes. */
function unpackThree(bytes: Uint8Array<ArrayBuffer>, out: Uint8Array<ArrayBuffer>): void {
  for (let i = 0, at = 0; i < out.length; i += 8, at += 3) {
    let word = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16);
    for (let k = 0; k < 8; k++) {
      out[i + k] = word & 7;
      word >>= 3;
    }
  }
}

/** A dense tensor's elements by their bits: a view where alignment allows, else a copy. */
export function rawElements(bytes: Uint8Array<ArrayBuffer>, dtype: DType): RawArray {
  const size = byteSize(dtype);
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const length = Math.floor(aligned.byteLength / size);
  if (size === 1) return new Uint8Array(aligned.buffer, aligned.byteOffset, length);
  if (size === 2) return new Uint16Array(aligned.buffer, aligned.byteOffset, length);
  if (size === 4) return new Uint32Array(aligned.buffer, aligned.byteOffset, length);
  throw new CoremlxError("UNSUPPORTED", `Cannot decode weights of type ${dtype}: not a weight type`);
}

/** Zero-filled raw elements of a type, over memory of their own. */
export function rawZeros(dtype: DType, count: number, what: string): RawArray {
  const byteLength = count * byteSize(dtype);
  if (byteLength <= maxDecodedBytes) return rawElements(new Uint8Array(new ArrayBuffer(byteLength)), dtype);
  throw new CoremlxError("BAD_MODEL", `Cannot decode ${what}: ${byteLength} bytes are too many`);
}

/** The tensor in another float type. Itself where it has that type. */
export function asDType(
  tensor: MilTensor & { readonly dtype: DType },
  dtype: "float16" | "float32",
): MilTensor & { readonly dtype: DType } {
  if (tensor.dtype === dtype) return tensor;
  const numbers = numbersOf(tensor);
  const values =
    dtype === "float16"
      ? new Float16Array(new ArrayBuffer(numbers.length * 2))
      : new Float32Array(new ArrayBuffer(numbers.length * 4));
  values.set(numbers);
  return denseTensor(dtype, tensor.shape, values);
}

export function denseTensor(
  dtype: DType,
  shape: readonly number[],
  elements: { readonly buffer: ArrayBuffer; readonly byteOffset: number; readonly byteLength: number },
): MilTensor & { readonly dtype: DType } {
  const bytes = new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
  return { kind: "tensor", dtype, shape, bytes, source: undefined };
}

/** Bits an index of this type has; undefined for types that are no index. */
export function indexBits(dtype: ElementType): number | undefined {
  return dtype === "uint8" || (isPacked(dtype) && dtype !== "int4") ? bitSize[dtype] : undefined;
}
