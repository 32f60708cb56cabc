// Zip archives, as far as npz needs them: stored and deflated members, zip64 when reading. Format: PKWARE APPNOTE 6.3.

import { crc32, deflateRawSync, inflateRawSync } from "node:zlib";
import { CoremlxError, errnoOf } from "../core/errors.ts";
import { MAX_WRITTEN_ARCHIVE_BYTES, type CodecLimits } from "./limits.ts";

export interface ZipEntry {
  readonly name: string;
  /** Decompressed size, as the directory states it; `read` refuses any other. */
  readonly byteLength: number;
  /** The content, size and checksum verified. Borrows from the archive when stored. Throws BAD_INPUT. */
  read(): Uint8Array;
}

/**
 * The members by the central directory, in its order; folders are left out. Nothing is decompressed yet. Throws
 * BAD_INPUT for damage, members that overlap, too many or too large ones; UNSUPPORTED for encryption and volumes.
 */
export function readZip(bytes: Uint8Array, subject: string, limits: CodecLimits): ZipEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const directory = findDirectory(view, subject);
  if (directory.count > limits.archiveEntries)
    throw bad(subject, `${directory.count} members are more than the limit of ${limits.archiveEntries}`);
  const entries: ZipEntry[] = [];
  const ranges: Range[] = [];
  let at = directory.start;
  let total = 0;
  for (let i = 0; i < directory.count; i++) {
    const { header, next } = readHeader(view, { at, end: directory.end, subject });
    at = next;
    if (header.name.endsWith("/")) continue;
    total += header.byteLength;
    if (header.byteLength > limits.tensorBytes || total > limits.archiveBytes)
      throw bad(
        subject,
        `${JSON.stringify(header.name)} unpacks to ${header.byteLength} bytes, more than the limit of ${Math.min(limits.tensorBytes, limits.archiveBytes)}`,
      );
    const range = locate(view, header, { end: directory.start, subject });
    ranges.push(range);
    entries.push({
      name: header.name,
      byteLength: header.byteLength,
      read: () => readMember(bytes.subarray(range.start, range.end), header, subject),
    });
  }
  if (at !== directory.end) throw bad(subject, "its directory is longer than its members");
  refuseOverlap(ranges, subject);
  return entries;
}

/** A plain archive: no zip64, dates of 1980, so that equal content gives equal bytes. Throws BAD_INPUT when it grows too large. */
export function writeZip(
  entries: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  { compress }: { readonly compress: boolean },
): Uint8Array<ArrayBuffer> {
  const locals: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let offset = 0;
  for (const { name, bytes } of entries) {
    // Sizes are checked first: the compressor takes no more than 4 GiB either.
    if (bytes.length > MAX_WRITTEN_ARCHIVE_BYTES) throw tooLarge(bytes.length);
    const data = compress ? deflateRawSync(bytes) : bytes;
    const encodedName = new TextEncoder().encode(name);
    if (encodedName.length > 0xffff)
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot write npz: a name of ${encodedName.length} bytes is too long`,
      );
    const shared = new DataView(new ArrayBuffer(26)); // the fields that both headers have, in their common order
    shared.setUint16(0, 20, true); // version needed
    shared.setUint16(2, encodedName.length === name.length ? 0 : UTF8, true);
    shared.setUint16(4, compress ? DEFLATED : STORED, true);
    shared.setUint16(8, (1 << 5) | 1, true); // 1 January 1980, midnight
    shared.setUint32(10, crc32(bytes), true);
    shared.setUint32(14, data.length, true);
    shared.setUint32(18, bytes.length, true);
    shared.setUint16(22, encodedName.length, true);
    const fields = new Uint8Array(shared.buffer);

    const local = new Uint8Array(30 + encodedName.length);
    new DataView(local.buffer).setUint32(0, LOCAL, true);
    local.set(fields, 4);
    local.set(encodedName, 30);
    locals.push(local, data);

    const record = new Uint8Array(46 + encodedName.length);
    const view = new DataView(record.buffer);
    view.setUint32(0, CENTRAL, true);
    view.setUint16(4, 20, true); // version made by
    record.set(fields, 6);
    view.setUint32(42, offset, true);
    record.set(encodedName, 46);
    central.push(record);

    offset += local.length + data.length;
    if (offset > MAX_WRITTEN_ARCHIVE_BYTES) throw tooLarge(offset);
  }
  const directoryLength = central.reduce((sum, record) => sum + record.length, 0);
  const total = offset + directoryLength + 22;
  if (total > MAX_WRITTEN_ARCHIVE_BYTES || entries.length >= 0xffff) throw tooLarge(total);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, END, true);
  end.setUint16(8, entries.length, true);
  end.setUint16(10, entries.length, true);
  end.setUint32(12, directoryLength, true);
  end.setUint32(16, offset, true);

  const out = new Uint8Array(new ArrayBuffer(total));
  let at = 0;
  for (const part of [...locals, ...central, new Uint8Array(end.buffer)]) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;

const STORED = 0;
const DEFLATED = 8;
/** Flag: the name is UTF-8. */
const UTF8 = 1 << 11;
/** Flags: encrypted, strongly encrypted, directory masked. */
const ENCRYPTED = (1 << 0) | (1 << 6) | (1 << 13);

const otherMethods: Readonly<Record<number, string>> = {
  1: "shrink",
  6: "implode",
  9: "deflate64",
  12: "bzip2",
  14: "lzma",
  93: "zstd",
  95: "xz",
};

interface Range {
  readonly start: number;
  readonly end: number;
}

interface Header {
  readonly name: string;
  readonly method: number;
  readonly crc: number;
  readonly packedLength: number;
  readonly byteLength: number;
  readonly localOffset: number;
}

function findDirectory(view: DataView, subject: string): Range & { readonly count: number } {
  const last = view.byteLength - 22;
  let at = last;
  const first = Math.max(0, last - 0xffff); // a comment of at most 65,535 bytes may follow
  while (
    at >= first &&
    !(view.getUint32(at, true) === END && at + 22 + view.getUint16(at + 20, true) === view.byteLength)
  )
    at--;
  if (at < first || last < 0)
    throw bad(subject, "it has no zip directory at its end: it is damaged, or no zip archive");
  const volume = view.getUint16(at + 4, true); // 0xffff: see the zip64 record
  if ((volume !== 0 && volume !== 0xffff) || view.getUint16(at + 6, true) !== volume) throw volumes(subject);
  let count = view.getUint16(at + 10, true);
  let length = view.getUint32(at + 12, true);
  let start = view.getUint32(at + 16, true);
  let limit = at;
  if (at >= 20 && view.getUint32(at - 20, true) === LOCATOR_64) {
    const record = size64(view, at - 12, subject);
    if (record > at - 20 - 56 || view.getUint32(record, true) !== END_64)
      throw bad(subject, "its zip64 record is damaged");
    if (view.getUint32(record + 16, true) !== 0 || view.getUint32(record + 20, true) !== 0)
      throw volumes(subject);
    count = size64(view, record + 32, subject);
    length = size64(view, record + 40, subject);
    start = size64(view, record + 48, subject);
    limit = record;
  }
  if (start + length > limit)
    throw bad(subject, `its directory would end at byte ${start + length}, behind byte ${limit}`);
  // Each record takes 46 bytes: a count that cannot be true costs no memory.
  if (count * 46 > length)
    throw bad(subject, `its directory of ${length} bytes cannot hold ${count} members`);
  return { start, end: start + length, count };
}

function readHeader(
  view: DataView,
  { at, end, subject }: { readonly at: number; readonly end: number; readonly subject: string },
): { readonly header: Header; readonly next: number } {
  if (at + 46 > end || view.getUint32(at, true) !== CENTRAL)
    throw bad(subject, `its directory is damaged at byte ${at}`);
  const nameLength = view.getUint16(at + 28, true);
  const extraLength = view.getUint16(at + 30, true);
  const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
  if (next > end) throw bad(subject, `its directory is damaged at byte ${at}`);
  const rawName = new Uint8Array(view.buffer, view.byteOffset + at + 46, nameLength);
  const name = new TextDecoder().decode(rawName.slice());
  const sizes = {
    byteLength: view.getUint32(at + 24, true),
    packedLength: view.getUint32(at + 20, true),
    localOffset: view.getUint32(at + 42, true),
  };
  // The zip64 field (id 1) holds those of the three that are 0xffffffff here, in this order.
  const wanted = (["byteLength", "packedLength", "localOffset"] as const).filter(
    (key) => sizes[key] === 0xffffffff,
  );
  let field = at + 46 + nameLength;
  const extraEnd = field + extraLength;
  while (wanted.length > 0 && field + 4 <= extraEnd) {
    const length = view.getUint16(field + 2, true);
    if (view.getUint16(field, true) === 1 && length >= wanted.length * 8 && field + 4 + length <= extraEnd) {
      for (const [i, key] of wanted.entries()) sizes[key] = size64(view, field + 4 + i * 8, subject);
      break;
    }
    field += 4 + length;
  }
  if ((view.getUint16(at + 8, true) & ENCRYPTED) !== 0)
    throw new CoremlxError("UNSUPPORTED", `${subject}: its member ${JSON.stringify(name)} is encrypted`, {
      hint: "Decrypt it first",
    });
  const header = {
    name,
    method: view.getUint16(at + 10, true),
    crc: view.getUint32(at + 16, true),
    ...sizes,
  };
  if (header.method === STORED && header.packedLength !== header.byteLength)
    throw bad(
      subject,
      `its member ${JSON.stringify(name)} is stored as ${header.packedLength} bytes and said to have ${header.byteLength}`,
    );
  return { header, next };
}

/** Where the member's data lie, behind its own header. */
function locate(
  view: DataView,
  header: Header,
  { end, subject }: { readonly end: number; readonly subject: string },
): Range {
  const at = header.localOffset;
  if (at + 30 > end || view.getUint32(at, true) !== LOCAL)
    throw bad(
      subject,
      `its member ${JSON.stringify(header.name)} does not begin at byte ${at}, where the directory says`,
    );
  const start = at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
  if (start + header.packedLength > end)
    throw bad(subject, `its member ${JSON.stringify(header.name)} would end behind the directory's begin`);
  return { start, end: start + header.packedLength };
}

/** Members that share bytes are how a small archive becomes an enormous one. */
function refuseOverlap(ranges: readonly Range[], subject: string): void {
  let end = 0;
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    if (range.start < end) throw bad(subject, `two of its members share byte ${range.start}`);
    end = range.end;
  }
}

function readMember(packed: Uint8Array, header: Header, subject: string): Uint8Array {
  const content = header.method === STORED ? packed : inflate(packed, header, subject);
  if (content.length !== header.byteLength)
    throw bad(
      subject,
      `its member ${JSON.stringify(header.name)} unpacks to ${content.length} bytes, not to ${header.byteLength}`,
    );
  if (crc32(content) !== header.crc)
    throw bad(subject, `its member ${JSON.stringify(header.name)} is damaged: the checksum differs`);
  return content;
}

function inflate(packed: Uint8Array, header: Header, subject: string): Uint8Array {
  if (header.method !== DEFLATED)
    throw new CoremlxError(
      "UNSUPPORTED",
      `${subject}: its member ${JSON.stringify(header.name)} is packed by ${otherMethods[header.method] ?? `method ${header.method}`}`,
      { hint: "Write it with numpy.savez or numpy.savez_compressed" },
    );
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(1, header.byteLength) });
  } catch (cause) {
    const reason =
      errnoOf(cause) === "ERR_BUFFER_TOO_LARGE"
        ? `unpacks to more than ${header.byteLength} bytes`
        : "is damaged";
    throw new CoremlxError("BAD_INPUT", `${subject}: its member ${JSON.stringify(header.name)} ${reason}`, {
      cause,
    });
  }
}

function size64(view: DataView, at: number, subject: string): number {
  const size = view.getBigUint64(at, true);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw bad(subject, `a size of ${size} is beyond any file`);
  return Number(size);
}

function volumes(subject: string): CoremlxError {
  return new CoremlxError("UNSUPPORTED", `${subject}: it is one of several volumes`, {
    hint: "Join the volumes first",
  });
}

function tooLarge(byteLength: number): CoremlxError {
  return new CoremlxError(
    "BAD_INPUT",
    `Cannot write npz: ${byteLength} bytes in one archive are more than 4 GiB allow`,
    {
      hint: "Use --output-dir, which writes one file for each output",
    },
  );
}

function bad(subject: string, reason: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `${subject}: ${reason}`);
}
