// Safetensors: a length, a JSON header, then raw elements without gaps. Format: huggingface/safetensors, README.

import { byteSize, type DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import { allocateBytes, checkElementCount, formatShape, normalizeBools } from "./allocate.ts";
import { isJsonObject, parseJson, type JsonNode } from "./json-text.ts";
import { defaultLimits, type CodecLimits } from "./limits.ts";
import { missingKey, type ArchiveOptions } from "./npy.ts";

export interface SafetensorsFile {
  /** In the header's order. */
  readonly tensors: Map<string, Tensor>;
  /** The header's `__metadata__`. */
  readonly metadata: Map<string, string>;
}

/** Arrays are copied out of `bytes`. Throws BAD_INPUT for damage, UNSUPPORTED for element types that no model takes. */
export function decodeSafetensors(
  bytes: Uint8Array,
  name: string,
  options: ArchiveOptions = {},
): SafetensorsFile {
  const limits = options.limits ?? defaultLimits;
  const subject = `Cannot read safetensors ${JSON.stringify(name)}`;
  const { header, dataStart } = readHeader(bytes, subject, limits);
  const metadata = readMetadata(header, subject);
  const entries = new Map<string, Entry>();
  for (const [key, node] of header)
    if (key !== METADATA) entries.set(key, readEntry(key, node, { subject, limits }));
  checkLayout(entries, bytes.length - dataStart, subject);

  const tensors = new Map<string, Tensor>();
  for (const key of options.keys ?? [...entries.keys()].filter(options.select ?? (() => true))) {
    const entry = entries.get(key);
    if (entry === undefined) throw missingKey(subject, key, entries.keys());
    tensors.set(
      key,
      readTensor(bytes.subarray(dataStart + entry.begin, dataStart + entry.end), entry, {
        key,
        subject,
        limits,
      }),
    );
  }
  return { tensors, metadata };
}

/** Laid out as the reference implementation does: widest elements first, then by name, so that all are aligned. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array<ArrayBuffer> {
  const sorted = [...tensors].toSorted(
    ([nameA, a], [nameB, b]) =>
      typeOrder.indexOf(b.dtype) - typeOrder.indexOf(a.dtype) || compareBytes(nameA, nameB),
  );
  const fields: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    fields.push(`"${METADATA}":{${pairs.join(",")}}`);
  }
  let offset = 0;
  for (const [name, { dtype, shape, bytes }] of sorted) {
    if (name === METADATA)
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot write safetensors: an array cannot be called "${METADATA}"`,
      );
    const range = `[${offset},${offset + bytes.length}]`;
    fields.push(
      `${JSON.stringify(name)}:{"dtype":"${nameOf.get(dtype)}","shape":[${shape.join(",")}],"data_offsets":${range}}`,
    );
    offset += bytes.length;
  }
  const text = new TextEncoder().encode(`{${fields.join(",")}}`);
  const headerLength = Math.ceil(text.length / 8) * 8;
  if (headerLength > defaultLimits.safetensorsHeaderBytes)
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot write safetensors: a header of ${headerLength} bytes is more than the format allows`,
    );
  const out = allocateBytes(8 + headerLength + offset, "Cannot write safetensors");
  new DataView(out.buffer).setBigUint64(0, BigInt(headerLength), true);
  out.set(text, 8);
  out.fill(0x20, 8 + text.length, 8 + headerLength);
  let at = 8 + headerLength;
  for (const [, { bytes }] of sorted) {
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

const METADATA = "__metadata__";

/** In the reference implementation's order, which grows with the width. */
const names = [
  ["bool", "BOOL"],
  ["uint8", "U8"],
  ["int8", "I8"],
  ["int16", "I16"],
  ["uint16", "U16"],
  ["float16", "F16"],
  ["bfloat16", "BF16"],
  ["int32", "I32"],
  ["uint32", "U32"],
  ["float32", "F32"],
  ["float64", "F64"],
  ["int64", "I64"],
  ["uint64", "U64"],
] as const satisfies readonly (readonly [DType, string])[];

const typeOrder: readonly DType[] = names.map(([dtype]) => dtype);
const nameOf = new Map<DType, string>(names);
const dtypeOf = new Map<string, DType>(names.map(([dtype, name]) => [name, dtype]));

/** Types of the format that no model takes. */
const refused = new Set([
  "F4",
  "F6_E2M3",
  "F6_E3M2",
  "F8_E5M2",
  "F8_E4M3",
  "F8_E8M0",
  "F8_E4M3FNUZ",
  "F8_E5M2FNUZ",
  "C64",
]);

interface Entry {
  readonly dtypeName: string;
  /** undefined: a type of the format that we do not read. */
  readonly dtype: DType | undefined;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

interface Context {
  readonly subject: string;
  readonly limits: CodecLimits;
}

function readHeader(
  bytes: Uint8Array,
  subject: string,
  limits: CodecLimits,
): { readonly header: Map<string, JsonNode>; readonly dataStart: number } {
  if (bytes.length < 8) throw bad(subject, `it has ${bytes.length} bytes, too few for a header`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(limits.safetensorsHeaderBytes))
    throw bad(
      subject,
      `a header of ${length} bytes is more than the limit of ${limits.safetensorsHeaderBytes}`,
    );
  if (length > BigInt(bytes.length - 8))
    throw bad(subject, `the header has ${length} bytes, the file only ${bytes.length - 8} more`);
  const dataStart = 8 + Number(length);
  if (bytes[8] !== 0x7b) throw bad(subject, `the header does not begin with "{"`);
  const header = parseJson(bytes.subarray(8, dataStart), { subject, limits });
  if (!isJsonObject(header)) throw bad(subject, "the header is no JSON object");
  return { header, dataStart };
}

function readMetadata(header: ReadonlyMap<string, JsonNode>, subject: string): Map<string, string> {
  const metadata = new Map<string, string>();
  const node = header.get(METADATA);
  if (node === undefined || node === null) return metadata;
  if (!isJsonObject(node)) throw bad(subject, `"${METADATA}" is no JSON object`);
  for (const [key, value] of node) {
    if (typeof value !== "string")
      throw bad(subject, `"${METADATA}" holds ${JSON.stringify(key)}, which is no string`);
    metadata.set(key, value);
  }
  return metadata;
}

function readEntry(key: string, node: JsonNode, { subject }: Context): Entry {
  if (!isJsonObject(node)) throw bad(subject, `${JSON.stringify(key)} is no JSON object`);
  const dtypeName = node.get("dtype");
  const shape = sizes(node.get("shape"));
  const offsets = sizes(node.get("data_offsets"));
  const [begin, end] = offsets ?? [];
  if (
    typeof dtypeName !== "string" ||
    shape === undefined ||
    begin === undefined ||
    end === undefined ||
    offsets?.length !== 2
  )
    throw bad(subject, `${JSON.stringify(key)} needs "dtype", "shape" and two "data_offsets"`);
  const dtype = dtypeOf.get(dtypeName);
  if (dtype === undefined && !refused.has(dtypeName))
    throw bad(subject, `${JSON.stringify(key)} has the unknown dtype "${dtypeName}"`);
  if (begin > end)
    throw bad(subject, `${JSON.stringify(key)} ends at byte ${end}, before it begins at ${begin}`);
  return { dtypeName, dtype, shape, begin, end };
}

function sizes(node: JsonNode | undefined): readonly number[] | undefined {
  if (!Array.isArray(node)) return undefined;
  const out: number[] = [];
  for (const item of node) {
    if (typeof item !== "number" || !Number.isSafeInteger(item) || item < 0) return undefined;
    out.push(item);
  }
  return out;
}

/** The format wants every byte used exactly once. */
function checkLayout(entries: ReadonlyMap<string, Entry>, dataLength: number, subject: string): void {
  let at = 0;
  for (const [key, { begin, end }] of [...entries].toSorted(
    ([, a], [, b]) => a.begin - b.begin || a.end - b.end,
  )) {
    if (end > dataLength) throw bad(subject, `${JSON.stringify(key)} ends at byte ${end} of ${dataLength}`);
    if (begin < at)
      throw bad(subject, `${JSON.stringify(key)} begins at byte ${begin}, within another array`);
    if (begin > at) throw bad(subject, `bytes ${at} to ${begin} belong to no array`);
    at = end;
  }
  if (at !== dataLength) throw bad(subject, `its last ${dataLength - at} bytes belong to no array`);
}

function readTensor(
  data: Uint8Array,
  entry: Entry,
  { key, subject, limits }: Context & { readonly key: string },
): Tensor {
  const { dtype, shape } = entry;
  if (dtype === undefined)
    throw new CoremlxError(
      "UNSUPPORTED",
      `${subject}: the elements of ${JSON.stringify(key)} are ${entry.dtypeName}`,
      {
        hint: "Convert it to F16 or F32 first",
      },
    );
  const expected =
    checkElementCount(shape, dtype, { subject: `${subject}: ${JSON.stringify(key)}`, limits }) *
    byteSize(dtype);
  if (expected !== data.length)
    throw bad(
      subject,
      `${JSON.stringify(key)} of shape ${formatShape(shape)} and ${entry.dtypeName} takes ${expected} bytes, the header gives it ${data.length}`,
    );
  const bytes = allocateBytes(expected, subject, limits);
  bytes.set(data);
  return normalizeBools({ dtype, shape, bytes });
}

/** Order of UTF-8 bytes, which is the order of code points. */
function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function bad(subject: string, reason: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `${subject}: ${reason}`);
}
