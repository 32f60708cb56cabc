// The interface that an ML program alone implies, for a compiled model that has lost the files which describe it.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { badModel, quote } from "./bad-model.ts";
import {
  ArrayFeatureType_ArrayDataType as ArrayDataType,
  type ArrayFeatureTypeSchema,
  type FeatureTypeSchema,
} from "./gen/FeatureTypes_pb.ts";
import {
  type FeatureDescriptionSchema,
  type ModelDescription as DescriptionMessage,
  ModelDescriptionSchema,
} from "./gen/Model_pb.ts";
import type { MilFunction, MilNamedType, MilOpset, MilProgram, MilType } from "./mil.ts";

/** Types and shapes are the program's; texts, images and optional inputs are beyond it. Throws BAD_MODEL. */
export function describeProgram(program: MilProgram): DescriptionMessage {
  const functions = [...program.functions.values()].map((each) => ({ name: each.name, ...featuresOf(each) }));
  const [first] = functions;
  return create(
    ModelDescriptionSchema,
    first !== undefined && functions.length === 1 && first.name === "main"
      ? { input: first.input, output: first.output, state: first.state }
      : { functions, defaultFunctionName: first?.name ?? "" },
  );
}

/** The specification version that brought the newest opset in use. */
export function specificationVersionOf(program: MilProgram): number {
  return Math.max(...[...program.functions.values()].map((each) => versions[each.opset]));
}

type TypeInit = NonNullable<MessageInitShape<typeof FeatureTypeSchema>["Type"]>;
type FeatureInit = MessageInitShape<typeof FeatureDescriptionSchema>;
type ArrayInit = MessageInitShape<typeof ArrayFeatureTypeSchema>;

interface Features {
  readonly input: FeatureInit[];
  readonly output: FeatureInit[];
  readonly state: FeatureInit[];
}

function featuresOf(each: MilFunction): Features {
  const types = new Map<string, MilType>(each.inputs.map((input) => [input.name, input.type]));
  for (const operation of each.block.operations)
    for (const output of operation.outputs) types.set(output.name, output.type);
  const isState = (input: MilNamedType): boolean => input.type.kind === "state";
  return {
    input: each.inputs.filter((input) => !isState(input)).map((input) => featureOf(input.name, input.type)),
    output: each.block.outputs.map((name) => featureOf(name, types.get(name))),
    state: each.inputs.filter(isState).map((input) => featureOf(input.name, input.type)),
  };
}

function featureOf(name: string, type: MilType | undefined): FeatureInit {
  if (type === undefined) throw badModel(`its program returns ${quote(name)}, which it never computes`);
  return { name, type: { Type: featureType(name, type) } };
}

function featureType(name: string, type: MilType): TypeInit {
  switch (type.kind) {
    case "tensor":
      if (type.dtype === "string") return { case: "stringType", value: {} };
      return { case: "multiArrayType", value: arrayOf(name, type) };
    case "state": {
      if (type.wrapped.kind !== "tensor")
        throw badModel(`the state ${quote(name)} of its program is no tensor`);
      return {
        case: "stateType",
        value: { Type: { case: "arrayType", value: arrayOf(name, type.wrapped) } },
      };
    }
    case "dictionary": {
      const isText = type.key.kind === "tensor" && type.key.dtype === "string";
      return {
        case: "dictionaryType",
        value: { KeyType: { case: isText ? "stringKeyType" : "int64KeyType", value: {} } },
      };
    }
    case "list":
    case "tuple":
      throw badModel(`the type of ${quote(name)} in its program, a ${type.kind}, is none of an interface`);
  }
}

function arrayOf(name: string, { dtype, shape }: Extract<MilType, { kind: "tensor" }>): ArrayInit {
  const dataType = dataTypes.get(dtype);
  if (dataType === undefined)
    throw badModel(`the type of ${quote(name)} in its program, ${dtype}, is none of an interface`);
  if (shape === undefined) return { dataType };
  const array: ArrayInit = { dataType, shape: shape.map((dim) => BigInt(dim ?? 1)) };
  if (!shape.includes(undefined)) return array;
  const sizeRanges = shape.map((dim) => ({ lowerBound: BigInt(dim ?? 1), upperBound: BigInt(dim ?? -1) }));
  return { ...array, ShapeFlexibility: { case: "shapeRange", value: { sizeRanges } } };
}

const dataTypes: ReadonlyMap<string, ArrayDataType> = new Map<string, ArrayDataType>([
  ["float16", ArrayDataType.FLOAT16],
  ["float32", ArrayDataType.FLOAT32],
  ["float64", ArrayDataType.DOUBLE],
  ["int32", ArrayDataType.INT32],
  ["int8", ArrayDataType.INT8],
]);

const versions: Readonly<Record<MilOpset, number>> = { iOS15: 6, iOS16: 7, iOS17: 8, iOS18: 9, iOS26: 10 };
