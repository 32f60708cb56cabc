// A request's tensors as values of the model's features.

import { decodeImage, pictureToFeature, sniffImage } from "../../codecs/image.ts";
import type { Fit } from "../../codecs/fit.ts";
import { isColor } from "../../core/model.ts";
import { suggest } from "../../core/suggest.ts";
import { CoremlxError } from "../../core/errors.ts";
import { elementsOf, type FeatureValue, numbersOf, type Tensor } from "../../core/tensor.ts";
import type { ModelInterface, TensorSpec } from "./interface.ts";
import { specNamed } from "./interface.ts";
import { bad, type InferRequest, type InputTensor } from "./request.ts";
import type { Parameters } from "./schemas.ts";
import { readElements, readStrings, readTensor } from "./tensor-data.ts";

type Values = Map<string, FeatureValue>;

/** Throws BAD_INPUT for what the model does not take, and for what it takes and does not get. */
export async function readInputs({ inputs }: InferRequest, model: ModelInterface): Promise<Values> {
  const values: Values = new Map();
  const parts = new Map<TensorSpec, InputTensor>();
  for (const input of inputs) {
    const spec = specNamed(model.inputs, input.name);
    if (spec === undefined) throw unknownInput(input.name, model);
    if (parts.has(spec)) throw bad(`input "${input.name}" is given twice`);
    parts.set(spec, input);
    const { kind } = spec.feature.type;
    if (kind === "dictionary") continue; // needs both of its tensors
    const value = input.datatype === "BYTES" ? readBytes(input, spec) : readNumeric(input, spec);
    values.set(spec.feature.name, value instanceof Promise ? await value : value);
  }
  for (const spec of model.inputs) {
    if (spec.part !== "keys") continue;
    const dictionary = readDictionary(spec, parts, model);
    if (dictionary) values.set(spec.feature.name, dictionary);
  }
  return values;
}

function unknownInput(name: string, { inputs }: ModelInterface): CoremlxError {
  const shown = name.slice(0, 200);
  const names = inputs.map((input) => input.name);
  return new CoremlxError(
    "BAD_INPUT",
    `Unknown input "${shown}". ${suggest(shown, names, "The inputs are")}`,
  );
}

function readNumeric(input: InputTensor, { feature, datatype }: TensorSpec): FeatureValue {
  if (input.datatype === "BYTES" || datatype === "BYTES") throw wrongDatatype(input, datatype);
  const tensor = readTensor(input, input.datatype);
  const { type } = feature;
  if (type.kind === "image") return withoutBatch(tensor, isColor(type) ? 3 : 2);
  // One number, in whatever shape.
  if (type.kind === "double" || type.kind === "int64") return withoutBatch(tensor, 1);
  return tensor;
}

/** Clients that think in batches send one value as a batch of one. */
function withoutBatch(tensor: Tensor, rank: number): Tensor {
  const { shape } = tensor;
  const isBatch = shape.length === rank + 1 && shape[0] === 1;
  return isBatch ? { ...tensor, shape: shape.slice(1) } : tensor;
}

function readBytes(input: InputTensor, spec: TensorSpec): FeatureValue | Promise<FeatureValue> {
  const { type } = spec.feature;
  if (type.kind === "image" || type.kind === "multiArray") return readPicture(input, spec);
  if (spec.datatype !== "BYTES") throw wrongDatatype(input, spec.datatype);
  const strings = readStrings(input);
  if (type.kind === "sequence") return strings;
  const [text] = strings;
  if (text !== undefined && strings.length === 1) return text;
  throw bad(`input "${input.name}" takes one string, got ${strings.length}`);
}

/** An encoded picture: its bytes, or in JSON their base64. */
async function readPicture(input: InputTensor, { feature, datatype }: TensorSpec): Promise<FeatureValue> {
  const [element, ...others] = readElements(input);
  if (element === undefined || others.length > 0) {
    throw bad(`input "${input.name}" takes one picture, got ${others.length + (element ? 1 : 0)}`);
  }
  const bytes = input.content.kind === "json" ? decodeBase64(input.name, element) : element;
  if (sniffImage(bytes) === undefined && feature.type.kind !== "image") throw wrongDatatype(input, datatype);
  const picture = await decodeImage(bytes, input.name);
  return pictureToFeature(picture, feature, { fit: fitOf(input.parameters) }).value;
}

function decodeBase64(name: string, text: Uint8Array): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(new TextDecoder().decode(text));
  } catch {
    throw bad(`input "${name}" is no picture in base64`);
  }
}

function fitOf({ fit }: Parameters): Fit | undefined {
  if (fit === undefined || fit === "stretch" || fit === "contain" || fit === "crop") return fit;
  throw bad(`parameter "fit" must be stretch, contain or crop, got ${JSON.stringify(fit)}`);
}

function readDictionary(
  keysSpec: TensorSpec,
  parts: ReadonlyMap<TensorSpec, InputTensor>,
  { inputs }: ModelInterface,
): FeatureValue | undefined {
  const { name } = keysSpec.feature;
  const valuesSpec = specNamed(inputs, name);
  const keys = parts.get(keysSpec);
  const values = valuesSpec && parts.get(valuesSpec);
  if (keys === undefined && values === undefined) return undefined;
  if (keys === undefined || values === undefined || values.datatype === "BYTES") {
    throw bad(
      `dictionary "${name}" takes two tensors: "${name}" with numbers and "${keysSpec.name}" with keys`,
    );
  }
  const numbers = numbersOf(readTensor(values, values.datatype));
  const entries = keys.datatype === "BYTES" ? readStrings(keys) : wholeKeys(keys, keys.datatype);
  if (entries.length !== numbers.length) {
    throw bad(`dictionary "${name}" has ${entries.length} keys and ${numbers.length} values`);
  }
  return new Map(entries.map((key, i) => [key, numbers[i] ?? 0])) as FeatureValue; // keys of one kind, by its type
}

function wholeKeys(
  input: InputTensor,
  datatype: Exclude<InputTensor["datatype"], "BYTES">,
): readonly bigint[] {
  const elements = elementsOf(readTensor(input, datatype));
  return Array.from(elements, (element: number | bigint) => {
    if (typeof element === "bigint" || Number.isSafeInteger(element)) return BigInt(element);
    throw bad(`input "${input.name}" has the key ${element}, which is no whole number`);
  });
}

function wrongDatatype({ name, datatype }: InputTensor, expected: string): CoremlxError {
  return bad(`input "${name}" is ${datatype}, but the model takes ${expected}`);
}
