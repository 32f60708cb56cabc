// How a lent buffer is named to a worker.

import type { BufferLease } from "./buffer-pool.ts";
import type { SharedTensor } from "./protocol.ts";

/** Borrows: the lease must be held until the worker's reply. */
export function share(name: string, buffer: BufferLease): SharedTensor {
  const { dtype, shape, bytes } = buffer.tensor;
  return { name, dtype, shape, address: buffer.address, byteLength: bytes.byteLength };
}
