// Whole pages of memory outside the JavaScript heap, which go back to the system the moment they are disposed.

import { type Pointer, toArrayBuffer } from "bun:ffi";
import { CoremlxError } from "../core/errors.ts";
import { adviseHugePages, mapMemory, pageByteLength, unmapMemory } from "./kernel.ts";

/** Below this size the system has no large page to offer. */
const hugePageBytes = 2 * 1024 * 1024;

/** The longest ArrayBuffer of the runtime. */
const mostBytes = 2 ** 32;

/**
 * Owns its pages. Invariant: while it lives, `address` and `bytes` are the same memory; before the pages go, every
 * view over them is detached (it has length 0 from then on), so that no JavaScript of this thread can touch what is
 * gone. Native code and other threads know only the address: they must be done first.
 */
export class Pages implements Disposable {
  readonly address: number;
  readonly byteLength: number;
  /** What is really taken: whole pages. */
  readonly mappedByteLength: number;
  #bytes: Uint8Array<ArrayBuffer> | undefined;

  /** Takes over memory that is mapped at `address`, for at least `byteLength` bytes. */
  constructor(address: number, byteLength: number) {
    this.address = address;
    this.byteLength = byteLength;
    this.mappedByteLength = wholePages(byteLength);
    this.#bytes = viewOf(address, byteLength);
  }

  /** Borrows: good until the pages are disposed or `revokeViews` is called. Throws INTERNAL afterwards. */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (this.#bytes === undefined)
      throw new CoremlxError("INTERNAL", "Cannot use memory that was given back to the system");
    // Whoever transfers a view's buffer takes the view away, not the memory.
    if (this.#bytes.buffer.detached) this.#bytes = viewOf(this.address, this.byteLength);
    return this.#bytes;
  }

  /** Detaches every view made so far. The memory and its address stay; `bytes` is a new view. */
  revokeViews(): void {
    detach(this.bytes);
    this.#bytes = viewOf(this.address, this.byteLength);
  }

  /** May be called again. */
  [Symbol.dispose](): void {
    if (this.#bytes === undefined) return;
    detach(this.#bytes);
    this.#bytes = undefined;
    unmapMemory(this.address, this.mappedByteLength);
  }
}

/**
 * Zero pages for at least `byteLength` bytes (one page for none). Throws UNSUPPORTED for more than an ArrayBuffer can
 * show, OVERLOADED when the system has no room.
 */
export function mapPages(byteLength: number): Pages {
  checkMappable(byteLength);
  const taken = wholePages(byteLength);
  const address = mapMemory(taken, { kind: "anonymous" });
  if (taken >= hugePageBytes) adviseHugePages(address, taken);
  return new Pages(address, byteLength);
}

/** A file's first `byteLength` bytes, which it must have: beyond its end a map means death. "private": our writes stay ours. */
export function mapFile(fd: number, byteLength: number, kind: "shared" | "private"): Pages {
  checkMappable(byteLength);
  return new Pages(mapMemory(wholePages(byteLength), { kind, fd }), byteLength);
}

/** Rounded up to whole pages, and at least one. */
export function wholePages(byteLength: number): number {
  const page = pageByteLength();
  return Math.max(Math.ceil(byteLength / page), 1) * page;
}

/** Throws UNSUPPORTED for more than an ArrayBuffer can show, and for what is no size. */
export function checkMappable(byteLength: number): void {
  if (Number.isSafeInteger(byteLength) && byteLength >= 0 && byteLength <= mostBytes) return;
  throw new CoremlxError("UNSUPPORTED", `Cannot map ${byteLength} bytes: 0 to ${mostBytes} are possible`, {
    details: { byteLength, limit: mostBytes },
  });
}

function viewOf(address: number, byteLength: number): Uint8Array<ArrayBuffer> {
  // Three arguments, always: given two, bun takes the length for an offset. A buffer of no bytes is one of its own.
  if (byteLength === 0) return new Uint8Array(new ArrayBuffer(0));
  return new Uint8Array(toArrayBuffer(address as Pointer, 0, byteLength), 0, byteLength);
}

/** Moves the buffer's memory into a buffer that nobody keeps; neither of them ever frees it. */
function detach(bytes: Uint8Array<ArrayBuffer>): void {
  if (!bytes.buffer.detached) bytes.buffer.transfer();
}
