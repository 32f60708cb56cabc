import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { checkMachO } from "../../../scripts/macho.ts";

interface Changes {
  readonly magic?: number;
  readonly cpu?: number;
  readonly fileType?: number;
  readonly limit?: number;
  readonly linkeditBytes?: number;
  readonly isSigned?: boolean;
  readonly hashType?: number;
}

const codeBytes = 10_000; // two pages and a part of one
const pageBytes = 4_096;

/** A signed executable of three pages, laid out as xnu's <kern/cs_blobs.h> says. */
function executable(changes: Changes = {}): Uint8Array {
  const pages = Math.ceil(codeBytes / pageBytes);
  const identifier = "coremlx\0";
  const directoryBytes = 44 + identifier.length + 32 * pages;
  const signatureBytes = 20 + directoryBytes;
  const bytes = new Uint8Array(codeBytes + signatureBytes);
  const view = new DataView(bytes.buffer);
  const little = (at: number, ...words: number[]) =>
    words.forEach((word, i) => view.setUint32(at + 4 * i, word, true));
  const big = (at: number, ...words: number[]) =>
    words.forEach((word, i) => view.setUint32(at + 4 * i, word, false));
  for (let i = 200; i < codeBytes; i++) bytes[i] = (i * 31) & 0xff;
  little(
    0,
    changes.magic ?? 0xfeedfacf,
    changes.cpu ?? 0x0100000c,
    0,
    changes.fileType ?? 2,
    2,
    72 + 16,
    0,
    0,
  );
  little(32, 0x19, 72);
  bytes.set(new TextEncoder().encode("__LINKEDIT"), 40);
  view.setBigUint64(72, 0n, true);
  view.setBigUint64(80, BigInt(changes.linkeditBytes ?? bytes.length), true);
  little(104, changes.isSigned === false ? 0x1c : 0x1d, 16, codeBytes, signatureBytes);
  const directory = codeBytes + 20;
  big(codeBytes, 0xfade0cc0, signatureBytes, 1, 0, 20);
  const hashesAt = 44 + identifier.length;
  big(
    directory,
    0xfade0c02,
    directoryBytes,
    0x20400,
    0x20002,
    hashesAt,
    44,
    0,
    pages,
    changes.limit ?? codeBytes,
  );
  bytes.set([32, changes.hashType ?? 2, 0, 12], directory + 36);
  bytes.set(new TextEncoder().encode(identifier), directory + 44);
  for (let page = 0; page < pages; page++) {
    const content = bytes.slice(page * pageBytes, Math.min((page + 1) * pageBytes, codeBytes));
    bytes.set(createHash("sha256").update(content).digest(), directory + hashesAt + 32 * page);
  }
  return bytes;
}

test("an executable whose pages are what was signed", () => {
  expect(checkMachO(executable())).toEqual({
    identifier: "coremlx",
    isAdhoc: true,
    isLinkerSigned: true,
    isHardened: false,
    hasCertificate: false,
    pages: 3,
    pageBytes,
    coveredBytes: codeBytes,
  });
});

describe("what a Mac would refuse", () => {
  test.each([
    ["no Mach-O", { magic: 0x464c457f }, "It is no 64-bit Mach-O: it begins with 0x464c457f"],
    ["another processor", { cpu: 0x01000007 }, "It is for another processor: cputype 0x1000007"],
    ["a library", { fileType: 6 }, "It is no executable: filetype 6"],
    ["no signature", { isSigned: false }, "It is not signed: there is no LC_CODE_SIGNATURE"],
    ["bytes behind the end", { linkeditBytes: 10_000 }, "__LINKEDIT ends at 10000, the file at 10168"],
    ["a part that is not signed", { limit: 8_192 }, "The hashes end at 8192, the signature begins at 10000"],
    ["older hashes only", { hashType: 1 }, "The signature has no hashes in SHA-256"],
  ])("%s", (_name, changes, message) => {
    expect(() => checkMachO(executable(changes))).toThrow(message);
  });

  test.each([
    [200, 0],
    [pageBytes, 1],
    [codeBytes - 1, 2],
  ])("a bit that flipped at %i, in page %i", (at, page) => {
    const bytes = executable();
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    expect(() => checkMachO(bytes)).toThrow(`Page ${page} of 3 differs from its hash`);
  });

  test("a file that was cut off anywhere", () => {
    const whole = executable();
    for (let length = 0; length < whole.length; length += 7) {
      expect(() => checkMachO(whole.subarray(0, length))).toThrow();
    }
  });
});
