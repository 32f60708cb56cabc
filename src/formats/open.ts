// The way in: any Core ML file or folder, told apart by what it holds, into a Model.

import { readdirSync, statSync, type Stats } from "node:fs";
import { join, resolve } from "node:path";
import { CoremlxError, messageOf, reworded } from "../core/errors.ts";
import { badModel, quote } from "./bad-model.ts";
import { fileError } from "./file-access.ts";
import type { OpenOptions } from "./limits.ts";
import type { Model } from "./model.ts";

export { computeDigest } from "./digest.ts";

/**
 * Opens a .mlpackage, .mlmodel or .mlmodelc, whatever its name. The caller owns the model. Every failure is a
 * CoremlxError that names `path` as given: BAD_MODEL for what is missing, damaged or something else.
 */
export async function openModel(path: string, options?: OpenOptions): Promise<Model> {
  try {
    const started = performance.now();
    const model = await openAny(resolve(path), options);
    options?.telemetry?.log("debug", "model opened", {
      path,
      kind: model.description.kind,
      bytes: model.byteLength,
      ms: Math.round((performance.now() - started) * 10) / 10,
    });
    return model;
  } catch (error) {
    throw named(path, error);
  }
}

async function openAny(path: string, options: OpenOptions | undefined): Promise<Model> {
  const stats = statOf(path);
  // The generated protobuf code takes a moment to load, so nothing loads it before there is something to read.
  if (stats.isDirectory()) {
    switch (kindOfFolder(path)) {
      case "package":
        return (await import("./mlpackage.ts")).openPackage(path, options);
      case "compiled":
        return (await import("./mlmodelc.ts")).openCompiledModel(path, options);
    }
  }
  return (await import("./mlmodel.ts")).openModelFile(path, options);
}

function statOf(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    const failure = fileError(error, path);
    // Without the path: the message begins with it.
    throw badModel(`it ${failure.message.slice(quote(path).length + 1)}`, { cause: error });
  }
}

/** What makes a folder a compiled model; the first two are never missing together. */
const compiledFiles = ["coremldata.bin", "model.mil", "metadata.json"];

function kindOfFolder(path: string): "package" | "compiled" {
  let names: string[];
  try {
    names = readdirSync(path);
  } catch (error) {
    throw fileError(error, path);
  }
  if (names.includes("Manifest.json")) return "package";
  if (compiledFiles.some((name) => names.includes(name))) return "compiled";
  if (/\.mlpackage\/?$/.test(path)) throw badModel("the package has no Manifest.json", { hint: copyWhole });
  if (/\.mlmodelc\/?$/.test(path))
    throw badModel("the compiled model has no coremldata.bin", { hint: copyWhole });
  const inside = names.filter((name) => /\.(mlpackage|mlmodelc|mlmodel)$/.test(name)).toSorted();
  const [first] = inside;
  if (first === undefined) throw badModel("this folder is not a Core ML model", { hint: expected });
  throw badModel("this folder is not a Core ML model, it holds one or more", {
    hint:
      inside.length === 1
        ? `Open ${quote(join(path, first))}`
        : `Open one of them: ${inside.slice(0, 5).join(", ")}`,
  });
}

const copyWhole = "Copy the whole folder again, it is incomplete";
const expected = "A model is an .mlpackage folder, an .mlmodelc folder or an .mlmodel file";

/** The error with the path in front, once. */
function named(path: string, error: unknown): CoremlxError {
  const what = `Cannot open ${quote(path, 400)}`;
  if (!(error instanceof CoremlxError)) {
    // A stack or memory that ran out, or a mistake of ours: it must not surface as a bare TypeError.
    return new CoremlxError("INTERNAL", `${what}: ${messageOf(error)}`, { cause: error });
  }
  if (error.message.startsWith("Cannot ")) return error;
  return reworded(error, `${what}: ${error.message}`);
}
