// The protocol's JSON as typebox schemas: what requests are checked against, and what /openapi.json says. Tensor data is
// `unknown` here, for it is read by code of its own (tensor-data.ts).

import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { datatypeNames } from "../../codecs/datatypes.ts";

const parameters = Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]));

const shape = Type.Array(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }));

const datatype = Type.Union(
  datatypeNames.map((name) => Type.Literal(name)),
  { description: "FP16 has no JSON form: it is sent and given in binary" },
);

const data = Type.Unknown({
  description: "nested or flat list in row-major order; absent where the data is binary",
});

export const requestInputSchema = Type.Object({
  name: Type.String(),
  shape,
  datatype: Type.String({ description: `one of ${datatypeNames.join(", ")}` }),
  parameters: Type.Optional(parameters),
  data: Type.Optional(data),
});

export const requestOutputSchema = Type.Object({
  name: Type.String(),
  parameters: Type.Optional(parameters),
});

export const inferRequestSchema = Type.Object({
  id: Type.Optional(Type.String()),
  parameters: Type.Optional(parameters),
  inputs: Type.Array(requestInputSchema),
  outputs: Type.Optional(Type.Array(requestOutputSchema)),
});

export const responseOutputSchema = Type.Object({
  name: Type.String(),
  shape,
  datatype,
  parameters: Type.Optional(parameters),
  data: Type.Optional(data),
});

export const inferResponseSchema = Type.Object({
  model_name: Type.String(),
  model_version: Type.String(),
  id: Type.Optional(Type.String()),
  parameters: Type.Optional(parameters),
  outputs: Type.Array(responseOutputSchema),
});

export const errorSchema = Type.Object({ error: Type.String() });

export const liveSchema = Type.Object({ live: Type.Boolean() });
export const readySchema = Type.Object({ ready: Type.Boolean() });
export const modelReadySchema = Type.Object({ name: Type.String(), ready: Type.Boolean() });

export const serverMetadataSchema = Type.Object({
  name: Type.String(),
  version: Type.String(),
  extensions: Type.Array(Type.String()),
});

const tensorMetadata = Type.Object({
  name: Type.String(),
  datatype,
  shape: Type.Array(Type.Integer({ minimum: -1, description: "-1: may vary" })),
});

export const modelMetadataSchema = Type.Object({
  name: Type.String(),
  versions: Type.Array(Type.String()),
  platform: Type.String(),
  inputs: Type.Array(tensorMetadata),
  outputs: Type.Array(tensorMetadata),
});

const tensorConfig = Type.Object({
  name: Type.String(),
  data_type: Type.String(),
  dims: Type.Array(Type.Integer({ minimum: -1 })),
  optional: Type.Optional(Type.Boolean()),
});

export const modelConfigSchema = Type.Object({
  name: Type.String(),
  platform: Type.String(),
  backend: Type.String(),
  max_batch_size: Type.Integer({ minimum: 0 }),
  input: Type.Array(tensorConfig),
  output: Type.Array(tensorConfig),
  instance_group: Type.Array(
    Type.Object({ name: Type.String(), kind: Type.String(), count: Type.Integer({ minimum: 0 }) }),
  ),
  sequence_batching: Type.Optional(
    Type.Object({ max_sequence_idle_microseconds: Type.Integer({ minimum: 0 }) }),
  ),
});

export type InferEnvelope = Static<typeof inferRequestSchema>;
export type RequestInput = Static<typeof requestInputSchema>;
export type Parameters = Static<typeof parameters>;
export type ServerMetadata = Static<typeof serverMetadataSchema>;
export type ModelMetadataAnswer = Static<typeof modelMetadataSchema>;
export type ModelConfig = Static<typeof modelConfigSchema>;

const envelopeCheck = TypeCompiler.Compile(inferRequestSchema);

/** What is wrong with it, as "inputs/0/shape: Expected array"; undefined when nothing is. */
export function findEnvelopeProblem(value: unknown): string | undefined {
  if (envelopeCheck.Check(value)) return undefined;
  const first = envelopeCheck.Errors(value).First();
  if (first === undefined) return "it is not an inference request";
  const place = first.path.slice(1, 121);
  return place === "" ? first.message : `${place}: ${first.message}`;
}
