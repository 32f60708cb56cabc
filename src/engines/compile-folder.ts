// A compiled model as a folder of its own: what an entry of the compile cache holds, complete in itself.

import { chmodSync, closeSync, lstatSync, mkdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { CoremlxError, errnoOf } from "../core/errors.ts";
import type { ModelKind } from "../core/model.ts";
import { computeDigest, openModel } from "../formats/open.ts";
import { refuseSpace } from "../native/disk-space.ts";
import { DraftFolder } from "./cache/draft.ts";
import { openOwnFile, syncFolder } from "../native/own-file.ts";
import { namesIn, reasonOf, removeTree, writeNewFile } from "./cache/files.ts";
import { entryFormat, type Manifest, manifestName } from "./cache/manifest.ts";
import { isSameSnapshot, takeSnapshot } from "./cache/model-index.ts";
import { encodePlan, planName } from "./cache/plan.ts";
import { compileInto, keyOf, type LoadFileOptions, originOf } from "./load-file.ts";

export type CompileFolderOptions = Pick<
  LoadFileOptions,
  "runtime" | "library" | "precision" | "functionName" | "telemetry"
>;

/**
 * Compiles one function of the model at `path` into the folder `target`: missing, empty, or the result of an earlier
 * call, which is replaced as a whole. Throws IO, and what opening and lowering a model throw.
 */
export async function compileFolder(
  path: string,
  target: string,
  options: CompileFolderOptions,
): Promise<{ readonly manifest: Manifest; readonly kind: ModelKind }> {
  refuseTarget(target);
  using model = await openModel(path, { telemetry: options.telemetry });
  const { functionName = model.description.defaultFunction } = options;
  const snapshot = takeSnapshot(path, model.files);
  if (snapshot === undefined) throw cannotWrite(target, "the model has more files than a model has");
  const started = performance.now();
  using draft = makeDraft(target);
  const source = { model, functionName, snapshot };
  const disk = { refusal: (byteLength: number) => refuseSpace(draft.path, byteLength) };
  const plan = await compileInto(draft.path, source, disk, { ...options, isComplete: true });
  if (plan === undefined) {
    throw new CoremlxError("UNSUPPORTED", `Cannot compile ${path}: it is a ${model.description.kind}`, {
      hint: "ML programs and pipelines of them are compiled",
      details: { kind: model.description.kind },
    });
  }
  const digest = await computeDigest(model);
  if (!isSameSnapshot(snapshot, takeSnapshot(path, model.files))) {
    throw new CoremlxError("BAD_MODEL", `Cannot compile ${path}: it was changed meanwhile`);
  }
  try {
    writeNewFile(join(draft.path, planName), encodePlan(plan), { mode: 0o600, isDurable: false });
    const about = {
      key: keyOf(digest, functionName, options),
      createdEpochMs: Date.now(),
      compileMs: Math.round(performance.now() - started),
      origin: originOf({ digest, functionName, snapshot }, options),
    };
    const manifest = draft.seal(about, entryFormat);
    for (const { name } of manifest.files) chmodSync(join(draft.path, name), 0o644);
    chmodSync(join(draft.path, manifestName), 0o644);
    chmodSync(draft.path, 0o755);
    moveIn(draft, target);
    return { manifest, kind: model.description.kind };
  } catch (error) {
    throw error instanceof CoremlxError ? error : cannotWrite(target, reasonOf(error), error);
  }
}

function refuseTarget(target: string): void {
  let isFolder: boolean;
  try {
    isFolder = lstatSync(target).isDirectory();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw cannotWrite(target, reasonOf(error), error);
  }
  if (!isFolder) throw cannotWrite(target, "it is not a folder");
  if (namesIn(target).length > 0 && !isEarlierResult(target)) throw cannotWrite(target, "it is not empty");
}

function isEarlierResult(target: string): boolean {
  const opened = openOwnFile(join(target, manifestName));
  const plan = openOwnFile(join(target, planName));
  return [opened, plan].every((file) => {
    if ("problem" in file) return false;
    closeSync(file.fd);
    return true;
  });
}

function makeDraft(target: string): DraftFolder {
  try {
    mkdirSync(dirname(target), { recursive: true });
    return DraftFolder.make(dirname(target));
  } catch (error) {
    throw cannotWrite(target, reasonOf(error), error);
  }
}

/** What was there goes aside first, so that the place is never half of one and half of the other. */
function moveIn(draft: DraftFolder, target: string): void {
  const aside = `${draft.path}-before`;
  let isAside = false;
  try {
    renameSync(target, aside);
    isAside = true;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  try {
    draft.moveTo(target);
  } catch (error) {
    if (isAside) renameSync(aside, target);
    throw error;
  }
  removeTree(aside);
  syncFolder(dirname(target));
}

function cannotWrite(target: string, why: string, cause?: unknown): CoremlxError {
  return new CoremlxError("IO", `Cannot write the compiled model to ${target}: ${why}`, {
    cause,
    hint: "Name a new or an empty folder that you may write to",
    details: { path: target },
  });
}
