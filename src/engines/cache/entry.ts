// One entry of the compile cache in use: looked over before anything is read from it, and held until it is let go.

import { closeSync, futimesSync, lstatSync } from "node:fs";
import { join } from "node:path";
import { CoremlxError, errnoOf } from "../../core/errors.ts";
import { digestFile, isSameFile, openOwnFile } from "../../native/own-file.ts";
import { userId } from "../../native/private-folder.ts";
import { digestBytes, readWhole, tryLock } from "./files.ts";
import { type EntryFile, type Manifest, manifestName, maxManifestBytes, parseManifest } from "./manifest.ts";

export type OpenedEntry =
  | { readonly kind: "entry"; readonly entry: CacheEntry }
  | { readonly kind: "missing" }
  | { readonly kind: "damaged"; readonly reason: string }
  /** Somebody is removing it. */
  | { readonly kind: "busy" };

export interface OpenEntryOptions {
  /** Read every byte and compare its digest. Else: all sizes, and the digests of files up to `hashedBytes`. */
  readonly verify?: boolean | undefined;
  /** Do not count as a use. */
  readonly isGlance?: boolean | undefined;
}

/** 3 ms of hashing: the graph and its plan are below it, the weights are not. */
const hashedBytes = 2 * 2 ** 20;

/** Nobody removes an entry that is held, in this process or another. Owns a descriptor; borrows the files. */
export class CacheEntry implements Disposable {
  readonly key: string;
  readonly folder: string;
  readonly manifest: Manifest;
  readonly #read: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  #fd: number;

  constructor(
    folder: string,
    manifest: Manifest,
    held: { readonly fd: number; readonly read: ReadonlyMap<string, Uint8Array<ArrayBuffer>> },
  ) {
    this.key = manifest.key;
    this.folder = folder;
    this.manifest = manifest;
    this.#fd = held.fd;
    this.#read = held.read;
  }

  has(name: string): boolean {
    return this.manifest.files.some((file) => file.name === name);
  }

  /** The bytes of a file of the entry. Throws IO where it has become shorter or unreadable since it was looked over. */
  read(name: string): Uint8Array<ArrayBuffer> {
    const known = this.#read.get(name);
    if (known !== undefined) return known;
    const file = this.manifest.files.find((candidate) => candidate.name === name);
    const opened = openOwnFile(join(this.folder, name));
    if (file === undefined || "problem" in opened) throw this.#broken(name);
    try {
      const bytes = readWhole(opened.fd, file.bytes);
      if (bytes === undefined) throw this.#broken(name);
      return bytes;
    } finally {
      closeSync(opened.fd);
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  #broken(name: string): CoremlxError {
    return new CoremlxError("IO", `Cannot read "${name}" of a compiled model: the cache entry is damaged`, {
      details: { key: this.key, file: name },
    });
  }
}

/** Holds the entry of `key` in `folder` when everything about it is as it should be. */
export function openEntry(folder: string, key: string, options: OpenEntryOptions = {}): OpenedEntry {
  const state = folderState(folder);
  if (state !== undefined) return state;
  const opened = openOwnFile(join(folder, manifestName));
  if ("problem" in opened) return { kind: "damaged", reason: `${manifestName} ${opened.problem}` };
  const { fd, stats } = opened;
  let isKept = false;
  try {
    if (!tryLock(fd, "shared") || !isSameFile(fd, join(folder, manifestName))) return { kind: "busy" };
    const manifest = stats.size > maxManifestBytes ? undefined : readManifest(fd, stats.size);
    if (manifest === undefined) return { kind: "damaged", reason: `${manifestName} makes no sense` };
    if (manifest.key !== key) return { kind: "damaged", reason: "it is the entry of another key" };
    const read = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const file of manifest.files) {
      const problem = checkFile(folder, file, options.verify ?? false, read);
      if (problem !== undefined) return { kind: "damaged", reason: `${file.name} ${problem}` };
    }
    if (!options.isGlance) markUsed(fd);
    isKept = true;
    return { kind: "entry", entry: new CacheEntry(folder, manifest, { fd, read }) };
  } finally {
    if (!isKept) closeSync(fd);
  }
}

/** undefined: a folder of ours. */
function folderState(folder: string): OpenedEntry | undefined {
  try {
    const stats = lstatSync(folder);
    if (!stats.isDirectory()) {
      return { kind: "damaged", reason: stats.isSymbolicLink() ? "it is a link" : "it is no folder" };
    }
    if (stats.uid !== userId()) return { kind: "damaged", reason: `it belongs to user ${stats.uid}` };
    if ((stats.mode & 0o022) !== 0) return { kind: "damaged", reason: "others may write to it" };
    return undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { kind: "missing" };
    throw error;
  }
}

function readManifest(fd: number, size: number): Manifest | undefined {
  const bytes = readWhole(fd, size);
  return bytes && parseManifest(bytes);
}

/** What is wrong with a file. What had to be read anyway goes into `read`. */
function checkFile(
  folder: string,
  file: EntryFile,
  verify: boolean,
  read: Map<string, Uint8Array<ArrayBuffer>>,
): string | undefined {
  const opened = openOwnFile(join(folder, file.name));
  if ("problem" in opened) return opened.problem;
  try {
    const { size } = opened.stats;
    if (size !== file.bytes) return `has ${size} bytes, not ${file.bytes}`;
    if (size > hashedBytes) {
      return verify && digestFile(opened.fd) !== file.sha256
        ? "has other bytes than were written"
        : undefined;
    }
    const bytes = readWhole(opened.fd, size);
    if (bytes === undefined || digestBytes(bytes) !== file.sha256) return "has other bytes than were written";
    read.set(file.name, bytes);
    return undefined;
  } finally {
    closeSync(opened.fd);
  }
}

/** The manifest's time of change says when the entry was used last. */
function markUsed(fd: number): void {
  try {
    const now = new Date();
    futimesSync(fd, now, now);
  } catch {
    // a read-only cache still serves; nothing is evicted from it either
  }
}
