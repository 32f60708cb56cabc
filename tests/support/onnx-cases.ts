// Calls of single ONNX ops and what ONNX Runtime gave for them (scripts/fixtures/onnx_shapes.py).

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DType } from "../../src/core/dtype.ts";
import { type Tensor, tensorOf } from "../../src/core/tensor.ts";
import { Graph } from "../../src/onnx/graph.ts";
import type { Attributes, Dim, Value } from "../../src/onnx/types.ts";

export interface OnnxCase {
  readonly name: string;
  readonly op: string;
  readonly inputs: readonly (OnnxInput | undefined)[];
  readonly attributes: Attributes;
  readonly outputs: readonly OnnxOutput[];
}

export interface OnnxInput {
  readonly tensor: Tensor;
  /** A size, an axis and the like: an initializer in every model. */
  readonly isConstant: boolean;
}

export interface OnnxOutput {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Absent where the result is large or random. */
  readonly tensor: Tensor | undefined;
}

interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: readonly (number | string)[];
  readonly constant?: true;
}

interface StoredCase {
  readonly name: string;
  readonly op: string;
  readonly inputs: readonly (StoredTensor | null)[];
  readonly attributes: Readonly<
    Record<string, number | string | readonly number[] | readonly string[] | StoredTensor>
  >;
  readonly outputs: readonly (Omit<StoredTensor, "data"> & { readonly data?: StoredTensor["data"] })[];
}

export function onnxCases(): readonly OnnxCase[] {
  const path = join(import.meta.dir, "..", "fixtures", "onnx", "inference.json");
  const stored = JSON.parse(readFileSync(path, "utf8")) as readonly StoredCase[];
  return stored.map(({ name, op, inputs, attributes, outputs }) => ({
    name,
    op,
    inputs: inputs.map((input) =>
      input === null ? undefined : { tensor: restore(input), isConstant: input.constant ?? false },
    ),
    attributes: Object.fromEntries(
      Object.entries(attributes).map(([key, value]) => [
        key,
        typeof value === "object" && "dtype" in value ? restore(value) : value,
      ]),
    ),
    outputs: outputs.map(({ dtype, shape, data }) => ({
      dtype,
      shape,
      tensor: data === undefined ? undefined : restore({ dtype, shape, data }),
    })),
  }));
}

/** The case's inputs as values of a graph. `shapeOf` may hide what is known about the shape of an input that is not constant. */
export function valuesOf(
  row: OnnxCase,
  graph: Graph,
  shapeOf: (shape: readonly number[]) => readonly Dim[] | undefined = (shape) => shape,
): readonly (Value | undefined)[] {
  return row.inputs.map((input, index) => {
    if (input === undefined) return undefined;
    const { tensor, isConstant } = input;
    return isConstant
      ? graph.constant(tensor)
      : graph.input(`x${index}`, tensor.dtype, shapeOf(tensor.shape));
  });
}

function restore({ dtype, shape, data }: StoredTensor): Tensor {
  return tensorOf(dtype, data.map(restoreNumber), shape);
}

function restoreNumber(value: number | string): number | bigint {
  if (typeof value === "number") return value;
  return value.endsWith("inf") ? Number(value.replace("inf", "Infinity")) : BigInt(value);
}
