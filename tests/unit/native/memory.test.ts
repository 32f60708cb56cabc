import { describe, expect, test } from "bun:test";
import {
  addressOf,
  allocate,
  allocateAligned,
  canLend,
  cString,
  PointerTable,
  readCString,
  stableByteLength,
  viewMemory,
} from "../../../src/native/memory.ts";

describe("C strings", () => {
  test("carry UTF-8 and end in one NUL", () => {
    expect([...cString("né")]).toEqual([0x6e, 0xc3, 0xa9, 0]);
    expect([...cString("")]).toEqual([0]);
  });

  test("come back as the text they were made from", () => {
    const bytes = cString("Größe 3 µm");
    expect(readCString(addressOf(bytes))).toBe("Größe 3 µm");
  });

  test("refuse a NUL inside, which would hide what follows it", () => {
    expect(() => cString("model\0.onnx")).toThrow(
      expect.objectContaining({
        code: "BAD_INPUT",
        message: 'Cannot use "model\\u0000.onnx": it has a NUL character',
      }),
    );
  });
});

describe("allocated memory", () => {
  test("is zero, and aligned where asked", () => {
    for (const length of [1, 7, 64, 1000]) {
      const bytes = allocateAligned(length);
      expect(bytes).toEqual(new Uint8Array(length));
      expect(addressOf(bytes) % 64).toBe(0);
    }
  });

  test("has an address even where nothing is wanted", () => {
    expect(addressOf(allocateAligned(0))).toBeGreaterThan(0);
  });

  test("of an impossible size is refused by name", () => {
    expect(() => allocate(2 ** 52)).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
  });

  test("that is empty has no address", () => {
    expect(() => addressOf(allocate(0))).toThrow(expect.objectContaining({ code: "INTERNAL" }));
  });

  test("can be seen twice: a view shows what is written through the other", () => {
    const bytes = allocate(16);
    const view = viewMemory(addressOf(bytes), 16);
    bytes[3] = 9;
    expect(view.byteLength).toBe(16);
    expect(view[3]).toBe(9);
  });
});

describe("lending", () => {
  test("is for memory that is large enough to stay, and aligned", () => {
    const bytes = allocateAligned(stableByteLength + 64);
    expect(canLend(bytes)).toBe(true);
    expect(canLend(bytes.subarray(4))).toBe(false);
    expect(canLend(bytes.subarray(16))).toBe(true);
    expect(canLend(bytes.subarray(0, stableByteLength - 1))).toBe(false);
    expect(canLend(allocate(0))).toBe(false);
  });
});

describe("a pointer table", () => {
  test("holds addresses and 64-bit integers as C lays them out", () => {
    const table = new PointerTable(3);
    const address = 0x7fff_1234_5678;
    table.set(0, address);
    table.set(1, -1);
    table.set(2, 2 ** 40 + 5);
    expect([0, 1, 2].map((i) => table.get(i))).toEqual([address, -1, 2 ** 40 + 5]);
    const words = new BigInt64Array(viewMemory(table.address, 24).slice().buffer);
    expect([...words]).toEqual([BigInt(address), -1n, 2n ** 40n + 5n]);
  });

  test("gives the lower half as an int, whatever the upper half holds", () => {
    const table = new PointerTable(1);
    table.set(0, 2 ** 40 - 2);
    expect(table.getInt(0)).toBe(-2);
  });

  test("knows where each entry lies", () => {
    const table = new PointerTable(2);
    expect(table.at(1) - table.address).toBe(8);
  });
});
