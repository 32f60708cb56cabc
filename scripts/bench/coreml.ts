// What a prediction costs beside Core ML itself: from TypeScript through the library into the stand-in and back, whose own
// work is six additions. Needs COREMLX_COREML, the path of a libcoremlx over the stand-in.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { f32, zeros } from "../../src/core/tensor.ts";
import { CoremlLibrary } from "../../src/native/coreml.ts";
import { type CoremlCall, CoremlCallPlan, type CoremlRunOptions } from "../../src/native/coreml-call.ts";
import { CoremlModel } from "../../src/native/coreml-model.ts";
import { openSession } from "../../src/runtime/session.ts";
import { port } from "../../tests/support/program-models.ts";
import { writeStandInPackage } from "../../tests/support/standin-package.ts";
import type { Figure } from "./figure.ts";

const shape = [2, 3];

/** Nothing where there is no library. */
export async function measureCoreml(folder: string, isQuick: boolean): Promise<Figure[]> {
  const path = process.env["COREMLX_COREML"];
  if (path === undefined) return [];
  const calls = isQuick ? 3_000 : 30_000;
  const library = CoremlLibrary.open(path);
  const bare = timesOf(calls, () => library.functions.cmlx_abi_version());
  const figures = [figure("a call that does nothing", bare, undefined)];
  using model = CoremlModel.load(library, writeModel(folder), { units: "all" });
  const canceller = library.createCanceller();
  const call: CoremlCall = {
    inputs: [[{ name: "x", feature: 0, kind: "array" }, f32([1, 2, 3, 4, 5, 6], shape)]],
    outputs: [[{ name: "y", feature: 0, kind: "array" }, zeros("float32", shape)]],
  };
  const plan = new CoremlCallPlan(model, call);
  const ways: readonly (readonly [string, CoremlRunOptions, Figure["limit"]])[] = [
    ["a blocking prediction", {}, { atMost: 15 }],
    ["the same with a deadline inside the library", { timeoutMs: 5_000 }, undefined],
    ["the same with a deadline and a canceller", { timeoutMs: 5_000, canceller }, undefined],
  ];
  for (const [name, options, limit] of ways)
    figures.push(
      figure(
        name,
        timesOf(calls, () => plan.run(call, options)),
        limit,
      ),
    );
  library.release(canceller);
  figures.push(await measureSession(folder, path, calls));
  return figures;
}

async function measureSession(folder: string, coremlPath: string, calls: number): Promise<Figure> {
  const path = writeStandInPackage(join(folder, "Session.mlpackage"), {
    inputs: [port("x", "float32", shape)],
    outputs: [port("y", "float32", shape)],
  });
  const cacheDir = join(folder, "cache");
  await using session = await openSession({ engine: "coreml", coremlPath, cacheDir });
  const model = await session.load(path, { device: "cpu" });
  const inputs = new Map([["x", f32([1, 2, 3, 4, 5, 6], shape)]]);
  for (let i = 0; i < 3_000; i++) await model.predict(inputs);
  const times: number[] = [];
  for (let i = 0; i < calls; i++) {
    const started = performance.now();
    await model.predict(inputs);
    times.push(performance.now() - started);
  }
  return figure("session.predict, through a worker", times, undefined);
}

function writeModel(folder: string): string {
  const path = join(folder, "Bare.mlmodelc");
  mkdirSync(path);
  const spec = { inputs: [{ name: "x", shape }], outputs: [{ name: "y", shape }] };
  writeFileSync(join(path, "standin.json"), JSON.stringify(spec));
  return path;
}

/** In milliseconds, after as many again that are not counted. */
function timesOf(calls: number, body: () => unknown): number[] {
  for (let i = 0; i < calls; i++) body();
  return Array.from({ length: calls }, () => {
    const started = performance.now();
    body();
    return performance.now() - started;
  });
}

function figure(name: string, times: readonly number[], limit: Figure["limit"]): Figure {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0) * 1_000;
  const note = `median of ${times.length}; p5 ${at(0.05).toFixed(1)}, p95 ${at(0.95).toFixed(1)} µs`;
  return { name: `Core ML stand-in: ${name}`, value: at(0.5), unit: "µs", limit, note };
}
