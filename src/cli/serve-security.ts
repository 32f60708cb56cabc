// What serve is told of keys and limits.

import { resolve } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import { suggest } from "../core/suggest.ts";
import { defaultServerLimits, type ServerLimits } from "../server/limits.ts";
import { readKeyFile } from "../server/security/key-file.ts";
import { parseGroup, parseKey } from "../server/security/keys.ts";
import type { ServerOptions } from "../server/server.ts";
import { parseCount, parseDuration, parseSize } from "./options.ts";

interface KeyFlags {
  readonly "api-key-file": readonly string[];
  readonly "api-key": readonly string[];
  readonly "keyless-group": readonly string[];
}

/** Throws USAGE for keys and groups that are none, and for groups where there are no keys. */
export function readKeys(flags: KeyFlags, cwd: string): Pick<ServerOptions, "keys" | "keylessGroups"> {
  const keys = [
    ...flags["api-key-file"].flatMap((path) => readKeyFile(resolve(cwd, path))),
    ...flags["api-key"].map((key) => parseKey(key, "--api-key")),
  ];
  const named = flags["keyless-group"];
  if (named.length === 0) return { keys, keylessGroups: undefined };
  if (keys.length === 0) {
    throw new CoremlxError("USAGE", "Option --keyless-group is for a server with keys: --api-key-file");
  }
  const keylessGroups = named
    .filter((name) => name !== "none")
    .map((name) => parseGroup(name, "--keyless-group"));
  return { keys, keylessGroups };
}

/** Each as NAME=VALUE. Throws USAGE for a name or value that is none. */
export function readLimits(settings: readonly string[]): Partial<ServerLimits> {
  return Object.fromEntries(settings.map(readLimit));
}

function readLimit(setting: string): readonly [string, number] {
  const at = setting.indexOf("=");
  const name = at === -1 ? setting : setting.slice(0, at);
  const names = Object.keys(defaultServerLimits);
  if (!names.includes(name)) {
    throw new CoremlxError("USAGE", `Unknown limit "${name}"`, {
      hint: suggest(name, names, "The limits are"),
    });
  }
  const text = at === -1 ? "" : setting.slice(at + 1);
  const place = `limit ${name}`;
  if (name.endsWith("Ms")) return [name, parseDuration(text, place)];
  return [name, name.endsWith("Bytes") ? parseSize(text, place) : parseCount(text, place)];
}
