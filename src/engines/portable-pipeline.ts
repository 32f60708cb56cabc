// Pipelines on the portable engine: stages run in order over a shared dictionary of features.

import { CoremlxError } from "../core/errors.ts";
import type { FunctionDescription } from "../core/model.ts";
import type { FeatureValue, FeatureValues } from "../core/tensor.ts";
import type { LoadedModel, PredictOptions, State } from "./engine.ts";

/** Owns its stages. */
export class PipelineModel implements LoadedModel {
  readonly device = "cpu";
  /** A pipeline is several graphs, with features between them. */
  readonly graph = undefined;
  readonly function: FunctionDescription;
  readonly #stages: readonly LoadedModel[];

  constructor(description: FunctionDescription, stages: readonly LoadedModel[]) {
    this.function = description;
    this.#stages = stages;
  }

  get compileMs(): number {
    return this.#stages.reduce((sum, stage) => sum + stage.compileMs, 0);
  }

  async predict(inputs: FeatureValues, options: PredictOptions = {}): Promise<FeatureValues> {
    const features = new Map<string, FeatureValue>(inputs);
    for (const stage of this.#stages) {
      const given = new Map<string, FeatureValue>();
      for (const { name } of stage.function.inputs) {
        const value = features.get(name);
        if (value !== undefined) given.set(name, value);
      }
      for (const [name, value] of await stage.predict(given, { signal: options.signal }))
        features.set(name, value);
    }
    const outputs = new Map<string, FeatureValue>();
    for (const { name } of this.function.outputs) {
      const value = features.get(name);
      if (value === undefined)
        throw new CoremlxError("BAD_MODEL", `Cannot give out "${name}": no stage computes it`);
      outputs.set(name, value);
    }
    return outputs;
  }

  newState(): State {
    throw new CoremlxError("UNSUPPORTED", "Cannot make a state: a pipeline keeps none");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stage of this.#stages) await stage[Symbol.asyncDispose]();
  }
}
