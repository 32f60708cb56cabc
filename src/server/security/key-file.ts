// A file of API keys: one in a line, the groups it is for behind it; empty lines and those that begin with # say nothing.

import { readFileSync, statSync } from "node:fs";
import { CoremlxError, messageOf } from "../../core/errors.ts";
import { type ApiKey, parseKey } from "./keys.ts";

/** Some thousand keys. */
const maxBytes = 1_000_000;

/** Throws USAGE for a file that cannot be read, that everybody may write, or that has no key. */
export function readKeyFile(path: string): readonly ApiKey[] {
  let text: string;
  try {
    const stats = statSync(path);
    if (!stats.isFile()) throw new Error("it is not a regular file"); // a pipe would hold us
    if (stats.size > maxBytes) throw new Error(`it has ${stats.size} bytes, more than ${maxBytes}`);
    if ((stats.mode & 0o002) !== 0) throw new Error("everybody may write it");
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new CoremlxError("USAGE", `Cannot read the keys of "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
  const keys = text
    .split("\n")
    .map((line, index) => ({ line: line.trim(), place: `line ${index + 1} of "${path}"` }))
    .filter(({ line }) => line !== "" && !line.startsWith("#"))
    .map(({ line, place }) => parseKey(line, place));
  if (keys.length > 0) return keys;
  throw new CoremlxError("USAGE", `Cannot read the keys of "${path}": there is none`);
}
