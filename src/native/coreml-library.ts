// Finds libcoremlx: the caller's own, the one inside the executable, or on a Mac the one that was built beside these sources.

import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { embeddedCoreml, type EmbeddedLibrary } from "./embedded.ts";
import { unpackLibrary } from "./library-cache.ts";

export interface CoremlLibraryOptions {
  /** A library to use. It is code, and runs as such: never from a model or a project file. */
  readonly path?: string | undefined;
  /** Where an embedded library is unpacked. */
  readonly cacheDir: string;
  /** Default: what scripts/build.ts put into this executable. */
  readonly embedded?: EmbeddedLibrary | undefined;
  /** Where the walk up to the build folder begins. Default: this module's folder. */
  readonly from?: string | undefined;
  readonly platform?: NodeJS.Platform | undefined;
}

/**
 * `undefined` where there is none. On Linux only what the caller names: it is a stand-in that computes nothing real. Throws
 * UNSUPPORTED where the one inside the executable can be put nowhere, INTERNAL where it is damaged.
 */
export async function locateCoreml(options: CoremlLibraryOptions): Promise<string | undefined> {
  const { path, cacheDir, from = import.meta.dir, platform = process.platform } = options;
  if (path !== undefined) return resolve(path);
  const embedded = options.embedded ?? embeddedCoreml;
  if (embedded !== undefined) return unpackSomewhere(embedded, [cacheDir, join(tmpdir(), "coremlx")]);
  if (platform !== "darwin") return undefined;
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    const built = join(folder, ".build/release/libcoremlx.dylib");
    if (existsSync(built) && existsSync(join(folder, "Package.swift"))) return built;
    if (folder === dirname(folder)) return undefined;
  }
}

/** macOS loads a library from a file only: there is no memory to load it from, as on Linux. */
async function unpackSomewhere(embedded: EmbeddedLibrary, folders: readonly string[]): Promise<string> {
  const reasons: string[] = [];
  for (const folder of folders) {
    try {
      return await unpackLibrary(embedded, folder);
    } catch (error) {
      if (error instanceof CoremlxError && error.code === "INTERNAL") throw error; // no other place helps
      reasons.push(messageOf(error));
    }
  }
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot unpack the libcoremlx inside coremlx: ${reasons.join("; ")}`,
    {
      hint: "Give coremlx a cache folder that it may write to and load code from",
      details: { reasons },
    },
  );
}
