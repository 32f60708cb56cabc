// The compile cache as people look after it: what is in it, whether it is sound, what may go.

import { lstatSync } from "node:fs";
import { errnoOf } from "../core/errors.ts";
import type { Telemetry } from "../core/telemetry.ts";
import {
  type CacheListing,
  compileCacheFolder,
  defaultCacheBytes,
  openCompileCache,
  type PruneResult,
  type VerifyResult,
} from "../engines/cache.ts";

export type {
  CacheEntryInfo,
  CacheListing,
  DamagedEntry,
  PruneResult,
  VerifyResult,
} from "../engines/cache.ts";

export interface CacheOptions {
  /** The user's cache folder. */
  readonly cacheDir: string;
  readonly telemetry?: Telemetry | undefined;
}

/** Throws IO where the folder is not ours alone. A missing one has no entries, and stays missing. */
export function listCache(options: CacheOptions): CacheListing {
  const empty = { bytes: 0, entries: [], damaged: [], maxBytes: defaultCacheBytes };
  return open(options)?.list() ?? { folder: compileCacheFolder(options.cacheDir), ...empty };
}

/** Reads every entry whole; removes what is damaged. */
export function verifyCache(options: CacheOptions): VerifyResult {
  return open(options)?.verify() ?? { intact: 0, bytes: 0, damaged: [] };
}

export interface PruneOptions extends CacheOptions {
  /** What may stay, the entries used last first. Default 2 GB; 0: nothing that is not in use. */
  readonly maxBytes?: number | undefined;
}

export function pruneCache(options: PruneOptions): PruneResult {
  const nothing = { removed: [], freedBytes: 0, inUse: [], bytes: 0, damaged: [] };
  return open(options)?.prune({ maxBytes: options.maxBytes }) ?? nothing;
}

function open({ cacheDir, telemetry }: CacheOptions) {
  const folder = compileCacheFolder(cacheDir);
  try {
    lstatSync(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    // anything else is told better by opening it
  }
  return openCompileCache({ folder, telemetry });
}
