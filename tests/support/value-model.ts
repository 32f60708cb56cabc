// A model package whose input and output are numbers, no arrays: m = n, as the stand-in for Core ML computes it.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { modelBytes, writePackage } from "./model-files.ts";

/** Gives the path. */
export function writeValueModel(path: string, behaviour: Readonly<Record<string, unknown>> = {}): string {
  const integer = (name: string) => ({ name, type: { Type: { case: "int64Type", value: {} } as const } });
  writePackage(path, {
    "Data/com.apple.CoreML/model.mlmodel": modelBytes({
      specificationVersion: 7,
      description: { input: [integer("n")], output: [integer("m")] },
      Type: { case: "identity", value: {} },
    }),
  });
  const spec = {
    inputs: [{ name: "n", type: "int64" }],
    outputs: [{ name: "m", type: "int64" }],
    ...behaviour,
  };
  writeFileSync(join(path, "standin.json"), JSON.stringify(spec));
  return path;
}
