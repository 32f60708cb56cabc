// What a configuration of `bench --compare` is: settings that differ from those of the command line.

import { CoremlxError } from "../core/errors.ts";
import { suggest } from "../core/suggest.ts";

const keys = [
  "model",
  "engine",
  "device",
  "function",
  "threads",
  "instances",
  "inline",
  "isolation",
] as const;
type Key = (typeof keys)[number];
export type Changes = Partial<Readonly<Record<Key, string>>>;

/** "threads=1,device=cpu"; "as given" changes nothing. Throws USAGE. */
export function parseChanges(text: string): Changes {
  if (text === asGiven) return {};
  const changes: Partial<Record<Key, string>> = {};
  for (const part of text.split(",")) {
    const at = part.indexOf("=");
    const name = part.slice(0, Math.max(at, 0)).trim();
    const value = part.slice(at + 1).trim();
    if (at < 1 || value === "") {
      throw new CoremlxError("USAGE", `Cannot read --compare "${text}": "${part}" is not NAME=VALUE`, {
        hint: "Write it like threads=1 or device=cpu,instances=2",
      });
    }
    const key = keys.find((known) => known === name);
    if (key === undefined) {
      throw new CoremlxError("USAGE", `Cannot compare by "${name}"`, {
        hint: suggest(name, keys, "Configurations differ in"),
      });
    }
    if (changes[key] !== undefined)
      throw new CoremlxError("USAGE", `Cannot read --compare "${text}": "${key}" stands there twice`);
    changes[key] = value;
  }
  return changes;
}

const asGiven = "as given";

/** One is compared with the command line as it is. Throws USAGE for more than two. */
export function readPair(given: readonly string[]): readonly [string, string] {
  const [first = asGiven, second] = given;
  if (given.length > 2) {
    throw new CoremlxError("USAGE", `Cannot compare ${given.length} configurations: two at a time`, {
      hint: "Give --compare twice, or once to compare with the other options as they are",
    });
  }
  return second === undefined ? [asGiven, first] : [first, second];
}
