// One inference: the request's bytes, and what an answer's bytes hold.

import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { readDatatype } from "../../codecs/datatypes.ts";
import { type HttpAnswer, parseJson } from "./client.ts";
import { badAnswer } from "./failure.ts";
import type { WireTensor } from "./wire.ts";

export type Parameters = Readonly<Record<string, string | number | boolean>>;

export interface EncodedRequest {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly jsonLength: number;
}

export function encodeRequest(tensors: readonly WireTensor[], parameters: Parameters): EncodedRequest {
  const json = new TextEncoder().encode(
    JSON.stringify({
      parameters: { ...parameters, binary_data_output: true },
      inputs: tensors.map(({ name, datatype, shape, bytes }) => ({
        name,
        datatype,
        shape,
        parameters: { binary_data_size: bytes.byteLength },
      })),
    }),
  );
  const length = tensors.reduce((total, { bytes }) => total + bytes.byteLength, json.byteLength);
  const body = new Uint8Array(new ArrayBuffer(length));
  body.set(json);
  let at = json.byteLength;
  for (const { bytes } of tensors) {
    body.set(bytes, at);
    at += bytes.byteLength;
  }
  return { body, jsonLength: json.byteLength };
}

const maxOutputs = 1_024;

const answerSchema = Type.Object({
  outputs: Type.Array(
    Type.Object({
      name: Type.String(),
      datatype: Type.String(),
      shape: Type.Array(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), { maxItems: 32 }),
      parameters: Type.Object({ binary_data_size: Type.Integer({ minimum: 0 }) }),
    }),
    { maxItems: maxOutputs },
  ),
});

/** The outputs by name, as views of the answer. Throws NATIVE for anything but whole binary tensors. */
export function decodeAnswer(
  { bytes, jsonLength = bytes.byteLength }: HttpAnswer,
  what: string,
): ReadonlyMap<string, WireTensor> {
  if (jsonLength > bytes.byteLength) throw badAnswer(what, "its header is longer than it is");
  const answer = parseJson(bytes.subarray(0, jsonLength), what);
  if (!Value.Check(answerSchema, answer)) throw badAnswer(what, problemOf(answer));
  const tensors = new Map<string, WireTensor>();
  let at = jsonLength;
  for (const output of answer.outputs) {
    const { name, shape } = output;
    const size = output.parameters.binary_data_size;
    const datatype = readDatatype(output.datatype);
    if (datatype === undefined) throw badAnswer(what, `"${name}" is of an unknown type`);
    if (tensors.has(name)) throw badAnswer(what, `it has "${name}" twice`);
    if (size > bytes.byteLength - at) throw badAnswer(what, `it ends within "${name}"`);
    tensors.set(name, { name, datatype, shape, bytes: bytes.subarray(at, at + size) });
    at += size;
  }
  if (at === bytes.byteLength) return tensors;
  throw badAnswer(what, `${bytes.byteLength - at} bytes follow its last tensor`);
}

function problemOf(answer: unknown): string {
  const first = Value.Errors(answerSchema, answer).First();
  return first === undefined ? "it has another form" : `${first.path.slice(0, 100)}: ${first.message}`;
}
