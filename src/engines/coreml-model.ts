// A model in Core ML, as engines offer it.

import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription, FunctionDescription, ModelKind } from "../core/model.ts";
import { type FeatureValue, type FeatureValues, type Tensor, zeros } from "../core/tensor.ts";
import type { CoremlModel, CoremlState } from "../native/coreml-model.ts";
import { markingSpent } from "./coreml-errors.ts";
import { CoremlGraph } from "./coreml-graph.ts";
import { type CoremlInterface, readInterface } from "./coreml-interface.ts";
import { writeValues } from "./coreml-values.ts";
import type { CancelHandle, LoadedModel, PredictOptions, State } from "./engine.ts";
import { FeaturePlan } from "./feature-plan.ts";
import { toStateValue } from "./features.ts";

export interface CoremlModelParts {
  readonly description: FunctionDescription;
  readonly kind: ModelKind;
  /** Owned from now on. */
  readonly model: CoremlModel;
  readonly device: string;
  readonly compileMs: number;
  readonly onDispose: () => void;
}

/** Owns the model in Core ML. */
export class LoadedCoremlModel implements LoadedModel {
  readonly function: FunctionDescription;
  readonly device: string;
  readonly compileMs: number;
  readonly #model: CoremlModel;
  readonly #interface: CoremlInterface;
  readonly #plan: FeaturePlan;
  readonly #graph: CoremlGraph;
  readonly #canceller: number;
  readonly #onDispose: () => void;
  #isDisposed = false;

  constructor({ description, kind, model, device, compileMs, onDispose }: CoremlModelParts) {
    this.function = description;
    this.device = device;
    this.compileMs = compileMs;
    this.#model = model;
    this.#interface = readInterface(model.describe(), description, kind);
    this.#plan = new FeaturePlan(description, this.#interface.ports);
    this.#graph = new CoremlGraph(model, this.#interface);
    this.#canceller = model.library.createCanceller();
    this.#onDispose = onDispose;
  }

  /** `undefined` where an input is no array and no picture: such values do not travel as tensors. */
  get graph() {
    if (this.#interface.valueInputs.length > 0) return undefined;
    return { ports: this.#plan.ports, loaded: this.#graph };
  }

  get cancel(): CancelHandle {
    return { kind: "coreml", libraryPath: this.#model.library.path, canceller: this.#canceller };
  }

  /** Ends at its deadline and when cancelled, also where Core ML goes on: then the model is spent until that has ended. */
  async predict(inputs: FeatureValues, options: PredictOptions = {}): Promise<FeatureValues> {
    options.signal?.throwIfAborted();
    const { timeoutMs } = options;
    const results = this.#graph.predict({
      inputs: this.#plan.encode(inputs),
      outputs: this.#places(),
      state: this.#stateOf(options.state),
      values: this.#encodeValues(inputs),
      timeoutMs,
      canceller: this.#canceller,
    });
    return this.#plan.decode(results);
  }

  newState(): State {
    const { states } = this.#interface.ports;
    if (states.length === 0)
      throw new CoremlxError("UNSUPPORTED", "Cannot make a state: the model keeps none");
    return new CoremlModelState(
      markingSpent(() => this.#model.createState()),
      new Map(states.map(({ feature, dtype, shape }) => [feature, { dtype, shape }])),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#graph[Symbol.dispose]();
    this.#model.library.release(this.#canceller);
    this.#model[Symbol.dispose]();
    this.#onDispose();
  }

  /** Results whose shape is known get their memory before the call. */
  #places(): Map<string, Tensor> {
    const places = new Map<string, Tensor>();
    for (const { name, dtype, shape } of this.#plan.results)
      if (shape !== undefined) places.set(name, zeros(dtype, [...shape]));
    return places;
  }

  #encodeValues(inputs: FeatureValues): string | undefined {
    const { valueInputs } = this.#interface;
    if (valueInputs.length === 0) return undefined;
    const given = valueInputs.flatMap((description): [string, FeatureDescription["type"], FeatureValue][] => {
      const value = inputs.get(description.name);
      if (value !== undefined) return [[description.name, description.type, value]];
      if (description.isOptional) return [];
      throw new CoremlxError("BAD_INPUT", `Cannot predict: input "${description.name}" is missing`, {
        details: { name: description.name },
      });
    });
    return writeValues(given);
  }

  #stateOf(state: State | undefined): CoremlState | undefined {
    if (state === undefined) return undefined; // Core ML takes a fresh one for this call
    if (state instanceof CoremlModelState) return state.native;
    throw new CoremlxError("BAD_INPUT", "Cannot predict: the state belongs to another engine");
  }
}

type StateForm = Pick<Tensor, "dtype" | "shape">;

/** Owns its state in Core ML. */
class CoremlModelState implements State {
  readonly native: CoremlState;
  readonly #forms: ReadonlyMap<string, StateForm>;

  constructor(native: CoremlState, forms: ReadonlyMap<string, StateForm>) {
    this.native = native;
    this.#forms = forms;
  }

  read(): FeatureValues {
    return new Map(
      [...this.#forms].map(([name, { dtype, shape }]) => {
        const value = zeros(dtype, shape);
        this.native.read(name, value);
        return [name, value];
      }),
    );
  }

  write(values: FeatureValues): void {
    for (const [name, value] of values) {
      const form = this.#forms.get(name);
      if (form === undefined) throw new CoremlxError("NOT_FOUND", `Cannot find state "${name}"`);
      this.native.write(name, toStateValue(name, value, form));
    }
  }

  [Symbol.dispose](): void {
    this.native[Symbol.dispose]();
  }
}
