// An entry of the compile cache in the making: a folder under a lock that ends with its process, invisible until it is
// whole. What dead processes left behind is swept.

import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
} from "node:fs";
import { join } from "node:path";
import { CoremlxError, errnoOf } from "../../core/errors.ts";
import { digestFile, isSameFile, openOwnFile, syncFolder } from "../../native/own-file.ts";
import { namesIn, removeTree, tryLock, writeNewFile } from "./files.ts";
import { type EntryFile, encodeManifest, type Manifest, manifestName } from "./manifest.ts";

const lockName = ".lock";
/** A folder without a lock is being made, removed, or was left; the first two take no time. */
const leftAfterMs = 10 * 60_000;
/** Whatever its lock says (a file system may know none): nothing takes a day to compile. */
const abandonedAfterMs = 24 * 60 * 60_000;
const mostAttempts = 8;

/** Owns the folder, until it is moved. Invariant: while it lives, no sweep of any process touches the folder. */
export class DraftFolder implements Disposable {
  readonly path: string;
  #lock: number | undefined;
  #isOurs = true;

  /** Throws IO. */
  static make(parent: string): DraftFolder {
    for (let attempt = 0; attempt < mostAttempts; attempt++) {
      const path = join(parent, `${process.pid}-${randomBytes(8).toString("hex")}`);
      mkdirSync(path, { mode: 0o700 });
      const lock = claim(path);
      if (lock !== undefined) return new DraftFolder(path, lock);
    }
    throw new CoremlxError("IO", `Cannot use the folder ${parent}: what is made there vanishes`);
  }

  private constructor(path: string, lock: number) {
    this.path = path;
    this.#lock = lock;
  }

  /** Completes the entry: everything in the folder is on the disk, read-only, and listed in its manifest. */
  seal(about: Omit<Manifest, "files" | "format">, format: number): Manifest {
    const files: EntryFile[] = [];
    for (const name of namesIn(this.path).toSorted()) {
      if (name !== lockName) files.push(sealFile(this.path, name));
    }
    const manifest: Manifest = { format, ...about, files };
    writeNewFile(join(this.path, manifestName), encodeManifest(manifest), { mode: 0o600, isDurable: true });
    syncFolder(this.path);
    return manifest;
  }

  /** Gives the folder its place. Throws the system's error, and is still ours then. */
  moveTo(target: string): void {
    removeTree(join(this.path, lockName));
    renameSync(this.path, target);
    this.#isOurs = false;
  }

  [Symbol.dispose](): void {
    if (this.#isOurs) removeTree(this.path);
    this.#isOurs = false;
    if (this.#lock !== undefined) closeSync(this.#lock);
    this.#lock = undefined;
  }
}

/** Removes what processes that are no more left in a folder of drafts; says how many things it removed. */
export function sweepDrafts(parent: string): number {
  return namesIn(parent).filter((name) => sweep(join(parent, name))).length;
}

function sweep(path: string): boolean {
  let age: number;
  try {
    const stats = lstatSync(path);
    age = Date.now() - stats.mtimeMs;
    if (!stats.isDirectory()) return age > leftAfterMs && removeTree(path);
  } catch {
    return false; // gone already
  }
  const opened = openOwnFile(join(path, lockName));
  if ("problem" in opened) return (!opened.isMissing || age > leftAfterMs) && removeTree(path);
  try {
    return (tryLock(opened.fd, "exclusive") || age > abandonedAfterMs) && removeTree(path);
  } finally {
    closeSync(opened.fd);
  }
}

/** undefined when a sweep was faster. */
function claim(path: string): number | undefined {
  let fd: number;
  try {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    fd = openSync(join(path, lockName), flags, 0o600);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  // Without locks (some network file systems) the folder's age protects it.
  if (tryLock(fd, "shared") && isSameFile(fd, join(path, lockName))) return fd;
  closeSync(fd);
  return undefined;
}

function sealFile(folder: string, name: string): EntryFile {
  const path = join(folder, name);
  chmodSync(path, 0o400);
  const opened = openOwnFile(path);
  if ("problem" in opened)
    throw new CoremlxError("IO", `Cannot keep ${name} of a compiled model: it ${opened.problem}`);
  try {
    fsyncSync(opened.fd);
    return { name, bytes: opened.stats.size, sha256: digestFile(opened.fd) };
  } finally {
    closeSync(opened.fd);
  }
}
