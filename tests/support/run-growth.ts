// A process of its own for one measurement: how much resident memory 10,000 runs add after a warm-up. Prints
// megabytes, the least of three times: what is kept grows at each, and what the allocator holds back for a while does not.
// Inside the test process it would measure what a hundred other test files leave behind.

import { f32, tensorOf, zeros } from "../../src/core/tensor.ts";
import { OnnxRuntime } from "../../src/native/onnxruntime.ts";
import { libraryPath, onnxModel } from "./onnxruntime.ts";

using runtime = OnnxRuntime.open(await libraryPath());
using session = runtime.createSession(onnxModel("add"), { threads: 1 });
using broken = runtime.createSession(onnxModel("gather"), { threads: 1 });
const shapes = Array.from({ length: 12 }, (_, i) => zeros("float32", [1 + 40 * i, 4]));
const wrong = new Map([
  ["x", f32([1, 2, 3])],
  ["index", tensorOf("int64", [9])],
]);

function round(runs: number): void {
  for (let i = 0; i < runs; i++) {
    const x = shapes[i % shapes.length] ?? zeros("float32", [1, 4]);
    session.run(
      new Map([
        ["a", x],
        ["b", x],
      ]),
    );
    if (i % 10 === 0) fail();
  }
}

function fail(): void {
  try {
    broken.run(wrong);
  } catch (error) {
    if (error instanceof Error && error.message.includes("idx=9")) return;
    throw error;
  }
  throw new Error("An index outside of the table was accepted");
}

function megabytes(): number {
  Bun.gc(true);
  return process.memoryUsage.rss() / 1e6;
}

round(4_000);
const growths = [1, 2, 3].map(() => {
  const before = megabytes();
  round(10_000);
  return megabytes() - before;
});
console.log(Math.min(...growths));
