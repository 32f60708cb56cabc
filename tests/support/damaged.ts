// Good models made bad in one place each.

import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { DataType } from "../../src/formats/gen/MIL_pb.ts";
import { digitsPackage } from "./digits.ts";
import {
  blob,
  blobFile,
  constant,
  floats,
  manifest,
  modelBytes,
  modelItem,
  programModel,
  tensorType,
  unary,
  weightsItem,
  writePackage,
} from "./model-files.ts";

export const modelFile = "Data/com.apple.CoreML/model.mlmodel";
export const weightFile = "Data/com.apple.CoreML/weights/weight.bin";

/** A copy of the digits example that may be damaged. */
export function copyDigits(path: string): string {
  cpSync(digitsPackage, path, { recursive: true });
  return path;
}

/** A file with its bytes changed. */
export function edit(path: string, change: (bytes: Buffer) => Uint8Array): void {
  writeFileSync(path, change(readFileSync(path)));
}

/** A package whose manifest names the model like this. */
export function writeWithManifest(path: string, itemPath: string, root: unknown = "A"): string {
  return writePackage(path, {
    "Manifest.json": manifest({ A: { ...modelItem, path: itemPath } }, root),
  });
}

/** A program with one weight: four floats at `offset` of this weight file. */
export function writeWithWeight(
  path: string,
  weights: Uint8Array,
  options: { readonly offset?: number; readonly shape?: readonly number[] } = {},
): string {
  const type = tensorType(DataType.FLOAT32, options.shape ?? [4]);
  const weight = constant("w", blob(type, "@model_path/weights/weight.bin", options.offset ?? 64));
  return writePackage(path, {
    "Manifest.json": manifest({ A: modelItem, W: weightsItem }),
    [modelFile]: modelBytes(programModel([weight, unary("relu", "x", "y")])),
    [weightFile]: weights,
  });
}

export const goodWeights = blobFile(floats(1, 2, 3, 4));

/** A pipeline in a pipeline in a pipeline …: a `Model` that is `levels` messages deep. */
export function nestedModel(levels: number): Uint8Array<ArrayBuffer> {
  // From the inside out, heads only: wrapping the bytes each time would take quadratic time.
  const heads: number[][] = [];
  let byteLength = 0;
  for (let level = 0; level < levels; level++) {
    // Model.pipeline is field 202, Pipeline.models field 1; both are messages, wire type 2.
    const head = [
      ...((levels - level) % 2 === 1 ? varint(202 * 8 + 2) : varint(1 * 8 + 2)),
      ...varint(byteLength),
    ];
    heads.push(head);
    byteLength += head.length;
  }
  return new Uint8Array([8, 4, ...heads.toReversed().flat()]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest & 127) | 128);
  }
}

/** Bytes without a pattern, the same each time. */
export function randomBytes(byteLength: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(byteLength));
  let state = 12_345;
  for (let i = 0; i < byteLength; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    bytes[i] = state >>> 16;
  }
  return bytes;
}
