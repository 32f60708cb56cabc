// Compiled models of Core ML, one for each model and system. A compiled model is never made again in its place: the Neural
// Engine's own cache, which takes minutes to fill, goes by that place.

import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { CoremlxError, errnoOf, messageOf } from "../core/errors.ts";
import type { Telemetry } from "../core/telemetry.ts";
import { computeDigest } from "../formats/digest.ts";
import type { Model } from "../formats/model.ts";
import type { CoremlLibrary } from "../native/coreml.ts";
import { openPrivateFolder } from "../native/private-folder.ts";
import { isSettled, ModelIndex, takeSnapshot } from "./cache/model-index.ts";

export interface CompiledPlace {
  readonly path: string;
  /** 0 where it lay there already. */
  readonly compileMs: number;
  /** It stays for the next load. */
  readonly isKept: boolean;
  /** Removes what is not kept. */
  readonly onDispose: () => void;
}

export interface CompileOnceOptions {
  readonly library: CoremlLibrary;
  /** `undefined`: each load compiles for itself. */
  readonly cacheDir: string | undefined;
  /** What else decides how it comes out: build of the system, Core ML or stand-in. */
  readonly system: string;
  readonly telemetry?: Telemetry | undefined;
}

/** The compiled form of a model. Throws NATIVE with Core ML's reason, IO. */
export async function compileOnce(model: Model, options: CompileOnceOptions): Promise<CompiledPlace> {
  if (model.container === "mlmodelc")
    return { path: model.path, compileMs: 0, isKept: false, onDispose() {} };
  const { library, cacheDir, system, telemetry } = options;
  const root = cacheDir === undefined ? undefined : tryOpenRoot(cacheDir, telemetry);
  if (root === undefined) return compileAside(library, model);
  const key = createHash("sha256")
    .update(JSON.stringify([await digestOf(model, cacheDir), system]))
    .digest("hex");
  const place = join(root, key);
  const known = namesIn(place)[0];
  if (known !== undefined) {
    noteUse(place);
    return { path: join(place, known), compileMs: 0, isKept: true, onDispose() {} };
  }
  const draft = join(root, `${draftPrefix}${randomBytes(8).toString("hex")}`);
  try {
    mkdirSync(draft, { mode: 0o700 });
    const compileMs = compile(library, model.path, join(draft, compiledName(model)));
    publish(draft, place);
    dropOld(root);
    return {
      path: join(place, namesIn(place)[0] ?? compiledName(model)),
      compileMs,
      isKept: true,
      onDispose() {},
    };
  } catch (error) {
    if (error instanceof CoremlxError) throw error;
    throw new CoremlxError("IO", `Cannot keep the compiled model: ${messageOf(error)}`, { cause: error });
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** A compiled model that Core ML cannot read any more makes room for a new one. */
export function dropCompiled({ path }: CompiledPlace): void {
  rmSync(join(path, ".."), { recursive: true, force: true });
}

/** Hashing takes 1.5 ms a megabyte: it is remembered in the cache as long as nothing about the files changes. */
export async function digestOf(model: Model, cacheDir: string | undefined): Promise<string> {
  const root = cacheDir === undefined ? undefined : tryOpenRoot(cacheDir, undefined);
  if (root === undefined) return computeDigest(model);
  const index = new ModelIndex(openPrivateFolder(join(root, "index")));
  const known = index.lookup(model.path);
  if (known) return known.digest;
  const since = Date.now();
  const digest = await computeDigest(model);
  const snapshot = takeSnapshot(model.path, model.files);
  if (snapshot && isSettled(snapshot, since)) {
    const { functions, defaultFunction } = model.description;
    index.remember(snapshot, { digest, defaultFunction, functions: functions.map(({ name }) => name) });
  }
  return digest;
}

/** Whoever cannot keep anything compiles each time: slower, not wrong. */
function tryOpenRoot(cacheDir: string, telemetry: Telemetry | undefined): string | undefined {
  try {
    return openPrivateFolder(join(cacheDir, "coreml"));
  } catch (error) {
    telemetry?.log("warn", "compile cache cannot be used", { reason: messageOf(error) });
    return undefined;
  }
}

function compileAside(library: CoremlLibrary, model: Model): CompiledPlace {
  const folder = mkdtempSync(join(tmpdir(), "coremlx-"));
  const onDispose = () => rmSync(folder, { recursive: true, force: true });
  try {
    const path = join(folder, compiledName(model));
    return { path, compileMs: compile(library, model.path, path), isKept: false, onDispose };
  } catch (error) {
    onDispose();
    throw error;
  }
}

/** Instruments shows the name. */
function compiledName({ path }: Model): string {
  return `${basename(path).replace(/\.(mlpackage|mlmodel)$/i, "")}.mlmodelc`;
}

function compile(library: CoremlLibrary, from: string, to: string): number {
  const started = performance.now();
  library.compile(from, to);
  return performance.now() - started;
}

/** Whoever comes first stays: others have begun to use it. */
function publish(draft: string, place: string): void {
  try {
    renameSync(draft, place);
  } catch (error) {
    const code = errnoOf(error);
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
}

const draftPrefix = ".draft-";
const dayMs = 86_400_000;
const [unusedDays, draftDays] = [30, 1];

/** What nobody has loaded for a month, and what an interrupted compilation left. Errors are none: it is tried again. */
function dropOld(root: string): void {
  for (const name of namesIn(root)) {
    const days = name.startsWith(draftPrefix)
      ? draftDays
      : /^[0-9a-f]{64}$/.test(name)
        ? unusedDays
        : undefined;
    if (days === undefined) continue;
    const path = join(root, name);
    const mtimeMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - mtimeMs > days * dayMs) rmSync(path, { recursive: true, force: true });
  }
}

function noteUse(place: string): void {
  try {
    utimesSync(place, new Date(), new Date());
  } catch {
    // Then it counts as older than it is.
  }
}

function namesIn(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
