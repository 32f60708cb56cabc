// The Swift side's sources, by path from the project's root.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { type ApiRow, parseApiTable } from "./api-table.ts";

const root = join(import.meta.dir, "../..");

export function readSources(pattern: string): ReadonlyMap<string, string> {
  const paths = [...new Glob(pattern).scanSync(root)].toSorted();
  if (paths.length === 0) throw new Error(`No file is like ${pattern}`);
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), "utf8")]));
}

export function readApiTable(): readonly ApiRow[] {
  return parseApiTable(readFileSync(join(root, "swift/apple-api.txt"), "utf8"));
}
