// The check that holds the three sides of the C ABI together: a change of any one of them is reported, and nothing else.

import { describe, expect, test } from "bun:test";
import { checkAbi, type AbiSources } from "../../../scripts/swift/abi.ts";
import { readAbiSources } from "../../../scripts/swift/abi-files.ts";

const sources = readAbiSources();

function swap(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`There is no "${from}"`);
  return text.replace(from, () => to);
}

function changed(side: Exclude<keyof AbiSources, "bridge">, from: string, to: string): string[] {
  return checkAbi({ ...sources, [side]: swap(sources[side], from, to) });
}

function changedSwift(path: string, from: string, to: string): string[] {
  const bridge = new Map(sources.bridge).set(path, swap(sources.bridge.get(path) ?? "", from, to));
  return checkAbi({ ...sources, bridge });
}

test("header, Swift and TypeScript agree", () => {
  expect(checkAbi(sources)).toEqual([]);
});

describe("one changed argument is reported", () => {
  test("in the header, by both others", () => {
    expect(
      changed("header", "int64_t timeout_ns, uint32_t *count", "uint64_t timeout_ns, uint32_t *count"),
    ).toEqual([
      "swift/Bridge/Queue.swift: cmlx_queue_wait takes i64 as argument 4, in coremlx.h u64",
      "src/native/coreml-symbols.ts: the prototype above cmlx_queue_wait takes i64 as argument 4, in coremlx.h u64",
      "src/native/coreml-symbols.ts: cmlx_queue_wait takes i64 as argument 4, in coremlx.h u64",
    ]);
  });

  test("in Swift", () => {
    expect(
      changedSwift(
        "swift/Bridge/Pictures.swift",
        "_ size: UInt64, _ maxPixels",
        "_ size: UInt32, _ maxPixels",
      ),
    ).toEqual(["swift/Bridge/Pictures.swift: cmlx_image_decode takes u32 as argument 2, in coremlx.h u64"]);
  });

  test("in Swift, where only what it points at is another", () => {
    expect(
      changedSwift(
        "swift/Bridge/States.swift",
        "_ tensor: UnsafePointer<cmlx_tensor>?",
        "_ tensor: UnsafeMutablePointer<cmlx_tensor>?",
      ),
    ).toEqual([
      "swift/Bridge/States.swift: cmlx_state_write takes ptr cmlx_tensor as argument 3, in coremlx.h ptr const cmlx_tensor",
    ]);
  });

  test("in TypeScript", () => {
    expect(
      changed(
        "symbols",
        'cmlx_state_create: { args: ["u64", "ptr", "ptr"]',
        'cmlx_state_create: { args: ["u32", "ptr", "ptr"]',
      ),
    ).toEqual(["src/native/coreml-symbols.ts: cmlx_state_create takes u32 as argument 1, in coremlx.h u64"]);
  });

  test("in TypeScript, where one is left out", () => {
    expect(
      changed("symbols", 'cmlx_release: { args: ["u64", "ptr"]', 'cmlx_release: { args: ["u64"]'),
    ).toEqual(["src/native/coreml-symbols.ts: cmlx_release has 1 arguments, in coremlx.h 2"]);
  });
});

test("a changed result is reported", () => {
  expect(
    changedSwift(
      "swift/Bridge/Queue.swift",
      "func queueFd(_ queue: UInt64) -> Int32",
      "func queueFd(_ queue: UInt64) -> Int64",
    ),
  ).toEqual(["swift/Bridge/Queue.swift: cmlx_queue_fd returns i64, in coremlx.h i32"]);
});

test("functions that only one side has are reported", () => {
  expect(
    changedSwift("swift/Bridge/Handles.swift", '@_cdecl("cmlx_release")', '@_cdecl("cmlx_free")'),
  ).toEqual([
    "swift/Bridge: nothing exports cmlx_release",
    "swift/Bridge/Handles.swift: cmlx_free is not in coremlx.h",
  ]);
  expect(changed("header", "uint64_t cmlx_monotonic_ns(void);", "")).toEqual([
    "swift/Bridge/Failure.swift: cmlx_monotonic_ns is not in coremlx.h",
    "src/native/coreml-symbols.ts: cmlx_monotonic_ns is not in coremlx.h",
  ]);
});

test("a function in another place than the header's is reported", () => {
  const rows = /( {2}\/\/ uint32_t cmlx_abi_version.*\n.*\n)( {2}\/\/ .*\n.*\n)/.exec(sources.symbols);
  expect(changed("symbols", rows?.[0] ?? "?", `${rows?.[2]}${rows?.[1]}`)).toEqual([
    "src/native/coreml-symbols.ts: cmlx_abi_version is not where coremlx.h has it",
  ]);
});

describe("a changed struct is reported", () => {
  test("by the type of one field, also where all sizes stay", () => {
    expect(
      changed("header", "  int64_t timeout_ns;    /* 0 or less: none */", "  uint64_t timeout_ns;"),
    ).toEqual([
      expect.stringMatching(
        /^src\/native\/coreml-structs\.ts: cmlx_control is ".*i64.*", in coremlx\.h ".*timeout_ns u64.*"$/,
      ),
    ]);
  });

  test("by the order of its fields", () => {
    expect(
      changed("structs", 'feature: "u32",\n    dtype: "u32",', 'dtype: "u32",\n    feature: "u32",'),
    ).toEqual([expect.stringMatching(/cmlx_tensor is "struct_size u32, dtype u32, feature u32.*"/)]);
  });

  test("by its size and the places of its fields", () => {
    expect(changed("layout", "sizeof(cmlx_tensor) == 184", "sizeof(cmlx_tensor) == 192")).toEqual([
      "src/native/coreml-structs.ts: cmlx_tensor has 184 bytes, in layout.c 192",
    ]);
    expect(
      changed("layout", "offsetof(cmlx_tensor, strides) == 120", "offsetof(cmlx_tensor, strides) == 112"),
    ).toEqual(["src/native/coreml-structs.ts: cmlx_tensor.strides lies at 120, in layout.c at 112"]);
  });
});

test("changed numbers are reported", () => {
  expect(changed("numbers", "CMLX_E_BUSY: 5", "CMLX_E_BUSY: 6")).toEqual([
    "src/native/coreml-numbers.ts: CMLX_E_BUSY is 6, in coremlx.h 5",
  ]);
  expect(changed("numbers", "  CMLX_E_CLOSED: 7,\n", "")).toEqual([
    "src/native/coreml-numbers.ts: CMLX_E_CLOSED is missing",
  ]);
  expect(changed("header", "CMLX_ABI_VERSION 2u", "CMLX_ABI_VERSION 3u")).toEqual([
    "src/native/coreml-symbols.ts: version 2, in coremlx.h 3",
  ]);
});
