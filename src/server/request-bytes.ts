// A request's body in memory, never more of it than is allowed, however long it says it is or goes on.

import { readBounded } from "../core/bytes.ts";
import { CoremlxError } from "../core/errors.ts";
import type { BodyRoom } from "./body-budget.ts";
import { decompress } from "./compression.ts";
import type { ServerLimits } from "./limits.ts";
import { refuse } from "./status.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface BodyBounds extends Pick<ServerLimits, "maxBodyBytes" | "maxBodyMs"> {
  /** Borrowed: taken from before anything is read. */
  readonly room: BodyRoom;
}

/**
 * Decompressed. Throws 413 and 415, OVERLOADED, BAD_INPUT for damage, DEADLINE when it takes too long to arrive, and INTERRUPTED when the
 * client leaves before its end.
 */
export async function readBytes(
  request: Request,
  { maxBodyBytes: maxBytes, maxBodyMs, room }: BodyBounds,
): Promise<Bytes> {
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) > maxBytes) throw tooLarge(maxBytes);
  const isPromised = length !== null && room.tryPromise(Number(length));
  const arriving: Promise<Bytes | ArrayBuffer> = isPromised
    ? request.arrayBuffer()
    : collect(request.body, maxBytes, room);
  // A small body comes with the headers: then nobody has to watch the time, which would be 3 µs of each request (measured).
  const buffer: unknown = Bun.peek(arriving);
  const bytes = buffer instanceof ArrayBuffer ? bytesOf(buffer) : await arrival(arriving, maxBodyMs);
  const encoding = request.headers.get("content-encoding");
  if (encoding === null) return bytes;
  const whole = await decompress(bytes, encoding, maxBytes);
  if (whole !== bytes) room.take(whole.length);
  return whole;
}

async function arrival(whole: Promise<Bytes | ArrayBuffer>, maxBodyMs: number): Promise<Bytes> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(refuse(504, `The body did not arrive within ${maxBodyMs} ms`, { connection: "close" })),
    maxBodyMs,
  );
  try {
    const body = await Promise.race([whole, late]);
    return body instanceof ArrayBuffer ? bytesOf(body) : body;
  } catch (cause) {
    if (cause instanceof CoremlxError) throw cause;
    throw new CoremlxError("INTERRUPTED", "Cannot read the request: its body ended early", { cause });
  } finally {
    clearTimeout(timer);
  }
}

function bytesOf(buffer: ArrayBuffer): Bytes {
  return new Uint8Array(buffer);
}

/** Counted as it comes, of a body that does not say how long it is, or for which there may be no room. */
async function collect(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  room: BodyRoom,
): Promise<Bytes> {
  if (body === null) return bytesOf(new ArrayBuffer(0));
  return readBounded(countInto(room, body), maxBytes, () => tooLarge(maxBytes));
}

async function* countInto(room: BodyRoom, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    room.take(chunk.length);
    yield chunk;
  }
}

/** The rest of it is not read: the connection ends with the answer. */
function tooLarge(maxBytes: number): CoremlxError {
  return refuse(413, `The body has more than ${maxBytes} bytes`, { connection: "close" });
}
