// Element types by their ONNX number.

import type { OnnxDType } from "./types.ts";

/** ONNX TensorProto.DataType. */
export const onnxType: Readonly<Record<OnnxDType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  uint4: 21,
  int4: 22,
};

const byNumber = new Map(Object.entries(onnxType).map(([name, number]) => [number, name]));

export function dtypeOfOnnx(number: number): OnnxDType | undefined {
  const name = byNumber.get(number);
  return name !== undefined && isOnnxDType(name) ? name : undefined;
}

function isOnnxDType(name: string): name is OnnxDType {
  return Object.hasOwn(onnxType, name);
}
