// Memory that other processes can read as a file, in two kinds. "memory": a sealed file without a disk, written in
// place. "file": pages of our own, written to a file when somebody wants to read it. Neither can end this process by a
// signal: nobody can shorten the first, and the second is never touched through its file.

import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  openSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";
import { CoremlxError, errnoOf, messageOf } from "../core/errors.ts";
import {
  createMemoryFile,
  duplicateDescriptor,
  isHeldElsewhere,
  linkDescriptor,
  preallocate,
  sealSize,
} from "./kernel.ts";
import { checkMappable, mapFile, mapPages, type Pages } from "./pages.ts";

export type MappedFileKind = "memory" | "file";

export interface MappedFileOptions {
  readonly kind: MappedFileKind;
  readonly byteLength: number;
}

/** Where other processes of this user find the bytes. Both names are good until `withdraw`. */
export interface PublishedFile {
  readonly path: string;
  /** `/proc/<pid>/fd/<n>`, for those who cannot see the folder. Linux only. */
  readonly descriptorPath: string | undefined;
}

/** Owns its memory, its descriptor and its name. */
export interface MappedFile extends Disposable {
  readonly kind: MappedFileKind;
  readonly byteLength: number;
  readonly address: number;
  /** Borrows: good until the file is disposed. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Detaches every view made so far; `bytes` is a new one. */
  revokeViews(): void;
  /** Gives the bytes as they are now a fresh name in `folder`, which must be private. Throws IO: disk full, no permission. */
  publish(folder: string): PublishedFile;
  /** Takes the name away. false: somebody still reads these very bytes, so they must never be written again. */
  withdraw(): boolean;
}

/** Sealed memory is Linux's; elsewhere the bytes go through a file. */
export const defaultMappedFileKind: MappedFileKind = process.platform === "linux" ? "memory" : "file";

/** Every byte has its place before this returns. Throws IO or OVERLOADED when there is none, UNSUPPORTED beyond 4 GiB. */
export function createMappedFile(options: MappedFileOptions): MappedFile {
  return options.kind === "memory"
    ? SealedMemory.create(options.byteLength)
    : new WrittenFile(options.byteLength);
}

/** Invariant: `#fd` is the only descriptor here, read-only, so that the kernel can say whether there are others. */
class SealedMemory implements MappedFile {
  readonly kind = "memory";
  readonly byteLength: number;
  readonly #pages: Pages;
  #fd: number;
  #path: string | undefined;
  /** It was published since the kernel last said that nobody else has it. */
  #mayBeHeld = false;

  static create(byteLength: number): SealedMemory {
    checkMappable(byteLength);
    const free = freemem();
    // The kernel would not refuse: it would look for a process to end.
    if (byteLength > free)
      throw new CoremlxError(
        "OVERLOADED",
        `Cannot make ${byteLength} bytes of shared memory: ${free} are free`,
      );
    const writable = createMemoryFile("coremlx-output");
    let readable: number | undefined;
    try {
      fchmodSync(writable, 0o600);
      preallocate(writable, Math.max(byteLength, 1), "memory");
      sealSize(writable);
      readable = openSync(`/proc/self/fd/${writable}`, "r");
      return new SealedMemory(mapFile(writable, byteLength, "shared"), readable);
    } catch (error) {
      if (readable !== undefined) closeSync(readable);
      throw asIoError(error, `Cannot make ${byteLength} bytes of shared memory`);
    } finally {
      closeSync(writable);
    }
  }

  private constructor(pages: Pages, fd: number) {
    this.#pages = pages;
    this.#fd = fd;
    this.byteLength = pages.byteLength;
  }

  get address(): number {
    return this.#pages.address;
  }
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#pages.bytes;
  }
  revokeViews(): void {
    this.#pages.revokeViews();
  }

  publish(folder: string): PublishedFile {
    const descriptorPath = `/proc/${process.pid}/fd/${this.#fd}`;
    if (this.#path === undefined) {
      const path = join(folder, freshName());
      inFolder(folder, () => symlinkSync(descriptorPath, path));
      this.#path = path;
      this.#mayBeHeld = true;
    }
    return { path: this.#path, descriptorPath };
  }

  withdraw(): boolean {
    if (this.#path !== undefined) {
      removeName(this.#path);
      this.#path = undefined;
      // Who still knows the old number shall find nothing under it, rather than the next result.
      const renumbered = duplicateDescriptor(this.#fd);
      closeSync(this.#fd);
      this.#fd = renumbered;
    }
    if (this.#mayBeHeld) this.#mayBeHeld = isHeldElsewhere(this.#fd);
    return !this.#mayBeHeld;
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    if (this.#path !== undefined) removeName(this.#path);
    this.#path = undefined;
    closeSync(this.#fd);
    this.#fd = -1;
    this.#pages[Symbol.dispose]();
  }
}

/** A file's name: published, or known to nobody, or (Linux) not yet given. */
type FileState =
  | { readonly kind: "none" }
  | { readonly kind: "named"; readonly fd: number; readonly path: string; readonly isPublished: boolean };

/** Invariant: a file exists only between `publish` and the end of its reuse, and it has all its bytes while published. */
class WrittenFile implements MappedFile {
  readonly kind = "file";
  readonly byteLength: number;
  readonly #pages: Pages;
  #file: FileState = { kind: "none" };

  constructor(byteLength: number) {
    this.byteLength = byteLength;
    this.#pages = mapPages(byteLength);
  }

  get address(): number {
    return this.#pages.address;
  }
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#pages.bytes;
  }
  revokeViews(): void {
    this.#pages.revokeViews();
  }

  publish(folder: string): PublishedFile {
    if (this.#file.kind === "named" && this.#file.isPublished) return publishedAs(this.#file);
    const path = join(folder, freshName());
    const file = inFolder(folder, () =>
      this.#file.kind === "named" ? this.#overwrite(this.#file, path) : this.#write(folder, path),
    );
    this.#file = { kind: "named", ...file, isPublished: true };
    return publishedAs(file);
  }

  /** The pages are ours alone; only the file may be in other hands, and is then left to them. */
  withdraw(): boolean {
    if (this.#file.kind === "none" || !this.#file.isPublished) return true;
    const { fd, path } = this.#file;
    const hidden = join(path, "..", `.${freshName()}`);
    try {
      renameSync(path, hidden); // so that from here on nobody comes to it by the old name
      this.#file = { kind: "named", fd, path: hidden, isPublished: false };
    } catch {
      this.#dropFile(); // somebody removed it
      return true;
    }
    if (isHeldElsewhere(fd)) this.#dropFile();
    return true;
  }

  [Symbol.dispose](): void {
    this.#dropFile();
    this.#pages[Symbol.dispose]();
  }

  #write(folder: string, path: string): { fd: number; path: string } {
    const { fd, temporary } = createUnnamed(folder);
    try {
      preallocate(fd, Math.max(this.byteLength, 1), folder);
      writeWhole(fd, this.bytes);
      if (temporary === undefined) linkDescriptor(fd, path);
      else renameSync(temporary, path);
      return { fd, path };
    } catch (error) {
      if (temporary !== undefined) removeName(temporary);
      closeSync(fd);
      throw error;
    }
  }

  /** The pages of the file are there already: half the time of a new one (measured: 8 against 17 ms for 50 MB on ext4). */
  #overwrite(file: { fd: number; path: string }, path: string): { fd: number; path: string } {
    try {
      writeWhole(file.fd, this.bytes);
      renameSync(file.path, path);
      return { fd: file.fd, path };
    } catch (error) {
      this.#dropFile();
      throw error;
    }
  }

  #dropFile(): void {
    if (this.#file.kind === "none") return;
    const { fd, path } = this.#file;
    this.#file = { kind: "none" };
    removeName(path);
    closeSync(fd);
  }
}

function publishedAs({ fd, path }: { readonly fd: number; readonly path: string }): PublishedFile {
  return { path, descriptorPath: process.platform === "linux" ? `/proc/${process.pid}/fd/${fd}` : undefined };
}

const withoutName = 0o20000000 | constants.O_DIRECTORY; // O_TMPFILE, which Node does not name

/** An empty file: without a name where the file system can, else under a temporary one. */
function createUnnamed(folder: string): { fd: number; temporary: string | undefined } {
  if (process.platform === "linux") {
    try {
      return { fd: openSync(folder, constants.O_RDWR | withoutName, 0o600), temporary: undefined };
    } catch (error) {
      // Some file systems (NFS, older overlays) have no files without names.
      if (!["EOPNOTSUPP", "EISDIR", "EINVAL"].includes(errnoOf(error) ?? "")) throw error;
    }
  }
  const temporary = join(folder, `.${freshName()}`);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  return { fd: openSync(temporary, flags, 0o600), temporary };
}

function writeWhole(fd: number, bytes: Uint8Array<ArrayBuffer>): void {
  for (let at = 0; at < bytes.byteLength; ) at += writeSync(fd, bytes, at, bytes.byteLength - at, at);
}

function freshName(): string {
  return `${randomBytes(12).toString("hex")}.bin`;
}

function removeName(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // gone already: what we wanted
  }
}

function inFolder<T>(folder: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw asIoError(error, `Cannot publish an output in ${folder}`);
  }
}

function asIoError(error: unknown, action: string): CoremlxError {
  if (error instanceof CoremlxError) return error;
  const reason = errnoOf(error) ?? messageOf(error);
  return new CoremlxError("IO", `${action}: ${reason}`, { cause: error, details: { errno: reason } });
}
