// Loading a model by its path through the compile cache. Warm, the model's file is not even read. Whatever goes wrong
// with the cache costs time, never the answer: the model is then loaded as if there were none.

import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import type { ModelDescription } from "../core/model.ts";
import { silent, type Telemetry } from "../core/telemetry.ts";
import { version } from "../core/version.ts";
import type { Model } from "../formats/model.ts";
import type { Precision } from "../lowering/scope.ts";
import type { OnnxRuntime } from "../native/onnxruntime.ts";
import { type CacheEntry, cacheFailure, type CompileCache, type EntryOrigin } from "./cache.ts";
import { writeNewFile } from "./cache/files.ts";
import { compileKey, identifyCpu } from "./cache/key.ts";
import { entryBytes } from "./cache/manifest.ts";
import { isSameSnapshot, isSettled, type Snapshot, takeSnapshot } from "./cache/model-index.ts";
import {
  type CompiledPlan,
  decodePlan,
  encodePlan,
  type PlannedBody,
  type PlannedGraph,
  planName,
} from "./cache/plan.ts";
import type { LoadedModel } from "./engine.ts";
import { OrtGraph } from "./ort-graph.ts";
import { GraphModel } from "./portable-graph.ts";
import { PipelineModel } from "./portable-pipeline.ts";

export interface LoadFileOptions {
  /** undefined: nothing is looked up and nothing kept. */
  readonly cache: CompileCache | undefined;
  readonly runtime: Pick<OnnxRuntime, "createSession" | "version">;
  /** `identifyLibrary` of the runtime's library. */
  readonly library: string;
  readonly precision?: Precision | undefined;
  /** Default: the model's default function. */
  readonly functionName?: string | undefined;
  /** Threads one prediction may use; default: all cores. */
  readonly threads?: number | undefined;
  /** Compute the digest also where nothing else needs it. */
  readonly withDigest?: boolean | undefined;
  /** Read the model and the entry whole, and believe nothing that was noted about them. */
  readonly verify?: boolean | undefined;
  readonly telemetry?: Telemetry | undefined;
  /** The time of day in milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
  /** How a model is loaded that the cache can do nothing for. Borrows the model, which stays open as long as the result. */
  readonly load: (model: Model) => Promise<LoadedModel>;
}

export type CacheOutcome =
  /** Found. */
  | { readonly kind: "warm"; readonly key: string; readonly compileMs: 0 }
  /** Made, and kept for the next time; `compileMs` is all that a warm load does not do. */
  | { readonly kind: "cold"; readonly key: string; readonly compileMs: number }
  /** Not kept, and why. */
  | { readonly kind: "none"; readonly compileMs: number; readonly reason: string };

/** Owns everything the loaded model needs. */
export interface LoadedFile extends AsyncDisposable {
  readonly loaded: LoadedModel;
  readonly container: Model["container"];
  readonly byteLength: number;
  readonly description: ModelDescription;
  /** SHA-256 of the model, where it was needed or asked for. */
  readonly digest: string | undefined;
  /** Time to know what the model is, and to make it ready to run; the second has `cache.compileMs` in it. */
  readonly openMs: number;
  readonly loadMs: number;
  readonly cache: CacheOutcome;
  /** The cache entry it came from, held as long as this. */
  readonly entry: { readonly folder: string; readonly bytes: number } | undefined;
}

/** All but how to load what the cache can do nothing for. */
export type LoadKnownOptions = Omit<LoadFileOptions, "load">;

/** Throws what opening the model throws, and what `options.load` throws. */
export async function loadFile(path: string, options: LoadFileOptions): Promise<LoadedFile> {
  const started = performance.now();
  const warm = options.verify ? undefined : loadKnown(path, started, options);
  if (warm) return warm;
  const { model, times, computeDigest } = await open(path, started, options);
  let isKept = false;
  try {
    const result = await loadOpened(path, model, { ...options, ...times, computeDigest });
    if (typeof result !== "string") return result;
    const digest = options.withDigest ? await computeDigest(model) : undefined;
    const loaded = await options.load(model);
    isKept = true;
    return {
      ...aboutModel(model),
      loaded,
      digest,
      ...elapsed(times),
      cache: { kind: "none", compileMs: 0, reason: result },
      entry: undefined,
      async [Symbol.asyncDispose]() {
        await loaded[Symbol.asyncDispose]();
        model[Symbol.dispose]();
      },
    };
  } finally {
    if (!isKept) model[Symbol.dispose]();
  }
}

/** From the cache or not at all: an entry that is missing is made; else why there is none. Throws what opening the model throws. */
export async function loadKept(path: string, options: LoadKnownOptions): Promise<LoadedFile | string> {
  const started = performance.now();
  const warm = loadKnown(path, started, options);
  if (warm) return warm;
  const { model, times, computeDigest } = await open(path, started, options);
  using opened = model;
  return await loadOpened(path, opened, { ...options, ...times, computeDigest }); // before it is closed
}

/**
 * Only from what an earlier `compile` or `loadFile` has kept of this very file; undefined where that is nothing, or
 * nothing of use. Makes no entry; a damaged one is removed.
 */
export function loadCompiled(path: string, options: LoadKnownOptions): LoadedFile | undefined {
  return loadKnown(path, performance.now(), options);
}

/** From the entry of a model whose files are as they were when its digest was noted. */
function loadKnown(path: string, started: number, options: LoadKnownOptions): LoadedFile | undefined {
  const { cache, telemetry = silent } = options;
  if (cache === undefined) return undefined;
  try {
    const known = cache.index.lookup(path);
    const functionName = options.functionName ?? known?.defaultFunction;
    if (known === undefined || functionName === undefined || !known.functions.includes(functionName)) {
      return undefined;
    }
    const key = keyOf(known.digest, functionName, options);
    const entry = cache.get(key);
    if (entry === undefined) return undefined;
    const held = {
      entry,
      root: known.root,
      digest: known.digest,
      cache: { kind: "warm", key, compileMs: 0 },
    } as const;
    return loadEntry(held, { started }, options);
  } catch (error) {
    telemetry.log("warn", "compile cache failed", { reason: cacheFailure(error) });
    return undefined;
  }
}

interface Times {
  readonly started: number;
  readonly opened: number;
  /** When opening the model began. */
  readonly sinceEpochMs: number;
}

async function open(path: string, started: number, { now = Date.now, telemetry }: LoadKnownOptions) {
  const { computeDigest, openModel } = await import("../formats/open.ts");
  const sinceEpochMs = now();
  const model = await openModel(path, { telemetry });
  const times: Times = { started, opened: performance.now(), sinceEpochMs };
  return { model, times, computeDigest };
}

interface OpenedOptions extends LoadKnownOptions, Times {
  readonly computeDigest: (model: Model) => Promise<string>;
}

/** From the entry of an open model, made now where there is none; else why the cache is of no use. */
async function loadOpened(path: string, model: Model, options: OpenedOptions): Promise<LoadedFile | string> {
  const { cache, telemetry = silent } = options;
  const started = performance.now();
  if (cache === undefined) return "there is no cache";
  if (!isCompilable(model.body)) return `a ${model.description.kind} is not compiled`;
  try {
    const { functionName = model.description.defaultFunction, sinceEpochMs, verify } = options;
    const snapshot = takeSnapshot(path, model.files);
    if (snapshot === undefined) return "the state of its files cannot be noted";
    const settled = isSettled(snapshot, sinceEpochMs);
    const noted = settled && !verify ? cache.index.lookup(path)?.digest : undefined;
    const digest = noted ?? (await options.computeDigest(model));
    const key = keyOf(digest, functionName, options);
    const entry = cache.get(key, { verify });
    const source = { path, model, functionName, digest, key, snapshot, settled };
    const made = entry ? { entry, isNew: false } : await makeEntry(source, cache, options);
    if (typeof made === "string") return made;
    if (settled && isSameSnapshot(snapshot, takeSnapshot(path, model.files))) {
      const { defaultFunction, functions } = model.description;
      cache.index.remember(snapshot, {
        digest,
        defaultFunction,
        functions: functions.map(({ name }) => name),
      });
    }
    const outcome = made.isNew
      ? ({ kind: "cold", key, compileMs: performance.now() - started } as const)
      : ({ kind: "warm", key, compileMs: 0 } as const);
    return loadEntry({ entry: made.entry, root: snapshot.root, digest, cache: outcome }, options, options);
  } catch (error) {
    // Faults of the model are told by whoever loads it without the cache.
    const isModels =
      error instanceof CoremlxError && ["BAD_MODEL", "UNSUPPORTED", "NOT_FOUND"].includes(error.code);
    const reason = cacheFailure(error);
    telemetry.log(isModels ? "debug" : "warn", "compile cache failed", { reason });
    return reason;
  }
}

interface Source {
  readonly path: string;
  readonly model: Model;
  readonly functionName: string;
  readonly digest: string;
  readonly key: string;
  readonly snapshot: Snapshot;
  readonly settled: boolean;
}

async function makeEntry(
  source: Source,
  cache: CompileCache,
  options: OpenedOptions,
): Promise<{ readonly entry: CacheEntry; readonly isNew: boolean } | string> {
  const { path, model, snapshot } = source;
  // What was read of it and what has been digested may be two versions.
  if (!source.settled) return "its files were changed a moment ago";
  const begun = await cache.begin(source.key);
  if (begun.kind === "entry") return { entry: begun.entry, isNew: false };
  using draft = begun;
  const started = performance.now();
  const plan = await compileInto(draft.folder, source, cache, options);
  if (plan === undefined) return `a ${model.description.kind} is not compiled`;
  writeNewFile(join(draft.folder, planName), encodePlan(plan), { mode: 0o600, isDurable: false });
  if (!isSameSnapshot(snapshot, takeSnapshot(path, model.files))) return "its files were changed meanwhile";
  const published = draft.publish({
    createdEpochMs: Date.now(),
    compileMs: Math.round(performance.now() - started),
    origin: originOf(source, options),
  });
  return published.kind === "entry" ? { entry: published.entry, isNew: true } : published.reason;
}

export function originOf(
  source: Pick<Source, "digest" | "functionName" | "snapshot">,
  options: Pick<LoadFileOptions, "runtime" | "precision">,
): EntryOrigin {
  return {
    path: source.snapshot.root,
    digest: source.digest,
    functionName: source.functionName,
    precision: options.precision ?? defaultPrecision,
    engine: engineName(options.runtime),
    cpu: identifyCpu(),
    coremlx: version,
  };
}

/** Writes the graphs of one function into a folder; undefined where the model has none. Throws as `compileBody` does. */
export async function compileInto(
  folder: string,
  source: Pick<Source, "model" | "functionName" | "snapshot">,
  cache: Pick<CompileCache, "refusal">,
  options: Pick<LoadFileOptions, "runtime" | "precision"> & { readonly isComplete?: boolean },
): Promise<CompiledPlan | undefined> {
  const { model, functionName, snapshot } = source;
  const [{ compileBody }, { findFunction }] = await Promise.all([
    import("./cache/compile.ts"),
    import("./find-function.ts"),
  ]);
  const body = compileBody(model.body, findFunction(model, functionName), {
    runtime: options.runtime,
    precision: options.precision ?? defaultPrecision,
    folder,
    modelFolder: folderOf(snapshot.root),
    isComplete: options.isComplete,
    refusal: (byteLength) => cache.refusal(byteLength),
  });
  const { container, byteLength, description } = model;
  return body && { container, byteLength, description, body };
}

interface HeldEntry {
  readonly entry: CacheEntry;
  /** Real path of the model. */
  readonly root: string;
  readonly digest: string;
  readonly cache: CacheOutcome & { readonly key: string };
}

/** Takes over the entry. One that does not load is removed, and the error is thrown. */
function loadEntry(
  { entry, root, digest, cache }: HeldEntry,
  times: { readonly started: number; readonly opened?: number },
  options: LoadKnownOptions,
): LoadedFile {
  try {
    const plan = decodePlan(entry.read(planName));
    const opened = times.opened ?? performance.now();
    const loaded = assemble(plan.body, entry, { ...options, modelFolder: folderOf(root) });
    const { container, byteLength, description } = plan;
    return {
      loaded,
      container,
      byteLength,
      description,
      digest,
      ...elapsed({ started: times.started, opened }),
      cache,
      entry: { folder: entry.folder, bytes: entryBytes(entry.manifest) },
      async [Symbol.asyncDispose]() {
        await loaded[Symbol.asyncDispose]();
        entry[Symbol.dispose]();
      },
    };
  } catch (error) {
    entry[Symbol.dispose]();
    options.cache?.discard(entry.key, cacheFailure(error));
    throw error;
  }
}

interface AssembleOptions extends Pick<LoadFileOptions, "runtime" | "threads"> {
  readonly modelFolder: string;
}

function assemble(body: PlannedBody, entry: CacheEntry, options: AssembleOptions): LoadedModel {
  if (body.kind === "pipeline") {
    const stages: LoadedModel[] = [];
    try {
      for (const stage of body.stages) stages.push(assemble(stage, entry, options));
      return new PipelineModel(body.function, stages);
    } catch (error) {
      for (const stage of stages) void stage[Symbol.asyncDispose]();
      throw error;
    }
  }
  const session = options.runtime.createSession(entry.read(body.graph.name), {
    ...placeOf(body.graph, entry, options.modelFolder),
    threads: options.threads,
  });
  try {
    return new GraphModel({
      description: body.function,
      ports: body.ports,
      graph: new OrtGraph(session),
      compileMs: 0,
    });
  } catch (error) {
    session[Symbol.dispose]();
    throw error;
  }
}

function placeOf({ form, weightFolder }: PlannedGraph, entry: CacheEntry, modelFolder: string) {
  if (form === "optimized") return { externalDataFolder: entry.folder, optimization: "none" } as const;
  return { externalDataFolder: weightFolder === undefined ? undefined : join(modelFolder, weightFolder) };
}

const defaultPrecision: Precision = "float32";

/** The key of a function's entry. */
export function keyOf(
  digest: string,
  functionName: string,
  options: Pick<LoadFileOptions, "precision" | "runtime" | "library">,
): string {
  const { precision = defaultPrecision, runtime, library } = options;
  return compileKey({ digest, functionName, precision, library, engine: engineName(runtime) });
}

function engineName(runtime: LoadFileOptions["runtime"]): string {
  return `ONNX Runtime ${runtime.version}`;
}

function isCompilable(body: Model["body"]): boolean {
  return body.kind === "mlProgram" || body.kind === "pipeline";
}

function aboutModel({ container, byteLength, description }: Model) {
  return { container, byteLength, description };
}

/** A model that is one file has its weights beside it. */
function folderOf(root: string): string {
  return statSync(root).isDirectory() ? root : dirname(root);
}

function elapsed({ started, opened }: { readonly started: number; readonly opened: number }) {
  return { openMs: opened - started, loadMs: performance.now() - opened };
}
