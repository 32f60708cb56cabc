// Writing files that are whole or not there, with errors that people understand.

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { CoremlxError, errnoOf, messageOf } from "../core/errors.ts";

/** All bytes at once, or pieces in order. */
export type FileContent = Uint8Array | Iterable<Uint8Array>;

/**
 * Writes a file as a whole or not at all: to a temporary name in the same folder, then renamed. A link is followed; a
 * pipe or device takes the bytes directly, and stays. Throws IO.
 */
export function writeFileWhole(path: string, content: FileContent): void {
  try {
    const stats = statSync(path, { throwIfNoEntry: false });
    const chunks = content instanceof Uint8Array ? [content] : content;
    if (stats === undefined) return replaceFile(path, chunks);
    if (stats.isFile()) return replaceFile(realpathSync(path), chunks);
    for (const chunk of chunks) writeFileSync(path, chunk);
  } catch (error) {
    throw writeError(path, error);
  }
}

/** With its parents; one that is there is fine. Throws IO. */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw writeError(path, error);
  }
}

function replaceFile(path: string, chunks: Iterable<Uint8Array>): void {
  const temporary = `${path}.${process.pid}.partial`;
  let fd: number | undefined;
  try {
    fd = openSync(temporary, "wx", 0o644);
    for (const chunk of chunks) for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
    fsyncSync(fd);
    closeSync(fd);
    fd = undefined;
    renameSync(temporary, path);
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    rmSync(temporary, { force: true });
    throw error;
  }
}

function writeError(path: string, error: unknown): CoremlxError {
  const errno = errnoOf(error) ?? "";
  const [reason, hint] = writeFailures[errno] ?? [messageOf(error), "Choose another place"];
  return new CoremlxError("IO", `Cannot write "${path}": ${reason}`, {
    cause: error,
    hint,
    details: { path, errno },
  });
}

const elsewhere = "Choose a place you may write to";
const writeFailures: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOSPC: ["no space is left on the device", "Free some space, or choose another place"],
  EDQUOT: ["your quota of disk space is used up", "Free some space, or choose another place"],
  EFBIG: ["the file would be too large", "Choose a file system or limit that allows it"],
  EACCES: ["permission denied", elsewhere],
  EPERM: ["permission denied", elsewhere],
  EROFS: ["the file system is read-only", elsewhere],
  EISDIR: ["it is a folder", "Name a file"],
  EEXIST: ["a file is in the place of the folder", "Choose another name"],
  ENOTDIR: ["a part of its path is a file, not a folder", "Choose another name"],
  ENAMETOOLONG: ["its name is too long", "Choose a shorter name"],
  ENOENT: ["a folder on its way is missing", "Make the folder first"],
};
