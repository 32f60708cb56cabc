// Models loaded through a compile cache, and their answers to the same inputs each time.

import { generate } from "../../../src/codecs/generate.ts";
import type { FunctionDescription } from "../../../src/core/model.ts";
import type { FeatureValues } from "../../../src/core/tensor.ts";
import type { CompileCache } from "../../../src/engines/cache.ts";
import type { LoadedModel } from "../../../src/engines/engine.ts";
import { type LoadedFile, loadFile, type LoadFileOptions } from "../../../src/engines/load-file.ts";
import { PortableEngine } from "../../../src/engines/portable.ts";
import { openModel } from "../../../src/formats/open.ts";
import { portableRuntime } from "../portable.ts";

export type LoadChanges = Partial<LoadFileOptions>;

/** As the portable engine does it; models written a moment ago count as old. */
export async function load(
  path: string,
  cache: CompileCache | undefined,
  changes: LoadChanges = {},
): Promise<LoadedFile> {
  const runtime = await portableRuntime();
  const { functionName, threads = 1, precision } = changes;
  const engine = new PortableEngine({ runtime, precision }); // not disposed: the runtime serves all tests
  return loadFile(path, {
    cache,
    runtime,
    library: "the library of the tests",
    threads,
    now: () => Date.now() + 10_000,
    load: (model) => engine.load(model, { functionName, threads }),
    ...changes,
  });
}

/** Seeded random values for every input. */
export function inputsFor(description: FunctionDescription): FeatureValues {
  return new Map(description.inputs.map((input) => [input.name, generate(input, "random", { seed: 1 })]));
}

/** Two predictions on one state. */
export async function answersOf(model: LoadedModel): Promise<readonly FeatureValues[]> {
  const inputs = inputsFor(model.function);
  if (model.function.states.length === 0) return [await model.predict(inputs), await model.predict(inputs)];
  using state = model.newState();
  return [await model.predict(inputs, { state }), await model.predict(inputs, { state }), state.read()];
}

/** How it was loaded, and what it answers. */
export async function loadAndAsk(path: string, cache: CompileCache | undefined, changes: LoadChanges = {}) {
  await using file = await load(path, cache, changes);
  return { ...file.cache, digest: file.digest, answers: await answersOf(file.loaded) };
}

/** The answers of the model loaded as if there were no cache. */
export async function askWithout(path: string, changes: LoadChanges = {}): Promise<readonly FeatureValues[]> {
  const { functionName, precision } = changes;
  using model = await openModel(path);
  const engine = new PortableEngine({ runtime: await portableRuntime(), precision });
  await using loaded = await engine.load(model, { functionName, threads: 1 });
  return await answersOf(loaded); // before it is closed
}
