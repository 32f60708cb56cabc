import { expect, test } from "bun:test";
import { dlopen, type Pointer } from "bun:ffi";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { copyMemory, createSealedMemory, setNativeEnvironment, trimHeap } from "../../../src/native/libc.ts";
import { addressOf, allocate, cString, readCString } from "../../../src/native/memory.ts";

const linux = process.platform === "linux";

test("a variable reaches C's environment, which process.env does not", () => {
  setNativeEnvironment("COREMLX_TEST_VARIABLE", "one");
  expect(nativeEnvironment("COREMLX_TEST_VARIABLE")).toBe("one");
  setNativeEnvironment("COREMLX_TEST_VARIABLE", "two");
  setNativeEnvironment("COREMLX_TEST_VARIABLE", "two");
  expect(nativeEnvironment("COREMLX_TEST_VARIABLE")).toBe("two");
  process.env["COREMLX_TEST_VARIABLE"] = "three";
  expect(nativeEnvironment("COREMLX_TEST_VARIABLE")).toBe("two");
  delete process.env["COREMLX_TEST_VARIABLE"];
});

test("memory is copied whole", () => {
  const [from, to] = [allocate(1000).map((_, i) => i % 251), allocate(1000)];
  copyMemory(addressOf(to), addressOf(from), 1000);
  expect(to).toEqual(from);
});

test("trimming the heap is safe at any time", () => {
  trimHeap();
  trimHeap();
});

test.if(linux)("a sealed memory file can be read by path and changed by nobody", () => {
  const fd = createSealedMemory("sealed", new TextEncoder().encode("content"));
  try {
    const path = `/proc/self/fd/${fd}`;
    expect(readFileSync(path, "utf8")).toBe("content");
    expect(() => writeSync(fd, "x")).toThrow("EPERM");
    expect(() => openSync(path, "w")).toThrow("EPERM"); // that would make it shorter
  } finally {
    closeSync(fd);
  }
});

function nativeEnvironment(name: string): string | undefined {
  const library = process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6";
  const { symbols } = dlopen(library, { getenv: { args: ["ptr"], returns: "ptr" } });
  const cName = cString(name);
  const value = symbols.getenv(addressOf(cName));
  return value === null ? undefined : readCString(value as Pointer);
}
