// Finds libcoremlx: the caller's own, or on a Mac the one that was built beside these sources.

import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

export interface CoremlLibraryOptions {
  /** A library to use. It is code, and runs as such: never from a model or a project file. */
  readonly path?: string | undefined;
  /** Where the walk up to the build folder begins. Default: this module's folder. */
  readonly from?: string | undefined;
  readonly platform?: NodeJS.Platform | undefined;
}

/** `undefined` where there is none. On Linux only what the caller names: it is a stand-in that computes nothing real. */
export function locateCoreml(options: CoremlLibraryOptions = {}): string | undefined {
  const { path, from = import.meta.dir, platform = process.platform } = options;
  if (path !== undefined) return resolve(path);
  if (platform !== "darwin") return undefined;
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    const built = join(folder, ".build/release/libcoremlx.dylib");
    if (existsSync(built) && existsSync(join(folder, "Package.swift"))) return built;
    if (folder === dirname(folder)) return undefined;
  }
}
