// Element types by their ONNX number.

import { onnxElementType } from "../native/element-type.ts";
import type { OnnxDType } from "./types.ts";

/** ONNX TensorProto.DataType: as ONNX Runtime has it, and the types of four bits, which it gets packed. */
export const onnxType: Readonly<Record<OnnxDType, number>> = { ...onnxElementType, uint4: 21, int4: 22 };

const byNumber = new Map(Object.entries(onnxType).map(([name, number]) => [number, name]));

export function dtypeOfOnnx(number: number): OnnxDType | undefined {
  const name = byNumber.get(number);
  return name !== undefined && isOnnxDType(name) ? name : undefined;
}

function isOnnxDType(name: string): name is OnnxDType {
  return Object.hasOwn(onnxType, name);
}
