// The interface of a model: ModelDescription as protobuf has it, into core's ModelDescription, checked.

import type {
  ClassLabels,
  ColorSpace,
  FeatureDescription,
  FeatureType,
  FunctionDescription,
  ModelDescription,
  ModelKind,
  MultiArrayType,
  ShapeConstraint,
  SizeRange,
} from "../core/model.ts";
import type { DType } from "../core/dtype.ts";
import { badModel, quote } from "./bad-model.ts";
import {
  ArrayFeatureType_ArrayDataType as ArrayDataType,
  type ArrayFeatureType as ArrayMessage,
  type FeatureType as FeatureTypeMessage,
  type ImageFeatureType as ImageMessage,
  ImageFeatureType_ColorSpace as ColorSpaceNumber,
  type SizeRange as SizeRangeMessage,
} from "./gen/FeatureTypes_pb.ts";
import type {
  FeatureDescription as FeatureMessage,
  ModelDescription as DescriptionMessage,
} from "./gen/Model_pb.ts";
import type { FormatLimits } from "./limits.ts";

/** What the description itself does not say. */
export interface DescriptionFacts {
  readonly kind: ModelKind;
  readonly specificationVersion: number;
  readonly isUpdatable: boolean;
  readonly classLabels: ClassLabels | undefined;
}

/** Throws BAD_MODEL for an interface that no Core ML reader would accept. */
export function readDescription(
  message: DescriptionMessage | undefined,
  facts: DescriptionFacts,
  limits: FormatLimits,
): ModelDescription {
  if (message === undefined) throw badModel("it has no description of its inputs and outputs");
  const functions = readFunctions(message, limits);
  const metadata = message.metadata;
  return {
    ...facts,
    functions,
    defaultFunction: defaultFunctionOf(message, functions),
    metadata: {
      description: metadata?.shortDescription ?? "",
      version: metadata?.versionString ?? "",
      author: metadata?.author ?? "",
      license: metadata?.license ?? "",
      userDefined: new Map(Object.entries(metadata?.userDefined ?? {})),
    },
  };
}

function readFunctions(message: DescriptionMessage, limits: FormatLimits): FunctionDescription[] {
  if (message.functions.length > limits.maxFunctions) {
    throw badModel(
      `it has ${message.functions.length} functions, more than the limit of ${limits.maxFunctions}`,
    );
  }
  if (message.functions.length === 0) return [readFunction("main", message, limits)];
  refuseDuplicates(
    "function",
    message.functions.map((each) => each.name),
  );
  return message.functions.map((each) => readFunction(each.name, each, limits));
}

interface FunctionMessage {
  readonly input: readonly FeatureMessage[];
  readonly output: readonly FeatureMessage[];
  readonly state: readonly FeatureMessage[];
  readonly predictedFeatureName: string;
  readonly predictedProbabilitiesName: string;
}

function readFunction(name: string, message: FunctionMessage, limits: FormatLimits): FunctionDescription {
  const states = readFeatures("state", message.state, limits);
  for (const state of states) {
    if (state.type.kind !== "state") {
      throw badModel(`state ${quote(state.name)} has the type ${state.type.kind}, expected a state`);
    }
  }
  return {
    name,
    inputs: readFeatures("input", message.input, limits),
    outputs: readFeatures("output", message.output, limits),
    states,
    predictedFeatureName: message.predictedFeatureName || undefined,
    predictedProbabilitiesName: message.predictedProbabilitiesName || undefined,
  };
}

function defaultFunctionOf(message: DescriptionMessage, functions: readonly FunctionDescription[]): string {
  const wanted = message.defaultFunctionName;
  if (functions.some((each) => each.name === wanted)) return wanted;
  if (wanted !== "" && message.functions.length > 0) {
    const names = functions.map((each) => quote(each.name)).join(", ");
    throw badModel(`its default function ${quote(wanted)} is not among its functions: ${names}`);
  }
  // Writers of a multi-function model must name a default; without one, a "main" is the obvious choice.
  return functions.find((each) => each.name === "main")?.name ?? functions[0]?.name ?? "main";
}

type Role = "input" | "output" | "state";

function readFeatures(
  role: Role,
  messages: readonly FeatureMessage[],
  limits: FormatLimits,
): FeatureDescription[] {
  if (messages.length > limits.maxFeatures) {
    throw badModel(`it has ${messages.length} ${role}s, more than the limit of ${limits.maxFeatures}`);
  }
  refuseDuplicates(
    role,
    messages.map((each) => each.name),
  );
  return messages.map((message) => {
    const name = `${role} ${quote(message.name)}`;
    if (message.name === "") throw badModel(`one of its ${role}s has no name`);
    if (message.name.length > limits.maxNameLength) throw badModel(`${name} has a name that is too long`);
    if (message.type === undefined) throw badModel(`${name} has no type`);
    return {
      name: message.name,
      description: message.shortDescription,
      type: new FeatureReader(name, role, limits).read(message.type),
      isOptional: message.type.isOptional,
    };
  });
}

function refuseDuplicates(what: string, names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw badModel(`two ${what}s have the name ${quote(name)}`);
    seen.add(name);
  }
}

const dtypes: Readonly<Record<number, DType>> = {
  [ArrayDataType.FLOAT16]: "float16",
  [ArrayDataType.FLOAT32]: "float32",
  [ArrayDataType.DOUBLE]: "float64",
  [ArrayDataType.INT32]: "int32",
  [ArrayDataType.INT8]: "int8",
};

const colorSpaces: Readonly<Record<number, ColorSpace>> = {
  [ColorSpaceNumber.GRAYSCALE]: "GRAYSCALE",
  [ColorSpaceNumber.RGB]: "RGB",
  [ColorSpaceNumber.BGR]: "BGR",
  [ColorSpaceNumber.GRAYSCALE_FLOAT16]: "GRAYSCALE_FLOAT16",
};

/** Reads one feature's type; the name is for its errors. */
class FeatureReader {
  readonly #name: string;
  readonly #role: Role;
  readonly #limits: FormatLimits;

  constructor(name: string, role: Role, limits: FormatLimits) {
    this.#name = name;
    this.#role = role;
    this.#limits = limits;
  }

  read(message: FeatureTypeMessage): FeatureType {
    const type = message.Type;
    switch (type.case) {
      case "int64Type":
        return { kind: "int64" };
      case "doubleType":
        return { kind: "double" };
      case "stringType":
        return { kind: "string" };
      case "imageType":
        return this.#image(type.value);
      case "multiArrayType":
        return this.#array(type.value, message.isOptional);
      case "dictionaryType": {
        const key = type.value.KeyType.case;
        if (key === undefined) throw this.#bad("is a dictionary without a key type");
        return { kind: "dictionary", key: key === "int64KeyType" ? "int64" : "string" };
      }
      case "sequenceType": {
        const element = type.value.Type.case;
        if (element === undefined) throw this.#bad("is a sequence without an element type");
        const size = this.#range(type.value.sizeRange);
        return { kind: "sequence", element: element === "int64Type" ? "int64" : "string", size };
      }
      case "stateType": {
        const wrapped = type.value.Type;
        if (wrapped.case === undefined) throw this.#bad("is a state without a type");
        const array = this.#array(wrapped.value, false);
        if (array.constraint.kind !== "fixed") throw this.#bad("is a state of variable shape");
        return { kind: "state", array };
      }
      case undefined:
        throw this.#bad("has no type");
    }
  }

  #array(message: ArrayMessage, isOptional: boolean): MultiArrayType {
    const dtype = dtypes[message.dataType];
    if (dtype === undefined) throw this.#bad(`has the unknown element type ${message.dataType}`);
    const declared = message.shape.map(Number);
    // Some converters write -1 into the shape of an output that is known only afterwards.
    const shape = this.#role === "output" && declared.some((axis) => axis < 0) ? [] : this.#shape(declared);
    const fill = message.defaultOptionalValue;
    return {
      kind: "multiArray",
      dtype,
      shape,
      constraint: this.#arrayConstraint(message, shape.length),
      defaultValue: fill.case === undefined ? (isOptional ? 0 : undefined) : fill.value,
    };
  }

  #arrayConstraint(message: ArrayMessage, rank: number): ShapeConstraint {
    const flexibility = message.ShapeFlexibility;
    if (flexibility.case === "enumeratedShapes") {
      const shapes = flexibility.value.shapes.map((each) => this.#shape(each.shape.map(Number)));
      if (shapes.length > 0) return { kind: "enumerated", shapes };
    } else if (flexibility.case === "shapeRange") {
      const axes = flexibility.value.sizeRanges.map((each) => this.#range(each));
      if (axes.length > 0 && rank > 0 && axes.length !== rank) {
        throw this.#bad(`has ranges for ${axes.length} axes and a default shape of ${rank}`);
      }
      if (axes.length > this.#limits.maxRank) throw this.#bad(`has ${axes.length} axes`);
      if (axes.length > 0) return { kind: "range", axes };
    }
    return { kind: "fixed" };
  }

  #image(message: ImageMessage): FeatureType {
    const colorSpace = colorSpaces[message.colorSpace];
    if (colorSpace === undefined) throw this.#bad(`has the unknown color space ${message.colorSpace}`);
    const [height = 0, width = 0] = this.#shape([Number(message.height), Number(message.width)]);
    return { kind: "image", width, height, colorSpace, constraint: this.#imageConstraint(message) };
  }

  #imageConstraint(message: ImageMessage): ShapeConstraint {
    const flexibility = message.SizeFlexibility;
    if (flexibility.case === "enumeratedSizes") {
      const shapes = flexibility.value.sizes.map((each) =>
        this.#shape([Number(each.height), Number(each.width)]),
      );
      if (shapes.length > 0) return { kind: "enumerated", shapes };
    } else if (flexibility.case === "imageSizeRange") {
      const { heightRange, widthRange } = flexibility.value;
      return { kind: "range", axes: [this.#range(heightRange), this.#range(widthRange)] };
    }
    return { kind: "fixed" };
  }

  #shape(shape: readonly number[]): readonly number[] {
    const { maxRank, maxDimension, maxTensorElements } = this.#limits;
    if (shape.length > maxRank)
      throw this.#bad(`has ${shape.length} axes, more than the limit of ${maxRank}`);
    let elements = 1;
    for (const axis of shape) {
      if (axis < 0 || axis > maxDimension)
        throw this.#bad(`has an axis of ${axis} in its shape [${shape.join(", ")}]`);
      elements *= axis;
    }
    if (elements > maxTensorElements)
      throw this.#bad(`has ${elements} elements in its shape [${shape.join(", ")}]`);
    return shape;
  }

  /** An upper bound below zero means unbounded; so does one that no axis can reach. */
  #range(message: SizeRangeMessage | undefined): SizeRange {
    const lower = Number(message?.lowerBound ?? 0n);
    const bound = Number(message?.upperBound ?? -1n);
    const upper = bound < 0 || bound > this.#limits.maxDimension ? undefined : bound;
    if (lower > this.#limits.maxDimension || (upper !== undefined && upper < lower)) {
      throw this.#bad(`has a size range from ${lower} to ${bound}`);
    }
    return { lower, upper };
  }

  #bad(what: string): Error {
    return badModel(`${this.#name} ${what}`);
  }
}
