// Entries of the compile cache for tests: made as the real ones are, of bytes of our choice.

import { createHash } from "node:crypto";
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CompileCache, Published } from "../../../src/engines/cache.ts";

export const origin = {
  path: "/models/Some.mlpackage",
  digest: "d".repeat(64),
  functionName: "main",
  precision: "float32",
  engine: "ONNX Runtime 1.27.0",
  cpu: "some CPU",
  coremlx: "0.1.0",
};

/** A key by name. */
export function keyOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}

export type EntryFiles = Readonly<Record<string, Uint8Array | string>>;

/** Makes the entry of `name`, and lets it go. */
export async function put(
  cache: CompileCache,
  name: string,
  files: EntryFiles,
): Promise<Published["kind"] | "there"> {
  const begun = await cache.begin(keyOf(name));
  if (begun.kind === "entry") {
    begun.entry[Symbol.dispose]();
    return "there";
  }
  using draft = begun;
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(draft.folder, file), bytes);
  const published = draft.publish({ createdEpochMs: 1_000, compileMs: 5, origin });
  if (published.kind === "entry") published.entry[Symbol.dispose]();
  return published.kind;
}

export function folderOf(cache: CompileCache, name: string): string {
  return join(cache.folder, "entries", keyOf(name));
}

/** Says that the entry was used last at a time, in seconds since 1970. */
export function pretendUsed(cache: CompileCache, name: string, seconds: number): void {
  utimesSync(join(folderOf(cache, name), "manifest.json"), seconds, seconds);
}

export function bytesOf(count: number, value = 7): Uint8Array {
  return new Uint8Array(count).fill(value);
}
