// Reads an executable for Apple silicon and recomputes its code signature, without Apple's tools. macOS ends a process whose
// pages differ from their hashes, so a build that is made on Linux is checked before anybody gets it.
// Layout: <mach-o/loader.h>, and <kern/cs_blobs.h> of xnu. Usage: bun scripts/macho.ts FILE…

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const magic64 = 0xfeedfacf;
const cpuArm64 = 0x0100000c;
const executableType = 2;
const commands = { segment64: 0x19, codeSignature: 0x1d } as const;
const superBlobMagic = 0xfade0cc0;
const codeDirectoryMagic = 0xfade0c02;
const cmsMagic = 0xfade0b01;
const flags = { adhoc: 0x2, runtime: 0x10000, linkerSigned: 0x20000 } as const;
const sha256Type = 2;

export interface MachOSignature {
  readonly identifier: string;
  /** Signed without a certificate. */
  readonly isAdhoc: boolean;
  readonly isLinkerSigned: boolean;
  /** The hardened runtime is asked for. */
  readonly isHardened: boolean;
  /** A certificate's signature is there; it is not verified here. */
  readonly hasCertificate: boolean;
  readonly pages: number;
  readonly pageBytes: number;
  /** Covered by the hashes: all but the signature itself. */
  readonly coveredBytes: number;
}

/** Throws an Error that says what a Mac would refuse. */
export function checkMachO(bytes: Uint8Array): MachOSignature {
  const reader = new Reader(bytes);
  const magic = reader.little(0, "magic");
  if (magic !== magic64) throw new Error(`It is no 64-bit Mach-O: it begins with 0x${magic.toString(16)}`);
  const cpu = reader.little(4, "cputype");
  if (cpu !== cpuArm64) throw new Error(`It is for another processor: cputype 0x${cpu.toString(16)}`);
  const type = reader.little(12, "filetype");
  if (type !== executableType) throw new Error(`It is no executable: filetype ${type}`);
  const { signature, linkedit } = findParts(reader);
  if (signature === undefined) throw new Error("It is not signed: there is no LC_CODE_SIGNATURE");
  if (linkedit === undefined) throw new Error("It has no __LINKEDIT");
  if (linkedit.at + linkedit.size !== bytes.length) {
    throw new Error(`__LINKEDIT ends at ${linkedit.at + linkedit.size}, the file at ${bytes.length}`);
  }
  if (signature.at % 16 !== 0 || signature.at + signature.size > bytes.length) {
    throw new Error(`The signature, ${signature.size} bytes at ${signature.at}, does not fit the file`);
  }
  return checkSignature(bytes, reader, signature.at);
}

interface Part {
  readonly at: number;
  readonly size: number;
}

function findParts(reader: Reader): { signature?: Part; linkedit?: Part } {
  const count = reader.little(16, "ncmds");
  let signature: Part | undefined;
  let linkedit: Part | undefined;
  let at = 32;
  for (let i = 0; i < count; i++) {
    const [command, size] = [reader.little(at, "cmd"), reader.little(at + 4, "cmdsize")];
    if (size < 8) throw new Error(`Load command ${i} has ${size} bytes`);
    if (command === commands.codeSignature) {
      signature = { at: reader.little(at + 8, "dataoff"), size: reader.little(at + 12, "datasize") };
    }
    if (command === commands.segment64 && reader.text(at + 8, 16) === "__LINKEDIT") {
      linkedit = { at: reader.little64(at + 40, "fileoff"), size: reader.little64(at + 48, "filesize") };
    }
    at += size;
  }
  return { ...(signature && { signature }), ...(linkedit && { linkedit }) };
}

function checkSignature(bytes: Uint8Array, reader: Reader, at: number): MachOSignature {
  if (reader.big(at, "signature") !== superBlobMagic) throw new Error("The signature has another form");
  const count = reader.big(at + 8, "blobs");
  const blobs = Array.from(
    { length: Math.min(count, 64) },
    (_, i) => at + reader.big(at + 16 + 8 * i, "blob"),
  );
  const directories = blobs.filter((blob) => reader.big(blob, "blob") === codeDirectoryMagic);
  const results = directories.map((directory) =>
    checkDirectory(bytes, reader, { directory, signatureAt: at }),
  );
  const [first] = results.filter((result) => result !== undefined);
  if (first === undefined) throw new Error("The signature has no hashes in SHA-256");
  const hasCertificate = blobs.some((blob) => {
    return reader.big(blob, "blob") === cmsMagic && reader.big(blob + 4, "blob length") > 8;
  });
  return { ...first, hasCertificate };
}

interface Place {
  readonly directory: number;
  readonly signatureAt: number;
}

/** `undefined` for one with other hashes. */
function checkDirectory(
  bytes: Uint8Array,
  reader: Reader,
  { directory, signatureAt }: Place,
): Omit<MachOSignature, "hasCertificate"> | undefined {
  const word = (index: number) => reader.big(directory + 8 + 4 * index, "code directory");
  const [, flagBits = 0, hashesAt = 0, identifierAt = 0, , pages = 0, limit = 0] = [0, 1, 2, 3, 4, 5, 6].map(
    word,
  );
  const [hashBytes = 0, hashType = 0, , pageShift = 0] = reader.slice(directory + 36, 4);
  if (hashType !== sha256Type || hashBytes !== 32) return undefined;
  if (limit !== signatureAt)
    throw new Error(`The hashes end at ${limit}, the signature begins at ${signatureAt}`);
  const pageBytes = 2 ** pageShift;
  if (pageShift < 12 || pageShift > 16 || pages !== Math.ceil(limit / pageBytes)) {
    throw new Error(`${pages} hashes of pages of ${pageBytes} bytes do not cover ${limit} bytes`);
  }
  for (let page = 0; page < pages; page++) {
    const content = bytes.subarray(page * pageBytes, Math.min((page + 1) * pageBytes, limit));
    const expected = reader.slice(directory + hashesAt + page * hashBytes, hashBytes);
    if (!createHash("sha256").update(content).digest().equals(expected)) {
      throw new Error(`Page ${page} of ${pages} differs from its hash`);
    }
  }
  return {
    identifier: reader.text(directory + identifierAt, 256),
    isAdhoc: (flagBits & flags.adhoc) !== 0,
    isLinkerSigned: (flagBits & flags.linkerSigned) !== 0,
    isHardened: (flagBits & flags.runtime) !== 0,
    pages,
    pageBytes,
    coveredBytes: limit,
  };
}

/** Numbers and text at a place, each checked to be inside the file. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  little(at: number, what: string): number {
    this.#check(at, 4, what);
    return this.#view.getUint32(at, true);
  }

  little64(at: number, what: string): number {
    this.#check(at, 8, what);
    return Number(this.#view.getBigUint64(at, true));
  }

  big(at: number, what: string): number {
    this.#check(at, 4, what);
    return this.#view.getUint32(at, false);
  }

  slice(at: number, length: number): Uint8Array {
    this.#check(at, length, "bytes");
    return this.#bytes.subarray(at, at + length);
  }

  /** Up to a NUL, or `most` bytes. */
  text(at: number, most: number): string {
    const bytes = this.#bytes.subarray(at, Math.min(at + most, this.#bytes.length));
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end === -1 ? bytes : bytes.subarray(0, end));
  }

  #check(at: number, length: number, what: string): void {
    if (at + length > this.#bytes.length) throw new Error(`The file ends before its ${what} at ${at}`);
  }
}

if (import.meta.main) {
  for (const path of process.argv.slice(2))
    console.log(`${path}: ${JSON.stringify(checkMachO(readFileSync(path)))}`);
}
