// Memory for what a file says it holds: checked before it is asked for.

import { byteSize, type DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import { defaultLimits, type CodecLimits } from "./limits.ts";

/** Zero-filled memory of its own. `subject` opens the error: `Cannot read npy "x.npy"`. Throws BAD_INPUT. */
export function allocateBytes(
  byteLength: number,
  subject: string,
  limits: CodecLimits = defaultLimits,
): Uint8Array<ArrayBuffer> {
  if (byteLength > limits.tensorBytes)
    throw new CoremlxError(
      "BAD_INPUT",
      `${subject}: ${byteLength} bytes are more than the limit of ${limits.tensorBytes}`,
      {
        details: { limit: "tensorBytes", expected: limits.tensorBytes, actual: byteLength },
      },
    );
  try {
    return new Uint8Array(new ArrayBuffer(byteLength));
  } catch (cause) {
    throw new CoremlxError("BAD_INPUT", `${subject}: this machine has no memory for ${byteLength} bytes`, {
      cause,
    });
  }
}

/** Number of elements of an untrusted shape. Throws BAD_INPUT for a bad axis, too many axes, or too many bytes. */
export function checkElementCount(
  shape: readonly number[],
  dtype: DType,
  options: { readonly subject: string; readonly limits?: CodecLimits | undefined },
): number {
  const limits = options.limits ?? defaultLimits;
  if (shape.length > limits.rank)
    throw new CoremlxError(
      "BAD_INPUT",
      `${options.subject}: ${shape.length} axes are more than the limit of ${limits.rank}`,
    );
  let spread = 1; // product of the axes that are not zero: an empty array may not claim the universe either
  let isEmpty = false;
  for (const axis of shape) {
    if (!Number.isSafeInteger(axis) || axis < 0)
      throw new CoremlxError("BAD_INPUT", `${options.subject}: an axis of ${axis} is no size`);
    if (axis === 0) isEmpty = true;
    else spread *= axis;
    if (spread * byteSize(dtype) > Number.MAX_SAFE_INTEGER)
      throw new CoremlxError(
        "BAD_INPUT",
        `${options.subject}: shape ${formatShape(shape)} has more elements than can be counted`,
      );
  }
  const count = isEmpty ? 0 : spread;
  if (count * byteSize(dtype) > limits.tensorBytes)
    throw new CoremlxError(
      "BAD_INPUT",
      `${options.subject}: shape ${formatShape(shape)} of ${dtype} takes ${count * byteSize(dtype)} bytes, more than the limit of ${limits.tensorBytes}`,
    );
  return count;
}

/** A zero-filled tensor of an untrusted shape, over memory of its own. Throws BAD_INPUT as checkElementCount does. */
export function makeTensor(
  dtype: DType,
  shape: readonly number[],
  options: { readonly subject: string; readonly limits?: CodecLimits | undefined },
): Tensor {
  const count = checkElementCount(shape, dtype, options);
  return { dtype, shape, bytes: allocateBytes(count * byteSize(dtype), options.subject, options.limits) };
}

/** "[1, 3, 224, 224]" */
export function formatShape(shape: readonly number[]): string {
  return `[${shape.slice(0, 16).join(", ")}${shape.length > 16 ? ", …" : ""}]`;
}

/** Bool elements as 0 and 1: numpy stores so, others may store any non-zero byte. Changes `bytes`. */
export function normalizeBools(tensor: Tensor): Tensor {
  if (tensor.dtype === "bool") {
    const { bytes } = tensor;
    for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) bytes[i] = 1;
  }
  return tensor;
}
