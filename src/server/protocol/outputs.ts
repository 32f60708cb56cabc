// A model's answer as the protocol's tensors. Arrays stay in the memory they came in.

import {
  type Dictionary,
  type FeatureValue,
  type FeatureValues,
  isTensor,
  numbersOf,
  type Tensor,
  tensorOf,
  zeros,
} from "../../core/tensor.ts";
import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";
import { classify } from "./classification.ts";
import type { Datatype } from "../../codecs/datatypes.ts";
import { type ModelInterface, specNamed, type TensorSpec } from "./interface.ts";
import { bad, type InferRequest, type RequestedOutput } from "./request.ts";

export interface OutputTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly content: Tensor | readonly string[];
  readonly isBinary: boolean;
  /** The very same list for each answer of the model. */
  readonly isConstant: boolean;
}

/** Which tensors are wanted. Throws BAD_INPUT for a name the model does not give, and for one asked for twice. */
export function selectOutputs(request: InferRequest, model: ModelInterface): readonly RequestedOutput[] {
  const { outputs, isBinaryDefault } = request;
  if (outputs === undefined || outputs.length === 0) {
    return model.outputs.map(({ name }) => ({ name, isBinary: isBinaryDefault, classCount: 0 }));
  }
  const seen = new Set<string>();
  for (const { name } of outputs) {
    if (seen.has(name)) throw bad(`output "${name}" is asked for twice`);
    seen.add(name);
    if (specNamed(model.outputs, name) !== undefined) continue;
    const shown = name.slice(0, 200);
    const names = model.outputs.map((output) => output.name);
    throw new CoremlxError(
      "BAD_INPUT",
      `Unknown output "${shown}". ${suggest(shown, names, "The outputs are")}`,
    );
  }
  return outputs;
}

export function toOutputTensor(
  { name, isBinary, classCount }: RequestedOutput,
  model: ModelInterface,
  values: FeatureValues,
): OutputTensor {
  const spec = specNamed(model.outputs, name);
  const value = spec && values.get(spec.feature.name);
  if (spec === undefined || value === undefined) {
    throw new CoremlxError("INTERNAL", `Cannot answer: the model gave no "${name}"`);
  }
  if (classCount > 0) {
    const content = classify(name, value, { count: classCount, labels: model.labels });
    return { name, shape: [content.length], content, isBinary, isConstant: false };
  }
  const content = contentOf(spec, value, model);
  const shape = isStrings(content) ? [content.length] : content.shape;
  return { name, shape, content, isBinary, isConstant: content === model.labelTexts };
}

export function isStrings(content: OutputTensor["content"]): content is readonly string[] {
  return Array.isArray(content);
}

function contentOf(
  { part, datatype }: TensorSpec,
  value: FeatureValue,
  { labelTexts }: ModelInterface,
): Tensor | readonly string[] {
  if (typeof value === "number") return tensorOf("float64", [value]);
  if (typeof value === "bigint") return tensorOf("int64", [value]);
  if (typeof value === "string") return [value];
  if (isTensor(value)) return value.dtype === "bfloat16" ? widen(value) : value;
  if (value instanceof Map) {
    if (part === "value") return valuesOf(value);
    return labelTexts && hasKeys(value, labelTexts) ? labelTexts : listOf(datatype, [...value.keys()]);
  }
  const items: readonly (string | bigint)[] = Array.isArray(value) ? value : [];
  return listOf(datatype, items);
}

function valuesOf(dictionary: Dictionary): Tensor {
  const tensor = zeros("float64", [dictionary.size]);
  const numbers = new Float64Array(tensor.bytes.buffer);
  let index = 0;
  for (const value of dictionary.values()) numbers[index++] = value;
  return tensor;
}

/** These, in this order. */
function hasKeys(dictionary: Dictionary, keys: readonly string[]): boolean {
  if (dictionary.size !== keys.length) return false;
  let index = 0;
  for (const key of dictionary.keys()) if (key !== keys[index++]) return false;
  return true;
}

function widen(tensor: Tensor): Tensor {
  return tensorOf("float32", numbersOf(tensor), tensor.shape);
}

function listOf(datatype: Datatype, items: readonly (string | bigint)[]): Tensor | readonly string[] {
  return datatype === "BYTES" ? items.map(String) : tensorOf("int64", items.map(BigInt));
}
