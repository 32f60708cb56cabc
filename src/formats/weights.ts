// weight.bin, the blob file beside an ML program: opened once, checked, mapped, never copied.

import { type ElementType, bitSize, byteLengthOf, isPacked } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import { badModel, quote } from "./bad-model.ts";
import { type Enclosure, mapFile, openInside, type OpenFile, readRange } from "./file-access.ts";
import type { MilTensor } from "./mil.ts";
import { lfsPointerError } from "./sniff.ts";

const headerBytes = 64;
const metadataBytes = 64;
const storageVersion = 2;
const sentinel = 0xdeadbeef;
/** Mappings start at multiples of the largest page of our platforms. */
const pageBytes = 16_384;
/** One array cannot view more (measured: 5 GiB throws): larger files are mapped blob by blob. */
const maxMappingBytes = 2 ** 32 - pageBytes;

/** The file's own numbering of element types, which is not MIL's. */
const blobTypes: readonly (ElementType | undefined)[] = [
  undefined,
  "float16",
  "float32",
  "uint8",
  "int8",
  "bfloat16",
  "int16",
  "uint16",
  "int4",
  "uint1",
  "uint2",
  "uint4",
  "uint3",
  "uint6",
  "int32",
  "uint32",
  "float8e4m3fn",
  "float8e5m2",
];

/** Owns the file and its mapping; every tensor it gives borrows from it. The mapping itself goes with its last view. */
export class WeightFile implements Disposable {
  /** Absolute real path. */
  readonly path: string;
  readonly byteLength: number;
  /** Number of blobs, by the header. */
  readonly blobCount: number;
  readonly #name: string;
  readonly #file: OpenFile;
  /** The whole file, or undefined when it is too large for one array. */
  #mapping: Uint8Array<ArrayBuffer> | undefined;
  #isDisposed = false;

  /** Throws BAD_MODEL when the file is missing, is no blob file, or lies outside the enclosure. */
  static open(enclosure: Enclosure, path: string): WeightFile {
    const file = openInside(enclosure, path);
    try {
      return new WeightFile(file, path, enclosure.limits.maxWeightFileBytes);
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(file: OpenFile, name: string, maxBytes: number) {
    this.path = file.path;
    this.byteLength = file.byteLength;
    this.#name = name;
    this.#file = file;
    if (file.byteLength > maxBytes) {
      throw badModel(
        `weight file ${quote(name)} has ${file.byteLength} bytes, more than the limit of ${maxBytes}`,
      );
    }
    this.blobCount = readHeader(readRange(file, 0, 200), name);
    if (file.byteLength <= maxMappingBytes) this.#mapping = mapFile(file);
  }

  /**
   * The blob whose metadata lie at `offset`, as a tensor that borrows from the mapping. Checks sentinel, type, range and
   * size against what the program declares; throws BAD_MODEL with a reason that does not name the value.
   */
  read(offset: bigint | number, dtype: ElementType, shape: readonly number[]): MilTensor {
    if (this.#isDisposed)
      throw new CoremlxError("INTERNAL", `Cannot read ${quote(this.#name)}: it is closed`);
    const blob = this.#metadata(BigInt(offset));
    if (blob.type !== dtype) {
      throw this.#bad(
        `is ${dtype} and its blob at ${offset} in`,
        `is ${blob.type ?? `type ${blob.typeNumber}`}`,
      );
    }
    const count = shape.reduce((product, axis) => product * axis, 1);
    const expected = byteLengthOf(dtype, count);
    const claims = `claims ${blob.byteLength} bytes`;
    if (blob.byteLength !== expected) {
      throw this.#bad(
        `needs ${expected} bytes for its shape [${shape.join(", ")}], its blob at ${offset} in`,
        claims,
      );
    }
    const padding = expected * 8 - bitSize[dtype] * count;
    if (isPacked(dtype) && blob.paddingBits !== padding) {
      throw this.#bad(`has ${padding} unused bits, its blob at ${offset} in`, `claims ${blob.paddingBits}`);
    }
    if (blob.offset < headerBytes || blob.offset + blob.byteLength > this.byteLength) {
      throw this.#bad(
        `has its blob at ${offset} in`,
        `${claims} at ${blob.offset} of a file of ${this.byteLength}`,
      );
    }
    const bytes = this.#view(blob.offset, blob.byteLength);
    return { kind: "tensor", dtype, shape, bytes, source: { path: this.path, offset: blob.offset } };
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#mapping = undefined;
    this.#file[Symbol.dispose]();
  }

  #metadata(position: bigint): BlobMetadata {
    if (position < headerBytes || position + BigInt(metadataBytes) > this.byteLength) {
      throw this.#bad(`has its blob at ${position} of`, `which has ${this.byteLength} bytes`);
    }
    const offset = Number(position);
    const view = viewOf(
      this.#mapping?.subarray(offset, offset + metadataBytes) ??
        readRange(this.#file, offset, offset + metadataBytes),
    );
    const found = view.getUint32(0, true);
    if (found !== sentinel) {
      throw this.#bad(
        `has no blob at ${offset} of`,
        `expected the sentinel 0xdeadbeef there, got 0x${found.toString(16)}`,
      );
    }
    const typeNumber = view.getUint32(4, true);
    return {
      typeNumber,
      type: blobTypes[typeNumber],
      // Beyond 2^53 these are rough, and far outside any file.
      byteLength: Number(view.getBigUint64(8, true)),
      offset: Number(view.getBigUint64(16, true)),
      paddingBits: Number(view.getBigUint64(24, true)),
    };
  }

  #view(offset: number, byteLength: number): Uint8Array<ArrayBuffer> {
    if (this.#mapping !== undefined) return this.#mapping.subarray(offset, offset + byteLength);
    const start = Math.floor(offset / pageBytes) * pageBytes;
    const length = offset - start + byteLength;
    if (length > maxMappingBytes) {
      throw new CoremlxError("UNSUPPORTED", `has ${byteLength} bytes, more than one array can hold here`);
    }
    return mapFile(this.#file, start, length).subarray(offset - start);
  }

  #bad(before: string, after: string): CoremlxError {
    return badModel(`${before} ${quote(this.#name)} ${after}`, { details: { file: this.#name } });
  }
}

interface BlobMetadata {
  readonly typeNumber: number;
  readonly type: ElementType | undefined;
  readonly byteLength: number;
  readonly offset: number;
  readonly paddingBits: number;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The number of blobs. */
function readHeader(bytes: Uint8Array, name: string): number {
  const pointer = lfsPointerError(bytes, name);
  if (pointer !== undefined) throw pointer;
  if (bytes.byteLength < headerBytes) {
    throw badModel(
      `weight file ${quote(name)} has ${bytes.byteLength} bytes, its header alone needs ${headerBytes}`,
    );
  }
  const version = viewOf(bytes).getUint32(4, true);
  if (version !== storageVersion) {
    throw badModel(
      `weight file ${quote(name)} has the format version ${version}, expected ${storageVersion}`,
    );
  }
  return viewOf(bytes).getUint32(0, true);
}
