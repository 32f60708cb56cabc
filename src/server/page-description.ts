// What the page is told about the server and its models: states and numbers, and the form of a model from its interface.

import { type Static, Type } from "@sinclair/typebox";
import { pictureSizeOf } from "../codecs/image.ts";
import { isColor } from "../core/model.ts";
import { version as serverVersion } from "../core/version.ts";
import type { TensorSpec } from "./protocol/interface.ts";
import type { IndexRow } from "./repository/repository.ts";
import type { ServedModel } from "./repository/served-model.ts";
import type { ModelForm, ModelRow, ServerState, TensorForm, TensorKind } from "./ui/page-data.ts";

const count = Type.Integer({ minimum: 0 });

const rowSchema = Type.Object({
  name: Type.String(),
  version: Type.String(),
  state: Type.Union(
    (["UNAVAILABLE", "LOADING", "READY", "UNLOADING"] as const).map((state) => Type.Literal(state)),
  ),
  numbers: Type.Optional(
    Type.Object({
      device: Type.String(),
      succeeded: count,
      failed: count,
      meanMs: Type.Number(),
      p99Ms: Type.Number(),
      pending: count,
      busy: count,
      instances: count,
    }),
  ),
});

export const serverStateSchema = Type.Object({
  version: Type.String(),
  isReady: Type.Boolean(),
  mayControl: Type.Boolean({ description: "clients may load and unload models" }),
  models: Type.Array(rowSchema),
});

const tensorFormSchema = Type.Object({
  name: Type.String(),
  datatype: Type.String(),
  shape: Type.Array(Type.Integer({ minimum: -1 })),
  defaultShape: Type.Array(count),
  kind: Type.Union(
    (["array", "image", "number", "text", "list", "dictionary"] as const).map((kind) => Type.Literal(kind)),
  ),
  keys: Type.Optional(Type.String({ description: "of a dictionary: the tensor with its keys" })),
  description: Type.String(),
  isOptional: Type.Boolean(),
  takesPicture: Type.Boolean(),
});

export const modelFormSchema = Type.Object({
  name: Type.String(),
  version: Type.String(),
  isOnlyVersion: Type.Boolean(),
  platform: Type.String(),
  description: Type.String(),
  author: Type.String(),
  license: Type.String(),
  isStateful: Type.Boolean(),
  labels: Type.Optional(Type.Array(Type.String())),
  inputs: Type.Array(tensorFormSchema),
  outputs: Type.Array(tensorFormSchema),
});

export function describeState(
  rows: readonly IndexRow[],
  served: readonly ServedModel[],
  flags: { readonly isReady: boolean; readonly mayControl: boolean },
): Static<typeof serverStateSchema> {
  const models = rows.map(({ name, version, state }): ModelRow => {
    const one = served.find((candidate) => candidate.name === name && candidate.version === version);
    return { name, version, state, ...(one && { numbers: numbersOf(one) }) };
  });
  return { version: serverVersion, ...flags, models } satisfies ServerState as Static<
    typeof serverStateSchema
  >; // the same, without readonly
}

function numbersOf({ model }: ServedModel): NonNullable<ModelRow["numbers"]> {
  const { device, requests, latency, queue, instances } = model.stats;
  return {
    device,
    succeeded: requests.succeeded,
    failed: requests.failed,
    meanMs: latency.meanMs,
    p99Ms: latency.p99Ms,
    pending: queue.pending,
    busy: instances.busy,
    instances: instances.limit,
  };
}

/** What an author wrote may be a book. */
const maxTextLength = 2_000;
const maxLabels = 20_000;

export function describeForm(served: ServedModel, versions: readonly string[]): ModelForm {
  const { name, version, model, ports } = served;
  const { description, author, license } = model.description.metadata;
  const { labels } = ports;
  return {
    name,
    version,
    isOnlyVersion: versions.length === 1,
    platform: `coreml_${model.description.kind}`,
    description: description.slice(0, maxTextLength),
    author: author.slice(0, maxTextLength),
    license: license.slice(0, maxTextLength),
    isStateful: ports.isStateful,
    ...(labels && labels.length <= maxLabels && { labels: labels.map(String) }),
    inputs: describeTensors(ports.inputs),
    outputs: describeTensors(ports.outputs),
  };
}

function describeTensors(specs: readonly TensorSpec[]): readonly TensorForm[] {
  return specs.map((spec) => {
    const { name, datatype, shape, feature, part } = spec;
    const keys = specs.find((other) => other.feature === feature && other.part === "keys");
    return {
      name,
      datatype,
      shape,
      defaultShape: defaultShapeOf(spec),
      kind: part === "keys" ? "list" : kindOf(spec),
      ...(part === "value" && keys && { keys: keys.name }),
      description: feature.description.slice(0, maxTextLength),
      isOptional: feature.isOptional,
      takesPicture: takesPicture(spec),
    };
  });
}

function kindOf({ feature: { type } }: TensorSpec): TensorKind {
  switch (type.kind) {
    case "image":
    case "dictionary":
      return type.kind;
    case "double":
    case "int64":
      return "number";
    case "string":
      return "text";
    case "sequence":
      return "list";
    case "multiArray":
    case "state":
      return "array";
  }
}

/** Formally a signal of shape [1, 16000, 1] is a picture one pixel wide; nobody has such a one. */
const minPictureSide = 4;

function takesPicture({ feature: { type } }: TensorSpec): boolean {
  if (type.kind === "image") return true;
  const size = type.kind === "multiArray" ? pictureSizeOf(type) : undefined;
  return size !== undefined && Math.min(size.width, size.height) >= minPictureSide;
}

function defaultShapeOf({ feature: { type }, shape }: TensorSpec): readonly number[] {
  if (type.kind === "multiArray" && type.shape.length > 0) return type.shape;
  if (type.kind === "image") return isColor(type) ? [type.height, type.width, 3] : [type.height, type.width];
  return shape.map((size) => (size === -1 ? 1 : size));
}
