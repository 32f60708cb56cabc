// Opening the files of a model: regular files only, never blocking, never outside the model's own folder.

import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readSync } from "node:fs";
import { readlinkSync, realpathSync, statSync, type Stats } from "node:fs";
import { join, relative, sep } from "node:path";
import { CoremlxError, errnoOf } from "../core/errors.ts";
import { badModel, quote } from "./bad-model.ts";
import type { FormatLimits } from "./limits.ts";

/** A checked regular file. Owns the descriptor. */
export interface OpenFile extends Disposable {
  /** Absolute real path: no component is a symbolic link. */
  readonly path: string;
  readonly fd: number;
  readonly byteLength: number;
}

/** The folder that a model's files may not leave. */
export interface Enclosure {
  /** Real path of the folder. */
  readonly root: string;
  readonly limits: FormatLimits;
  readonly allowOutsideLinks: boolean;
}

/** BAD_MODEL for what the file system says about a path the user or the model named; IO where the disk failed. */
export function fileError(error: unknown, name: string): CoremlxError {
  const errno = errnoOf(error);
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: "does not exist",
    ENOTDIR: "does not exist: a part of its path is not a folder",
    EACCES: "may not be read: permission denied",
    EPERM: "may not be read: permission denied",
    ELOOP: "is a loop of symbolic links",
    ENAMETOOLONG: "has a name that is too long",
    EISDIR: "is a folder",
    ENXIO: "is not a regular file",
    ERR_INVALID_ARG_VALUE: "has a name no file can have",
  };
  const reason = errno === undefined ? undefined : reasons[errno];
  if (reason !== undefined) return badModel(`${quote(name)} ${reason}`, { cause: error });
  if (error instanceof CoremlxError) return error;
  return new CoremlxError("IO", `${quote(name)} cannot be read: ${errno ?? "unknown error"}`, {
    cause: error,
  });
}

/** What kind of file this is, or undefined for a regular one. */
function peculiarity(stats: Stats): string | undefined {
  if (stats.isFile()) return undefined;
  if (stats.isDirectory()) return "a folder";
  if (stats.isFIFO()) return "a named pipe";
  if (stats.isSocket()) return "a socket";
  return "a device";
}

/** Opens a regular file. Its type is checked before it is opened (a pipe would block) and again afterwards. */
export function openRegularFile(path: string, name: string): OpenFile {
  try {
    const real = realpathSync(path);
    refuseUnlessRegular(lstatSync(real), name);
    const fd = openSync(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      const stats = fstatSync(fd);
      refuseUnlessRegular(stats, name);
      let open = true;
      return {
        path: real,
        fd,
        byteLength: stats.size,
        [Symbol.dispose]() {
          if (open) closeSync(fd);
          open = false;
        },
      };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  } catch (error) {
    throw fileError(error, name);
  }
}

function refuseUnlessRegular(stats: Stats, name: string): void {
  const kind = peculiarity(stats);
  if (kind !== undefined) throw badModel(`${quote(name)} is ${kind}, not a file`);
}

/**
 * Opens `path` (relative to the enclosure, or absolute inside it). Refuses links that lead out: a symbolic link in any
 * component by its real path; a hard link when the file has more names than the enclosure holds, since then another
 * one lies outside. A hard link that leads nowhere else is fine.
 */
export function openInside(enclosure: Enclosure, path: string): OpenFile {
  const name = path.startsWith(sep) ? relative(enclosure.root, path) : path;
  const file = openRegularFile(join(enclosure.root, name), name);
  try {
    if (!enclosure.allowOutsideLinks) {
      // On Linux, ask which file the descriptor really holds: a folder may have been swapped since realpath.
      refuseOutside(enclosure, descriptorPath(file.fd) ?? file.path, name);
      refuseOutsideHardLink(enclosure, fstatSync(file.fd), name);
    }
    return file;
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

function descriptorPath(fd: number): string | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined; // no /proc in this container: the path that was resolved before opening has to do
  }
}

function isInside(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

function refuseOutside(enclosure: Enclosure, real: string, name: string): void {
  if (isInside(enclosure.root, real)) return;
  throw badModel(`${quote(name)} is a symbolic link that leads out of the model`, {
    hint: "Copy the model with its links resolved (cp -RL) and open the copy",
    details: { file: name },
  });
}

function refuseOutsideHardLink(enclosure: Enclosure, stats: Stats, name: string): void {
  if (stats.nlink <= 1) return;
  let inside = 0;
  for (const entry of walk(enclosure, enclosure.root)) {
    if (entry.stats.ino === stats.ino && entry.stats.dev === stats.dev) inside++;
  }
  if (stats.nlink <= inside) return;
  throw badModel(
    `${quote(name)} is a hard link to a file outside the model (${stats.nlink} links, ${inside} inside)`,
    {
      hint: "Copy the model (cp -R) and open the copy",
      details: { file: name, links: stats.nlink, inside },
    },
  );
}

/**
 * Every regular file at or below `path`, checked like `openInside`: the absolute path it has inside the enclosure, and
 * its size. BAD_MODEL when nothing is there.
 */
export function listInside(enclosure: Enclosure, path: string): Map<string, number> {
  const files = new Map<string, number>();
  try {
    const start = realpathSync(join(enclosure.root, path));
    if (!enclosure.allowOutsideLinks) refuseOutside(enclosure, start, path);
    for (const { path: found, stats } of walk(enclosure, start)) {
      const name = relative(enclosure.root, found);
      const target = stats.isSymbolicLink() ? checkLink(enclosure, found, name) : stats;
      refuseUnlessRegular(target, name);
      if (!enclosure.allowOutsideLinks) refuseOutsideHardLink(enclosure, target, name);
      files.set(found, target.size);
    }
  } catch (error) {
    throw fileError(error, path);
  }
  return files;
}

/** What a symbolic link leads to. */
function checkLink(enclosure: Enclosure, link: string, name: string): Stats {
  const real = realpathSync(link);
  if (!enclosure.allowOutsideLinks) refuseOutside(enclosure, real, name);
  const target = statSync(real);
  // Followed, a link to a folder could make the tree a loop.
  if (target.isDirectory()) {
    throw badModel(`${quote(name)} is a symbolic link to a folder`, {
      hint: "Copy the model with its links resolved (cp -RL) and open the copy",
    });
  }
  return target;
}

/** Everything below `start` that is not a folder, itself included; links are not followed. */
function* walk(enclosure: Enclosure, start: string): Generator<{ path: string; stats: Stats }> {
  const pending: { path: string; depth: number }[] = [{ path: start, depth: 0 }];
  let seen = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (++seen > enclosure.limits.maxFolderEntries) {
      throw badModel(`the folder has more than ${enclosure.limits.maxFolderEntries} entries`);
    }
    const stats = lstatSync(next.path);
    if (!stats.isDirectory()) {
      yield { path: next.path, stats };
      continue;
    }
    if (next.depth >= enclosure.limits.maxFolderDepth) {
      throw badModel(`folders are nested more than ${enclosure.limits.maxFolderDepth} deep`);
    }
    for (const entry of readdirSync(next.path)) {
      pending.push({ path: join(next.path, entry), depth: next.depth + 1 });
    }
  }
}

/** The whole file, up to `maxBytes`, in memory of its own. */
export function readFile(file: OpenFile, maxBytes: number, name: string): Uint8Array<ArrayBuffer> {
  if (file.byteLength > maxBytes) {
    throw badModel(`${quote(name)} has ${file.byteLength} bytes, more than the limit of ${maxBytes}`, {
      details: { file: name, byteLength: file.byteLength, limit: maxBytes },
    });
  }
  return readRange(file, 0, file.byteLength);
}

/** Bytes [start, end) of the file, cut at its end. */
export function readRange(file: OpenFile, start: number, end: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(Math.max(0, Math.min(end, file.byteLength) - start)));
  let filled = 0;
  while (filled < bytes.byteLength) {
    const count = readSync(file.fd, bytes, filled, bytes.byteLength - filled, start + filled);
    if (count === 0) break; // the file shrank while we read it
    filled += count;
  }
  return filled === bytes.byteLength ? bytes : bytes.subarray(0, filled);
}

/**
 * The file mapped, private (writes never reach the disk) and never copied. The mapping goes when the last view of it
 * is collected. `start` must be a multiple of 16384. Length 0 gives an empty array, which cannot be mapped.
 */
export function mapFile(file: OpenFile, start = 0, byteLength = file.byteLength): Uint8Array<ArrayBuffer> {
  if (byteLength === 0) return new Uint8Array(new ArrayBuffer(0));
  // By descriptor on Linux: the file that was checked is the file that is mapped, whatever happened to its name.
  const path =
    process.platform === "linux" && descriptorPath(file.fd) !== undefined
      ? `/proc/self/fd/${file.fd}`
      : file.path;
  return start === 0 && byteLength === file.byteLength
    ? Bun.mmap(path, { shared: false })
    : Bun.mmap(path, { shared: false, offset: start, size: byteLength });
}
