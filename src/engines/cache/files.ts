// Files of the compile cache: read whole, written so that they are whole or not there, locked.

import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { errnoOf, messageOf } from "../../core/errors.ts";
import { lockFile } from "../../native/kernel.ts";

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
