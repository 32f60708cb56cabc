// A request's body in memory, never more of it than is allowed, however long it says it is or goes on.

import { readBounded } from "../core/bytes.ts";
import { CoremlxError } from "../core/errors.ts";
import { decompress } from "./compression.ts";
import type { ServerLimits } from "./limits.ts";
import { refuse } from "./status.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export type BodyLimits = Pick<ServerLimits, "maxBodyBytes" | "maxBodyMs">;

/**
 * Decompressed. Throws 413 and 415, BAD_INPUT for damage, DEADLINE when it takes too long to arrive, and INTERRUPTED when the
 * client leaves before its end.
 */
export async function readBytes(
  request: Request,
  { maxBodyBytes: maxBytes, maxBodyMs }: BodyLimits,
): Promise<Bytes> {
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) > maxBytes) throw tooLarge(maxBytes);
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(refuse(504, `The body did not arrive within ${maxBodyMs} ms`, { connection: "close" })),
    maxBodyMs,
  );
  let bytes: Bytes;
  try {
    const whole = length === null ? collect(request.body, maxBytes) : request.arrayBuffer().then(bytesOf);
    bytes = await Promise.race([whole, late]);
  } catch (cause) {
    if (cause instanceof CoremlxError) throw cause;
    throw new CoremlxError("INTERRUPTED", "Cannot read the request: its body ended early", { cause });
  } finally {
    clearTimeout(timer);
  }
  const encoding = request.headers.get("content-encoding");
  return encoding === null ? bytes : decompress(bytes, encoding, maxBytes);
}

function bytesOf(buffer: ArrayBuffer): Bytes {
  return new Uint8Array(buffer);
}

/** Of a body that does not say how long it is. */
async function collect(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Bytes> {
  if (body === null) return bytesOf(new ArrayBuffer(0));
  return readBounded(body, maxBytes, () => tooLarge(maxBytes));
}

/** The rest of it is not read: the connection ends with the answer. */
function tooLarge(maxBytes: number): CoremlxError {
  return refuse(413, `The body has more than ${maxBytes} bytes`, { connection: "close" });
}
