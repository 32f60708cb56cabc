// Compressed bodies, in both directions. zlib works in threads of its own, and stops at the limit.

import { constants, deflate, gunzip, gzip, inflate, zstdCompress, zstdDecompress } from "node:zlib";
import { promisify } from "node:util";
import { errnoOf } from "../core/errors.ts";
import { bad } from "./protocol/request.ts";
import { refuse } from "./status.ts";

type Bytes = Uint8Array<ArrayBuffer>;

interface Encoding {
  readonly name: string;
  readonly decode: (bytes: Bytes, maxBytes: number) => Promise<Buffer>;
  readonly encode: (bytes: Bytes) => Promise<Buffer>;
}

/** The quick end of each: an answer is compressed for a network, not for an archive. */
const level = constants.Z_BEST_SPEED;

/** In the order in which they are preferred. */
const encodings: readonly Encoding[] = [
  {
    name: "zstd",
    decode: async (bytes, maxOutputLength) => {
      if (!isWholeZstd(bytes)) throw new Error("cut");
      return promisify(zstdDecompress)(bytes, { maxOutputLength });
    },
    encode: (bytes) =>
      promisify(zstdCompress)(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } }),
  },
  {
    name: "gzip",
    decode: (bytes, maxOutputLength) => promisify(gunzip)(bytes, { maxOutputLength }),
    encode: (bytes) => promisify(gzip)(bytes, { level }),
  },
  {
    name: "deflate",
    decode: (bytes, maxOutputLength) => promisify(inflate)(bytes, { maxOutputLength }),
    encode: (bytes) => promisify(deflate)(bytes, { level }),
  },
];

/** Throws 415 for an encoding nobody knows, 413 for more than `maxBytes`, BAD_INPUT for damage. */
export async function decompress(bytes: Bytes, name: string, maxBytes: number): Promise<Bytes> {
  const wanted = name.trim().toLowerCase();
  if (wanted === "identity" || wanted === "") return bytes;
  const encoding = encodings.find((candidate) => candidate.name === wanted);
  if (encoding === undefined) {
    const known = encodings.map((candidate) => candidate.name).join(", ");
    throw refuse(415, `A body's Content-Encoding can be ${known}`);
  }
  try {
    return toBytes(await encoding.decode(bytes, maxBytes));
  } catch (error) {
    if (errnoOf(error) === "ERR_BUFFER_TOO_LARGE") {
      throw refuse(413, `The body has more than ${maxBytes} bytes, decompressed`);
    }
    throw bad(`its ${wanted} data are damaged`);
  }
}

/** Frames from one end to the other (RFC 8878). Bun's decoder takes a frame that was cut for a short one. */
function isWholeZstd(bytes: Bytes): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + 5 <= bytes.length && view.getUint32(at, true) === zstdMagic) {
    const descriptor = view.getUint8(at + 4);
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const contentSize = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
    const dictionarySize = [0, 1, 2, 4][descriptor & 3] ?? 0;
    at += 5 + (isSingleSegment ? 0 : 1) + dictionarySize + contentSize;
    for (let isLast = false; !isLast; ) {
      if (at + 3 > bytes.length) return false;
      const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
      isLast = (header & 1) === 1;
      const isRepeated = ((header >> 1) & 3) === 1; // one byte stands for all of the block
      at += 3 + (isRepeated ? 1 : header >> 3);
    }
    if ((descriptor & 4) !== 0) at += 4; // checksum
    if (at === bytes.length) return true;
  }
  return false;
}

const zstdMagic = 0xfd2fb528;

/** Below, the header costs more than it saves. */
const minBytes = 1_024;

export interface Compressed {
  readonly body: Bytes;
  readonly encoding: string;
}

/** Undefined where the client does not ask for it, or it does not pay. */
export async function compress(body: Bytes, accepted: string | null): Promise<Compressed | undefined> {
  if (accepted === null || body.length < minBytes) return undefined;
  const encoding = chooseEncoding(accepted);
  if (encoding === undefined) return undefined;
  return { body: toBytes(await encoding.encode(body)), encoding: encoding.name };
}

/** The one with the greatest weight; of equals, the one we prefer. */
function chooseEncoding(accepted: string): Encoding | undefined {
  const weights = new Map<string, number>();
  for (const part of accepted.slice(0, 1_024).split(",")) {
    const [name = "", ...parameters] = part.split(";").map((piece) => piece.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith("q="));
    weights.set(name, weight === undefined ? 1 : Number(weight.slice(2)));
  }
  let best: Encoding | undefined;
  let most = 0;
  for (const encoding of encodings) {
    const weight = weights.get(encoding.name) ?? 0;
    if (weight > most) [best, most] = [encoding, weight];
  }
  return best;
}

function toBytes(buffer: Buffer): Bytes {
  return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength);
}
