// A shared library that lies compressed inside the executable, made loadable: a private folder keeps the unpacked
// file under its digest, and every start checks it again, because whoever can change that file runs code as us.

import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { CoremlxError, errnoOf, messageOf } from "../core/errors.ts";
import type { EmbeddedLibrary } from "./embedded.ts";
import { linkDescriptor } from "./kernel.ts";
import { digestFile, openOwnFile, syncFolder } from "./own-file.ts";
import { openPrivateFolder } from "./private-folder.ts";

/** A start that died left its temporary file; one that old belongs to nobody. */
const abandonedAfterMs = 60 * 60 * 1000;

/** The smallest piece zlib takes. */
const minChunkBytes = 64;

/**
 * The path of the unpacked library, `<cacheDir>/lib/<sha256>/<name>`, checked byte for byte. Unpacks it where it is
 * missing or differs; processes that start together may all do so, and each finds a whole file. Throws IO when the
 * folder cannot be written, is not ours alone, or is reached through somebody else's hands.
 */
export async function unpackLibrary(library: EmbeddedLibrary, cacheDir: string): Promise<string> {
  try {
    const folder = openLibraryFolder(cacheDir, library.sha256);
    const path = join(folder, library.name);
    if (!isIntact(path, library)) writeWhole(path, await decompressLibrary(library));
    return path;
  } catch (error) {
    if (error instanceof CoremlxError) throw error;
    throw new CoremlxError(
      "IO",
      `Cannot unpack ${library.name} into ${cacheDir}: ${errnoOf(error) ?? messageOf(error)}`,
      { cause: error },
    );
  }
}

/** The library's own bytes. Never more than it should have: the executable may have been tampered with. */
export async function decompressLibrary(library: EmbeddedLibrary): Promise<Uint8Array<ArrayBuffer>> {
  const damaged = (why: string, cause?: unknown) =>
    new CoremlxError("INTERNAL", `Cannot unpack ${library.name}: ${why}`, {
      cause,
      hint: "Install coremlx again: the executable is damaged.",
    });
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await promisify(zstdDecompress)(readFileSync(library.path), {
      maxOutputLength: library.byteLength,
      // In one piece: in zlib's pieces of 16 KiB it takes twice as long (210 against 105 ms).
      chunkSize: Math.max(library.byteLength, minChunkBytes),
    });
  } catch (error) {
    throw damaged(messageOf(error), error);
  }
  if (createHash("sha256").update(bytes).digest("hex") !== library.sha256) {
    throw damaged("its digest is not the one it was built with");
  }
  return bytes;
}

/** `<cacheDir>/lib/<digest>`, which nobody else can change. A loose one is tightened: what lies in it is checked on its own. */
function openLibraryFolder(cacheDir: string, digest: string): string {
  const shelf = openPrivateFolder(join(cacheDir, "lib"), { looseMode: "tighten" });
  return openPrivateFolder(join(shelf, digest), { looseMode: "tighten" });
}

/** Whether `path` is a file of ours alone with exactly the library's bytes. */
function isIntact(path: string, library: EmbeddedLibrary): boolean {
  const opened = openOwnFile(path);
  if ("problem" in opened) return false; // it will be replaced
  try {
    return opened.stats.size === library.byteLength && digestFile(opened.fd) === library.sha256;
  } finally {
    closeSync(opened.fd);
  }
}

/** Puts a complete file at `path` or none: a reader never sees a part, nor does the next start after a power cut. */
function writeWhole(path: string, bytes: Uint8Array<ArrayBuffer>): void {
  const folder = dirname(path);
  removeAbandoned(folder);
  const temporary = join(folder, `.${randomBytes(8).toString("hex")}.tmp`);
  const { fd, hasName } = createTemporary(folder, temporary);
  try {
    try {
      for (let written = 0; written < bytes.byteLength; ) written += writeSync(fd, bytes, written);
      fchmodSync(fd, 0o500);
      fsyncSync(fd);
      if (!hasName) linkDescriptor(fd, temporary);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(folder);
}

const withoutName = 0o20000000 | constants.O_DIRECTORY; // O_TMPFILE, which Node does not name

/** An empty file, without a name where the file system can: of such a one an interrupted start leaves nothing behind. */
function createTemporary(
  folder: string,
  temporary: string,
): { readonly fd: number; readonly hasName: boolean } {
  if (process.platform === "linux") {
    try {
      return { fd: openSync(folder, constants.O_WRONLY | withoutName, 0o500), hasName: false };
    } catch (error) {
      // Some file systems (NFS, older overlays) have no files without names.
      if (!["EOPNOTSUPP", "EISDIR", "EINVAL"].includes(errnoOf(error) ?? "")) throw error;
    }
  }
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  return { fd: openSync(temporary, flags, 0o500), hasName: true };
}

function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(".tmp")) continue;
    const path = join(folder, name);
    try {
      if (Date.now() - lstatSync(path).mtimeMs > abandonedAfterMs) rmSync(path, { force: true });
    } catch {
      // another start removed it first
    }
  }
}
