// MIL's types and the numbers protobuf gives them.

import type { ElementType } from "../core/dtype.ts";
import { badModel } from "./bad-model.ts";
import { DataType, type Dimension, type ValueType } from "./gen/MIL_pb.ts";
import type { FormatLimits } from "./limits.ts";
import type { MilDim, MilOpset, MilType } from "./mil.ts";

const elementTypes: Readonly<Record<number, ElementType | "string">> = {
  [DataType.BOOL]: "bool",
  [DataType.STRING]: "string",
  [DataType.FLOAT16]: "float16",
  [DataType.FLOAT32]: "float32",
  [DataType.FLOAT64]: "float64",
  [DataType.BFLOAT16]: "bfloat16",
  [DataType.FLOAT8E4M3FN]: "float8e4m3fn",
  [DataType.FLOAT8E5M2]: "float8e5m2",
  [DataType.INT4]: "int4",
  [DataType.INT8]: "int8",
  [DataType.INT16]: "int16",
  [DataType.INT32]: "int32",
  [DataType.INT64]: "int64",
  [DataType.UINT1]: "uint1",
  [DataType.UINT2]: "uint2",
  [DataType.UINT3]: "uint3",
  [DataType.UINT4]: "uint4",
  [DataType.UINT6]: "uint6",
  [DataType.UINT8]: "uint8",
  [DataType.UINT16]: "uint16",
  [DataType.UINT32]: "uint32",
  [DataType.UINT64]: "uint64",
};

const opsets: Readonly<Record<string, MilOpset>> = {
  CoreML5: "iOS15",
  CoreML6: "iOS16",
  CoreML7: "iOS17",
  CoreML8: "iOS18",
  CoreML9: "iOS26",
};

/** "CoreML7" as Apple's release name, or undefined for an opset that does not exist. */
export function opsetOf(name: string): MilOpset | undefined {
  return Object.hasOwn(opsets, name) ? opsets[name] : undefined;
}

/** Throws BAD_MODEL with a reason that does not name the value. Depth is bounded by the decoder. */
export function readType(message: ValueType | undefined, limits: FormatLimits): MilType {
  const type = message?.type;
  switch (type?.case) {
    case "tensorType": {
      const { dataType, rank, dimensions } = type.value;
      const dtype = elementTypes[dataType];
      if (dtype === undefined) throw badModel(`has the unknown element type ${dataType}`);
      if (rank < 0n) return { kind: "tensor", dtype, shape: undefined };
      // Rank 0 is also what a writer leaves out who trusts the dimensions.
      if (rank !== 0n && rank !== BigInt(dimensions.length)) {
        throw badModel(`has rank ${rank} and ${dimensions.length} dimensions`);
      }
      if (dimensions.length > limits.maxRank) throw badModel(`has ${dimensions.length} dimensions`);
      return { kind: "tensor", dtype, shape: dimensions.map((each) => readDimension(each, limits)) };
    }
    case "listType":
      return {
        kind: "list",
        element: readType(type.value.type, limits),
        length: type.value.length === undefined ? undefined : readDimension(type.value.length, limits),
      };
    case "tupleType":
      return { kind: "tuple", elements: type.value.types.map((each) => readType(each, limits)) };
    case "dictionaryType": {
      const { keyType, valueType } = type.value;
      return { kind: "dictionary", key: readType(keyType, limits), value: readType(valueType, limits) };
    }
    case "stateType":
      return { kind: "state", wrapped: readType(type.value.wrappedType, limits) };
    case undefined:
      throw badModel("has no type");
  }
}

function readDimension(message: Dimension, limits: FormatLimits): MilDim {
  const dimension = message.dimension;
  if (dimension.case !== "constant") return undefined;
  const { size } = dimension.value;
  if (size > BigInt(limits.maxDimension)) throw badModel(`has a dimension of ${size}`);
  return Number(size);
}
