// A model of texts: two lists of decimal numbers in, their sums and differences out, as Triton's own example of strings has it. Nothing
// here runs such a model on Linux, so the sums are made in this thread, behind everything that a worker's answers pass.

import { join } from "node:path";
import { CoremlxError } from "../../../src/core/errors.ts";
import type { FunctionDescription } from "../../../src/core/model.ts";
import type { FeatureValues } from "../../../src/core/tensor.ts";
import type { Engine, LoadedModel } from "../../../src/engines/engine.ts";
import { findFunction } from "../../../src/engines/find-function.ts";
import type { Model } from "../../../src/formats/model.ts";
import { modelBytes, writePackage } from "../model-files.ts";

const texts = { case: "stringType", value: {} } as const;

function list(name: string) {
  const value = { Type: texts, sizeRange: { lowerBound: 1n, upperBound: 16n } };
  return { name, type: { Type: { case: "sequenceType", value } as const } };
}

/** Gives the path. */
export function writeStringModel(path: string): string {
  writePackage(path, {
    [join("Data", "com.apple.CoreML", "model.mlmodel")]: modelBytes({
      specificationVersion: 7,
      description: {
        input: [list("INPUT0"), list("INPUT1")],
        output: [list("OUTPUT0"), list("OUTPUT1")],
      },
      Type: { case: "identity", value: {} },
    }),
  });
  return path;
}

export class StringEngine implements Engine {
  readonly name = "portable";
  readonly version = "strings 1";

  async load(model: Model): Promise<LoadedModel> {
    return new StringModel(findFunction(model, undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

class StringModel implements LoadedModel {
  readonly compileMs = 0;
  readonly device = "cpu";
  readonly graph = undefined;
  readonly function: FunctionDescription;

  constructor(description: FunctionDescription) {
    this.function = description;
  }

  async predict(inputs: FeatureValues): Promise<FeatureValues> {
    const [left, right] = [numbersIn(inputs, "INPUT0"), numbersIn(inputs, "INPUT1")];
    return new Map([
      ["OUTPUT0", left.map((number, i) => String(number + (right[i] ?? 0n)))],
      ["OUTPUT1", left.map((number, i) => String(number - (right[i] ?? 0n)))],
    ]);
  }

  newState(): never {
    throw new CoremlxError("UNSUPPORTED", "Cannot make a state: the model keeps none");
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function numbersIn(inputs: FeatureValues, name: string): bigint[] {
  const value = inputs.get(name);
  if (!Array.isArray(value)) throw new CoremlxError("BAD_INPUT", `Cannot predict: "${name}" is no list`);
  return value.map((text: unknown) => BigInt(String(text)));
}
