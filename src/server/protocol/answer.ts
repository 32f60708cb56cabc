// An answer's bytes: JSON, with binary tensors behind it where they are wanted. The text is put together by hand, for the
// numbers are most of it: JSON.stringify of a typed array's copy takes three times as long.

import { isFloat } from "../../core/dtype.ts";
import { elementsOf, numbersOf, type Tensor } from "../../core/tensor.ts";
import { datatypeOf } from "../../codecs/datatypes.ts";
import { frameStrings } from "../../codecs/string-frames.ts";
import { isStrings, type OutputTensor } from "./outputs.ts";

export interface AnswerHead {
  readonly modelName: string;
  readonly modelVersion: string;
  readonly id: string | undefined;
  /** Of a sequence. */
  readonly parameters: Readonly<Record<string, string | number | boolean>> | undefined;
}

export interface Answer {
  readonly json: string;
  /** What follows the JSON: arrays where they lie, and strings with their lengths before them. */
  readonly frames: readonly Uint8Array[];
}

/** Borrows the arrays of `tensors`. */
export function encodeAnswer(head: AnswerHead, tensors: readonly OutputTensor[]): Answer {
  const binary: Uint8Array[] = [];
  let outputs = "";
  for (const tensor of tensors) {
    const frame = tensor.isBinary ? frameOf(tensor) : undefined;
    if (frame !== undefined) binary.push(frame);
    outputs += `${outputs === "" ? "" : ","}${tensorText(tensor, frame)}`;
  }
  const { modelName, modelVersion, id, parameters } = head;
  const json =
    `{"model_name":${JSON.stringify(modelName)},"model_version":${JSON.stringify(modelVersion)}` +
    `${id === undefined ? "" : `,"id":${JSON.stringify(id)}`}` +
    `${parameters === undefined ? "" : `,"parameters":${JSON.stringify(parameters)}`},"outputs":[${outputs}]}`;
  return { json, frames: binary };
}

/** The bytes as the protocol has them: an array's own, strings with their lengths before them. */
function frameOf({ content, isConstant }: OutputTensor): Uint8Array {
  if (!isStrings(content)) return content.bytes;
  return isConstant ? remember(frames, content, frameStrings) : frameStrings(content);
}

/** Of lists that are the same for each answer of a model: its labels, which may be thousands. */
const frames = new WeakMap<readonly string[], Uint8Array>();
const texts = new WeakMap<readonly string[], string>();

function remember<T>(
  known: WeakMap<readonly string[], T>,
  strings: readonly string[],
  make: (strings: readonly string[]) => T,
): T {
  const found = known.get(strings);
  if (found !== undefined) return found;
  const made = make(strings);
  known.set(strings, made);
  return made;
}

function tensorText(tensor: OutputTensor, frame: Uint8Array | undefined): string {
  const { name, shape, content, isConstant } = tensor;
  const lead = `{"name":${JSON.stringify(name)},"datatype":"${datatypeText(tensor)}","shape":[${shape.join(",")}]`;
  if (frame !== undefined) return `${lead},"parameters":{"binary_data_size":${frame.length}}}`;
  if (!isStrings(content)) return `${lead},"data":[${dataText(content)}]}`;
  return `${lead},"data":[${isConstant ? remember(texts, content, stringsText) : stringsText(content)}]}`;
}

function stringsText(strings: readonly string[]): string {
  return strings.map((text) => JSON.stringify(text)).join(",");
}

/** FP16 has no JSON form: as JSON it is FP32, which holds every value of it. */
function datatypeText({ content, isBinary }: OutputTensor): string {
  if (isStrings(content)) return "BYTES";
  return content.dtype === "float16" && !isBinary ? "FP32" : datatypeOf(content.dtype);
}

/** Numbers as JSON; NaN and infinities, which JSON has not, as strings. */
function dataText(tensor: Tensor): string {
  const { dtype } = tensor;
  if (dtype === "bool") return Array.from(tensor.bytes, (byte) => byte !== 0).join(",");
  const text = elementsOf(tensor).join(",");
  if (!isFloat(dtype) || !hasSpecials(text)) return text;
  return Array.from(numbersOf(tensor), (value) => (Number.isFinite(value) ? value : `"${value}"`)).join(",");
}

/** NaN and Infinity are the only ones with an N or an I. */
function hasSpecials(text: string): boolean {
  return text.includes("N") || text.includes("I");
}
