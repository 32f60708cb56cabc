// The elements of a literal, collected one by one into the bytes of a tensor.

import { bitSize, byteLengthOf, type ElementType } from "../core/dtype.ts";
import { floatBits, type FloatType } from "./mil-number.ts";
import type { MilTensor } from "./mil.ts";

/** Bytes of a growing tensor: little endian, packed types from the lowest bit up. */
export class ElementBuffer {
  readonly #dtype: ElementType;
  readonly #bits: number;
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  constructor(dtype: ElementType, capacity: number) {
    this.#dtype = dtype;
    this.#bits = bitSize[dtype];
    this.#bytes = new Uint8Array(new ArrayBuffer(byteLengthOf(dtype, capacity)));
    this.#view = new DataView(this.#bytes.buffer);
  }

  add(value: number | bigint): void {
    const at = this.#length++;
    if (byteLengthOf(this.#dtype, this.#length) > this.#bytes.length) this.#grow();
    if (typeof value === "bigint") this.#view.setBigUint64(at * 8, BigInt.asUintN(64, value), true);
    else if (this.#dtype === "float32") this.#view.setFloat32(at * 4, value, true);
    else if (this.#dtype === "float16") this.#view.setFloat16(at * 2, value, true);
    else if (this.#dtype === "float64") this.#view.setFloat64(at * 8, value, true);
    else this.#addBits(value, at);
  }

  tensor(shape: readonly number[]): MilTensor {
    const byteLength = byteLengthOf(this.#dtype, this.#length);
    const bytes = byteLength === this.#bytes.length ? this.#bytes : this.#bytes.slice(0, byteLength);
    return { kind: "tensor", dtype: this.#dtype, shape, bytes, source: undefined };
  }

  #addBits(value: number, at: number): void {
    switch (this.#bits) {
      case 8:
        this.#bytes[at] = value;
        return;
      case 16:
        this.#view.setUint16(at * 2, value, true);
        return;
      case 32:
        this.#view.setUint32(at * 4, value, true);
        return;
      default: {
        const bit = at * this.#bits;
        const byte = Math.floor(bit / 8);
        const shifted = (value & ((1 << this.#bits) - 1)) << (bit % 8);
        this.#bytes[byte] = (this.#bytes[byte] ?? 0) | shifted;
        if (shifted > 0xff) this.#bytes[byte + 1] = shifted >> 8;
      }
    }
  }

  #grow(): void {
    const larger = new Uint8Array(new ArrayBuffer(Math.max(64, this.#bytes.length * 2)));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** What ElementBuffer takes for a float: the value, or its bits where DataView has no setter. */
export function floatElement(value: number, dtype: FloatType): number {
  return dtype === "float16" || dtype === "float32" || dtype === "float64" ? value : floatBits(value, dtype);
}
