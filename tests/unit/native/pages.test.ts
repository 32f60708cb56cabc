import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { viewMemory } from "../../../src/native/memory.ts";
import { mapFile, mapPages, wholePages } from "../../../src/native/pages.ts";
import { tempFolder } from "../../support/temp.ts";
import type { Pointer } from "bun:ffi";

const page = wholePages(1);

/** Bytes of the mapping at `address` by the kernel's own account; 0 where nothing is mapped. */
function mappedAt(address: number): number {
  for (const line of readFileSync("/proc/self/maps", "utf8").split("\n")) {
    const [, from = "", to = ""] = /^([0-9a-f]+)-([0-9a-f]+)/.exec(line) ?? [];
    if (Number.parseInt(from, 16) <= address && address < Number.parseInt(to, 16))
      return Number.parseInt(to, 16) - address;
  }
  return 0;
}

describe("pages", () => {
  test("are zero, start on a page boundary and are what their address says", () => {
    using pages = mapPages(10_000);
    expect(pages.address % page).toBe(0);
    expect(pages.bytes).toEqual(new Uint8Array(10_000));
    expect(pages.mappedByteLength).toBe(Math.ceil(10_000 / page) * page);
    pages.bytes[9_999] = 7;
    expect(viewMemory((pages.address + 9_999) as Pointer, 1)[0]).toBe(7);
  });

  test("for nothing still have an address", () => {
    using pages = mapPages(0);
    expect(pages.address).toBeGreaterThan(0);
    expect(pages.bytes.byteLength).toBe(0);
    expect(pages.mappedByteLength).toBe(page);
  });

  test("can be written from end to end when they are large", () => {
    using pages = mapPages(5 * 1024 * 1024 + 1);
    pages.bytes.fill(1);
    expect(pages.bytes.reduce((sum, value) => sum + value, 0)).toBe(5 * 1024 * 1024 + 1);
  });

  test.if(process.platform === "linux")(
    "go back to the system when they are disposed, not when they are collected",
    () => {
      const pages = mapPages(64 * page);
      const { address } = pages;
      expect(mappedAt(address)).toBeGreaterThanOrEqual(64 * page);
      pages[Symbol.dispose]();
      pages[Symbol.dispose]();
      expect(mappedAt(address)).toBe(0);
    },
  );

  test("leave no view that could touch what is gone", () => {
    const pages = mapPages(page);
    const [whole, part, floats] = [
      pages.bytes,
      pages.bytes.subarray(8, 16),
      new Float32Array(pages.bytes.buffer, 0, 4),
    ];
    part[0] = 5;
    pages[Symbol.dispose]();
    expect([whole.byteLength, part.byteLength, floats.length]).toEqual([0, 0, 0]);
    expect(part[0]).toBeUndefined();
    expect(() => pages.bytes).toThrow(
      expect.objectContaining({
        code: "INTERNAL",
        message: "Cannot use memory that was given back to the system",
      }),
    );
  });

  test("keep their content when their views are revoked", () => {
    using pages = mapPages(16);
    const before = pages.bytes;
    before[3] = 4;
    pages.revokeViews();
    expect(before.byteLength).toBe(0);
    expect(pages.bytes[3]).toBe(4);
  });

  test("survive a view's buffer being transferred away", () => {
    using pages = mapPages(16);
    pages.bytes[0] = 3;
    structuredClone(pages.bytes.buffer, { transfer: [pages.bytes.buffer] });
    expect(pages.bytes[0]).toBe(3);
  });

  test("of impossible sizes are refused before the system is asked", () => {
    for (const size of [-1, 0.5, Number.NaN, 2 ** 32 + 1, 2 ** 60, Number.POSITIVE_INFINITY]) {
      expect(() => mapPages(size)).toThrow(
        expect.objectContaining({
          code: "UNSUPPORTED",
          message: `Cannot map ${size} bytes: 0 to 4294967296 are possible`,
        }),
      );
    }
  });
});

describe("a mapped file", () => {
  test("shows its bytes, and a private one keeps our writes to itself", () => {
    using folder = tempFolder();
    const path = join(folder.path, "data");
    writeFileSync(path, "abcdef");
    const fd = openSync(path, "r+");
    using mine = mapFile(fd, 6, "private");
    using shared = mapFile(fd, 6, "shared");
    closeSync(fd);
    mine.bytes[0] = 0x41;
    shared.bytes[1] = 0x42;
    expect(readFileSync(path, "utf8")).toBe("aBcdef");
  });

  test.if(process.platform === "linux")("that cannot be mapped says why", () => {
    const fd = openSync("/dev/null", "r");
    try {
      expect(() => mapFile(fd, 10, "shared")).toThrow(
        expect.objectContaining({ code: "IO", message: "Cannot map 4096 bytes of memory: EACCES" }),
      );
    } finally {
      closeSync(fd);
    }
  });
});
