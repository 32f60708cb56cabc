// Rules for ops that make a tensor from sizes or at random, and for those that measure one.

import { constantNumbers, isStatic, knownElements, partialElements } from "./elements.ts";
import { requested } from "./infer-elementwise.ts";
import {
  type Call,
  expectDType,
  forAll,
  freshShapeOfLength,
  integer,
  integers,
  mapDim,
  mismatch,
  misuse,
  need,
  type RuleTable,
  sameDType,
} from "./infer-rule.ts";
import type { Constant, Dim } from "./types.ts";

export const generatorRules: RuleTable = {
  Shape(call) {
    const { shape } = need(call, 0);
    return [
      { dtype: "int64", shape: [shape === undefined ? call.unknownDim() : measuredAxes(call, shape).length] },
    ];
  },
  Size: () => [{ dtype: "int64", shape: [] }],
  ConstantOfShape(call) {
    expectDType(call, 0, ["int64"]);
    const sizes = partialElements(need(call, 0))?.map((size) => size ?? call.unknownDim());
    if (sizes?.some((size) => typeof size === "number" && size < 0)) {
      throw mismatch(call, `[${sizes.join(", ")}] has a negative size`);
    }
    const dtype = fillValue(call)?.dtype ?? "float32";
    return [{ dtype, shape: sizes ?? freshShapeOfLength(call, need(call, 0)) }];
  },
  Range: (call) => [{ dtype: sameDType(call, [0, 1, 2]), shape: [rangeSize(call)] }],
  ...forAll("RandomNormal RandomUniform", (call) => {
    const shape = integers(call, "shape");
    if (shape === undefined) throw misuse(call, `attribute "shape" is missing`);
    return [{ dtype: requested(call, "dtype", "float32"), shape }];
  }),
  Multinomial: (call) => [
    {
      dtype: requested(call, "dtype", "int32"),
      shape: [need(call, 0).shape?.[0] ?? call.unknownDim(), integer(call, "sample_size", 1)],
    },
  ],
  AffineGrid(call) {
    expectDType(call, 1, ["int64"]);
    const { dtype } = need(call, 0);
    const sizes = knownElements(need(call, 1)) ?? freshShapeOfLength(call, need(call, 1));
    const [n, , ...spatial] = sizes ?? [];
    if (n === undefined) return [{ dtype, shape: undefined }];
    return [{ dtype, shape: [n, ...spatial, spatial.length] }];
  },
};

/** The axes of `shape` that Shape measures, by its attributes "start" and "end". */
export function measuredAxes(call: Pick<Call, "op" | "attributes">, shape: readonly Dim[]): readonly Dim[] {
  const { start = 0, end = shape.length } = call.attributes;
  return typeof start === "number" && typeof end === "number" ? shape.slice(start, end) : shape;
}

/** ConstantOfShape's one-element tensor, if it is given. */
export function fillValue(call: Pick<Call, "attributes">): Constant | undefined {
  const { value } = call.attributes;
  return typeof value === "object" && "bytes" in value ? value : undefined;
}

/** Elements of Range from start to limit; `delta` is not 0. */
export function rangeCount(start: number, limit: number, delta: number): number {
  return Math.max(0, Math.ceil((limit - start) / delta));
}

function rangeSize(call: Call): Dim {
  const numbers = call.inputs.map((input) => constantNumbers(input)?.[0]);
  const [start, limit, delta] = numbers;
  if (delta === 0) throw mismatch(call, "delta is 0");
  if (start !== undefined && limit !== undefined && delta !== undefined) {
    const count = rangeCount(start, limit, delta);
    return Number.isNaN(count) ? call.unknownDim() : mapDim(call, count, (size) => size);
  }
  const end = knownElements(need(call, 1));
  const [symbol] = end ?? [];
  return start === 0 && delta === 1 && symbol !== undefined && !isStatic([symbol])
    ? symbol
    : call.unknownDim();
}
