// Models to measure with: made on the spot where their size matters, else the reference networks beside the project.

import { existsSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { generate } from "../../src/codecs/generate.ts";
import type { FeatureValues } from "../../src/core/tensor.ts";
import type { SessionModel } from "../../src/runtime/session.ts";
import { operation, port, writeProgram } from "../../tests/support/program-models.ts";

const shared = process.env["COREMLX_SHARED"] ?? resolve(import.meta.dir, "../../../shared");

/** A reference network's package; `undefined` where the folder "shared" is not there. */
export function referenceModel(name: string): string | undefined {
  const path = join(shared, "models/reference", name, "model.mlpackage");
  return existsSync(path) ? path : undefined;
}

/** y = x + x over float32 [2, 3]: some 2 µs, so that all the rest shows. */
export function writeTinyModel(folder: string): string {
  const [x, y] = [port("x", "float32", [2, 3]), port("y", "float32", [2, 3])];
  return writeProgram(join(folder, "tiny.mlpackage"), {
    inputs: [x],
    outputs: [y],
    operations: [operation("add", { x: "x", y: "x" }, y)],
  });
}

/** y = x + x over float32 [256, 256]: 256 KiB in and out. */
export function writeWideModel(folder: string): string {
  const [x, y] = [port("x", "float32", [256, 256]), port("y", "float32", [256, 256])];
  return writeProgram(join(folder, "wide.mlpackage"), {
    inputs: [x],
    outputs: [y],
    operations: [operation("add", { x: "x", y: "x" }, y)],
  });
}

/** A chain of matrix products over float32 [256, 256], squashed in between: `links` times some 0.5 ms. */
export function writeChainModel(folder: string, links: number): string {
  const shape = [256, 256];
  const operations = [];
  let before = "x";
  for (let link = 0; link < links; link++) {
    const product = port(`p${link}`, "float32", shape);
    const squashed = port(link === links - 1 ? "y" : `s${link}`, "float32", shape);
    operations.push(operation("matmul", { x: before, y: "x" }, product));
    operations.push(operation("tanh", { x: product.name }, squashed));
    before = squashed.name;
  }
  return writeProgram(join(folder, `chain-${links}.mlpackage`), {
    inputs: [port("x", "float32", shape)],
    outputs: [port("y", "float32", shape)],
    operations,
  });
}

/** y = x + z over float32 [1, 1000] and [rows, 1]: small inputs, and a result of that many bytes. */
export function writeOuterSumModel(folder: string, byteLength: number): string {
  const columns = 1_000;
  const rows = byteLength / 4 / columns;
  const y = port("y", "float32", [rows, columns]);
  return writeProgram(join(folder, "outer-sum.mlpackage"), {
    inputs: [port("x", "float32", [1, columns]), port("z", "float32", [rows, 1])],
    outputs: [y],
    operations: [operation("add", { x: "x", y: "z" }, y)],
  });
}

export function randomInputs(model: Pick<SessionModel, "inputs">, seed: number): FeatureValues {
  const needed = model.inputs.filter((input) => !input.isOptional);
  return new Map(needed.map((input) => [input.name, generate(input, "random", { seed })]));
}

/** Bytes of the weight files of a package. */
export function weightBytes(path: string): number {
  const folder = join(path, "Data/com.apple.CoreML/weights");
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}
