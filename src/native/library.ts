// Finds the ONNX Runtime shared library: the caller's own, the one inside the executable, or the development package.

import { closeSync, existsSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { silent, type Telemetry } from "../core/telemetry.ts";
import { type EmbeddedLibrary, embeddedOnnxRuntime } from "./embedded.ts";
import { createSealedMemory } from "./libc.ts";
import { decompressLibrary, unpackLibrary } from "./library-cache.ts";
import { loadOnnxRuntime } from "./ort-api.ts";

/** option: the caller's path; cache, temporary, memory: from inside the executable; package: node_modules. */
export type LibrarySource = "option" | "cache" | "temporary" | "memory" | "package";

export interface FoundLibrary {
  /** Good for every thread of this process, and for no other process when the source is "memory". */
  readonly path: string;
  readonly source: LibrarySource;
}

export interface LibraryOptions {
  /** A library to use instead of ours. It is code, and runs as such: never from a model or a project file. */
  readonly path?: string | undefined;
  /** Where an embedded library may be kept; made when missing. */
  readonly cacheDir: string;
  readonly telemetry?: Telemetry | undefined;
  /** Default: what scripts/build.ts put into this executable. */
  readonly embedded?: EmbeddedLibrary | undefined;
  /** Where the walk up to node_modules begins. Default: this module's folder. */
  readonly from?: string | undefined;
}

/**
 * The library, already loaded into this process to prove that it can be. Find once per process and give the path to
 * every worker. Throws BAD_INPUT or NATIVE for a bad `path`, UNSUPPORTED where no copy of ours can be loaded.
 */
export async function findOnnxRuntime(options: LibraryOptions): Promise<FoundLibrary> {
  if (options.path !== undefined) return useOption(options.path);
  const embedded = options.embedded ?? embeddedOnnxRuntime;
  if (embedded !== undefined) return await useEmbedded(embedded, options);
  const path = findInPackages(options.from ?? import.meta.dir);
  loadOnnxRuntime(path);
  return { path, source: "package" };
}

/** `findOnnxRuntime` for callers who only open it. */
export async function locateOnnxRuntime(options: LibraryOptions): Promise<string> {
  return (await findOnnxRuntime(options)).path;
}

function useOption(given: string): FoundLibrary {
  const path = resolve(given); // a bare name would be searched for in the system's folders
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) {
    throw new CoremlxError("BAD_INPUT", `Cannot use ${JSON.stringify(given)} as ONNX Runtime: no such file`);
  }
  loadOnnxRuntime(path);
  return { path, source: "option" };
}

async function useEmbedded(embedded: EmbeddedLibrary, options: LibraryOptions): Promise<FoundLibrary> {
  const { cacheDir, telemetry = silent } = options;
  const reasons: string[] = [];
  const attempts: readonly (() => Promise<FoundLibrary>)[] = [
    () => useFolder(embedded, cacheDir, "cache"),
    process.platform === "linux"
      ? () => useMemory(embedded)
      : () => useFolder(embedded, join(tmpdir(), "coremlx"), "temporary"),
  ];
  for (const attempt of attempts) {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof CoremlxError && error.code === "INTERNAL") throw error; // no other way helps
      reasons.push(messageOf(error));
      telemetry.log("warn", "library not usable", { library: embedded.name, reason: messageOf(error) });
    }
  }
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot load the ONNX Runtime inside coremlx: ${reasons.join("; ")}`,
    {
      hint: "Give coremlx a cache folder that it may write to and run code from, or a libonnxruntime of your own.",
      details: { reasons },
    },
  );
}

async function useFolder(
  embedded: EmbeddedLibrary,
  folder: string,
  source: "cache" | "temporary",
): Promise<FoundLibrary> {
  const path = await unpackLibrary(embedded, folder);
  loadOnnxRuntime(path);
  return { path, source };
}

/** The file stays open for the life of the process: other threads load it by the same path. */
async function useMemory(embedded: EmbeddedLibrary): Promise<FoundLibrary> {
  const fd = createSealedMemory(embedded.name, await decompressLibrary(embedded));
  const path = `/proc/self/fd/${fd}`;
  try {
    loadOnnxRuntime(path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return { path, source: "memory" };
}

function findInPackages(start: string): string {
  const file = process.platform === "darwin" ? "libonnxruntime.1.dylib" : "libonnxruntime.so.1";
  const inside = join("node_modules/onnxruntime-node/bin/napi-v6", process.platform, process.arch, file);
  for (let folder = resolve(start); ; folder = dirname(folder)) {
    const path = join(folder, inside);
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) break;
  }
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot find ONNX Runtime for ${process.platform} ${process.arch}: no ${inside} beside or above ${start}`,
    { hint: 'Run "bun install", or name a libonnxruntime of your own.' },
  );
}
