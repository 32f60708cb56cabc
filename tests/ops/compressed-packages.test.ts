// Packages that coremltools 9 compressed, opened and run: an identity matrix as input gives the weights out, and they
// are those that coremltools itself decompresses (scripts/fixtures/compression.py).

import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeNpz } from "../../src/codecs/npy.ts";
import type { DType } from "../../src/core/dtype.ts";
import { numbersOf, type Tensor, tensorOf } from "../../src/core/tensor.ts";
import type { MilFunction } from "../../src/formats/mil.ts";
import { openModel } from "../../src/formats/open.ts";
import { lower } from "../../src/lowering/lower.ts";
import type { Precision } from "../../src/lowering/scope.ts";
import { commonFolder, serializeModel } from "../../src/onnx/serialize.ts";
import { expectAllClose, type Tolerance } from "../support/close.ts";
import { portableRuntime } from "../support/portable.ts";

const folder = join(import.meta.dir, "..", "fixtures", "compression");
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".mlpackage"))
  .map((file) => file.replace(".mlpackage", ""))
  .toSorted();

/** coremltools computes in the weights' half precision, we in single: one rounding apart. Tables and masks only move numbers. */
const halfRounding: Tolerance = { absolute: 1e-4, relative: 2 ** -9 };
const moving: Tolerance = { absolute: 0, relative: 0 };

test("the fixtures are there", () => {
  expect(names.length).toBeGreaterThan(20);
});

for (const name of names) {
  for (const precision of ["float32", "model"] as const) {
    test(`${name} decompresses as coremltools does it, in ${precision} precision`, async () => {
      const isMoving = /^(palette-\d|palette-vector|sparse(-iOS18|-palette)?$)/.test(name);
      expectAllClose(
        await weightsOf(name, precision),
        expectedWeights(name),
        isMoving ? moving : halfRounding,
      );
    });
  }
}

test("8-bit and 4-bit weights stay in the weight file until ONNX Runtime reads them", async () => {
  using model = await openModel(join(folder, "block-int4.mlpackage"));
  const { graph } = lower(mainOf(model.body));
  const types = [...graph.initializers.values()].filter(({ source }) => source).map(({ dtype }) => dtype);
  expect(types.toSorted()).toEqual(["int4", "int4"]);
  expect(graph.nodes.filter(({ op }) => op === "DequantizeLinear")).toHaveLength(2);
});

async function weightsOf(name: string, precision: Precision): Promise<Record<string, Tensor>> {
  using model = await openModel(join(folder, `${name}.mlpackage`));
  const lowered = lower(mainOf(model.body), { precision });
  const external = commonFolder(lowered.graph);
  const { bytes } = serializeModel(
    lowered.graph,
    external === undefined ? {} : { external: { folder: external } },
  );
  const runtime = await portableRuntime();
  using session = runtime.createSession(bytes, { threads: 1, externalDataFolder: external });
  const inputs = new Map<string, Tensor>();
  for (const { name: port, dtype, shape } of lowered.inputs) {
    inputs.set(port, identity(dtype, shape?.map(Number) ?? []));
  }
  const results = session.run(inputs);
  const [y, z] = lowered.outputs.map((port) => results.get(port.name));
  if (y === undefined || z === undefined) throw new Error("The package has two outputs");
  return { linear: transposed(y, [64, 32]), conv: transposed(z, [8, 8, 3, 3]) };
}

function expectedWeights(name: string): Record<string, Tensor> {
  const path = join(folder, `${name}.npz`);
  return Object.fromEntries(decodeNpz(readFileSync(path), path));
}

function mainOf(body: Awaited<ReturnType<typeof openModel>>["body"]): MilFunction {
  const main = body.kind === "mlProgram" ? body.program.functions.get("main") : undefined;
  if (main === undefined) throw new Error("The package holds a program with a function main");
  return main;
}

/** Row i has a one at place i, the axes behind the first taken as one. */
function identity(dtype: DType, shape: readonly number[]): Tensor {
  const [rows = 0] = shape;
  const values = Array.from({ length: rows * rows }, (_, at) => Number(at % (rows + 1) === 0));
  return tensorOf(dtype, values, shape);
}

/** [inputs, outputs] -> the weight [outputs, ...], as float32. */
function transposed(result: Tensor, shape: readonly number[]): Tensor {
  const from = numbersOf(result);
  const [outputs = 0] = shape;
  const columns = from.length / outputs;
  const values = Array.from(from, (_, index) => {
    const output = Math.floor(index / columns);
    return from[(index % columns) * outputs + output] ?? 0;
  });
  return tensorOf("float32", values, shape);
}
