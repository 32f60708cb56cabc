// Loads one model cold and predicts, in a process of its own, and says how long it took. For scripts/bench-first-load.ts.

import { generate } from "../../src/codecs/generate.ts";
import { openSession } from "../../src/runtime/session.ts";

export interface FirstLoad {
  /** Until the model was there. */
  readonly loadMs: number;
  readonly firstMs: number;
  /** Ten predictions after the first. */
  readonly tenMs: number;
  /** From the start of the process to its end. */
  readonly wholeMs: number;
}

const [path = "", cacheDir, mode] = process.argv.slice(2);
const session = await openSession({ cacheDir, cache: mode === "filling" });
const started = performance.now();
const model = await session.load(path);
const loaded = performance.now();
const inputs = new Map(model.inputs.map((input) => [input.name, generate(input, "random")]));
await model.predict(inputs);
const first = performance.now();
for (let i = 0; i < 10; i++) await model.predict(inputs);
const result: Omit<FirstLoad, "wholeMs"> = {
  loadMs: loaded - started,
  firstMs: first - loaded,
  tenMs: performance.now() - first,
};
await session[Symbol.asyncDispose]();
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
