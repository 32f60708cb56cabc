// How fast a loaded model is: a few predictions on made-up inputs.

import type { FeatureDescription } from "../core/model.ts";
import { isColor, pictureDType } from "../core/model.ts";
import { elementsOf, type FeatureValue, zeros } from "../core/tensor.ts";
import type { Measured } from "./coreml-device.ts";
import type { LoadedModel } from "./engine.ts";

const [leastRuns, mostRuns] = [3, 50];
/** Enough for a median; a slow model is told apart from a fast one by three runs. */
const budgetMs = 300;

export async function measurePredictions(model: LoadedModel): Promise<Measured> {
  const inputs = new Map(
    model.function.inputs
      .filter(({ isOptional }) => !isOptional)
      .map((input): [string, FeatureValue] => [input.name, makeValue(input)]),
  );
  await model.predict(inputs); // the first one makes ready what the others use
  const times: number[] = [];
  const started = performance.now();
  while (times.length < leastRuns || (times.length < mostRuns && performance.now() - started < budgetMs)) {
    const before = performance.now();
    await model.predict(inputs);
    times.push(performance.now() - before);
  }
  return { medianMs: times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0 };
}

/** Neither all the same nor too small to matter: some hardware is quicker on zeros. */
function makeValue({ type }: FeatureDescription): FeatureValue {
  switch (type.kind) {
    case "multiArray": {
      const tensor = zeros(type.dtype, type.shape);
      const elements = elementsOf(tensor);
      // Integers are often indices: 0 is one that every table has.
      if (type.dtype.startsWith("float"))
        for (let i = 0; i < elements.length; i++) elements[i] = ((i * 37) % 101) / 101;
      return tensor;
    }
    case "image": {
      const sizes = [type.height, type.width];
      const picture = zeros(pictureDType(type), isColor(type) ? [...sizes, 3] : sizes);
      const elements = elementsOf(picture);
      for (let i = 0; i < elements.length; i++) elements[i] = (i * 37) % 251;
      return picture;
    }
    case "int64":
      return 0n;
    case "double":
      return 0.5;
    case "string":
      return "coremlx";
    case "dictionary":
      return type.key === "string" ? new Map([["coremlx", 1]]) : new Map([[1n, 1]]);
    case "sequence": {
      const length = Math.max(type.size.lower, 1);
      return type.element === "string"
        ? Array<string>(length).fill("coremlx")
        : Array<bigint>(length).fill(0n);
    }
    case "state":
      return 0;
  }
}
