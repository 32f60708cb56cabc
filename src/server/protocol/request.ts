// One inference request from its bytes: JSON, JSON with binary tensors behind it, one raw tensor, or a picture. Binary
// tensors are views of the body.

import { parseJson, isJsonObject, type JsonNode } from "../../codecs/json-text.ts";
import { CoremlxError } from "../../core/errors.ts";
import type { ServerLimits } from "../limits.ts";
import { type Datatype, datatypeNames, readDatatype } from "../../codecs/datatypes.ts";
import { type LiftedJson, liftNumberLists } from "./number-lists.ts";
import { findEnvelopeProblem, type InferEnvelope, type Parameters, type RequestInput } from "./schemas.ts";

export interface InputTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly parameters: Parameters;
  readonly content: InputContent;
}

export type InputContent =
  /** `data` is what JSON.parse gives, or for a flat list of numbers a Float64Array. `readExactly` reads it again, with whole numbers of any length. */
  | { readonly kind: "json"; readonly data: unknown; readonly readExactly: () => JsonNode }
  /** As the protocol frames it: BYTES elements have their length before them. */
  | { readonly kind: "binary"; readonly bytes: Uint8Array<ArrayBuffer> }
  /** One BYTES element without a frame. */
  | { readonly kind: "element"; readonly bytes: Uint8Array<ArrayBuffer> };

export interface RequestedOutput {
  readonly name: string;
  readonly isBinary: boolean;
  /** The greatest N values with their labels; 0 for the tensor itself. */
  readonly classCount: number;
}

export interface InferRequest {
  readonly id: string | undefined;
  readonly parameters: Parameters;
  readonly inputs: readonly InputTensor[];
  /** Undefined: all of them. */
  readonly outputs: readonly RequestedOutput[] | undefined;
  readonly isBinaryDefault: boolean;
}

export const noParameters: Parameters = {};

/** A body of JSON, with binary tensors behind the first `jsonLength` bytes where that is given. Throws BAD_INPUT. */
export function readInferRequest(
  body: Uint8Array<ArrayBuffer>,
  { jsonLength = body.length, limits }: { readonly jsonLength?: number; readonly limits: ServerLimits },
): InferRequest {
  if (jsonLength > body.length) {
    throw bad(`Inference-Header-Content-Length is ${jsonLength}, but the body has ${body.length} bytes`);
  }
  const head = body.subarray(0, jsonLength);
  const envelope = readEnvelope(head, limits);
  const { id, parameters = noParameters, outputs } = envelope;
  if (id !== undefined && id.length > limits.maxIdLength) {
    throw bad(`its id has ${id.length} characters, more than ${limits.maxIdLength}`);
  }
  if (envelope.inputs.length + (outputs?.length ?? 0) > limits.maxTensors) {
    throw bad(`it names more than ${limits.maxTensors} tensors`);
  }
  const isBinaryDefault = booleanOf(parameters, "binary_data_output") ?? false;
  return {
    id,
    parameters,
    inputs: readInputs(envelope.inputs, { head, tail: body.subarray(jsonLength), limits }),
    outputs: outputs?.map((output) => readOutput(output, isBinaryDefault)),
    isBinaryDefault,
  };
}

export function booleanOf(parameters: Parameters, name: string): boolean | undefined {
  const value = parameters[name];
  if (value === undefined || typeof value === "boolean") return value;
  throw bad(`parameter "${name}" must be true or false, got ${JSON.stringify(value)}`);
}

/** A whole number from 0 on. */
export function countOf(parameters: Parameters, name: string): number | undefined {
  const value = parameters[name];
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw bad(`parameter "${name}" must be a whole number from 0 on, got ${JSON.stringify(value)}`);
}

export function bad(reason: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `Cannot read the request: ${reason}`);
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function readEnvelope(head: Uint8Array, limits: ServerLimits): InferEnvelope {
  checkContainers(head, limits);
  let value: unknown;
  let lifted: LiftedJson | undefined;
  try {
    lifted = liftNumberLists(head);
    value = JSON.parse(lifted?.text ?? utf8.decode(head));
  } catch (error) {
    throw bad(error instanceof SyntaxError ? "it is not JSON" : "it is not UTF-8 text");
  }
  const problem = findEnvelopeProblem(value);
  if (problem !== undefined) throw bad(problem);
  const envelope = value as InferEnvelope; // just checked
  return lifted === undefined
    ? envelope
    : { ...envelope, inputs: envelope.inputs.map((input) => putBack(input, lifted.lists)) };
}

/** Each list of one number stands for one that was taken out. */
function putBack(input: RequestInput, lists: LiftedJson["lists"]): RequestInput {
  const { data } = input;
  if (!Array.isArray(data) || data.length !== 1) return input;
  const place: unknown = data[0];
  const list = typeof place === "number" ? lists[place] : undefined;
  return list === undefined ? input : { ...input, data: list };
}

const openList = "[".charCodeAt(0);
const openObject = "{".charCodeAt(0);

/** Counts brackets, those in strings too: a bound, not a grammar. */
function checkContainers(head: Uint8Array, { maxJsonContainers }: ServerLimits): void {
  if (head.length <= maxJsonContainers) return;
  let count = 0;
  for (const bracket of [openList, openObject]) {
    for (let at = head.indexOf(bracket); at !== -1; at = head.indexOf(bracket, at + 1)) {
      if (++count > maxJsonContainers) throw bad(`its JSON has more than ${maxJsonContainers} brackets`);
    }
  }
}

interface InputSources {
  readonly head: Uint8Array;
  readonly tail: Uint8Array<ArrayBuffer>;
  readonly limits: ServerLimits;
}

function readInputs(
  inputs: readonly RequestInput[],
  { head, tail, limits }: InputSources,
): readonly InputTensor[] {
  let at = 0;
  const tensors = inputs.map((input, index): InputTensor => {
    const { name, shape, parameters = noParameters } = input;
    const datatype = readDatatype(input.datatype);
    if (datatype === undefined) {
      const shown = input.datatype.slice(0, 32);
      throw bad(`input "${name}" has the datatype "${shown}", which is none of ${datatypeNames.join(", ")}`);
    }
    if (shape.length > limits.maxAxes) throw bad(`input "${name}" has more than ${limits.maxAxes} axes`);
    const size = countOf(parameters, "binary_data_size");
    if (size === undefined) {
      if (!("data" in input)) throw bad(`input "${name}" has neither data nor a binary_data_size`);
      if (datatype === "FP16") throw bad(`input "${name}" is FP16, which is sent in binary, not in JSON`);
      const readExactly = () => exactData(head, index);
      return {
        name,
        datatype,
        shape,
        parameters,
        content: { kind: "json", data: input.data, readExactly },
      };
    }
    if ("data" in input) throw bad(`input "${name}" has both data and a binary_data_size`);
    if (size > tail.length - at) {
      throw bad(`input "${name}" has a binary_data_size of ${size}, but ${tail.length - at} bytes are left`);
    }
    const bytes = tail.subarray(at, at + size);
    at += size;
    return { name, datatype, shape, parameters, content: { kind: "binary", bytes } };
  });
  if (at < tail.length) throw bad(`${tail.length - at} bytes follow the last tensor`);
  return tensors;
}

/** JSON.parse rounds whole numbers beyond 2^53; this reader does not, and takes longer. */
function exactData(head: Uint8Array, index: number): JsonNode {
  const root = parseJson(head, { subject: "Cannot read the request" });
  const inputs = isJsonObject(root) ? root.get("inputs") : undefined;
  const input = Array.isArray(inputs) ? inputs[index] : undefined;
  return input !== undefined && isJsonObject(input) ? (input.get("data") ?? null) : null;
}

function readOutput(
  output: { readonly name: string; readonly parameters?: Parameters },
  isBinaryDefault: boolean,
): RequestedOutput {
  const { name, parameters = noParameters } = output;
  return {
    name,
    isBinary: booleanOf(parameters, "binary_data") ?? isBinaryDefault,
    classCount: countOf(parameters, "classification") ?? 0,
  };
}
