// What `inspect` tells about a model's insides: weights by precision, and how often each operation or layer occurs.

import type { NeuralNetworkLayer, WeightParams } from "./gen/NeuralNetwork_pb.ts";
import type { Model as ModelMessage } from "./gen/Model_pb.ts";
import type { MilBlock, MilTensor, MilValue } from "./mil.ts";
import type { Model, ModelBody, WeightSummary } from "./model.ts";

/** Inline constants from this size on count as weights; coremltools stores them in the blob file from here on. */
const minWeightElements = 10;

/** Sorted by bytes, the largest first. A blob that several constants share counts once. */
export function summarizeWeights(model: Pick<Model, "body">): WeightSummary[] {
  const tally = new WeightTally();
  addBody(model.body, tally);
  return tally.summaries();
}

/**
 * How often each operation occurs, for every function by its name; in a pipeline the names of the stages come first, as
 * in "model0/main". An ML program counts operations, nested blocks included; a neural network layers, as function
 * "main"; any other model is one entry, its kind. Nothing for a compiled model that only Core ML can read.
 */
export function countOps(model: Pick<Model, "body">): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const histograms = new Map<string, Map<string, number>>();
  countBody(model.body, "", histograms);
  return histograms;
}

class WeightTally {
  readonly #types = new Map<string, { tensors: number; elements: number; bytes: number }>();
  readonly #sources = new Set<string>();

  add(dtype: string, elements: number, bytes: number): void {
    const entry = this.#types.get(dtype) ?? { tensors: 0, elements: 0, bytes: 0 };
    this.#types.set(dtype, entry);
    entry.tensors++;
    entry.elements += elements;
    entry.bytes += bytes;
  }

  addTensor(tensor: MilTensor): void {
    const elements = tensor.shape.reduce((product, axis) => product * axis, 1);
    if (tensor.source === undefined) {
      if (elements < minWeightElements) return;
    } else {
      const key = `${tensor.source.offset} ${tensor.source.path}`;
      if (this.#sources.has(key)) return;
      this.#sources.add(key);
    }
    this.add(tensor.dtype, elements, tensor.bytes.byteLength);
  }

  summaries(): WeightSummary[] {
    return [...this.#types]
      .map(([dtype, entry]) => ({ dtype, ...entry }))
      .toSorted((a, b) => b.bytes - a.bytes);
  }
}

function addBody(body: ModelBody, tally: WeightTally): void {
  switch (body.kind) {
    case "mlProgram":
      for (const each of body.program.functions.values()) addBlock(each.block, tally);
      return;
    case "pipeline":
      for (const stage of body.stages) addBody(stage.body, tally);
      return;
    case "message":
      addMessage(body.message, tally);
      return;
    case "private":
      return;
  }
}

function addBlock(block: MilBlock, tally: WeightTally): void {
  for (const operation of block.operations) {
    for (const value of operation.attributes.values()) addValue(value, tally);
    for (const bindings of operation.inputs.values()) {
      for (const binding of bindings) if (binding.kind === "value") addValue(binding.value, tally);
    }
    for (const inner of operation.blocks) addBlock(inner, tally);
  }
}

function addValue(value: MilValue, tally: WeightTally): void {
  if (value.kind === "tensor") tally.addTensor(value);
  else if (value.kind === "list" || value.kind === "tuple")
    for (const each of value.values) addValue(each, tally);
}

/** Finds every WeightParams below a message. The decoder has bounded the depth. */
function addMessage(message: object, tally: WeightTally): void {
  if (isWeights(message)) {
    addWeightParams(message, tally);
    return;
  }
  for (const value of Object.values(message)) {
    if (Array.isArray(value)) {
      for (const each of value) if (typeof each === "object" && each !== null) addMessage(each, tally);
    } else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
      addMessage(value, tally);
    }
  }
}

function isWeights(message: object): message is WeightParams {
  return "$typeName" in message && message.$typeName === "CoreML.Specification.WeightParams";
}

function addWeightParams(params: WeightParams, tally: WeightTally): void {
  const { floatValue, float16Value, rawValue, int8RawValue } = params;
  if (floatValue.byteLength > 0) tally.add("float32", floatValue.byteLength / 4, floatValue.byteLength);
  else if (float16Value.byteLength > 0) {
    tally.add("float16", Math.floor(float16Value.byteLength / 2), float16Value.byteLength);
  } else if (int8RawValue.byteLength > 0) tally.add("int8", int8RawValue.byteLength, int8RawValue.byteLength);
  else if (rawValue.byteLength > 0) {
    const bits = Number(params.quantization?.numberOfBits ?? 8n);
    const isTable = params.quantization?.QuantizationType.case === "lookupTableQuantization";
    // The count is not stored: the last byte may hold up to seven unused bits.
    const elements = bits >= 1 && bits <= 8 ? Math.floor((rawValue.byteLength * 8) / bits) : 0;
    tally.add(isTable ? `lut${bits}` : `uint${bits}`, elements, rawValue.byteLength);
  }
}

type Histograms = Map<string, Map<string, number>>;

function countBody(body: ModelBody, prefix: string, histograms: Histograms): void {
  switch (body.kind) {
    case "mlProgram":
      for (const each of body.program.functions.values()) {
        countBlock(each.block, histogramOf(histograms, prefix + each.name));
      }
      return;
    case "pipeline":
      for (const stage of body.stages) countBody(stage.body, `${prefix}${stage.name}/`, histograms);
      return;
    case "message":
      countMessage(body.message, histogramOf(histograms, `${prefix}main`));
      return;
    case "private":
      return;
  }
}

function histogramOf(histograms: Histograms, name: string): Map<string, number> {
  const histogram = histograms.get(name) ?? new Map<string, number>();
  histograms.set(name, histogram);
  return histogram;
}

function countMessage({ Type: type }: ModelMessage, counts: Map<string, number>): void {
  switch (type.case) {
    case "neuralNetwork":
    case "neuralNetworkClassifier":
    case "neuralNetworkRegressor":
      countLayers(type.value.layers, counts);
      return;
    default:
      if (type.case !== undefined) increment(counts, type.case);
  }
}

function countBlock(block: MilBlock, counts: Map<string, number>): void {
  for (const operation of block.operations) {
    increment(counts, operation.type);
    for (const inner of operation.blocks) countBlock(inner, counts);
  }
}

function countLayers(layers: readonly NeuralNetworkLayer[], counts: Map<string, number>): void {
  for (const { layer } of layers) {
    increment(counts, layer.case ?? "unknown");
    if (layer.case === "branch") {
      countLayers(layer.value.ifBranch?.layers ?? [], counts);
      countLayers(layer.value.elseBranch?.layers ?? [], counts);
    } else if (layer.case === "loop") {
      countLayers(layer.value.conditionNetwork?.layers ?? [], counts);
      countLayers(layer.value.bodyNetwork?.layers ?? [], counts);
    }
  }
}

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
