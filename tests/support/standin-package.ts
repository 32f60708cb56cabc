// A model package for the runtime, whose computing the stand-in for Core ML does.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { operation, type Port, writeProgram } from "./program-models.ts";

const standInTypes = { float32: "f32", float16: "f16", int32: "i32" } as const;

export interface StandInPackage {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** What the stand-in makes of it; see swift/StandIn/CoreML/Spec.swift. Default: every output is the first input. */
  readonly behaviour?: Readonly<Record<string, unknown>>;
}

/** Its program says nothing that is true: nobody but the stand-in runs it. Gives the path. */
export function writeStandInPackage(path: string, { inputs, outputs, behaviour }: StandInPackage): string {
  const x = inputs[0]?.name ?? "x";
  writeProgram(path, {
    inputs,
    outputs,
    operations: outputs.map((output) => operation("relu", { x }, output)),
  });
  const feature = ({ name, dtype, shape, isPicture }: Port) => {
    if (!isPicture) return { name, shape, dtype: standInTypes[dtype] };
    const [, channels, height, width] = shape;
    return { name, type: "image", format: channels === 3 ? "BGRA" : "gray8", height, width };
  };
  const spec = { inputs: inputs.map(feature), outputs: outputs.map(feature), ...behaviour };
  writeFileSync(join(path, "standin.json"), JSON.stringify(spec));
  return path;
}
