// Models of the stand-in for Core ML: a JSON file in a model's folder (see swift/StandIn/CoreML/Spec.swift).

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempFolder } from "./temp.ts";

export interface StandInModel extends Disposable {
  /** Of the compiled model. */
  readonly path: string;
}

/** Of the library under test; scripts/test-coreml.ts sets it. */
export function coremlPath(): string {
  const path = process.env["COREMLX_COREML"];
  if (path === undefined) throw new Error("Run this by `bun run test:coreml`");
  return path;
}

/** A compiled model in a new folder. */
export function standInModel(spec: unknown, name = "Model"): StandInModel {
  const folder = tempFolder();
  const path = join(folder.path, `${name}.mlmodelc`);
  mkdirSync(path);
  writeFileSync(join(path, "standin.json"), JSON.stringify(spec));
  return { path, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}
