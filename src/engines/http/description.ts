// A model's interface, as far as the protocol carries it: names, element types and shapes. What follows from how our own
// server writes a Core ML model (only pictures are UINT8, a dictionary is two tensors) is read only from such a server.

import { dtypeOf } from "../../codecs/datatypes.ts";
import { CoremlxError } from "../../core/errors.ts";
import type {
  FeatureDescription,
  FeatureType,
  FunctionDescription,
  ModelDescription,
  MultiArrayType,
  ShapeConstraint,
} from "../../core/model.ts";
import type { RemoteModel, RemoteTensor } from "./metadata.ts";

/** The one function that the protocol knows of. */
export const onlyFunction = "main";

export function describeRemote(remote: RemoteModel): ModelDescription {
  const isOurs = remote.platform.startsWith("coreml_");
  const main: FunctionDescription = {
    name: onlyFunction,
    inputs: featuresOf(remote.inputs, isOurs),
    outputs: featuresOf(remote.outputs, isOurs),
    states: [],
    predictedFeatureName: undefined,
    predictedProbabilitiesName: undefined,
  };
  return {
    kind: remote.platform === "coreml_mlProgram" ? "mlProgram" : "customModel",
    specificationVersion: 0,
    functions: [main],
    defaultFunction: onlyFunction,
    metadata: { description: "", version: "", author: "", license: "", userDefined: new Map() },
    isUpdatable: false,
    classLabels: undefined,
  };
}

/** Throws BAD_MODEL where the server's tensors are not those of the model's file. */
export function checkSame(remote: RemoteModel, { inputs, outputs }: FunctionDescription): void {
  for (const [role, ours, theirs] of [
    ["input", inputs, remote.inputs],
    ["output", outputs, remote.outputs],
  ] as const) {
    const known = new Set(ours.map(({ name }) => name));
    for (const { name, type } of ours) if (type.kind === "dictionary") known.add(keysNameOf(name, ours));
    const names = new Set(theirs.map(({ name }) => name));
    const lacking = [...known].find((name) => !names.has(name));
    const extra = [...names].find((name) => !known.has(name));
    if (lacking === undefined && extra === undefined) continue;
    const why =
      lacking === undefined ? `it has an ${role} "${extra}" more` : `it has no ${role} "${lacking}"`;
    throw new CoremlxError("BAD_MODEL", `The server's "${remote.name}" is another model: ${why}`, {
      hint: "Give the name of the model on the server, not the path of a file",
    });
  }
}

/** The tensor with the keys of a dictionary, as our server names it. */
export function keysNameOf(name: string, features: readonly { readonly name: string }[]): string {
  const taken = new Set(features.map((feature) => feature.name));
  let keysName = `${name}_keys`;
  while (taken.has(keysName)) keysName += "_";
  return keysName;
}

function featuresOf(tensors: readonly RemoteTensor[], isOurs: boolean): FeatureDescription[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const keys = new Set<RemoteTensor>();
  const dictionaries = new Map<string, "int64" | "string">();
  for (const { name, datatype } of isOurs ? tensors : []) {
    const found = datatype === "FP64" ? byName.get(`${name}_keys`) : undefined;
    if (found === undefined || (found.datatype !== "BYTES" && found.datatype !== "INT64")) continue;
    keys.add(found);
    dictionaries.set(name, found.datatype === "BYTES" ? "string" : "int64");
  }
  return tensors
    .filter((tensor) => !keys.has(tensor))
    .map((tensor): FeatureDescription => {
      const { name, isOptional } = tensor;
      const key = dictionaries.get(name);
      const type: FeatureType = key === undefined ? typeOf(tensor, isOurs) : { kind: "dictionary", key };
      return { name, description: "", type, isOptional };
    });
}

function typeOf({ datatype, shape }: RemoteTensor, isOurs: boolean): FeatureType {
  const isOne = shape.length === 1 && shape[0] === 1;
  if (datatype === "BYTES") {
    if (isOne) return { kind: "string" };
    return { kind: "sequence", element: "string", size: { lower: 0, upper: undefined } };
  }
  if (isOurs && datatype === "INT64") {
    return isOne
      ? { kind: "int64" }
      : { kind: "sequence", element: "int64", size: { lower: 0, upper: undefined } };
  }
  if (isOurs && isOne && datatype === "FP64") return { kind: "double" };
  const [height = 0, width = 0, channels = 1] = shape;
  const isPicture = shape.length === 2 || (shape.length === 3 && channels === 3);
  if (isOurs && datatype === "UINT8" && isPicture) {
    const [rows, columns] = [height, width].map((size) => (size === -1 ? 1 : size));
    return {
      kind: "image",
      height: rows ?? 1,
      width: columns ?? 1,
      colorSpace: shape.length === 3 ? "RGB" : "GRAYSCALE",
      constraint: constraintOf([height, width]),
    };
  }
  return arrayType(dtypeOf(datatype), shape);
}

function arrayType(dtype: MultiArrayType["dtype"], sizes: readonly number[]): MultiArrayType {
  return {
    kind: "multiArray",
    dtype,
    shape: sizes.map((size) => (size === -1 ? 1 : size)),
    constraint: constraintOf(sizes),
    defaultValue: undefined,
  };
}

function constraintOf(sizes: readonly number[]): ShapeConstraint {
  if (!sizes.includes(-1)) return { kind: "fixed" };
  const axes = sizes.map((size) =>
    size === -1 ? { lower: 1, upper: undefined } : { lower: size, upper: size },
  );
  return { kind: "range", axes };
}
