// A model compiled ahead of time by Core ML: into the cache, or to a place of the user's.

import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import type { CoremlEngine } from "../engines/coreml.ts";
import { computeDigest, openModel } from "../formats/open.ts";
import type { CompileModelOptions, CompileResult } from "./compile.ts";

type Compiled = Pick<CompileResult, "model" | "functions">;

/**
 * Into the cache with one load of each function after it, by which the system's own caches are filled and the choice of a
 * device is made; to `outputFolder`, the name of a new .mlmodelc, nothing is loaded.
 */
export async function compileForCoreml(
  path: string,
  engine: CoremlEngine,
  options: Pick<CompileModelOptions, "functionName" | "outputFolder" | "telemetry">,
): Promise<Compiled> {
  using model = await openModel(path);
  if (model.container === "mlmodelc")
    throw new CoremlxError("BAD_INPUT", `Cannot compile ${path}: it is a compiled model already`);
  const { functions: described, defaultFunction, kind } = model.description;
  const digest = await computeDigest(model);
  const about = { path: model.path, digest, kind };
  if (options.outputFolder !== undefined) {
    const folder = resolve(options.outputFolder);
    if (!folder.endsWith(".mlmodelc"))
      throw new CoremlxError(
        "USAGE",
        `Cannot compile to ${folder}: Core ML loads only folders named .mlmodelc`,
      );
    if (existsSync(folder)) throw new CoremlxError("USAGE", `Cannot compile to ${folder}: it exists`);
    const compileMs = engine.compileTo(model, folder);
    const bytes = sizeOf(folder);
    const one = { name: defaultFunction, outcome: "cold", key: digest, folder, bytes, compileMs } as const;
    return { model: about, functions: [{ ...one, loadMs: undefined }] };
  }
  const wanted =
    options.functionName === undefined ? described.map(({ name }) => name) : [options.functionName];
  const functions: CompileResult["functions"][number][] = [];
  for (const name of wanted) {
    const started = performance.now();
    const { telemetry } = options;
    await using loaded = await engine.load(model, { functionName: name, telemetry });
    const tookMs = performance.now() - started;
    const { path: folder, isKept } = await engine.compiledPlace(model);
    if (!isKept)
      throw new CoremlxError("IO", `Cannot keep the compiled model of ${path}: the cache cannot be used`);
    const { compileMs } = loaded;
    functions.push({
      name,
      // All functions are in one compiled model: the first load made it, or found it.
      outcome: functions[0]?.outcome ?? (compileMs === 0 ? "warm" : "cold"),
      key: digest,
      folder,
      bytes: sizeOf(folder),
      compileMs,
      loadMs: tookMs - compileMs,
    });
  }
  return { model: about, functions };
}

function sizeOf(path: string): number {
  const stats = lstatSync(path);
  if (!stats.isDirectory()) return stats.size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}
