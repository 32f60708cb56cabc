// How the features of a function travel through the tensors of its graph. Pure data in, so that any thread can hold one.

import type { DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription, FunctionDescription } from "../core/model.ts";
import { type FeatureValue, type FeatureValues, isTensor, numbersOf, type Tensor } from "../core/tensor.ts";
import type { LoweredClassifier, Port } from "../lowering/lower.ts";
import type { FeaturePort, GraphPorts } from "./engine.ts";
import {
  convertElements,
  decodeFeature,
  defaultFeature,
  encodeFeature,
  type InputMemory,
  isOfKind,
} from "./features.ts";

interface InputRow {
  readonly port: FeaturePort;
  readonly description: FeatureDescription;
}

export interface ResultPlace {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[] | undefined;
}

type OutputRow =
  | { readonly kind: "port"; readonly description: FeatureDescription; readonly port: Port }
  | { readonly kind: "label" | "probabilities" | "ready"; readonly description: FeatureDescription };

/** Built once for a loaded function. Throws BAD_MODEL where interface and program contradict each other. */
export class FeaturePlan {
  readonly ports: GraphPorts;
  readonly #inputs: readonly InputRow[];
  readonly #outputs: readonly OutputRow[];
  readonly #results: readonly ResultPlace[];

  constructor(description: FunctionDescription, ports: GraphPorts) {
    this.ports = ports;
    this.#inputs = ports.inputs.map((port) => ({ port, description: inputNamed(description, port.feature) }));
    this.#outputs = description.outputs.map((output) => outputRow(output, ports));
    this.#results = resultPlaces(ports);
  }

  /** The graph's results beside states; a shape where it is known before the run. */
  get results(): readonly ResultPlace[] {
    return this.#results;
  }

  /** Values by graph input, states not among them. Default values of optional inputs are in memory of their own. */
  encode(inputs: FeatureValues, memory?: InputMemory): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const { port, description } of this.#inputs) {
      const value = inputs.get(port.feature);
      if (value === undefined && description.isOptional && this.ports.carriesFeatures) continue;
      tensors.set(
        port.name,
        value === undefined ? missing(description, port) : encodeFeature(description, value, port, memory),
      );
    }
    return tensors;
  }

  /** The graph's results as features. They may share memory with `results`. */
  decode(results: FeatureValues): Map<string, FeatureValue> {
    const { classifier } = this.ports;
    const classified =
      classifier && classifyResult(classifier, takeTensor(results, classifier.probabilities));
    const values = new Map<string, FeatureValue>();
    for (const row of this.#outputs) {
      const { name, type } = row.description;
      if (row.kind === "ready") values.set(name, takeReady(results, row.description));
      else if (row.kind === "port")
        values.set(name, decodeFeature(name, type, takeTensor(results, row.port.name)));
      else if (classified)
        values.set(name, row.kind === "label" ? classified.label : classified.probabilities);
    }
    return values;
  }
}

function resultPlaces({ outputs, classifier }: GraphPorts): readonly ResultPlace[] {
  const places = outputs.map(({ name, dtype, shape }) => ({ name, dtype, shape: knownShape(shape) }));
  if (classifier === undefined) return places;
  // Its shape beyond the count of labels is nobody's business: the graph says it at the run.
  return [...places, { name: classifier.probabilities, dtype: "float32", shape: undefined }];
}

function knownShape(shape: Port["shape"]): readonly number[] | undefined {
  return shape?.every((axis) => typeof axis === "number") ? shape : undefined;
}

function inputNamed(description: FunctionDescription, feature: string): FeatureDescription {
  const found = description.inputs.find((input) => input.name === feature);
  if (found) return found;
  throw new CoremlxError("BAD_MODEL", `Cannot run: the program's input "${feature}" is not in the interface`);
}

function outputRow(
  description: FeatureDescription,
  { outputs, classifier, carriesFeatures }: GraphPorts,
): OutputRow {
  const { name, type } = description;
  if (carriesFeatures) return { kind: "ready", description };
  const port = outputs.find((candidate) => candidate.feature === name);
  if (port) return { kind: "port", description, port };
  if (classifier) {
    if (name === classifier.labelName) return { kind: "label", description };
    if (type.kind === "dictionary") return { kind: "probabilities", description };
    if (type.kind === "string" || type.kind === "int64") return { kind: "label", description };
  }
  throw new CoremlxError("BAD_MODEL", `Cannot give out "${name}": the program does not compute it`);
}

function missing(description: FeatureDescription, port: Port): Tensor {
  const value = description.isOptional ? defaultFeature(description, port) : undefined;
  if (value) return value;
  throw new CoremlxError("BAD_INPUT", `Cannot predict: input "${port.feature}" is missing`, {
    details: { name: port.feature },
  });
}

/** Label of the first greatest probability, and label -> probability. */
export function classifyResult(classifier: Omit<LoweredClassifier, "probabilities">, vector: Tensor) {
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

function takeTensor(results: FeatureValues, name: string): Tensor {
  const tensor = results.get(name);
  if (tensor !== undefined && isTensor(tensor)) return tensor;
  throw new CoremlxError("INTERNAL", `ONNX Runtime gave no "${name}"`);
}

/** Arrays in the declared element type; everything else is what the engine made of it. */
function takeReady(results: FeatureValues, { name, type }: FeatureDescription): FeatureValue {
  const value = results.get(name);
  if (value === undefined || !isOfKind(value, type))
    throw new CoremlxError(
      "NATIVE",
      `The engine gave ${value === undefined ? "no" : "another kind of"} "${name}"`,
      {
        details: { name },
      },
    );
  return isTensor(value) && type.kind === "multiArray" ? convertElements(value, type.dtype) : value;
}
