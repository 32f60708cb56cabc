// What a disk has left.

import { statfsSync } from "node:fs";

/** Bytes this user may still write in the file system of a folder. Throws the system's error. */
export function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Why so many bytes cannot be written to a folder and leave `spareBytes`; undefined: they can. */
export function refuseSpace(folder: string, byteLength: number, spareBytes = 0): string | undefined {
  const free = freeBytes(folder);
  return byteLength + spareBytes > free
    ? `it takes ${byteLength} bytes, and the disk has ${free} free`
    : undefined;
}
