// The body of an inference request, in the form that its headers say: JSON, JSON and binary, one raw tensor, a picture.

import { byteSize } from "../../core/dtype.ts";
import type { ServerLimits } from "../limits.ts";
import { dtypeOf } from "../../codecs/datatypes.ts";
import type { BodyRoom } from "../body-budget.ts";
import { readBytes } from "../request-bytes.ts";
import type { ModelInterface, TensorSpec } from "./interface.ts";
import { bad, type InferRequest, type InputTensor, noParameters, readInferRequest } from "./request.ts";

/** Throws BAD_INPUT, 413 for too many bytes, 415 for an unknown encoding. */
export async function readBody(
  http: Request,
  ports: ModelInterface,
  { limits, room }: { readonly limits: ServerLimits; readonly room: BodyRoom },
): Promise<InferRequest> {
  const bytes = await readBytes(http, { ...limits, room });
  const given = http.headers.get("inference-header-content-length");
  if (given === null) {
    const type = http.headers.get("content-type");
    if (type?.startsWith("image/")) return wholeBody(bytes, pictureInput(ports), { isPicture: true });
    return readInferRequest(bytes, { limits });
  }
  const jsonLength = /^\d{1,15}$/.test(given) ? Number(given) : undefined;
  if (jsonLength === undefined) throw bad("Inference-Header-Content-Length must be a number of bytes");
  if (jsonLength === 0) return wholeBody(bytes, onlyInput(ports), { isPicture: false });
  return readInferRequest(bytes, { jsonLength, limits });
}

function wholeBody(
  bytes: Uint8Array<ArrayBuffer>,
  spec: TensorSpec,
  { isPicture }: { readonly isPicture: boolean },
): InferRequest {
  const { name, datatype } = spec;
  const isElement = isPicture || datatype === "BYTES";
  const input: InputTensor = isElement
    ? { name, datatype: "BYTES", shape: [1], parameters: noParameters, content: { kind: "element", bytes } }
    : {
        name,
        datatype,
        shape: shapeFor(spec, bytes.length / byteSize(dtypeOf(datatype))),
        parameters: noParameters,
        content: { kind: "binary", bytes },
      };
  return {
    id: undefined,
    parameters: noParameters,
    inputs: [input],
    outputs: undefined,
    isBinaryDefault: !isPicture,
  };
}

function onlyInput({ inputs }: ModelInterface): TensorSpec {
  const [input, ...others] = inputs;
  if (input !== undefined && others.length === 0) return input;
  throw bad(`a raw body is for a model of one input, and this one has ${inputs.length}`);
}

/** The only input that can be a picture: one declared as such, else an array. */
function pictureInput({ inputs }: ModelInterface): TensorSpec {
  for (const kind of ["image", "multiArray"] as const) {
    const [input, ...others] = inputs.filter(({ feature }) => feature.type.kind === kind);
    if (input !== undefined && others.length === 0) return input;
  }
  throw bad("a picture as body is for a model with one input that can be a picture");
}

/** The declared shape with the one size that may vary worked out. */
function shapeFor({ name, shape }: TensorSpec, elementCount: number): readonly number[] {
  const open = shape.filter((size) => size === -1).length;
  if (open === 0) return shape;
  if (open > 1) throw bad(`input "${name}" has ${open} sizes that may vary: a raw body cannot tell them`);
  const others = shape.reduce((product, size) => (size === -1 ? product : product * size), 1);
  const size = elementCount / others;
  if (Number.isSafeInteger(size)) return shape.map((one) => (one === -1 ? size : one));
  throw bad(`input "${name}" takes whole rows of ${others} elements, got ${elementCount} elements`);
}
