// Element types by the numbers that ONNX and ONNX Runtime give them.

import type { DType } from "../core/dtype.ts";

/** ONNXTensorElementDataType (TensorProto.DataType has the same numbers). Strings and complex numbers are not ours. */
export const onnxElementType: Readonly<Record<DType, number>> = {
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
};
