// What a server says of itself and of its models, checked.

import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { type Datatype, readDatatype } from "../../codecs/datatypes.ts";
import { CoremlxError } from "../../core/errors.ts";
import type { CallOptions, ProtocolClient } from "./client.ts";
import { badAnswer } from "./failure.ts";

export interface RemoteTensor {
  readonly name: string;
  readonly datatype: Datatype;
  /** -1 where a size may vary. */
  readonly shape: readonly number[];
  readonly isOptional: boolean;
}

export interface RemoteModel {
  readonly name: string;
  /** "coreml_mlProgram", "onnxruntime_onnx". */
  readonly platform: string;
  readonly inputs: readonly RemoteTensor[];
  readonly outputs: readonly RemoteTensor[];
  /** It takes requests as sequences, and remembers what came before; `undefined`: the server does not tell. */
  readonly isStateful: boolean | undefined;
}

const maxTensors = 1_024;
const maxAxes = 32;
const maxBytes = 16 * 2 ** 20;

const text = Type.String({ maxLength: 65_536 });
const tensors = Type.Array(
  Type.Object({
    name: text,
    datatype: text,
    shape: Type.Array(Type.Integer({ minimum: -1, maximum: 2 ** 31 - 1 }), { maxItems: maxAxes }),
  }),
  { maxItems: maxTensors },
);
/** What is printed as part of a line: nothing in it moves the cursor of a terminal. */
const line = Type.String({ maxLength: 1_000, pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" });
const serverSchema = Type.Object({ name: line, version: line, extensions: Type.Array(text) });
const modelSchema = Type.Object({ platform: text, inputs: tensors, outputs: tensors });
const configSchema = Type.Object({
  input: Type.Optional(
    Type.Array(Type.Object({ name: text, optional: Type.Optional(Type.Boolean()) }), {
      maxItems: maxTensors,
    }),
  ),
  sequence_batching: Type.Optional(Type.Unknown()),
});

type Config = Static<typeof configSchema>;
type Limits = Pick<CallOptions, "signal" | "timeoutMs">;

/** "coremlx 0.1.0". Throws UNSUPPORTED for one that takes no tensors in binary. */
export async function readServer(client: ProtocolClient, options: Limits): Promise<string> {
  const what = "describe itself";
  const answer = await client.getJson("/v2", what, { ...options, maxBytes });
  if (!Value.Check(serverSchema, answer)) throw badAnswer(what, problemOf(serverSchema, answer));
  if (answer.extensions.includes("binary_tensor_data")) return `${answer.name} ${answer.version}`;
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot use the server at ${client.address}: it does not take tensors in binary`,
    { details: { extensions: answer.extensions.slice(0, 100) } },
  );
}

/** Throws NOT_FOUND for a name that the server does not know. */
export async function readModel(client: ProtocolClient, name: string, options: Limits): Promise<RemoteModel> {
  const path = pathOf(name);
  const what = `describe "${name}"`;
  const answer = await client.getJson(path, what, { ...options, maxBytes });
  if (!Value.Check(modelSchema, answer)) throw badAnswer(what, problemOf(modelSchema, answer));
  const config = await readConfig(client, path, options);
  const optional = new Set((config?.input ?? []).filter((row) => row.optional).map((row) => row.name));
  const read = (rows: Static<typeof tensors>) =>
    rows.map(({ name: tensor, datatype: given, shape }): RemoteTensor => {
      const datatype = readDatatype(given);
      if (datatype !== undefined) return { name: tensor, datatype, shape, isOptional: optional.has(tensor) };
      throw new CoremlxError("UNSUPPORTED", `Cannot use "${name}": "${tensor}" is ${given}`);
    });
  return {
    name,
    platform: answer.platform,
    inputs: read(answer.inputs),
    outputs: read(answer.outputs),
    isStateful: config && config.sequence_batching !== undefined,
  };
}

/** Of a model; slashes and dots in its name stay inside. */
export function pathOf(name: string): string {
  return `/v2/models/${encodeURIComponent(name)}`;
}

/** An extension that a server may lack: then nobody knows which inputs are optional. */
async function readConfig(
  client: ProtocolClient,
  path: string,
  options: Limits,
): Promise<Config | undefined> {
  try {
    const what = "tell its configuration";
    const answer = await client.getJson(`${path}/config`, what, { ...options, maxBytes });
    return Value.Check(configSchema, answer) ? answer : undefined;
  } catch (error) {
    const isLacking =
      error instanceof CoremlxError && (error.code === "NOT_FOUND" || error.code === "UNSUPPORTED");
    if (isLacking) return undefined;
    throw error;
  }
}

function problemOf(schema: typeof serverSchema | typeof modelSchema, value: unknown): string {
  const first = Value.Errors(schema, value).First();
  return first === undefined ? "it has another form" : `${first.path.slice(0, 100)}: ${first.message}`;
}
