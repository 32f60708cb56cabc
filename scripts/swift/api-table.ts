// swift/apple-api.txt: Apple's API as far as the library and its stand-ins use it.

import { compareVersions } from "./source.ts";

export interface ApiRow {
  /** First macOS that has it. */
  readonly since: string;
  /** "CoreML", or "ObjC" for what try.m sends. */
  readonly module: string;
  /** "MLModelConfiguration.functionName", with labels where it is called: "CVPixelBufferCreate(_:_:)" is its declaration's matter. */
  readonly path: string;
  /** The declaration, without attributes, modifiers that say nothing to a caller, and bodies. */
  readonly declaration: string;
}

export const deploymentTarget = "14.0";

/** One row a line: `SINCE MODULE PATH | DECLARATION`; lines with `#` are comments. */
export function parseApiTable(text: string): ApiRow[] {
  const rows: ApiRow[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const found = /^(\d+\.\d+) (\S+) (\S+) \| (\S.*)$/.exec(line);
    if (found === null) throw new Error(`apple-api.txt:${index + 1}: not "SINCE MODULE PATH | DECLARATION"`);
    const [, since = "", module = "", path = "", declaration = ""] = found;
    rows.push({ since, module, path, declaration });
  }
  return rows;
}

export function isNewer(row: ApiRow): boolean {
  return compareVersions(row.since, deploymentTarget) > 0;
}

/** What one must write to use the row: the last part of its path. */
export function nameOf(row: ApiRow): string {
  return row.path.split(".").at(-1) ?? row.path;
}
