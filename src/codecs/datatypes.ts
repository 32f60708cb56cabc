// The protocol's names of element types, and ours.

import { type DType, isFloat } from "../core/dtype.ts";

export const datatypeNames = [
  "BOOL",
  "UINT8",
  "UINT16",
  "UINT32",
  "UINT64",
  "INT8",
  "INT16",
  "INT32",
  "INT64",
  "FP16",
  "FP32",
  "FP64",
  "BYTES",
] as const;

export type Datatype = (typeof datatypeNames)[number];

const byDatatype: Readonly<Record<Exclude<Datatype, "BYTES">, DType>> = {
  BOOL: "bool",
  UINT8: "uint8",
  UINT16: "uint16",
  UINT32: "uint32",
  UINT64: "uint64",
  INT8: "int8",
  INT16: "int16",
  INT32: "int32",
  INT64: "int64",
  FP16: "float16",
  FP32: "float32",
  FP64: "float64",
};

const byDType: Readonly<Record<Exclude<DType, "bfloat16">, Datatype>> = {
  bool: "BOOL",
  uint8: "UINT8",
  uint16: "UINT16",
  uint32: "UINT32",
  uint64: "UINT64",
  int8: "INT8",
  int16: "INT16",
  int32: "INT32",
  int64: "INT64",
  float16: "FP16",
  float32: "FP32",
  float64: "FP64",
};

/** Undefined for what is none, BF16 among them: no Core ML model takes or gives it. */
export function readDatatype(text: string): Datatype | undefined {
  return datatypeNames.find((name) => name === text);
}

export function dtypeOf(datatype: Exclude<Datatype, "BYTES">): DType {
  return byDatatype[datatype];
}

/** A model's bfloat16 arrays would travel as FP32; Core ML has none. */
export function datatypeOf(dtype: DType): Datatype {
  return dtype === "bfloat16" ? "FP32" : byDType[dtype];
}

/** The name in a model's configuration: TYPE_FP32, TYPE_STRING. */
export function configTypeOf(datatype: Datatype): string {
  return datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${datatype}`;
}

/** Whether JSON numbers have to become exactly what they say. */
export function isWhole(datatype: Datatype): boolean {
  return datatype !== "BYTES" && !isFloat(byDatatype[datatype]);
}
