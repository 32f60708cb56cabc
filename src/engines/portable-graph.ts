// One lowered function in an ONNX Runtime session.

import { CoremlxError } from "../core/errors.ts";
import type { FunctionDescription } from "../core/model.ts";
import { type FeatureValues, type Tensor, zeros } from "../core/tensor.ts";
import type { MilFunction } from "../formats/mil.ts";
import { lower } from "../lowering/lower.ts";
import { type Precision, precisionToRun } from "../lowering/scope.ts";
import type { OnnxRuntime } from "../native/onnxruntime.ts";
import { commonFolder, serializeModel } from "../onnx/serialize.ts";
import type { GraphPorts, LoadedModel, PredictOptions, State } from "./engine.ts";
import { FeaturePlan } from "./feature-plan.ts";
import { toStateValue } from "./features.ts";
import { OrtGraph } from "./ort-graph.ts";

export interface GraphOptions {
  readonly runtime: OnnxRuntime;
  readonly precision: Precision | undefined;
  readonly threads: number | undefined;
}

/** Lowers a function and loads it. Borrows the program's weight bytes only until it returns; ONNX Runtime maps the files itself. */
export function loadGraph(
  fn: MilFunction,
  description: FunctionDescription,
  options: GraphOptions,
): GraphModel {
  const started = performance.now();
  const { graph, ...ports } = lower(fn, { precision: precisionToRun(options.precision) });
  const folder = commonFolder(graph);
  const { bytes } = serializeModel(graph, { external: folder === undefined ? undefined : { folder } });
  const compileMs = performance.now() - started;
  const session = options.runtime.createSession(bytes, {
    externalDataFolder: folder,
    threads: options.threads,
  });
  try {
    return new GraphModel({ description, ports, graph: new OrtGraph(session), compileMs });
  } catch (error) {
    session[Symbol.dispose]();
    throw error;
  }
}

const nowhere: ReadonlyMap<string, Tensor> = new Map();

export interface GraphModelParts {
  readonly description: FunctionDescription;
  readonly ports: GraphPorts;
  /** Owned from now on. */
  readonly graph: OrtGraph;
  readonly compileMs: number;
}

/** Owns its graph. Not safe for two calls at once with the same state. */
export class GraphModel implements LoadedModel {
  readonly device = "cpu";
  readonly function: FunctionDescription;
  readonly compileMs: number;
  readonly #plan: FeaturePlan;
  readonly #graph: OrtGraph;

  constructor({ description, ports, graph, compileMs }: GraphModelParts) {
    this.function = description;
    this.compileMs = compileMs;
    this.#plan = new FeaturePlan(description, ports);
    this.#graph = graph;
  }

  get graph() {
    return { ports: this.#plan.ports, loaded: this.#graph };
  }

  async predict(inputs: FeatureValues, options: PredictOptions = {}): Promise<FeatureValues> {
    options.signal?.throwIfAborted();
    const tensors = this.#plan.encode(inputs);
    const states = this.#statesOf(options.state);
    for (const port of this.#plan.ports.states) tensors.set(port.input, states.get(port.feature));
    const results = this.#graph.run(tensors, nowhere);
    for (const port of this.#plan.ports.states) {
      const next = port.output === undefined ? undefined : results.get(port.output);
      if (next) states.replace(port.feature, next);
    }
    return this.#plan.decode(results);
  }

  newState(): State {
    return this.#newState();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#graph[Symbol.dispose]();
  }

  #newState(): PortableState {
    return new PortableState(
      this.#plan.ports.states.map((port) => [port.feature, zeros(port.dtype, port.shape)]),
    );
  }

  #statesOf(state: State | undefined): PortableState {
    if (state === undefined) return this.#newState();
    if (state instanceof PortableState) return state;
    throw new CoremlxError("BAD_INPUT", "Cannot predict: the state belongs to another engine");
  }
}

/** Current values of a model's states; each run's results replace them, no copy. */
class PortableState implements State {
  readonly #values: Map<string, Tensor>;

  constructor(entries: readonly (readonly [string, Tensor])[]) {
    this.#values = new Map(entries);
  }

  read(): FeatureValues {
    return new Map(
      [...this.#values].map(([name, value]) => [name, { ...value, bytes: value.bytes.slice() }]),
    );
  }

  write(values: FeatureValues): void {
    for (const [name, value] of values) {
      const tensor = toStateValue(name, value, this.get(name));
      this.#values.set(name, { ...tensor, bytes: tensor.bytes.slice() });
    }
  }

  get(name: string): Tensor {
    const value = this.#values.get(name);
    if (value) return value;
    throw new CoremlxError("NOT_FOUND", `Cannot find state "${name}"`);
  }

  replace(name: string, value: Tensor): void {
    this.#values.set(name, value);
  }

  [Symbol.dispose](): void {
    this.#values.clear();
  }
}
