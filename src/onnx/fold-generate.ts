// Folding of ops that make a tensor from a few numbers.

import { byteSize } from "../core/dtype.ts";
import { elementCount, zeros } from "../core/tensor.ts";
import { isInteger, unravel } from "./elements.ts";
import type { FoldCall } from "./fold.ts";
import { constantOf, exactNumbers } from "./fold-math.ts";
import { fillValue } from "./infer-generator.ts";
import type { Constant } from "./types.ts";

export function generated(call: FoldCall): Constant | undefined {
  if (call.op === "ConstantOfShape") return filled(call);
  return call.op === "Range" ? range(call) : undefined;
}

function filled(call: FoldCall): Constant | undefined {
  const { dtype, shape } = call;
  if (dtype === "int4" || dtype === "uint4") return undefined;
  const { bytes } = zeros(dtype, shape);
  const value = fillValue(call);
  if (value === undefined) return { dtype, shape, bytes };
  if (value.bytes.length !== byteSize(dtype)) return undefined;
  for (let element = 0; element < elementCount(shape); element++)
    bytes.set(value.bytes, element * value.bytes.length);
  return { dtype, shape, bytes };
}

function range(call: FoldCall): Constant | undefined {
  const [start, , delta] = call.inputs.map((input) =>
    input?.constant ? exactNumbers(input.constant)?.[0] : undefined,
  );
  if (start === undefined || delta === undefined) return undefined;
  const values = Array.from({ length: elementCount(call.shape) }, (_, index) => start + index * delta);
  // Floats step exactly or not at all: ONNX Runtime rounds the product and the sum separately.
  if (
    !isInteger(call.dtype) &&
    !values.every((value) => Number.isInteger(value) && Math.abs(value) <= 2 ** 24)
  ) {
    return undefined;
  }
  return constantOf(call.dtype, values, call.shape);
}

/** The indices of the elements that are not zero, one column each: NonZero's result, whose width no type says. */
export function nonZeroIndices(constant: Constant): Constant | undefined {
  const numbers = exactNumbers(constant);
  if (numbers === undefined) return undefined;
  const found = [...numbers.keys()]
    .filter((index) => numbers[index] !== 0)
    .map((index) => unravel(index, constant.shape));
  const rank = constant.shape.length;
  const values = Array.from({ length: rank }, (_, axis) =>
    found.map((position) => position[axis] ?? 0),
  ).flat();
  return constantOf("int64", values, [rank, found.length]);
}
