// Which digest a model on disk has, as long as nothing about its files has changed: hashing takes 1.5 ms a megabyte, asking
// the file system for the state of ten files 0.1 ms. In doubt the answer is "unknown", never a digest.

import { randomBytes } from "node:crypto";
import { type BigIntStats, closeSync, lstatSync, realpathSync, renameSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { openOwnFile } from "../../native/own-file.ts";
import { digestBytes, namesIn, readWhole, removeTree, writeNewFile } from "./files.ts";

/** What a warm start must know of a model before it has read anything of it. */
export interface KnownModel {
  readonly digest: string;
  readonly defaultFunction: string;
  readonly functions: readonly string[];
}

/** The state of everything a model is made of at one moment, as far as the file system tells. */
export interface Snapshot {
  /** The model's real path. */
  readonly root: string;
  /** Files outside of it that belong to it. */
  readonly outside: readonly string[];
  /** For each file and folder: path, kind, size, times of change in nanoseconds, inode, device. */
  readonly lines: readonly string[];
  /** When something changed last. */
  readonly newestEpochMs: number;
}

/** A package holds about ten. One with more is read anew each time. */
const mostFiles = 2_000;
const mostDepth = 16;
/**
 * Two changes within a tick of the clock leave the same time behind. Ticks last up to 2 s (FAT); only what is older than
 * that, by the clock before anything was read, can be told from any later change.
 */
const settledAfterMs = 2_000;
const maxRecordBytes = 4 * 2 ** 20;
const mostRecords = 1_000;
const recordFormat = 1;
const recordName = /^[0-9a-f]{64}\.json$/;

export class ModelIndex {
  readonly #folder: string;

  /** The folder must be private. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** undefined: not known, or something has changed since. `root` is the real path. */
  lookup(path: string): (KnownModel & { readonly root: string }) | undefined {
    const root = tryRealPath(path);
    if (root === undefined) return undefined;
    const record = this.#read(root);
    if (record === undefined || record.root !== root) return undefined;
    const now = takeSnapshot(root, record.outside);
    return now !== undefined && isSame(now.lines, record.lines) ? { ...record.known, root } : undefined;
  }

  /** Errors are none: what cannot be written down is computed again. */
  remember(snapshot: Snapshot, known: KnownModel): void {
    const { root, outside, lines } = snapshot;
    const body = JSON.stringify({ format: recordFormat, root, outside, lines, known });
    const bytes = encoder.encode(`${digestBytes(encoder.encode(body))}\n${body}`);
    if (bytes.byteLength > maxRecordBytes) return;
    const temporary = join(this.#folder, `.${randomBytes(8).toString("hex")}`);
    try {
      writeNewFile(temporary, bytes, { mode: 0o600, isDurable: false });
      renameSync(temporary, this.#pathOf(root));
    } catch {
      removeTree(temporary);
    }
  }

  /** Drops the oldest records beyond a thousand, and what an interrupted `remember` left. */
  prune(): void {
    const records: { readonly path: string; readonly mtimeMs: number }[] = [];
    for (const name of namesIn(this.#folder)) {
      const path = join(this.#folder, name);
      const mtimeMs = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      if (recordName.test(name)) records.push({ path, mtimeMs });
      else if (Date.now() - mtimeMs > settledAfterMs) removeTree(path);
    }
    const oldest = records.toSorted((a, b) => b.mtimeMs - a.mtimeMs).slice(mostRecords);
    for (const { path } of oldest) removeTree(path);
  }

  #pathOf(root: string): string {
    return join(this.#folder, `${digestBytes(encoder.encode(root))}.json`);
  }

  #read(root: string): IndexRecord | undefined {
    const opened = openOwnFile(this.#pathOf(root));
    if ("problem" in opened) return undefined;
    try {
      const { size } = opened.stats;
      const bytes = size > maxRecordBytes ? undefined : readWhole(opened.fd, size);
      return bytes && parseRecord(bytes);
    } finally {
      closeSync(opened.fd);
    }
  }
}

/**
 * The state of a model: of everything below a folder, or of a single file, and of the files in `files` that lie elsewhere.
 * undefined where that is too much or cannot be had.
 */
export function takeSnapshot(path: string, files: readonly string[]): Snapshot | undefined {
  const root = tryRealPath(path);
  if (root === undefined) return undefined;
  const outside = files.filter((file) => file !== root && relative(root, file).startsWith(".."));
  const lines: string[] = [];
  let newest = 0n;
  const note = (name: string, stats: BigIntStats) => {
    const { size, mtimeNs, ctimeNs, ino, dev, mode } = stats;
    lines.push([name, mode, stats.isDirectory() ? 0n : size, mtimeNs, ctimeNs, ino, dev].join(" "));
    // A time in the future is somebody's invention; the other one, which nobody can choose, counts then.
    const now = BigInt(Date.now()) * 1_000_000n;
    for (const time of [mtimeNs, ctimeNs]) if (time > newest && time <= now + 1_000_000_000n) newest = time;
  };
  const walk = (name: string, depth: number): boolean => {
    if (lines.length >= mostFiles || depth > mostDepth) return false;
    const full = join(root, name);
    const stats = lstatSync(full, { bigint: true });
    note(JSON.stringify(name), stats);
    if (stats.isSymbolicLink()) note("->", statSync(full, { bigint: true }));
    return (
      !stats.isDirectory() ||
      namesIn(full)
        .toSorted()
        .every((inner) => walk(join(name, inner), depth + 1))
    );
  };
  try {
    if (!walk("", 0) || lines.length + outside.length > mostFiles) return undefined;
    for (const file of outside) note(JSON.stringify(file), statSync(file, { bigint: true }));
  } catch {
    return undefined; // something is gone or cannot be looked at
  }
  return { root, outside, lines, newestEpochMs: Number(newest / 1_000_000n) };
}

/** Whether whatever was read of the model from `sinceEpochMs` on is what the snapshot, taken later, describes. */
export function isSettled(snapshot: Snapshot, sinceEpochMs: number): boolean {
  return snapshot.newestEpochMs < sinceEpochMs - settledAfterMs;
}

/** How long until a model is settled that is not touched meanwhile; 0 when it is. */
export function settlesInMs(snapshot: Snapshot): number {
  return Math.max(0, snapshot.newestEpochMs + settledAfterMs + 1 - Date.now());
}

export function isSameSnapshot(a: Snapshot, b: Snapshot | undefined): boolean {
  return b !== undefined && a.root === b.root && isSame(a.lines, b.lines);
}

interface IndexRecord {
  readonly root: string;
  readonly outside: readonly string[];
  readonly lines: readonly string[];
  readonly known: KnownModel;
}

const encoder = new TextEncoder();

/** A digest, a line feed, and what it is the digest of: a record with a changed bit is none. */
function parseRecord(bytes: Uint8Array): IndexRecord | undefined {
  const text = new TextDecoder().decode(bytes);
  const body = text.slice(65);
  if (text[64] !== "\n" || digestBytes(encoder.encode(body)) !== text.slice(0, 64)) return undefined;
  try {
    // Its digest says that `remember` wrote it, and the format that a version like this one did.
    const record = JSON.parse(body) as IndexRecord & { readonly format: number };
    return record.format === recordFormat && Array.isArray(record.lines) ? record : undefined;
  } catch {
    return undefined;
  }
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((line, index) => line === b[index]);
}

function tryRealPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined; // opening the model says why
  }
}
