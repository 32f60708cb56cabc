// Outputs that another process published: what describes one, and three ways to read it.

import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import type { DType } from "../../core/dtype.ts";
import { CoremlxError, errnoOf, messageOf } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { allocate } from "../../native/memory.ts";
import { mapFile, type Pages } from "../../native/pages.ts";
import { checkByteLength } from "../buffers/buffer-pool.ts";

/** Survives JSON. Good until its owner takes it back; who has it open by then keeps these very bytes. */
export interface SharedOutput {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly path: string;
  /** `/proc/<pid>/fd/<n>`, for those who cannot see the folder. Linux only. */
  readonly descriptorPath: string | undefined;
  /** The process that owns it. */
  readonly pid: number;
}

export interface OutputView extends Disposable {
  /** Borrows: after the dispose `bytes` is empty. Writing to it changes nothing but this view. */
  readonly tensor: Tensor;
}

/**
 * Through `Bun.mmap`: the memory goes when the tensor is collected. Needs write permission, as `Bun.mmap` does. Throws
 * NOT_FOUND when the output is gone, IO when it is shorter than it says, BAD_INPUT for a description that is none.
 */
export function mapOutput(output: SharedOutput): Tensor {
  const byteLength = checkDescription(output);
  const bytes = reading(output, () => {
    const fd = openOutput(output, byteLength);
    try {
      return Bun.mmap(output.path, { shared: false, size: byteLength });
    } finally {
      closeSync(fd);
    }
  });
  assertPublished(output);
  return { dtype: output.dtype, shape: output.shape, bytes: bytes.subarray(0, byteLength) };
}

/** As `mapOutput`, and the memory goes with the dispose. */
export function openSharedOutput(output: SharedOutput): OutputView {
  const byteLength = checkDescription(output);
  const pages = reading(output, (): Pages => {
    const fd = openOutput(output, byteLength);
    try {
      return mapFile(fd, byteLength, "private");
    } finally {
      closeSync(fd); // the map keeps the file
    }
  });
  try {
    assertPublished(output);
  } catch (error) {
    pages[Symbol.dispose]();
    throw error;
  }
  return {
    tensor: { dtype: output.dtype, shape: output.shape, bytes: pages.bytes },
    [Symbol.dispose]: () => pages[Symbol.dispose](),
  };
}

/** A copy. The one way for which a file that is cut short while it is read is an error, and not a signal. */
export function readSharedOutput(output: SharedOutput): Tensor {
  const byteLength = checkDescription(output);
  const bytes = allocate(byteLength);
  reading(output, () => {
    const fd = openOutput(output, byteLength);
    try {
      for (let at = 0; at < byteLength; ) {
        const count = readSync(fd, bytes, at, byteLength - at, at);
        if (count === 0) throw tooShort(output, at);
        at += count;
      }
    } finally {
      closeSync(fd);
    }
  });
  assertPublished(output);
  return { dtype: output.dtype, shape: output.shape, bytes };
}

/** The description comes from another process. */
function checkDescription(output: SharedOutput): number {
  const byteLength = checkByteLength(output.dtype, output.shape, "read an output");
  if (byteLength === output.byteLength) return byteLength;
  throw new CoremlxError(
    "BAD_INPUT",
    `Cannot read the output ${output.path}: its shape takes ${byteLength} bytes, it says ${output.byteLength}`,
  );
}

function openOutput(output: SharedOutput, byteLength: number): number {
  const fd = openSync(output.path, constants.O_RDONLY | constants.O_NONBLOCK); // a FIFO must not hold us
  const found = fstatSync(fd);
  if (found.isFile() && found.size >= byteLength) return fd;
  closeSync(fd);
  throw found.isFile()
    ? tooShort(output, found.size)
    : new CoremlxError("IO", `Cannot read the output ${output.path}: it is no file`);
}

/** The owner removes the name first and writes again after: a name that is still there proves the right content. */
function assertPublished(output: SharedOutput): void {
  try {
    lstatSync(output.path);
  } catch (error) {
    throw gone(output, error);
  }
}

function reading<T>(output: SharedOutput, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof CoremlxError) throw error;
    const reason = errnoOf(error) ?? messageOf(error);
    if (reason === "ENOENT") throw gone(output, error);
    throw new CoremlxError("IO", `Cannot read the output ${output.path}: ${reason}`, { cause: error });
  }
}

function gone(output: SharedOutput, cause: unknown): CoremlxError {
  return new CoremlxError("NOT_FOUND", `Cannot read the output ${output.path}: its owner took it back`, {
    cause,
  });
}

function tooShort(output: SharedOutput, byteLength: number): CoremlxError {
  return new CoremlxError(
    "IO",
    `Cannot read the output ${output.path}: it has ${byteLength} of ${output.byteLength} bytes`,
    { details: { expected: output.byteLength, actual: byteLength } },
  );
}
