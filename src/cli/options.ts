// From argv, environment and configuration files to checked values, each with its origin. Order: flag, environment,
// project file, user file, default.

import { parseArgs } from "node:util";
import { CoremlxError } from "../core/errors.ts";
import { suggest } from "../core/suggest.ts";
import type { FlagDef, FlagDefs, PositionalDef } from "./command.ts";
import { type ConfigFile, readConfigFiles } from "./config-files.ts";
import type { Io } from "./output.ts";

export type Origin = "flag" | "environment" | "project file" | "user file" | "default";
export type FlagSetting = string | boolean | readonly string[] | undefined;

export interface Given {
  readonly values: Readonly<Record<string, FlagSetting>>;
  readonly origins: Readonly<Record<string, Origin>>;
  readonly positionals: readonly string[];
}

export interface Signature {
  readonly name: string;
  readonly positionals: readonly PositionalDef[];
  readonly flags: FlagDefs;
}

/** Throws USAGE for unknown flags (with a suggestion), wrong values, surplus or missing arguments. */
export function readArguments(rawArgs: readonly string[], signature: Signature, io: Io): Given {
  const { set, positionals } = readFlags(rawArgs, signature);
  if (set.get("help") !== true) checkPositionals(positionals, signature);
  const files = readConfigFiles(io);
  const values: Record<string, FlagSetting> = {};
  const origins: Record<string, Origin> = {};
  for (const [name, def] of Object.entries(signature.flags)) {
    const candidates: readonly (readonly [Origin, unknown])[] = [
      ["flag", set.get(name)],
      ["environment", io.env[variableName(name)] || undefined], // set to nothing is not set
      ["project file", def.isTrusted ? undefined : files.project.get(signature.name, name)],
      ["user file", files.user.get(signature.name, name)],
      ["default", def.default],
    ];
    const [origin, raw] = candidates.find(([, value]) => value !== undefined) ?? ["default", undefined];
    values[name] = checkValue(name, def, raw, origin);
    origins[name] = origin;
  }
  refuseUntrusted(files.project.keysFor(signature.name), signature.flags);
  for (const file of [files.project, files.user]) refuseUnknownKeys(file, signature);
  return { values, origins, positionals };
}

/** COREMLX_LOG_FORMAT for log-format. */
export function variableName(flag: string): string {
  return `COREMLX_${flag.toUpperCase().replaceAll("-", "_")}`;
}

/** "250ms", "5s", "10m", "1h" -> milliseconds, more than none. */
export function parseDuration(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
  const unit = units[match?.[2] ?? ""];
  const ms = unit === undefined ? 0 : Number(match?.[1]) * unit;
  if (ms > 0) return ms;
  const reason = unit === undefined ? "not a duration" : "it must be longer than nothing";
  throw new CoremlxError("USAGE", `Cannot read --${flag} "${text}": ${reason}`, {
    hint: "Write it like 250ms, 5s, 10m or 1h",
  });
}

/** "10MB" (10^6), "1GiB" (2^30), "4096" -> bytes. */
export function parseSize(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$/.exec(text);
  const units: Readonly<Record<string, number>> = {
    B: 1,
    kB: 1e3,
    KB: 1e3,
    MB: 1e6,
    GB: 1e9,
    TB: 1e12,
    KiB: 2 ** 10,
    MiB: 2 ** 20,
    GiB: 2 ** 30,
    TiB: 2 ** 40,
  };
  const unit = units[match?.[2] ?? "B"];
  if (match === null || unit === undefined) {
    throw new CoremlxError("USAGE", `Cannot read --${flag} "${text}": not a size`, {
      hint: "Write it like 10MB or 1GiB",
    });
  }
  return Math.floor(Number(match[1]) * unit);
}

/** A whole number of at least `least`. */
export function parseCount(text: string, flag: string, least = 1): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
  throw new CoremlxError(
    "USAGE",
    `Cannot read --${flag} "${text}": it must be a whole number of at least ${least}`,
  );
}

function readFlags(rawArgs: readonly string[], signature: Signature) {
  const { flags } = signature;
  const set = new Map<string, string | boolean | string[]>();
  const positionals: string[] = [];
  const parsed = parseArgs({
    args: [...rawArgs],
    options: Object.fromEntries(Object.entries(flags).map(([name, def]) => [name, parserOption(def)])),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of parsed.tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const isNegated = token.name.startsWith("no-") && flags[token.name.slice(3)]?.type === "boolean";
    const name = isNegated ? token.name.slice(3) : token.name;
    const def = Object.hasOwn(flags, name) ? flags[name] : undefined;
    if (def === undefined) throw unknownFlag(token.rawName, signature);
    if (def.type === "boolean") {
      if (token.value !== undefined) throw new CoremlxError("USAGE", `Option --${name} takes no value`);
      set.set(name, !isNegated);
      continue;
    }
    const { value, inlineValue } = token;
    const isFlagInstead = inlineValue === false && value !== undefined && /^(--.|-[a-z]$)/i.test(value);
    if (value === undefined || value === "" || isFlagInstead) {
      const hint = `If "${value}" is the value, write --${name}=${value}`;
      throw new CoremlxError("USAGE", `Option --${name} needs a value`, isFlagInstead ? { hint } : {});
    }
    const before = set.get(name);
    if (def.multiple) set.set(name, [...(Array.isArray(before) ? before : []), value]);
    else if (before !== undefined) throw new CoremlxError("USAGE", `Option --${name} is given twice`);
    else set.set(name, value);
  }
  return { set, positionals };
}

function parserOption(def: FlagDef) {
  return {
    type: def.type === "boolean" ? ("boolean" as const) : ("string" as const),
    ...(def.alias === undefined ? {} : { short: def.alias }),
  };
}

function unknownFlag(raw: string, { name, flags }: Signature): CoremlxError {
  const known = Object.keys(flags).map((flag) => `--${flag}`);
  return new CoremlxError("USAGE", `Unknown option "${raw}" of coremlx ${name}`, {
    hint: suggest(raw, known, "Its options are"),
  });
}

function checkPositionals(given: readonly string[], signature: Signature): void {
  const { positionals, name } = signature;
  const missing = positionals.slice(given.length).find((positional) => positional.isRequired);
  if (missing) {
    throw new CoremlxError("USAGE", `coremlx ${name} needs ${missing.name}: ${missing.description}`, {
      hint: `Run coremlx ${name} --help`,
    });
  }
  const last = positionals.at(-1);
  if (given.length > positionals.length && !last?.multiple) {
    throw new CoremlxError("USAGE", `coremlx ${name} does not take "${given[positionals.length]}"`, {
      hint: `Run coremlx ${name} --help`,
    });
  }
}

function checkValue(name: string, def: FlagDef, raw: unknown, origin: Origin): FlagSetting {
  const where = origin === "flag" ? `--${name}` : `"${name}" from ${originText(origin, name)}`;
  if (def.multiple) {
    if (raw === undefined) return [];
    const list = Array.isArray(raw) ? raw : [raw];
    if (list.every((item) => typeof item === "string")) return list;
    throw new CoremlxError("USAGE", `Cannot use ${where}: it must be a list of strings`);
  }
  if (def.type === "boolean") return raw === undefined ? false : parseBoolean(raw, where);
  if (raw === undefined) return undefined;
  if (typeof raw !== "string" && typeof raw !== "number") {
    throw new CoremlxError("USAGE", `Cannot use ${where}: it must be a string`);
  }
  const text = String(raw);
  if (origin === "project file" && def.isOwnChoice?.(text)) throw untrusted(name);
  if (def.options && !def.options.includes(text)) {
    throw new CoremlxError(
      "USAGE",
      `Cannot use ${where}: "${text}" is not one of ${def.options.join(", ")}`,
      {
        hint: suggest(text, def.options, "The choices are"),
      },
    );
  }
  return text;
}

function parseBoolean(raw: unknown, where: string): boolean {
  if (typeof raw === "boolean") return raw;
  const text = String(raw).toLowerCase();
  if (["1", "true", "yes", "on"].includes(text)) return true;
  if (["0", "false", "no", "off", ""].includes(text)) return false;
  throw new CoremlxError("USAGE", `Cannot use ${where}: "${text}" is neither true nor false`);
}

function originText(origin: Origin, name: string): string {
  return origin === "environment" ? variableName(name) : `the ${origin}`;
}

/** In the command's own table, where no other command can mean them. */
function refuseUnknownKeys(file: ConfigFile, { name, flags }: Signature): void {
  const key = file.ownKeysFor(name).find((candidate) => !Object.hasOwn(flags, candidate));
  if (key === undefined) return;
  throw new CoremlxError("USAGE", `Unknown setting "${key}" in [${name}] of ${file.path}`, {
    hint: suggest(key, Object.keys(flags), "The settings are"),
  });
}

function refuseUntrusted(keys: readonly string[], flags: FlagDefs): void {
  const key = keys.find((candidate) => flags[candidate]?.isTrusted);
  if (key !== undefined) throw untrusted(key);
}

function untrusted(key: string): CoremlxError {
  return new CoremlxError("USAGE", `Cannot use "${key}" from coremlx.toml: a project file may not set it`, {
    hint: `Use --${key}, ${variableName(key)} or your own configuration file`,
  });
}
