// A loaded model's predictions, by tensors and values: what the runtime runs, and what `predict` runs.

import { CoremlxError } from "../core/errors.ts";
import { type FeatureValue, type FeatureValues, type Tensor, zeros } from "../core/tensor.ts";
import { type CoremlCall, CoremlCallPlan, type CoremlPort } from "../native/coreml-call.ts";
import type { CoremlModel, CoremlState } from "../native/coreml-model.ts";
import { markingSpent } from "./coreml-errors.ts";
import type { CoremlInterface } from "./coreml-interface.ts";
import { readValues } from "./coreml-values.ts";
import type { LoadedGraph } from "./engine.ts";

export interface CoremlRun {
  readonly inputs: ReadonlyMap<string, Tensor>;
  /** Where results shall go, by name. */
  readonly outputs: ReadonlyMap<string, Tensor>;
  readonly state?: CoremlState | undefined;
  /** JSON of the other inputs. */
  readonly values?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly canceller?: number | undefined;
}

/** Ways of calling that are kept; the least recently used goes first. */
const mostPlans = 8;

/**
 * Owns a state of its own, for runs that bring their states along as tensors. A run blocks until Core ML has ended and
 * borrows its memory as long: nobody can take it from under a prediction that hangs. Belongs to the thread that made it.
 */
export class CoremlGraph implements LoadedGraph {
  readonly share = undefined;
  /** Who shall stop waits until Core ML has ended. */
  readonly cancels = [];
  readonly #model: CoremlModel;
  readonly #interface: CoremlInterface;
  #plans: CoremlCallPlan[] = []; // most recently used first
  #carrier: CoremlState | undefined;

  /** Borrows the model. */
  constructor(model: CoremlModel, known: CoremlInterface) {
    this.#model = model;
    this.#interface = known;
  }

  run(inputs: ReadonlyMap<string, Tensor>, outputs: ReadonlyMap<string, Tensor>): FeatureValues {
    const { states } = this.#interface.ports;
    if (states.length === 0) return this.predict({ inputs, outputs });
    const state = (this.#carrier ??= this.#model.createState());
    for (const { feature, input } of states) {
      const value = inputs.get(input);
      if (value === undefined)
        throw new CoremlxError("BAD_INPUT", `Cannot run the model: no state "${feature}"`);
      state.write(feature, value);
    }
    const results = this.predict({ inputs, outputs, state });
    for (const { feature, output, dtype, shape } of states) {
      if (output === undefined) continue;
      const place = outputs.get(output) ?? zeros(dtype, shape);
      state.read(feature, place);
      results.set(output, place);
    }
    return results;
  }

  /** All results by feature. Those without a place come in memory of their own. */
  predict(run: CoremlRun): Map<string, FeatureValue> {
    const call = this.#callOf(run);
    const { tensors, values } = markingSpent(() => this.#planFor(call).run(call, run));
    const results = new Map<string, FeatureValue>(readValues(values));
    for (const [i, [{ name }]] of call.outputs.entries()) {
      const tensor = tensors[i];
      if (tensor !== undefined) results.set(name, tensor);
    }
    return results;
  }

  [Symbol.dispose](): void {
    this.#plans = [];
    this.#carrier?.[Symbol.dispose]();
    this.#carrier = undefined;
  }

  #callOf({ inputs, outputs }: CoremlRun): CoremlCall {
    const given: [CoremlPort, Tensor][] = [];
    for (const [name, port] of this.#interface.inputs) {
      const tensor = inputs.get(name);
      if (tensor !== undefined) given.push([port, tensor]);
    }
    const wanted: [CoremlPort, Tensor | undefined][] = [];
    for (const [name, port] of this.#interface.outputs) wanted.push([port, outputs.get(name)]);
    return { inputs: given, outputs: wanted };
  }

  #planFor(call: CoremlCall): CoremlCallPlan {
    const index = this.#plans.findIndex((plan) => plan.fits(call));
    const [found = new CoremlCallPlan(this.#model, call)] = index < 0 ? [] : this.#plans.splice(index, 1);
    this.#plans.unshift(found);
    if (this.#plans.length > mostPlans) this.#plans.pop();
    return found;
  }
}
