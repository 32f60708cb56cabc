// The compile cache: what was made of models, by the digest of everything that decided the result. Any number of
// processes share it; one that dies leaves nothing that counts.

import { randomBytes } from "node:crypto";
import { closeSync, constants, lstatSync, openSync, renameSync } from "node:fs";
import { join } from "node:path";
import { CoremlxError, errnoOf } from "../core/errors.ts";
import { metersOf, silent, type Telemetry } from "../core/telemetry.ts";
import { refuseSpace } from "../native/disk-space.ts";
import { openPrivateFolder } from "../native/private-folder.ts";
import { AttemptLog } from "./cache/attempts.ts";
import { DraftFolder, sweepDrafts } from "./cache/draft.ts";
import { type CacheEntry, openEntry, type OpenEntryOptions } from "./cache/entry.ts";
import { isSameFile, openOwnFile, syncFolder } from "../native/own-file.ts";
import { namesIn, reasonOf, removeTree, tryLock } from "./cache/files.ts";
import { ModelIndex } from "./cache/model-index.ts";
import { entryBytes, entryFormat, type EntryOrigin, type Manifest, manifestName } from "./cache/manifest.ts";

export type { CacheEntry } from "./cache/entry.ts";
export type { EntryOrigin } from "./cache/manifest.ts";

export interface CompileCacheOptions {
  /** Made with mode 0700 where it is missing. It must be ours alone. */
  readonly folder: string;
  /** What all entries together may take. Default 2 GB. */
  readonly maxBytes?: number | undefined;
  readonly telemetry?: Telemetry | undefined;
  /** How long to wait for another process that makes the same entry, before making it oneself. Default 2 minutes. */
  readonly waitMs?: number | undefined;
}

export const defaultCacheBytes = 2_000_000_000;
const defaultWaitMs = 120_000;
const pollMs = 20;
/** Somebody looks at an entry for less than a millisecond when they list the cache. */
const mostGlances = 20;
const mostAttempts = 8;
const entryName = /^[0-9a-f]{64}$/;
/** Left free on the disk: other programs need some too. */
const spareBytes = 16 * 2 ** 20;

export interface CacheEntryInfo {
  readonly key: string;
  readonly folder: string;
  /** Manifest not counted. */
  readonly bytes: number;
  readonly createdEpochMs: number;
  readonly usedEpochMs: number;
  readonly compileMs: number;
  /** A living process holds it. */
  readonly isInUse: boolean;
  readonly origin: EntryOrigin;
}

export interface DamagedEntry {
  /** The name of its folder. */
  readonly name: string;
  readonly reason: string;
}

export interface CacheListing {
  readonly folder: string;
  readonly maxBytes: number;
  readonly bytes: number;
  /** The one used last comes first. */
  readonly entries: readonly CacheEntryInfo[];
  readonly damaged: readonly DamagedEntry[];
}

export interface VerifyResult {
  readonly intact: number;
  readonly bytes: number;
  /** They are removed, and made again when somebody needs them. */
  readonly damaged: readonly DamagedEntry[];
}

export interface PruneResult {
  readonly removed: readonly CacheEntryInfo[];
  readonly freedBytes: number;
  /** Entries that had to stay because a living process holds them. */
  readonly inUse: readonly CacheEntryInfo[];
  readonly bytes: number;
  readonly damaged: readonly DamagedEntry[];
}

/** An entry to be made: files go into `folder`, then `publish`. Dispose it whatever happens. */
export interface CacheDraft extends Disposable {
  readonly kind: "draft";
  readonly folder: string;
  /** The entry, held; or why it is not kept. Throws the system's error where the disk is full. */
  publish(about: Omit<Manifest, "files" | "format" | "key">): Published;
}

export type Published =
  | { readonly kind: "entry"; readonly entry: CacheEntry }
  | { readonly kind: "refused"; readonly reason: string };

export type Begun = { readonly kind: "entry"; readonly entry: CacheEntry } | CacheDraft;

/** Where the compile cache lies in the folder of all caches. */
export function compileCacheFolder(cacheDir: string): string {
  return join(cacheDir, "models");
}

/** Throws IO where the folder cannot be made, or others could change what is in it. */
export function openCompileCache(options: CompileCacheOptions): CompileCache {
  return new CompileCache(options);
}

/** The same for whoever can do without: undefined, and a warning, where the folder cannot be used. */
export function tryOpenCompileCache(options: CompileCacheOptions): CompileCache | undefined {
  try {
    return openCompileCache(options);
  } catch (error) {
    options.telemetry?.log("warn", "compile cache cannot be used", { reason: cacheFailure(error) });
    return undefined;
  }
}

/** Owns nothing but names; whoever takes an entry or a draft from it gives that back. */
export class CompileCache {
  readonly folder: string;
  readonly maxBytes: number;
  /** Digests of models that have not changed since they were computed. */
  readonly index: ModelIndex;
  /** Of making entries in the background. */
  readonly attempts: AttemptLog;
  readonly #telemetry: Telemetry;
  readonly #waitMs: number;
  readonly #entries: string;
  readonly #drafts: string;
  readonly #locks: string;

  constructor(options: CompileCacheOptions) {
    this.folder = openPrivateFolder(options.folder);
    this.maxBytes = options.maxBytes ?? defaultCacheBytes;
    this.#telemetry = options.telemetry ?? silent;
    this.#waitMs = options.waitMs ?? defaultWaitMs;
    this.#entries = openPrivateFolder(join(this.folder, "entries"));
    this.#drafts = openPrivateFolder(join(this.folder, "drafts"));
    this.#locks = openPrivateFolder(join(this.folder, "locks"));
    this.index = new ModelIndex(openPrivateFolder(join(this.folder, "index")));
    this.attempts = new AttemptLog(openPrivateFolder(join(this.folder, "attempts")));
    sweepDrafts(this.#drafts);
  }

  /** The entry, held until it is disposed; undefined where there is none. A damaged one is removed. */
  get(key: string, options: OpenEntryOptions = {}): CacheEntry | undefined {
    const entry = this.#open(key, options);
    const meters = metersOf(this.#telemetry);
    if (entry) meters.counter("coremlx_compile_cache_hits_total").add();
    else meters.counter("coremlx_compile_cache_misses_total").add();
    return entry;
  }

  /**
   * The right to make an entry, or the entry when another process has made it meanwhile. Waits for that process, but
   * not for ever: two may then make the same entry, and the first to publish it wins. Throws IO.
   */
  async begin(key: string): Promise<Begun> {
    const path = join(this.#locks, key);
    const giveUpAt = performance.now() + this.#waitMs;
    for (;;) {
      const lock = takeLock(path);
      if (lock === "taken" && performance.now() < giveUpAt) {
        await Bun.sleep(pollMs);
        continue;
      }
      const letGo = () => lock !== "taken" && dropLock(lock, path);
      try {
        const entry = this.#open(key, {});
        if (entry === undefined) return this.#draft(key, letGo);
        letGo();
        return { kind: "entry", entry };
      } catch (error) {
        letGo();
        throw error;
      }
    }
  }

  /** Whether an entry of about so many bytes can be kept; else why not. */
  refusal(byteLength: number): string | undefined {
    if (byteLength > this.maxBytes) {
      return `it takes ${byteLength} bytes, and the cache may take ${this.maxBytes}`;
    }
    return refuseSpace(this.folder, byteLength, spareBytes);
  }

  list(): CacheListing {
    const { entries, damaged } = this.#scan();
    const bytes = sumBytes(entries);
    return { folder: this.folder, maxBytes: this.maxBytes, bytes, entries: entries.toReversed(), damaged };
  }

  /** Reads everything. Removes what is damaged. */
  verify(): VerifyResult {
    const { entries, damaged } = this.#scan({ verify: true });
    for (const { name } of damaged) this.#remove(name);
    sweepDrafts(this.#drafts);
    return { intact: entries.length, bytes: sumBytes(entries), damaged };
  }

  /** Removes the entries used longest ago until the rest takes no more than `maxBytes`, and what is damaged or left over. */
  prune(options: { readonly maxBytes?: number | undefined } = {}): PruneResult {
    sweepDrafts(this.#drafts);
    const { entries, damaged } = this.#scan();
    for (const { name } of damaged) this.#remove(name);
    const { removed, inUse, bytes } = this.#evict(entries, options.maxBytes ?? this.maxBytes);
    this.#sweepLocks();
    this.index.prune();
    this.attempts.prune();
    return { removed, freedBytes: sumBytes(removed), inUse, bytes, damaged };
  }

  /** Removes an entry that turned out not to work. */
  discard(key: string, reason: string): void {
    this.#telemetry.log("warn", "compile cache entry damaged", { key, reason });
    this.#remove(key);
  }

  #open(key: string, options: OpenEntryOptions): CacheEntry | undefined {
    for (let glance = 0; glance < mostGlances; glance++) {
      const opened = openEntry(join(this.#entries, key), key, options);
      switch (opened.kind) {
        case "entry":
          return opened.entry;
        case "missing":
          return undefined;
        case "damaged":
          this.discard(key, opened.reason);
          return undefined;
        case "busy":
          Bun.sleepSync(1);
      }
    }
    return undefined;
  }

  #draft(key: string, letGo: () => void): CacheDraft {
    const folder = DraftFolder.make(this.#drafts);
    return {
      kind: "draft",
      folder: folder.path,
      publish: (about) => this.#publish(folder, folder.seal({ ...about, key }, entryFormat)),
      [Symbol.dispose]: () => {
        folder[Symbol.dispose]();
        letGo();
      },
    };
  }

  #publish(draft: DraftFolder, manifest: Manifest): Published {
    const { key } = manifest;
    // One at a time: two that make room together could both find it and overrun the bound.
    const lockPath = join(this.#locks, "publish");
    const lock = waitForLock(lockPath);
    try {
      const refused = this.#makeRoom(entryBytes(manifest));
      if (refused !== undefined) return { kind: "refused", reason: refused };
      this.#moveIn(draft, key);
      const entry = this.#open(key, {});
      return entry
        ? { kind: "entry", entry }
        : { kind: "refused", reason: "it vanished when it was published" };
    } finally {
      if (lock !== "taken") closeSync(lock);
    }
  }

  /** What is there already under this key stays when it is sound: it was made of the same. */
  #moveIn(draft: DraftFolder, key: string): void {
    const target = join(this.#entries, key);
    for (let attempt = 0; ; attempt++) {
      const known = this.#open(key, { isGlance: true });
      if (known !== undefined) return known[Symbol.dispose]();
      try {
        draft.moveTo(target);
        return syncFolder(this.#entries);
      } catch (error) {
        const isTaken = ["EEXIST", "ENOTEMPTY", "ENOTDIR"].includes(errnoOf(error) ?? "");
        if (!isTaken || attempt === mostAttempts) throw error;
      }
    }
  }

  #makeRoom(byteLength: number): string | undefined {
    const { entries } = this.#scan();
    const { bytes } = this.#evict(entries, this.maxBytes - byteLength);
    if (bytes + byteLength <= this.maxBytes) return undefined;
    return `it takes ${byteLength} bytes, and entries in use take ${bytes} of the ${this.maxBytes} the cache may take`;
  }

  /** `entries` come with the one used longest ago first. */
  #evict(entries: readonly CacheEntryInfo[], maxBytes: number) {
    const removed: CacheEntryInfo[] = [];
    const inUse: CacheEntryInfo[] = [];
    let bytes = sumBytes(entries);
    for (const entry of entries) {
      if (bytes <= maxBytes) break;
      if (this.#removeUnused(entry.key)) {
        removed.push(entry);
        bytes -= entry.bytes;
      } else inUse.push(entry);
    }
    return { removed, inUse, bytes };
  }

  /** false: somebody holds it. */
  #removeUnused(key: string): boolean {
    const opened = openOwnFile(join(this.#entries, key, manifestName));
    if ("problem" in opened) return this.#remove(key);
    try {
      return tryLock(opened.fd, "exclusive") && this.#remove(key);
    } finally {
      closeSync(opened.fd);
    }
  }

  /** Takes its name away first, so that nobody finds half of it. Whoever has mapped its files keeps what they see. */
  #remove(name: string): boolean {
    const grave = join(this.#drafts, `removed-${randomBytes(8).toString("hex")}`);
    try {
      renameSync(join(this.#entries, name), grave);
    } catch (error) {
      return errnoOf(error) === "ENOENT";
    }
    removeTree(grave);
    return true;
  }

  /** All entries, the one used longest ago first. */
  #scan(options: { readonly verify?: boolean } = {}) {
    const entries: CacheEntryInfo[] = [];
    const damaged: DamagedEntry[] = [];
    for (const name of namesIn(this.#entries)) {
      const folder = join(this.#entries, name);
      const opened = entryName.test(name)
        ? openEntry(folder, name, { ...options, isGlance: true })
        : ({ kind: "damaged", reason: "its name is not a key" } as const);
      if (opened.kind === "damaged") damaged.push({ name, reason: opened.reason });
      if (opened.kind !== "entry") continue;
      const { manifest } = opened.entry;
      opened.entry[Symbol.dispose]();
      const info = infoOf(folder, manifest);
      if (info) entries.push(info);
    }
    return { entries: entries.toSorted((a, b) => a.usedEpochMs - b.usedEpochMs), damaged };
  }

  #sweepLocks(): void {
    for (const name of namesIn(this.#locks)) {
      const path = join(this.#locks, name);
      const lock = takeLock(path);
      if (lock !== "taken") dropLock(lock, path);
    }
  }
}

/** undefined: it was removed while we looked. */
function infoOf(folder: string, manifest: Manifest): CacheEntryInfo | undefined {
  const path = join(folder, manifestName);
  const opened = openOwnFile(path);
  if ("problem" in opened) return undefined;
  try {
    const { key, createdEpochMs, compileMs, origin } = manifest;
    const isInUse = !tryLock(opened.fd, "exclusive");
    const usedEpochMs = lstatSync(path).mtimeMs;
    return {
      key,
      folder,
      bytes: entryBytes(manifest),
      createdEpochMs,
      usedEpochMs,
      compileMs,
      isInUse,
      origin,
    };
  } catch {
    return undefined;
  } finally {
    closeSync(opened.fd);
  }
}

function sumBytes(entries: readonly CacheEntryInfo[]): number {
  return entries.reduce((sum, entry) => sum + entry.bytes, 0);
}

/** A descriptor that holds the lock of a name. Throws the system's error. */
function takeLock(path: string): number | "taken" {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const fd = openSync(path, flags, 0o600);
    if (!tryLock(fd, "exclusive")) {
      closeSync(fd);
      return "taken";
    }
    if (isSameFile(fd, path)) return fd;
    closeSync(fd); // it was removed between our opening and locking it
  }
  return "taken";
}

/** Removed while it is held, so that locks of old keys do not pile up. */
function dropLock(fd: number, path: string): void {
  removeTree(path);
  closeSync(fd);
}

/** Publishing takes milliseconds; after a while something is wrong, and the bound gives way rather than the work. */
function waitForLock(path: string): number | "taken" {
  for (let waited = 0; waited < 5_000; waited += pollMs) {
    const lock = takeLock(path);
    if (lock !== "taken") return lock;
    Bun.sleepSync(pollMs);
  }
  return "taken";
}

/** For messages: why an operation of the cache failed. */
export function cacheFailure(error: unknown): string {
  return error instanceof CoremlxError ? error.message : reasonOf(error);
}
