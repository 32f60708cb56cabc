// Who is making an entry in the background, and what came of earlier attempts: a model that cannot be kept must not cost
// a process at each of its loads.

import { closeSync, constants, fstatSync, ftruncateSync, lstatSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isSameFile, openOwnFile, problemOf } from "../../native/own-file.ts";
import { namesIn, readWhole, removeTree, tryLock } from "./files.ts";

const mostAttempts = 3;
/** Then everything may be different: another disk, another version of the file system's mind. */
const forgottenAfterMs = 24 * 60 * 60_000;
const maxRecordBytes = 64 * 1024;
const beingCompiled = "it is being compiled";
/** Somebody looks at a record for less than a millisecond. */
const mostGlances = 20;

interface AttemptRecord {
  /** Of the model's files; another state is another model. */
  readonly state: string;
  readonly attempts: number;
  readonly atEpochMs: number;
  readonly reason: string;
}

/** Owns the right to make an entry. Its end without a word counts as a failure: the process may have been killed. */
export interface Attempt extends Disposable {
  succeed(): void;
  fail(reason: string): void;
}

export class AttemptLog {
  readonly #folder: string;

  /** The folder must be private. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Why nobody should try now; undefined: try. */
  objection(name: string, state: string): string | undefined {
    const opened = openOwnFile(join(this.#folder, name));
    if ("problem" in opened) return undefined;
    try {
      if (!tryLock(opened.fd, "exclusive")) return beingCompiled;
      return objectionOf(readRecord(opened.fd, opened.stats.size), state);
    } finally {
      closeSync(opened.fd);
    }
  }

  /** The right to try; else why not. Throws the system's error where nothing can be written. */
  begin(name: string, state: string): Attempt | { readonly objection: string } {
    const path = join(this.#folder, name);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const fd = openSync(path, flags, 0o600);
    let isKept = false;
    try {
      const stats = fstatSync(fd);
      const problem = problemOf(stats);
      if (problem !== undefined) return { objection: `the note about it ${problem}` };
      if (!waitForLock(fd) || !isSameFile(fd, path)) return { objection: beingCompiled };
      const before = readRecord(fd, stats.size);
      const objection = objectionOf(before, state);
      if (objection !== undefined) return { objection };
      const attempts = before?.state === state && isRecent(before) ? before.attempts + 1 : 1;
      const write = (reason: string) =>
        writeRecord(fd, { state, attempts, atEpochMs: Date.now(), reason: reason.slice(0, 1_000) });
      write("it did not come to an end");
      isKept = true;
      let isOpen = true;
      return {
        succeed: () => void removeTree(path),
        fail: write,
        [Symbol.dispose]() {
          if (isOpen) closeSync(fd);
          isOpen = false;
        },
      };
    } finally {
      if (!isKept) closeSync(fd);
    }
  }

  /** Removes what is of no use any more. */
  prune(): void {
    for (const name of namesIn(this.#folder)) {
      const path = join(this.#folder, name);
      const mtimeMs = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      if (Date.now() - mtimeMs > forgottenAfterMs) removeTree(path);
    }
  }
}

function waitForLock(fd: number): boolean {
  for (let glance = 0; glance < mostGlances; glance++) {
    if (tryLock(fd, "exclusive")) return true;
    Bun.sleepSync(1);
  }
  return false;
}

function objectionOf(record: AttemptRecord | undefined, state: string): string | undefined {
  if (record === undefined || record.state !== state || record.attempts < mostAttempts) return undefined;
  return isRecent(record) ? `it failed ${record.attempts} times: ${record.reason}` : undefined;
}

/** A time in the future is none. */
function isRecent({ atEpochMs }: AttemptRecord): boolean {
  const ageMs = Date.now() - atEpochMs;
  return ageMs >= 0 && ageMs < forgottenAfterMs;
}

/** undefined where the bytes are no record: then there was no attempt. */
function readRecord(fd: number, size: number): AttemptRecord | undefined {
  const bytes = size > maxRecordBytes ? undefined : readWhole(fd, size);
  if (bytes === undefined) return undefined;
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof json !== "object" || json === null) return undefined;
    const { state, attempts, atEpochMs, reason } = json as Readonly<Record<string, unknown>>;
    if (typeof state !== "string" || typeof reason !== "string") return undefined;
    if (typeof attempts !== "number" || typeof atEpochMs !== "number") return undefined;
    return { state, attempts, atEpochMs, reason };
  } catch {
    return undefined;
  }
}

function writeRecord(fd: number, record: AttemptRecord): void {
  const bytes = new TextEncoder().encode(JSON.stringify(record));
  ftruncateSync(fd, 0);
  for (let at = 0; at < bytes.byteLength; ) at += writeSync(fd, bytes, at, bytes.byteLength - at, at);
}
