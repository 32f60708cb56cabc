// Files that must be ours alone, because what is in them is trusted: opened without following links, looked over, compared.

import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readSync,
  type Stats,
} from "node:fs";
import { errnoOf } from "../core/errors.ts";
import { userId } from "./private-folder.ts";

const chunkBytes = 4 * 2 ** 20;

/** An open file, or why it is none of ours. */
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

/** Whether the name still belongs to the open file. */
export function isSameFile(fd: number, path: string): boolean {
  try {
    const [open, named] = [fstatSync(fd), lstatSync(path)];
    return open.ino === named.ino && open.dev === named.dev;
  } catch {
    return false;
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
