// An engine without a native library: computes the two models of the conformance suite in TypeScript, and misbehaves on request.

import { CoremlxError } from "../../src/core/errors.ts";
import type { FunctionDescription } from "../../src/core/model.ts";
import {
  type FeatureValue,
  type FeatureValues,
  isTensor,
  numbersOf,
  type Tensor,
  tensorOf,
} from "../../src/core/tensor.ts";
import type { Engine, LoadedModel, LoadOptions, PredictOptions, State } from "../../src/engines/engine.ts";
import { brokenSurfaces } from "../../src/engines/surface-error.ts";
import { encodeFeature } from "../../src/engines/features.ts";
import { findFunction } from "../../src/engines/find-function.ts";
import type { Model } from "../../src/formats/model.ts";

/** What to do in place of answering, or to the answer. */
export type Fault =
  | "error"
  | "hang"
  | "broken surfaces"
  | "no output"
  | "wrong shape"
  | "wrong type"
  | "too few bytes"
  | undefined;

/** From the values of the first input. */
export type FaultFor = (x: Float64Array) => Fault;

export class FakeEngine implements Engine {
  readonly name = "portable";
  readonly version = "fake 1";
  readonly #fault: FaultFor;

  constructor(fault: FaultFor = () => undefined) {
    this.#fault = fault;
  }

  async load(model: Model, options: LoadOptions = {}): Promise<LoadedModel> {
    return new FakeModel(findFunction(model, options.functionName), this.#fault);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

const scale = numbersOf(
  tensorOf(
    "float16",
    Array.from({ length: 16 }, (_, i) => i / 15),
  ),
);

class FakeModel implements LoadedModel {
  readonly compileMs = 0;
  readonly device = "cpu";
  readonly graph = undefined;
  readonly function: FunctionDescription;
  readonly #fault: FaultFor;

  constructor(description: FunctionDescription, fault: FaultFor) {
    this.function = description;
    this.#fault = fault;
  }

  async predict(inputs: FeatureValues, options: PredictOptions = {}): Promise<FeatureValues> {
    options.signal?.throwIfAborted();
    const tensors = this.function.inputs.map((input) => {
      const value = inputs.get(input.name);
      if (value === undefined) {
        throw new CoremlxError("BAD_INPUT", `Cannot predict: input "${input.name}" is missing`);
      }
      return encodeFeature(input, value, { dtype: "float32", shape: undefined });
    });
    const x = numbersOf(tensors[0] ?? tensorOf("float32", []));
    const fault = this.#fault(x);
    if (fault === "error") throw new CoremlxError("NATIVE", "Cannot run: the fake was told to fail");
    if (fault === "broken surfaces") {
      throw new CoremlxError("NATIVE", "Cannot run: no surface is left", { details: brokenSurfaces });
    }
    if (fault === "hang") await new Promise(() => {});
    const outputs = this.function.states.length > 0 ? this.#accumulate(x, options.state) : classify(x);
    return fault === undefined ? outputs : spoil(outputs, fault);
  }

  newState(): State {
    return new FakeState();
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #accumulate(x: Float64Array, given: State | undefined): FeatureValues {
    const state = given instanceof FakeState ? given : new FakeState();
    const memory = numbersOf(state.memory);
    const isReset = this.function.name === "reset";
    const next = Array.from(memory, (value, i) => (isReset ? 0 : (value + (x[i] ?? 0)) * (scale[i] ?? 0)));
    state.memory = tensorOf("float16", next);
    return new Map([["y", state.memory]]);
  }
}

/** The answer as an engine that is out of its mind gives it. */
function spoil(outputs: FeatureValues, fault: Fault): FeatureValues {
  if (fault === "no output") return new Map();
  return new Map(
    [...outputs].map(([name, value]): [string, FeatureValue] => {
      if (!isTensor(value)) return [name, value];
      if (fault === "wrong shape") return [name, tensorOf(value.dtype, [1, 2, 3])];
      if (fault === "wrong type") return [name, tensorOf("int32", [...numbersOf(value)])];
      return [name, { ...value, bytes: value.bytes.slice(0, 3) }];
    }),
  );
}

class FakeState implements State {
  memory = tensorOf("float16", Array<number>(16).fill(0));

  read(): FeatureValues {
    return new Map([["memory", this.memory]]);
  }
  write(values: FeatureValues): void {
    for (const [name, value] of values) {
      if (name !== "memory") throw new CoremlxError("NOT_FOUND", `Cannot find state "${name}"`);
      if (!isTensor(value) || value.shape[0] !== 16)
        throw new CoremlxError("BAD_INPUT", "A state takes [16]");
      this.memory = value;
    }
  }
  [Symbol.dispose](): void {}
}

/** The digit whose picture has the most ink in common: enough to tell the example's pictures apart by their sums. */
function classify(x: Float64Array): FeatureValues {
  const labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
  const sum = x.reduce((total, value) => total + value, 0);
  const label = labels[knownSums.indexOf(sum)] ?? "0";
  const probabilities = labels.map((name): [string, number] => [name, name === label ? 0.9669 : 0.0331 / 9]);
  return new Map<string, FeatureValue>([
    ["classLabel", label],
    ["classLabel_probs", new Map(probabilities)],
  ]);
}

const knownSums: number[] = [];

/** Teaches the fake the ten pictures. */
export function learnDigits(pictures: readonly Tensor[]): void {
  knownSums.splice(
    0,
    knownSums.length,
    ...pictures.map((picture) => picture.bytes.reduce((a, b) => a + b, 0)),
  );
}
