// Memory that native code may see. Everything here sits on an explicit ArrayBuffer: the storage of a small typed
// array made any other way may be moved by the engine, and a pointer to it then reads somebody else's bytes.

import { CString, type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { CoremlxError, messageOf } from "../core/errors.ts";

/** From this size on, the storage of any typed array stays where it is (it moves only up to 1,000 elements). */
export const stableByteLength = 64 * 1024;

/** Tensors handed to native code start on such a boundary: compiled kernels may use aligned vector loads. */
const lendAlignment = 16;
const scratchAlignment = 64;

/** Zero-filled bytes whose address never changes. Throws UNSUPPORTED when there is no room for them. */
export function allocate(byteLength: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(new ArrayBuffer(byteLength));
  } catch (error) {
    throw new CoremlxError("UNSUPPORTED", `Cannot allocate ${byteLength} bytes: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** As `allocate`, starting on a 64-byte boundary, and at least one byte long: nothing has no address. */
export function allocateAligned(byteLength: number): Uint8Array<ArrayBuffer> {
  const block = allocate(byteLength + scratchAlignment);
  const past = ptr(block) % scratchAlignment;
  const offset = past === 0 ? 0 : scratchAlignment - past;
  return new Uint8Array(block.buffer, offset, Math.max(byteLength, 1));
}

/** The address of a view's first byte. It holds nothing alive: keep `view` until native code is done. */
export function addressOf(view: Uint8Array<ArrayBuffer>): Pointer {
  if (view.byteLength === 0) throw new CoremlxError("INTERNAL", "Cannot take the address of no bytes");
  return ptr(view);
}

/** Whether native code may use these bytes where they lie. Memory that can shrink may be gone before it is done. */
export function canLend(bytes: Uint8Array<ArrayBuffer>): boolean {
  return bytes.byteLength >= stableByteLength && !bytes.buffer.resizable && ptr(bytes) % lendAlignment === 0;
}

/** UTF-8 with a terminating NUL. Throws BAD_INPUT for text that has a NUL inside: C would see only its start. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new CoremlxError("BAD_INPUT", `Cannot use ${JSON.stringify(text)}: it has a NUL character`);
  }
  const encoded = new TextEncoder().encode(text);
  const bytes = allocate(encoded.byteLength + 1);
  bytes.set(encoded);
  return bytes;
}

/** A copy of the NUL-terminated text at `address`. */
export function readCString(address: Pointer): string {
  return new CString(address).toString();
}

/** Borrows: the owner of the memory must outlive the view. */
export function viewMemory(address: Pointer, byteLength: number): Uint8Array<ArrayBuffer> {
  // Three arguments, always: given two, bun takes the length for an offset.
  return new Uint8Array(toArrayBuffer(address, 0, byteLength), 0, byteLength);
}

/** An array of pointers (or of int64 below 2^53) as C sees it; also the slot behind an out-parameter. Owns its memory. */
export class PointerTable {
  readonly address: Pointer;
  readonly #words: Uint32Array<ArrayBuffer>;

  constructor(length: number) {
    this.#words = new Uint32Array(new ArrayBuffer(8 * Math.max(length, 1)));
    this.address = ptr(this.#words);
  }

  /** The address of entry `index`. */
  at(index: number): Pointer {
    return (this.address + 8 * index) as Pointer;
  }

  /** The entry as a number; 0 is NULL, a negative int64 comes back negative. */
  get(index: number): number {
    const low = this.#words[2 * index] ?? 0;
    const high = this.#words[2 * index + 1] ?? 0;
    return low + (high | 0) * 2 ** 32;
  }

  /** The entry as an int32, for functions that write only that half of it. */
  getInt(index: number): number {
    return (this.#words[2 * index] ?? 0) | 0;
  }

  set(index: number, value: number): void {
    this.#words[2 * index] = value >>> 0;
    this.#words[2 * index + 1] = Math.floor(value / 2 ** 32);
  }
}

/** How many views are kept; buffers of a pool come back at the same addresses again and again. */
const mostViews = 256;

/** Views of other owners' memory, by address, made once and used again. Borrows: whoever asks knows the memory is there. */
export class MemoryViews {
  readonly #views = new Map<number, Uint8Array<ArrayBuffer>>();

  /** Bytes at `address`. An empty view for none. */
  at(address: number, byteLength: number): Uint8Array<ArrayBuffer> {
    if (byteLength === 0) return allocate(0);
    const known = this.#views.get(address);
    if (known?.byteLength === byteLength) return known;
    if (this.#views.size >= mostViews) this.#views.clear();
    const view = viewMemory(address as Pointer, byteLength);
    this.#views.set(address, view);
    return view;
  }

  clear(): void {
    this.#views.clear();
  }
}
