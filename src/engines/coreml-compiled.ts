// Compiled models of Core ML, one for each model and system. A compiled model is never made again in its place: the Neural
// Engine's own cache, which takes minutes to fill, goes by that place.

import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { CoremlxError, errnoOf, messageOf } from "../core/errors.ts";
import { computeDigest } from "../formats/digest.ts";
import type { Model } from "../formats/model.ts";
import type { CoremlLibrary } from "../native/coreml.ts";
import { openPrivateFolder } from "../native/private-folder.ts";
import { isSettled, ModelIndex, takeSnapshot } from "./cache/model-index.ts";

export interface CompiledPlace {
  readonly path: string;
  /** 0 where it lay there already. */
  readonly compileMs: number;
  /** SHA-256 of the model, where it had to be known. */
  readonly digest: string | undefined;
  /** Removes what lies in no cache. */
  readonly onDispose: () => void;
}

export interface CompileOnceOptions {
  readonly library: CoremlLibrary;
  /** Of the compiled models; `undefined`: each load compiles for itself. */
  readonly cacheDir: string | undefined;
  /** What else decides how it comes out: build of the system, Core ML or stand-in. */
  readonly system: string;
}

/** The compiled form of a model. Throws BAD_MODEL with Core ML's reason, IO. */
export async function compileOnce(model: Model, options: CompileOnceOptions): Promise<CompiledPlace> {
  const { cacheDir, library, system } = options;
  if (model.container === "mlmodelc")
    return { path: model.path, compileMs: 0, digest: undefined, onDispose() {} };
  const name = `${basename(model.path).replace(/\.(mlpackage|mlmodel)$/i, "")}.mlmodelc`;
  if (cacheDir === undefined) {
    const folder = mkdtempSync(join(tmpdir(), "coremlx-"));
    const remove = () => rmSync(folder, { recursive: true, force: true });
    try {
      const path = join(folder, name);
      return { path, compileMs: compile(library, model.path, path), digest: undefined, onDispose: remove };
    } catch (error) {
      remove();
      throw error;
    }
  }
  const root = openPrivateFolder(join(cacheDir, "coreml"));
  const digest = await digestOf(model, join(root, "index"));
  const key = createHash("sha256")
    .update(JSON.stringify([digest, system]))
    .digest("hex");
  const place = join(root, key);
  const path = join(place, name);
  if (isThere(place))
    return { path: join(place, firstIn(place, name)), compileMs: 0, digest, onDispose() {} };
  const draft = join(root, `.draft-${randomBytes(8).toString("hex")}`);
  try {
    mkdirSync(draft, { mode: 0o700 });
    const compileMs = compile(library, model.path, join(draft, name));
    publish(draft, place);
    return { path, compileMs, digest, onDispose() {} };
  } catch (error) {
    throw error instanceof CoremlxError
      ? error
      : new CoremlxError("IO", `Cannot keep the compiled model: ${messageOf(error)}`, { cause: error });
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** A compiled model that Core ML cannot read any more makes room for a new one. */
export function dropCompiled({ path }: CompiledPlace): void {
  rmSync(join(path, ".."), { recursive: true, force: true });
}

function compile(library: CoremlLibrary, from: string, to: string): number {
  const started = performance.now();
  library.compile(from, to);
  return performance.now() - started;
}

function isThere(place: string): boolean {
  return existsSync(place) && readdirSync(place).length > 0;
}

/** The same model under another name was compiled before. */
function firstIn(place: string, name: string): string {
  const names = readdirSync(place);
  return names.includes(name) ? name : (names[0] ?? name);
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

/** Hashing takes 1.5 ms a megabyte: it is remembered as long as nothing about the files changes. */
async function digestOf(model: Model, folder: string): Promise<string> {
  const index = new ModelIndex(openPrivateFolder(folder));
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
