// coremlx cache: what has been compiled, whether it is sound, and making room.

import { basename } from "node:path";
import { CoremlxError } from "../../core/errors.ts";
import { formatBytes } from "../../core/quantity.ts";
import { suggest } from "../../core/suggest.ts";
import { type AppleCache, findAppleCache, pruneAppleCache } from "../../runtime/apple-cache.ts";
import {
  type CacheEntryInfo,
  type CacheListing,
  type DamagedEntry,
  listCache,
  pruneCache,
  type PruneResult,
  verifyCache,
  type VerifyResult,
} from "../../runtime/compile-cache.ts";
import { command, engineFlags } from "../command.ts";
import { parseSize } from "../options.ts";
import { painter, type Paint, plainLine, Reported, table } from "../output.ts";
import { cacheDirOf } from "../session.ts";

const actions = ["list", "verify", "prune"];

export const cache = command({
  meta: { name: "cache", description: "List, verify or prune the cache of compiled models" },
  positionals: [{ name: "ACTION", description: "list, verify or prune", isRequired: true }],
  flags: {
    "max-size": { type: "string", valueHint: "SIZE", description: "prune: what may stay (default 2GB)" },
    all: { type: "boolean", description: "prune: everything that no running program uses" },
    apple: { type: "boolean", description: "prune: Core ML's own cache, on a Mac" },
    "cache-dir": engineFlags["cache-dir"],
  },
  examples: ["coremlx cache list", "coremlx cache verify", "coremlx cache prune"],
  async run({ flags, positionals, io }) {
    const [action = ""] = positionals;
    const { all, apple, "max-size": maxSize } = flags;
    const options = { cacheDir: cacheDirOf(flags["cache-dir"], io) };
    if (action !== "prune") refusePruning({ all, apple, "max-size": maxSize !== undefined }, action);
    const print = (result: object, text: string) => {
      if (flags.json) io.stdout(`${JSON.stringify({ schemaVersion: 1, ...result })}\n`);
      else io.stdout(text);
    };
    switch (action) {
      case "list": {
        const listing = listCache(options);
        const appleCache = findAppleCache();
        return print(
          { ...listed(listing), apple: appleCache ?? null },
          describeListing(listing, painter(io, flags.color, "stdout")) + describeApple(appleCache),
        );
      }
      case "verify": {
        const result = verifyCache(options);
        print(result, describeVerified(result));
        if (result.damaged.length > 0) throw new Reported("IO");
        return;
      }
      case "prune": {
        if (apple) {
          if (all || maxSize !== undefined) {
            throw new CoremlxError(
              "USAGE",
              "Cannot prune Core ML's own cache in part: --apple removes it whole",
              {
                hint: "Leave --all and --max-size out",
              },
            );
          }
          const removed = pruneAppleCache();
          return print(
            { apple: removed },
            `removed ${formatBytes(removed.bytes)} from ${plainLine(removed.folder)}\n`,
          );
        }
        if (all && maxSize !== undefined) {
          throw new CoremlxError(
            "USAGE",
            "Cannot prune with --all and --max-size: they contradict each other",
          );
        }
        const maxBytes = all ? 0 : maxSize === undefined ? undefined : parseSize(maxSize, "max-size");
        const result = pruneCache({ ...options, maxBytes });
        const { removed, inUse } = result;
        return print(
          { ...result, removed: removed.map(entryJson), inUse: inUse.map(entryJson) },
          describePruned(result),
        );
      }
      default:
        throw new CoremlxError("USAGE", `Unknown action "${action}" of coremlx cache`, {
          hint: suggest(action, actions, "The actions are"),
        });
    }
  },
});

function refusePruning(given: Readonly<Record<string, boolean>>, action: string): void {
  const name = Object.keys(given).find((flag) => given[flag]);
  if (name === undefined || !actions.includes(action)) return;
  throw new CoremlxError("USAGE", `Option --${name} has no meaning for coremlx cache ${action}`, {
    hint: "It belongs to coremlx cache prune",
  });
}

function listed(listing: CacheListing) {
  return { ...listing, entries: listing.entries.map(entryJson) };
}

function entryJson({ createdEpochMs, usedEpochMs, ...entry }: CacheEntryInfo) {
  const isoDate = (epochMs: number) => new Date(epochMs).toISOString();
  return { ...entry, created: isoDate(createdEpochMs), used: isoDate(usedEpochMs) };
}

function describeListing({ entries, damaged, bytes, maxBytes, folder }: CacheListing, paint: Paint): string {
  const lines: string[] = [];
  if (entries.length > 0) {
    const head = ["model", "function", "size", "compiled in", "last used", "key"].map((name) =>
      paint("bold", name),
    );
    lines.push(table([head, ...entries.map(entryRow)], { right: [2, 3] }));
  }
  lines.push(...damagedLines(damaged));
  const count = entries.length === 1 ? "1 entry" : `${entries.length} entries`;
  lines.push(`${count}, ${formatBytes(bytes)} of at most ${formatBytes(maxBytes)} in ${plainLine(folder)}`);
  return `${lines.join("\n")}\n`;
}

function describeApple(cache: AppleCache | undefined): string {
  if (cache === undefined) return "Core ML's own cache: none, this is no Mac\n";
  return `Core ML's own cache: ${formatBytes(cache.bytes)} in ${plainLine(cache.folder)}\n`;
}

function entryRow({ origin, bytes, compileMs, usedEpochMs, isInUse, key }: CacheEntryInfo): string[] {
  const used = isInUse ? "in use" : new Date(usedEpochMs).toISOString().slice(0, 16).replace("T", " ");
  return [
    plainLine(basename(origin.path)),
    plainLine(origin.functionName),
    formatBytes(bytes),
    `${compileMs} ms`,
    used,
    key.slice(0, 12),
  ];
}

function describeVerified({ intact, bytes, damaged }: VerifyResult): string {
  const sound = `${intact} ${intact === 1 ? "entry is" : "entries are"} sound (${formatBytes(bytes)})`;
  return `${[...damagedLines(damaged), sound].join("\n")}\n`;
}

function describePruned({ removed, freedBytes, inUse, bytes, damaged }: PruneResult): string {
  const lines = damagedLines(damaged);
  const count = removed.length === 1 ? "1 entry" : `${removed.length} entries`;
  lines.push(`removed ${count} (${formatBytes(freedBytes)}), ${formatBytes(bytes)} left`);
  if (inUse.length > 0) lines.push(`${inUse.length} could not go: in use`);
  return `${lines.join("\n")}\n`;
}

function damagedLines(damaged: readonly DamagedEntry[]): string[] {
  return damaged.map(({ name, reason }) => `damaged: ${plainLine(name.slice(0, 12))}: ${plainLine(reason)}`);
}
