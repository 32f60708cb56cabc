// Folding of elementwise arithmetic. Every function here gives the exact result, which is then rounded once into the
// element type; what cannot be exact (NaN, overflow beyond 2^53, integer division by zero) gives undefined.

import { elementCount, numbersOf, tensorOf } from "../core/tensor.ts";
import { broadcastIndices, isInteger, numbersOfConstant } from "./elements.ts";
import type { FoldCall } from "./fold.ts";
import { integer } from "./infer-rule.ts";
import type { Constant, OnnxDType } from "./types.ts";

type Unary = (x: number) => number;
/** Undefined: not to be folded. */
type Binary = (a: number, b: number, call: FoldCall) => number | undefined;

const unary: Readonly<Record<string, Unary>> = {
  Neg: (x) => -x,
  Abs: Math.abs,
  Floor: Math.floor,
  Ceil: Math.ceil,
  Round: roundHalfEven,
  Sqrt: Math.sqrt,
  Sign: Math.sign,
  Not: (x) => (x === 0 ? 1 : 0),
};

const binary: Readonly<Record<string, Binary>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div(a, b, call) {
    if (!isInteger(call.dtype)) return a / b;
    return b === 0 ? undefined : Math.trunc(a / b);
  },
  Mod(a, b, call) {
    if (integer(call, "fmod", 0) === 1) return a % b;
    if (b === 0 || !isInteger(call.dtype)) return undefined;
    const rest = a % b;
    return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
  },
  Pow: power,
  Max: (a, b) => Math.max(a, b),
  Min: (a, b) => Math.min(a, b),
  Equal: (a, b) => Number(a === b),
  Greater: (a, b) => Number(a > b),
  GreaterOrEqual: (a, b) => Number(a >= b),
  Less: (a, b) => Number(a < b),
  LessOrEqual: (a, b) => Number(a <= b),
  And: (a, b) => Number(a !== 0 && b !== 0),
  Or: (a, b) => Number(a !== 0 || b !== 0),
  Xor: (a, b) => Number((a !== 0) !== (b !== 0)),
};

/** The result of an elementwise op on small constants; undefined where it is none, or not exact. */
export function computed(call: FoldCall): Constant | undefined {
  const { op, inputs, shape, dtype } = call;
  const one = Object.hasOwn(unary, op) ? unary[op] : undefined;
  const two = Object.hasOwn(binary, op) ? binary[op] : undefined;
  if (one === undefined && two === undefined) return undefined;
  const operands = inputs.map((input) => (input?.constant ? exactNumbers(input.constant) : undefined));
  const lists: (readonly number[])[] = [];
  for (const [index, numbers] of operands.entries()) {
    if (numbers === undefined) return undefined;
    const at = broadcastIndices(inputs[index]?.constant?.shape ?? [], shape);
    lists.push(at.map((element) => numbers[element] ?? 0));
  }
  const [first, ...others] = lists;
  if (first === undefined) return undefined;
  if (one !== undefined) return constantOf(dtype, first.map(one), shape);
  if (two === undefined) return undefined;
  let result: readonly (number | undefined)[] = first;
  for (const other of others) {
    result = result.map((a, element) => (a === undefined ? undefined : two(a, other[element] ?? 0, call)));
  }
  return result.every((value) => value !== undefined) ? constantOf(dtype, result, shape) : undefined;
}

/** A constant in another element type, as ONNX Runtime casts; undefined where that is not defined or rounds twice. */
export function castConstant(constant: Constant, dtype: OnnxDType): Constant | undefined {
  const { shape, bytes } = constant;
  if (constant.dtype === dtype) return { dtype, shape, bytes };
  if (constant.dtype === "bfloat16") {
    const wide: Constant = { ...tensorOf("float32", numbersOf({ dtype: "bfloat16", bytes }), shape) };
    return dtype === "float32" ? wide : castConstant(wide, dtype);
  }
  const numbers = exactNumbers(constant);
  if (numbers === undefined) return undefined;
  if (dtype === "bool")
    return constantOf(
      dtype,
      numbers.map((x) => Number(x !== 0)),
      shape,
    );
  if (isInteger(dtype)) {
    const whole = numbers.map((x) => Math.trunc(x));
    const isFromFloat = !isInteger(constant.dtype) && constant.dtype !== "bool";
    return isFromFloat && !whole.every((x) => fits(x, dtype)) ? undefined : constantOf(dtype, whole, shape);
  }
  if (
    dtype === "float16" &&
    !numbers.every((x) => sameOrNaN(Math.f16round(Math.fround(x)), Math.f16round(x)))
  ) {
    return undefined;
  }
  return constantOf(dtype, numbers, shape);
}

/** The elements as numbers, if all are exact. */
export function exactNumbers(constant: Constant): readonly number[] | undefined {
  if (constant.dtype === "bfloat16") return undefined;
  const numbers = numbersOfConstant(constant);
  const isWide = constant.dtype === "int64" || constant.dtype === "uint64";
  return isWide && !numbers?.every((x) => Number.isSafeInteger(x)) ? undefined : numbers;
}

/** A constant from exact values; integers wrap, floats are rounded once. */
export function constantOf(
  dtype: OnnxDType,
  values: readonly number[],
  shape: readonly number[],
): Constant | undefined {
  if (dtype === "int4" || dtype === "uint4" || dtype === "bfloat16") return undefined;
  if (values.length !== elementCount(shape) || values.some((x) => Number.isNaN(x))) return undefined;
  if (isInteger(dtype) && !values.every((x) => Number.isSafeInteger(x))) return undefined;
  if (dtype === "uint64" && values.some((x) => x < 0)) return undefined;
  return tensorOf(dtype, values, shape);
}

/** Whether an integer type holds `x`; 64-bit types count only what a double counts exactly. */
function fits(x: number, dtype: OnnxDType): boolean {
  if (!Number.isSafeInteger(x)) return false;
  const bits = Math.min(Number(dtype.replace(/\D+/u, "")), 54);
  return dtype.startsWith("u") ? x >= 0 && x < 2 ** bits : x >= -(2 ** (bits - 1)) && x < 2 ** (bits - 1);
}

/** Powers that need no rounding function: integers, and squares and cubes of floats. */
function power(a: number, b: number, call: FoldCall): number | undefined {
  if (isInteger(call.dtype)) {
    const result = a ** b;
    return b >= 0 && Number.isInteger(b) && Number.isSafeInteger(result) ? result : undefined;
  }
  if (b === 1) return a;
  if (b === 2) return a * a;
  return undefined;
}

function roundHalfEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  if (rest < 0.5) return low === 0 && Object.is(Math.sign(x), -0) ? x : low;
  if (rest > 0.5) return low + 1 === 0 ? -0 : low + 1;
  return low % 2 === 0 ? low : low + 1 === 0 ? -0 : low + 1;
}

function sameOrNaN(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b));
}
