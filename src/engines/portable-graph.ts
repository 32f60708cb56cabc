// One lowered function in an ONNX Runtime session: features in, features out, states kept between calls.

import { CoremlxError } from "../core/errors.ts";
import type { FunctionDescription } from "../core/model.ts";
import { type FeatureValue, type FeatureValues, numbersOf, type Tensor, zeros } from "../core/tensor.ts";
import type { MilFunction } from "../formats/mil.ts";
import { lower, type Lowered, type LoweredClassifier } from "../lowering/lower.ts";
import type { Precision } from "../lowering/scope.ts";
import type { OnnxRuntime, OrtSession } from "../native/onnxruntime.ts";
import { commonFolder, serializeModel } from "../onnx/serialize.ts";
import type { State } from "./engine.ts";
import { decodeFeature, defaultFeature, encodeFeature } from "./features.ts";

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
  const lowered = lower(fn, { precision: options.precision });
  const folder = commonFolder(lowered.graph);
  const { bytes } = serializeModel(lowered.graph, folder === undefined ? {} : { external: { folder } });
  const session = options.runtime.createSession(bytes, {
    ...(folder === undefined ? {} : { externalDataFolder: folder }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  });
  return new GraphModel(description, lowered, session);
}

/** Owns its session. Not safe for two calls at once with the same state. */
export class GraphModel implements Disposable {
  readonly #description: FunctionDescription;
  readonly #lowered: Omit<Lowered, "graph">;
  readonly #session: OrtSession;

  constructor(description: FunctionDescription, lowered: Lowered, session: OrtSession) {
    const { graph: _, ...ports } = lowered;
    this.#description = description;
    this.#lowered = ports;
    this.#session = session;
  }

  run(inputs: FeatureValues, state?: State): FeatureValues {
    const tensors = this.#encode(inputs);
    const states = this.#statesOf(state);
    for (const port of this.#lowered.states) tensors.set(port.input, states.get(port.feature));
    const results = this.#session.run(tensors);
    for (const port of this.#lowered.states) {
      const next = port.output === undefined ? undefined : results.get(port.output);
      if (next) states.replace(port.feature, next);
    }
    return this.#decode(results);
  }

  newState(): State {
    return this.#newState();
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }

  #newState(): PortableState {
    return new PortableState(
      this.#lowered.states.map((port) => [port.feature, zeros(port.dtype, port.shape)]),
    );
  }

  #statesOf(state: State | undefined): PortableState {
    if (state === undefined) return this.#newState();
    if (state instanceof PortableState) return state;
    throw new CoremlxError("BAD_INPUT", "Cannot predict: the state belongs to another engine");
  }

  #encode(inputs: FeatureValues): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const port of this.#lowered.inputs) {
      const description = this.#description.inputs.find((candidate) => candidate.name === port.feature);
      if (description === undefined) {
        throw new CoremlxError(
          "BAD_MODEL",
          `Cannot run: the program's input "${port.feature}" is not in the interface`,
        );
      }
      const value = inputs.get(port.feature);
      const tensor =
        value === undefined
          ? description.isOptional
            ? defaultFeature(description, port)
            : undefined
          : encodeFeature(description, value, port);
      if (tensor === undefined) {
        throw new CoremlxError("BAD_INPUT", `Cannot predict: input "${port.feature}" is missing`, {
          details: { name: port.feature },
        });
      }
      tensors.set(port.name, tensor);
    }
    return tensors;
  }

  #decode(results: ReadonlyMap<string, Tensor>): FeatureValues {
    const values = new Map<string, FeatureValue>();
    const { classifier } = this.#lowered;
    const classified = classifier && classifyResult(classifier, take(results, classifier.probabilities));
    for (const { name, type } of this.#description.outputs) {
      const port = this.#lowered.outputs.find((candidate) => candidate.feature === name);
      if (port) values.set(name, decodeFeature(name, type, take(results, port.name)));
      else if (classified && name === classifier.labelName) values.set(name, classified.label);
      else if (classified && type.kind === "dictionary") values.set(name, classified.probabilities);
      else if (classified && (type.kind === "string" || type.kind === "int64"))
        values.set(name, classified.label);
      else throw new CoremlxError("BAD_MODEL", `Cannot give out "${name}": the program does not compute it`);
    }
    return values;
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
      const now = this.get(name);
      if (
        typeof value !== "object" ||
        !("bytes" in value) ||
        value.dtype !== now.dtype ||
        String(value.shape) !== String(now.shape)
      ) {
        throw new CoremlxError(
          "BAD_INPUT",
          `Cannot set state "${name}": it takes ${now.dtype} [${now.shape.join(", ")}]`,
        );
      }
      this.#values.set(name, { ...value, bytes: value.bytes.slice() });
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

/** Label of the first greatest probability, and label -> probability. */
export function classifyResult(classifier: LoweredClassifier, vector: Tensor) {
  const numbers = numbersOf(vector);
  const { labels } = classifier;
  if (numbers.length !== labels.length) {
    throw new CoremlxError(
      "BAD_MODEL",
      `Cannot classify: ${numbers.length} probabilities for ${labels.length} labels`,
    );
  }
  let best = 0;
  for (let i = 1; i < numbers.length; i++) if ((numbers[i] ?? 0) > (numbers[best] ?? 0)) best = i;
  const label = labels[best];
  if (label === undefined) throw new CoremlxError("BAD_MODEL", "Cannot classify: the model has no labels");
  return { label, probabilities: dictionaryOf(labels, numbers) };
}

function dictionaryOf(
  labels: readonly string[] | readonly bigint[],
  numbers: Float64Array,
): ReadonlyMap<string, number> | ReadonlyMap<bigint, number> {
  const at = (index: number) => numbers[index] ?? 0;
  return isStrings(labels)
    ? new Map(labels.map((label, index) => [label, at(index)]))
    : new Map(labels.map((label, index) => [label, at(index)]));
}

function isStrings(labels: readonly string[] | readonly bigint[]): labels is readonly string[] {
  return typeof labels[0] === "string";
}

function take(results: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const tensor = results.get(name);
  if (tensor) return tensor;
  throw new CoremlxError("INTERNAL", `ONNX Runtime gave no "${name}"`);
}
