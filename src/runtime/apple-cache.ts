// The cache Core ML keeps for itself: models specialised for this Mac's Neural Engine. We show it and remove it on request;
// nothing in it is ours.

import { lstatSync, readdirSync, rmSync } from "node:fs";
import { userInfo } from "node:os";
import { basename, join } from "node:path";
import { CoremlxError, errnoOf, messageOf } from "../core/errors.ts";

export interface AppleCache {
  readonly folder: string;
  readonly bytes: number;
}

/** Whose cache: Core ML keeps one for each program, by its name, in the home folder of the user's account. */
export interface AppleCacheOwner {
  readonly platform: string;
  readonly home: string;
  readonly program: string;
}

const thisProgram = (): AppleCacheOwner => ({
  platform: process.platform,
  home: userInfo().homedir, // not HOME, which Core ML does not look at
  program: basename(process.execPath),
});

/** undefined off a Mac. An empty one takes 0 bytes. */
export function findAppleCache(owner: AppleCacheOwner = thisProgram()): AppleCache | undefined {
  if (owner.platform !== "darwin") return undefined;
  const folder = folderOf(owner);
  return { folder, bytes: bytesIn(folder) };
}

/** Throws UNSUPPORTED off a Mac, IO where something cannot be removed. The next load of each model takes long again. */
export function pruneAppleCache(owner: AppleCacheOwner = thisProgram()): AppleCache {
  const cache = findAppleCache(owner);
  if (cache === undefined) {
    throw new CoremlxError("UNSUPPORTED", "Cannot prune Core ML's own cache: there is none, this is no Mac", {
      hint: "Leave --apple out to prune the cache of coremlx",
    });
  }
  try {
    rmSync(cache.folder, { recursive: true, force: true });
  } catch (error) {
    throw new CoremlxError("IO", `Cannot remove ${cache.folder}: ${errnoOf(error) ?? messageOf(error)}`, {
      cause: error,
    });
  }
  return cache;
}

function folderOf({ home, program }: AppleCacheOwner): string {
  return join(home, "Library", "Caches", program, "com.apple.e5rt.e5bundlecache");
}

/** Links are not followed. What cannot be looked at counts nothing. */
function bytesIn(path: string): number {
  try {
    const stats = lstatSync(path);
    if (!stats.isDirectory()) return stats.size;
    return readdirSync(path).reduce((sum, name) => sum + bytesIn(join(path, name)), 0);
  } catch {
    return 0; // gone meanwhile, or not for us
  }
}
