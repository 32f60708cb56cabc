// Whether an engine gave what the model declares: whoever reads a result by its shape must be able to trust it.

import { byteLengthOf } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription, FeatureType, FunctionDescription } from "../core/model.ts";
import { type FeatureValue, type FeatureValues, elementCount, isTensor } from "../core/tensor.ts";

/** Throws NATIVE for an output that is missing or of another kind, type or size than declared. */
export function checkOutputs({ inputs, outputs }: FunctionDescription, values: FeatureValues): void {
  // Declared shapes are those for the default inputs.
  const isExact = !inputs.some(({ type }) => isFlexible(type));
  for (const output of outputs) {
    const value = values.get(output.name);
    const problem = value === undefined ? "nothing" : problemOf(output, value, isExact);
    if (problem === undefined) continue;
    throw new CoremlxError("NATIVE", `The engine gave ${problem} for the output "${output.name}"`, {
      details: { name: output.name },
    });
  }
}

function isFlexible(type: FeatureType): boolean {
  return (type.kind === "multiArray" || type.kind === "image") && type.constraint.kind !== "fixed";
}

function problemOf({ type }: FeatureDescription, value: FeatureValue, isExact: boolean): string | undefined {
  const isArray = type.kind === "multiArray" || type.kind === "image";
  if (!isTensor(value)) return isArray ? `a ${typeof value}` : undefined;
  if (!isArray) return "an array";
  const { dtype, shape, bytes } = value;
  const needed = byteLengthOf(dtype, elementCount(shape));
  if (bytes.byteLength !== needed) {
    return `${bytes.byteLength} bytes, ${needed} are ${dtype} [${shape.join(", ")}],`;
  }
  if (type.kind !== "multiArray") return undefined;
  if (dtype !== type.dtype) return `${dtype} where ${type.dtype} is declared`;
  // Neural networks declare three axes where they give five.
  const isComparable = isExact && type.constraint.kind === "fixed" && type.shape.length === shape.length;
  return isComparable && type.shape.some((size, axis) => size !== shape[axis])
    ? `[${shape.join(", ")}] where [${type.shape.join(", ")}] is declared`
    : undefined;
}
