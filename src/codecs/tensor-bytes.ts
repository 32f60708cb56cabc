// Whether an array has the bytes that its type and shape say: native code is told an address, and reads as many.

import { byteSize } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import { elementCount, type Tensor } from "../core/tensor.ts";
import { formatShape } from "./allocate.ts";

/** Throws BAD_INPUT where it has more or fewer; none at all where its memory was transferred away. `subject`: `input "x"`. */
export function checkTensorBytes({ dtype, shape, bytes }: Tensor, subject: string): void {
  const expected = elementCount(shape) * byteSize(dtype);
  if (bytes.byteLength === expected) return;
  throw new CoremlxError(
    "BAD_INPUT",
    `Cannot use ${subject}: ${dtype} ${formatShape(shape)} takes ${expected} bytes, got ${bytes.byteLength}`,
    { details: { expected, actual: bytes.byteLength } },
  );
}
