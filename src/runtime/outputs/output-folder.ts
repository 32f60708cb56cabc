// The private folder of published outputs: one subfolder per process that uses it, under a lock that ends with the
// process, so that what a dead one left behind can be told from what a living one needs.

import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { CoremlxError, errnoOf, messageOf } from "../../core/errors.ts";
import { lockFile } from "../../native/kernel.ts";
import { isSameFile } from "../../native/own-file.ts";
import { openPrivateFolder } from "../../native/private-folder.ts";

const lockName = "lock";
const subfolderName = /^\d+-[0-9a-f]{16}$/;
/** A sweep that removed the folder between its making and its lock: improbable once. */
const mostAttempts = 8;
/** Subfolders looked at in one sweep. */
const mostLeftovers = 10_000;

/** Owns a subfolder and its lock. Invariant: while it lives, no sweep of any process removes what is inside. */
export class OutputFolder implements Disposable {
  readonly path: string;
  readonly #lock: number;
  readonly #removeAtExit = () => this[Symbol.dispose]();
  #isDisposed = false;

  /** Makes the folder where it is missing and a subfolder in it. Throws IO as openPrivateFolder does. */
  static claim(folder: string): OutputFolder {
    const root = openPrivateFolder(folder);
    try {
      for (let attempt = 0; attempt < mostAttempts; attempt++) {
        const path = join(root, `${process.pid}-${randomBytes(8).toString("hex")}`);
        mkdirSync(path, { mode: 0o700 });
        const lock = tryClaim(path);
        if (lock !== undefined) return new OutputFolder(path, lock);
      }
    } catch (error) {
      if (error instanceof CoremlxError) throw error;
      throw new CoremlxError("IO", `Cannot use the folder ${folder}: ${errnoOf(error) ?? messageOf(error)}`, {
        cause: error,
      });
    }
    throw new CoremlxError("IO", `Cannot use the folder ${folder}: what is made there vanishes`);
  }

  private constructor(path: string, lock: number) {
    this.path = path;
    this.#lock = lock;
    process.once("exit", this.#removeAtExit);
  }

  /** Removes everything inside, whoever may have it open: they keep what they have. May be called again. */
  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    process.off("exit", this.#removeAtExit);
    removeSubfolder(this.path);
    closeSync(this.#lock);
  }
}

/**
 * Removes the subfolders of processes that are no more, and says how many. Never touches one whose lock is held, nor
 * what does not look like ours. A missing folder has none. Throws IO as openPrivateFolder does.
 */
export function sweepOutputs(folder: string): number {
  if (!isThere(folder)) return 0;
  const root = openPrivateFolder(folder);
  let removed = 0;
  for (const name of listNames(root).slice(0, mostLeftovers)) {
    if (subfolderName.test(name) && sweepSubfolder(join(root, name))) removed++;
  }
  return removed;
}

/** The lock's descriptor; undefined when a sweep was faster and the folder is gone or going. */
function tryClaim(path: string): number | undefined {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  let lock: number;
  try {
    lock = openSync(join(path, lockName), flags, 0o600);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  if (lockFile(lock) && isSameFile(lock, join(path, lockName))) return lock;
  closeSync(lock);
  return undefined;
}

function sweepSubfolder(path: string): boolean {
  let lock: number | undefined;
  try {
    if (!lstatSync(path).isDirectory()) return false;
    lock = openSync(join(path, lockName), constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!lockFile(lock)) return false; // its process lives
    return removeSubfolder(path);
  } catch (error) {
    // No lock yet, or no more: empty it may go, for its maker then makes another.
    if (errnoOf(error) === "ENOENT") return tryRemoveFolder(path);
    return false; // not ours to judge; the next sweep tries again
  } finally {
    if (lock !== undefined) closeSync(lock);
  }
}

/** The files of the folder, the lock last, then itself. What is no file stays, and with it the folder. */
function removeSubfolder(path: string): boolean {
  for (const name of listNames(path)) if (name !== lockName) tryUnlink(join(path, name));
  tryUnlink(join(path, lockName));
  return tryRemoveFolder(path);
}

function listNames(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // gone already
  }
}

function tryUnlink(path: string): void {
  try {
    unlinkSync(path); // of a link: the link
  } catch {
    // gone already, or a folder, which none of us made
  }
}

function tryRemoveFolder(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}

function isThere(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
