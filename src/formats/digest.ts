// The identity of a model's contents: what caches, tapes and results are keyed by.

import { dirname, relative } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import { quote } from "./bad-model.ts";
import { openRegularFile, readRange } from "./file-access.ts";
import type { Model } from "./model.ts";

const chunkBytes = 4 * 2 ** 20;

/**
 * SHA-256, in hex, over the model's files in the order of their relative paths: for each its path, its size and its
 * bytes. Neither the place nor the name of the model counts, a changed byte anywhere does. Reads the files again.
 */
export async function computeDigest(model: Model): Promise<string> {
  const isFile = model.container === "mlmodel";
  const folder = isFile ? dirname(model.path) : model.path;
  const entries = model.files.map((path) => ({
    path,
    // The file that was opened has the same name in every digest.
    name: isFile && path === model.path ? "model.mlmodel" : relative(folder, path),
  }));
  const hasher = new Bun.CryptoHasher("sha256");
  for (const { path, name } of entries.toSorted((a, b) => compare(a.name, b.name))) {
    using file = openRegularFile(path, name);
    // Lengths first: no two lists of files give the same stream.
    hasher.update(`${Buffer.byteLength(name)}:${name}${file.byteLength}:`);
    for (let start = 0; start < file.byteLength; start += chunkBytes) {
      const chunk = readRange(file, start, start + chunkBytes);
      if (chunk.byteLength < Math.min(chunkBytes, file.byteLength - start)) {
        throw new CoremlxError("IO", `Cannot digest ${quote(path)}: it became shorter while it was read`);
      }
      hasher.update(chunk);
      await Bun.sleep(0); // gigabytes of weights must not hold up the event loop
    }
  }
  return hasher.digest("hex");
}

/** By code unit: the order must not depend on anybody's language. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
