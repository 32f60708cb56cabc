// A model's features as the protocol's tensors. A dictionary is two of them: its values under its own name, and its keys.

import type {
  FeatureDescription,
  FeatureType,
  FunctionDescription,
  ModelDescription,
  ShapeConstraint,
} from "../../core/model.ts";
import { isColor, pictureDType } from "../../core/model.ts";
import { type Datatype, datatypeOf } from "../../codecs/datatypes.ts";

export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  /** -1 where a size may vary. */
  readonly shape: readonly number[];
  readonly feature: FeatureDescription;
  readonly part: "value" | "keys";
}

export interface ModelInterface {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly isStateful: boolean;
  /** Of a classifier. */
  readonly labels: readonly (string | bigint)[] | undefined;
  /** The same, where they are texts: one list for all answers. */
  readonly labelTexts: readonly string[] | undefined;
}

export function describeInterface(
  { inputs, outputs, states }: FunctionDescription,
  { classLabels }: Pick<ModelDescription, "classLabels">,
): ModelInterface {
  return {
    inputs: specsOf(inputs, undefined),
    outputs: specsOf(outputs, classLabels?.length),
    isStateful: states.length > 0,
    labels: classLabels,
    labelTexts: classLabels?.every((label) => typeof label === "string")
      ? classLabels.map(String)
      : undefined,
  };
}

export function specNamed(specs: readonly TensorSpec[], name: string): TensorSpec | undefined {
  for (const spec of specs) if (spec.name === name) return spec;
  return undefined;
}

function specsOf(features: readonly FeatureDescription[], entryCount: number | undefined): TensorSpec[] {
  const taken = new Set(features.map(({ name }) => name));
  return features.flatMap((feature): TensorSpec[] => {
    const { name, type } = feature;
    const value = { name, ...formOf(type, entryCount), feature, part: "value" as const };
    if (type.kind !== "dictionary") return [value];
    let keysName = `${name}_keys`;
    while (taken.has(keysName)) keysName += "_";
    taken.add(keysName);
    const datatype = type.key === "string" ? "BYTES" : "INT64";
    return [value, { name: keysName, datatype, shape: value.shape, feature, part: "keys" }];
  });
}

function formOf(type: FeatureType, entryCount: number | undefined): Pick<TensorSpec, "datatype" | "shape"> {
  switch (type.kind) {
    case "multiArray":
      return { datatype: datatypeOf(type.dtype), shape: openShape(type.shape, type.constraint) };
    case "state":
      return { datatype: datatypeOf(type.array.dtype), shape: type.array.shape };
    case "image": {
      const size = openShape([type.height, type.width], type.constraint);
      return { datatype: datatypeOf(pictureDType(type)), shape: isColor(type) ? [...size, 3] : size };
    }
    case "double":
      return { datatype: "FP64", shape: [1] };
    case "int64":
      return { datatype: "INT64", shape: [1] };
    case "string":
      return { datatype: "BYTES", shape: [1] };
    case "dictionary":
      return { datatype: "FP64", shape: [entryCount ?? -1] };
    case "sequence":
      return { datatype: type.element === "string" ? "BYTES" : "INT64", shape: [-1] };
  }
}

/** -1 at each axis that may have more than one size. Shapes of several ranks cannot be said: then the default one stands. */
function openShape(shape: readonly number[], constraint: ShapeConstraint): readonly number[] {
  if (constraint.kind === "range")
    return constraint.axes.map(({ lower, upper }) => (lower === upper ? lower : -1));
  if (constraint.kind !== "enumerated") return shape;
  if (constraint.shapes.some((other) => other.length !== shape.length)) return shape;
  return shape.map((size, axis) => (constraint.shapes.every((other) => other[axis] === size) ? size : -1));
}
