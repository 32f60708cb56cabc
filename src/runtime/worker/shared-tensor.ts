// How a lent buffer is named to a worker.

import type { Tensor } from "../../core/tensor.ts";
import type { SharedTensor } from "./protocol.ts";

/** Borrows: the lease must be held until the worker's reply. */
export function share(
  name: string,
  buffer: { readonly tensor: Tensor; readonly address: number },
): SharedTensor {
  const { dtype, shape, bytes } = buffer.tensor;
  return { name, dtype, shape, address: buffer.address, byteLength: bytes.byteLength };
}
