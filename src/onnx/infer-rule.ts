// What every inference rule is written with: checked access to a call's inputs and attributes, and size arithmetic.

import { CoremlxError } from "../core/errors.ts";
import { isStatic } from "./elements.ts";
import type { Attributes, Dim, OnnxDType, Shape, Value, ValueType } from "./types.ts";
import { describeType } from "./types.ts";

export interface Call {
  readonly op: string;
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes: Attributes;
  /** Results wanted; a rule may give more. */
  readonly count: number;
  /** A fresh symbol for a size nobody knows. */
  readonly unknownDim: () => string;
}

export type Rule = (call: Call) => readonly ValueType[];
export type RuleTable = Readonly<Record<string, Rule>>;

/** The same rule for several ops. */
export function forAll(ops: string, rule: Rule): RuleTable {
  return Object.fromEntries(ops.split(" ").map((op) => [op, rule]));
}

/** Our own mistake: the call is not one that ONNX allows. */
export function misuse(call: Call, why: string): CoremlxError {
  return new CoremlxError("INTERNAL", `Cannot add ONNX op ${call.op}: ${why}`, { details: { op: call.op } });
}

/** Element types contradict each other: a program that is typed otherwise than MIL allows. */
function mistyped(call: Call, why: string): CoremlxError {
  return new CoremlxError("BAD_MODEL", `Cannot add ONNX op ${call.op}: ${why}`, { details: { op: call.op } });
}

/** Sizes contradict each other: the model's mistake as likely as ours. */
export function mismatch(call: Call, why: string): CoremlxError {
  const inputs = call.inputs.map((input) => (input ? describeType(input) : "-"));
  return new CoremlxError(
    "BAD_MODEL",
    `Cannot infer shapes of ONNX op ${call.op}(${inputs.join(", ")}): ${why}`,
    {
      details: { op: call.op, inputs },
    },
  );
}

export function need(call: Call, index: number): Value {
  const value = call.inputs[index];
  if (value === undefined) throw misuse(call, `input ${index} is missing`);
  return value;
}

export function present(call: Call): readonly Value[] {
  return call.inputs.filter((input) => input !== undefined);
}

/** Checks that the inputs at `indices` that are present agree in element type; returns that type. */
export function sameDType(call: Call, indices: readonly number[]): OnnxDType {
  const first = need(call, indices[0] ?? 0);
  for (const index of indices) {
    const other = call.inputs[index];
    if (other !== undefined && other.dtype !== first.dtype) {
      throw mistyped(call, `inputs ${describeType(first)} and ${describeType(other)} differ in element type`);
    }
  }
  return first.dtype;
}

/** Checks the element type of an input that may be absent. */
export function expectDType(call: Call, index: number, allowed: readonly OnnxDType[]): void {
  const value = call.inputs[index];
  if (value !== undefined && !allowed.includes(value.dtype)) {
    throw mistyped(call, `input ${index} must be ${allowed.join(" or ")}, got ${describeType(value)}`);
  }
}

export const floatTypes: readonly OnnxDType[] = ["float32", "float16", "float64", "bfloat16"];

export function integer(call: Call, name: string, fallback?: number): number {
  const value = call.attributes[name] ?? fallback;
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  if (typeof value === "bigint") return Number(value);
  throw misuse(
    call,
    value === undefined ? `attribute "${name}" is missing` : `attribute "${name}" must be an integer`,
  );
}

export function integers(call: Call, name: string): readonly number[] | undefined {
  const value = call.attributes[name];
  if (value === undefined) return undefined;
  const list = Array.isArray(value) ? value : [];
  const numbers = list.filter((item): item is number => typeof item === "number");
  if (!Array.isArray(value) || numbers.length !== list.length) {
    throw misuse(call, `attribute "${name}" must be a list of integers`);
  }
  return numbers;
}

export function text(call: Call, name: string, fallback: string): string {
  const value = call.attributes[name] ?? fallback;
  if (typeof value !== "string") throw misuse(call, `attribute "${name}" must be a string`);
  return value;
}

/** `axis` counted from the front. */
export function axisIn(call: Call, axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw mismatch(call, `axis ${axis} is outside rank ${rank}`);
  }
  return axis < 0 ? axis + rank : axis;
}

/** Axes counted from the front, each once. */
export function axesIn(call: Call, axes: readonly number[], rank: number): Set<number> {
  const result = new Set(axes.map((axis) => axisIn(call, axis, rank)));
  if (result.size !== axes.length) throw mismatch(call, `axes [${axes.join(", ")}] name one axis twice`);
  return result;
}

export function freshShape(call: Call, rank: number): Dim[] {
  return Array.from({ length: rank }, () => call.unknownDim());
}

/** Ranks beyond this do not occur; a shape vector that claims more is damage. */
const maxRank = 64;

/** A shape of as many fresh sizes as the vector `value` has elements, if that is known. */
export function freshShapeOfLength(call: Call, value: Value, extra = 0): Shape {
  const length = value.shape?.[0];
  if (typeof length !== "number") return undefined;
  const rank = length + extra;
  if (rank < 0 || rank > maxRank) throw mismatch(call, `a result of rank ${rank} is impossible`);
  return freshShape(call, rank);
}

export function mapDim(call: Call, dim: Dim | undefined, size: (dim: number) => number): Dim {
  if (typeof dim !== "number") return call.unknownDim();
  const result = size(dim);
  if (!Number.isSafeInteger(result) || result < 0) throw mismatch(call, `a size of ${result} is impossible`);
  return result;
}

/** The size of two axes that must be equal. */
export function mergeDims(call: Call, a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number" && a !== b)
    throw mismatch(call, `sizes ${a} and ${b} differ`);
  return typeof b === "number" ? b : a;
}

export function productOf(call: Call, dims: readonly Dim[]): Dim {
  if (dims.includes(0)) return 0;
  const others: readonly Dim[] = dims.filter((dim) => dim !== 1);
  const [only] = others;
  if (others.length === 1 && only !== undefined) return only;
  if (!isStatic(others)) return call.unknownDim();
  return mapDim(
    call,
    others.reduce((a, b) => a * b, 1),
    (size) => size,
  );
}

export function sumOf(call: Call, dims: readonly Dim[]): Dim {
  const others: readonly Dim[] = dims.filter((dim) => dim !== 0);
  const [only] = others;
  if (others.length === 1 && only !== undefined) return only;
  return isStatic(others) ? others.reduce((a, b) => a + b, 0) : call.unknownDim();
}

/** numpy's broadcasting. A symbol beside a number other than 1 must be 1 or that number: the number is the result. */
export function broadcast(call: Call, shapes: readonly Shape[]): Shape {
  const known = shapes.filter((shape) => shape !== undefined);
  if (known.length !== shapes.length) return undefined;
  const rank = Math.max(0, ...known.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const dims = new Set<Dim>(known.map((shape) => shape[axis - rank + shape.length] ?? 1));
    dims.delete(1);
    const numbers = [...dims].filter((dim) => typeof dim === "number");
    if (numbers.length > 1) throw mismatch(call, `sizes ${numbers.join(" and ")} do not broadcast`);
    const [number] = numbers;
    if (number !== undefined) return number;
    const [symbol] = dims;
    if (symbol === undefined) return 1;
    return dims.size === 1 ? symbol : call.unknownDim();
  });
}
