// Files of the compile cache: opened without following links, checked to be ours alone, written so that they are whole
// or not there.

import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  type Stats,
  writeSync,
} from "node:fs";
import { errnoOf, messageOf } from "../../core/errors.ts";
import { lockFile } from "../../native/kernel.ts";

const chunkBytes = 4 * 2 ** 20;

/** An open file, or why it is not one that this cache has written. */
export type OpenedFile =
  | { readonly fd: number; readonly stats: Stats }
  | { readonly problem: string; readonly isMissing: boolean };

/** Opens a regular file that belongs to us and that nobody else can write. The caller closes `fd`. */
export function openOwnFile(path: string): OpenedFile {
  let fd: number;
  try {
    // A link is not followed, and a FIFO must not hold us.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const errno = errnoOf(error);
    const problem =
      errno === "ELOOP" ? "is a link" : errno === "ENOENT" ? "is missing" : `cannot be read (${errno})`;
    return { problem, isMissing: errno === "ENOENT" };
  }
  const stats = fstatSync(fd);
  const problem = problemOf(stats);
  if (problem === undefined) return { fd, stats };
  closeSync(fd);
  return { problem, isMissing: false };
}

/** Why an open file is none of ours. */
export function problemOf(stats: Stats): string | undefined {
  if (!stats.isFile()) return "is no file";
  if (stats.uid !== userId()) return `belongs to user ${stats.uid}`;
  if (stats.nlink !== 1) return `has ${stats.nlink} names`;
  if ((stats.mode & 0o022) !== 0) return "can be written by others";
  return undefined;
}

export function userId(): number {
  return process.geteuid?.() ?? -1;
}

/** All bytes of an open file that has `byteLength`; undefined where there turn out to be fewer. */
export function readWhole(fd: number, byteLength: number): Uint8Array<ArrayBuffer> | undefined {
  const bytes = new Uint8Array(new ArrayBuffer(byteLength));
  for (let at = 0; at < byteLength; ) {
    const count = readSync(fd, bytes, at, byteLength - at, at);
    if (count === 0) return undefined;
    at += count;
  }
  return bytes;
}

export function digestBytes(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** SHA-256 in hexadecimal. */
export function digestFile(fd: number): string {
  const hash = createHash("sha256");
  const chunk = new Uint8Array(new ArrayBuffer(chunkBytes));
  for (let at = 0; ; ) {
    const count = readSync(fd, chunk, 0, chunkBytes, at);
    if (count === 0) return hash.digest("hex");
    hash.update(chunk.subarray(0, count));
    at += count;
  }
}

/** Makes a file that must not be there yet. With `isDurable`, it outlasts a power cut. Throws the system's error. */
export function writeNewFile(
  path: string,
  bytes: Uint8Array,
  options: { readonly mode: number; readonly isDurable: boolean },
): void {
  const fd = openSync(
    path,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    for (let at = 0; at < bytes.byteLength; ) at += writeSync(fd, bytes, at, bytes.byteLength - at, at);
    fchmodSync(fd, options.mode);
    if (options.isDurable) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Puts names that were made, moved or removed in a folder onto the disk. */
export function syncFolder(path: string): void {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The names in a folder; none where there is no folder. */
export function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Removes a file, a link or a folder with everything in it. false: something could not be removed. */
export function removeTree(path: string): boolean {
  try {
    rmSync(path, { recursive: true, force: true });
    return true;
  } catch {
    return false; // not ours; whoever may write here can do more than that
  }
}

export function isSameFile(fd: number, path: string): boolean {
  try {
    const [open, named] = [fstatSync(fd), lstatSync(path)];
    return open.ino === named.ino && open.dev === named.dev;
  } catch {
    return false;
  }
}

/**
 * Whether the file's lock is ours now. Where the file system knows no locks it is nobody's: "shared" then holds nothing
 * off, and "exclusive" is refused.
 */
export function tryLock(fd: number, kind: "shared" | "exclusive"): boolean {
  try {
    return lockFile(fd, kind);
  } catch {
    return kind === "shared";
  }
}

/** What the system says went wrong. */
export function reasonOf(error: unknown): string {
  return errnoOf(error) ?? messageOf(error);
}
