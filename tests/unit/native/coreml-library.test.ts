import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { locateCoreml } from "../../../src/native/coreml-library.ts";
import { tempFolder } from "../../support/temp.ts";

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
const place = (name: string) => join(temp.path, name);

// Any bytes will do: nothing loads them here.
const bytes = new TextEncoder().encode("stands for libcoremlx ".repeat(100));
const embedded = {
  path: place("libcoremlx.zst"),
  name: "libcoremlx.dylib",
  sha256: createHash("sha256").update(bytes).digest("hex"),
  byteLength: bytes.length,
};
writeFileSync(embedded.path, zstdCompressSync(bytes));

const sources = place("sources");
mkdirSync(join(sources, ".build/release"), { recursive: true });
mkdirSync(join(sources, "src/native"), { recursive: true });
writeFileSync(join(sources, "Package.swift"), "");
const built = join(sources, ".build/release/libcoremlx.dylib");
writeFileSync(built, "");
const from = join(sources, "src/native");

describe("libcoremlx is", () => {
  test("what the caller names, before all others", async () => {
    const path = place("own.dylib");
    expect(await locateCoreml({ path, cacheDir: place("cache"), embedded, from, platform: "darwin" })).toBe(
      path,
    );
  });

  test("what the executable carries, unpacked into the cache and checked", async () => {
    const cacheDir = place("cache");
    const path = join(cacheDir, "lib", embedded.sha256, "libcoremlx.dylib");
    expect(await locateCoreml({ cacheDir, embedded, from, platform: "darwin" })).toBe(path);
    expect(new Uint8Array(readFileSync(path))).toEqual(bytes);
  });

  test("what was built beside the sources, on a Mac", async () => {
    expect(await locateCoreml({ cacheDir: place("cache"), from, platform: "darwin" })).toBe(built);
    expect(await locateCoreml({ cacheDir: place("cache"), from, platform: "linux" })).toBeUndefined();
    expect(await locateCoreml({ cacheDir: place("cache"), from: "/", platform: "darwin" })).toBeUndefined();
  });
});

test("an executable that is damaged is said to be, and nothing is left in the cache", async () => {
  const damaged = { ...embedded, sha256: "0".repeat(64) };
  const failure = locateCoreml({ cacheDir: place("other"), embedded: damaged, platform: "darwin" });
  expect(await failure.then(undefined, (error: unknown) => error)).toMatchObject({
    code: "INTERNAL",
    hint: "Install coremlx again: the executable is damaged.",
  });
});
