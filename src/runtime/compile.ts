// Compiling without predicting: into the cache, so that the next start is warm, or into a folder.

import { resolve } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import type { ModelKind } from "../core/model.ts";
import type { Telemetry } from "../core/telemetry.ts";
import { type CompileCache, compileCacheFolder, openCompileCache } from "../engines/cache.ts";
import { identifyLibrary } from "../engines/cache/key.ts";
import { entryBytes } from "../engines/cache/manifest.ts";
import { settlesInMs, takeSnapshot } from "../engines/cache/model-index.ts";
import { compileFolder } from "../engines/compile-folder.ts";
import { loadFile, type LoadFileOptions } from "../engines/load-file.ts";
import { CoremlEngine } from "../engines/coreml.ts";
import { PortableEngine } from "../engines/portable.ts";
import { hasOwnModels, openEngine } from "../engines/select.ts";
import { locateOnnxRuntime } from "../native/library.ts";
import { OnnxRuntime } from "../native/onnxruntime.ts";
import { compileForCoreml } from "./compile-coreml.ts";

export interface CompileModelOptions {
  /** The user's cache folder. */
  readonly cacheDir: string;
  /** "auto" (default), "coreml" or "portable". */
  readonly engine?: string | undefined;
  readonly onnxruntimePath?: string | undefined;
  readonly coremlPath?: string | undefined;
  /** Default: all functions into the cache, the default function into a folder. */
  readonly functionName?: string | undefined;
  readonly precision?: "float32" | "model" | undefined;
  /** Write a folder instead, for Core ML a new .mlmodelc; the cache is left alone. */
  readonly outputFolder?: string | undefined;
  /** Read model and entry whole instead of believing sizes and times. */
  readonly verify?: boolean | undefined;
  /** Bound of the whole cache. */
  readonly maxCacheBytes?: number | undefined;
  readonly telemetry?: Telemetry | undefined;
}

export interface CompiledFunction {
  readonly name: string;
  /** warm: it was there. */
  readonly outcome: "cold" | "warm";
  readonly key: string;
  readonly folder: string;
  readonly bytes: number;
  /** Lowering, optimising, writing; 0 when warm. */
  readonly compileMs: number;
  /** From the entry, ready to run; absent for a folder. */
  readonly loadMs: number | undefined;
}

export interface CompileResult {
  readonly model: { readonly path: string; readonly digest: string; readonly kind: ModelKind };
  readonly engine: string;
  readonly engineVersion: string;
  readonly functions: readonly CompiledFunction[];
}

/**
 * Blocks this thread while ONNX Runtime works. Throws what opening, lowering and loading a model throw; IO where the
 * result cannot be kept.
 */
export async function compileModel(path: string, options: CompileModelOptions): Promise<CompileResult> {
  const { engine = "auto", cacheDir, onnxruntimePath, coremlPath } = options;
  if (hasOwnModels(engine))
    throw new CoremlxError("UNSUPPORTED", `Cannot compile for ${engine}: it has models of its own`, {
      hint: "Use --engine portable or coreml",
    });
  if (engine !== "portable" && (engine !== "auto" || process.platform === "darwin")) {
    await using chosen = await openEngine({ engine, cacheDir, onnxruntimePath, coremlPath });
    if (chosen instanceof CoremlEngine) {
      const compiled = await compileForCoreml(path, chosen, options);
      return { ...compiled, engine: chosen.name, engineVersion: chosen.version };
    }
  }
  const library = await locateOnnxRuntime({
    path: onnxruntimePath,
    cacheDir,
    telemetry: options.telemetry,
  });
  const runtime = OnnxRuntime.open(library);
  await using portable = new PortableEngine({ runtime, precision: options.precision });
  const work = { ...options, path: resolve(path), runtime, library: identifyLibrary(library), portable };
  const result = await (options.outputFolder === undefined
    ? intoCache(work)
    : intoFolder(work, options.outputFolder));
  return { ...result, engine: portable.name, engineVersion: portable.version };
}

interface Work extends CompileModelOptions {
  readonly path: string;
  readonly runtime: OnnxRuntime;
  readonly library: string;
  readonly portable: PortableEngine;
}

type Compiled = Pick<CompileResult, "model" | "functions">;

async function intoCache(work: Work): Promise<Compiled> {
  const cache = openCompileCache({
    folder: compileCacheFolder(work.cacheDir),
    maxBytes: work.maxCacheBytes,
    telemetry: work.telemetry,
  });
  await settle(work.path);
  const first = await compileFunction(work, cache, work.functionName);
  const { defaultFunction, functions: described } = first.description;
  const functions = [first.compiled];
  if (work.functionName === undefined) {
    for (const { name } of described) {
      if (name !== defaultFunction) functions.push((await compileFunction(work, cache, name)).compiled);
    }
  }
  const { digest, description } = first;
  return { model: { path: work.path, digest, kind: description.kind }, functions };
}

async function compileFunction(work: Work, cache: CompileCache, functionName: string | undefined) {
  const { path, runtime, library, precision, verify, telemetry, portable } = work;
  const options: LoadFileOptions = {
    cache,
    runtime,
    library,
    precision,
    functionName,
    verify,
    telemetry,
    load: (model) => portable.load(model, { functionName }),
  };
  await using file = await loadFile(path, options);
  const { cache: outcome, entry, digest, description, loadMs, loaded } = file;
  if (outcome.kind === "none" || entry === undefined || digest === undefined) {
    const why = outcome.kind === "none" ? outcome.reason : "it has no digest";
    throw new CoremlxError("IO", `Cannot keep the compiled model of ${path}: ${why}`, {
      details: { path, cache: cache.folder },
    });
  }
  const compiled: CompiledFunction = {
    name: loaded.function.name,
    outcome: outcome.kind,
    key: outcome.key,
    folder: entry.folder,
    bytes: entry.bytes,
    compileMs: outcome.compileMs,
    loadMs: loadMs - outcome.compileMs,
  };
  return { compiled, digest, description };
}

/** A model that was written a moment ago could be written to once more without a trace: wait until it could not. */
async function settle(path: string): Promise<void> {
  const snapshot = takeSnapshot(path, []);
  if (snapshot !== undefined) await Bun.sleep(settlesInMs(snapshot));
}

async function intoFolder(work: Work, outputFolder: string): Promise<Compiled> {
  const folder = resolve(outputFolder);
  const { manifest, kind } = await compileFolder(work.path, folder, work);
  const { digest, functionName: name } = manifest.origin;
  const { key, compileMs } = manifest;
  const bytes = entryBytes(manifest);
  const compiled: CompiledFunction = {
    name,
    outcome: "cold",
    key,
    folder,
    bytes,
    compileMs,
    loadMs: undefined,
  };
  return { model: { path: work.path, digest, kind }, functions: [compiled] };
}
