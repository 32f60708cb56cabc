// Feature values as JSON, in the result form of the command line.

import { byteSize, isFloat, type DType } from "../core/dtype.ts";
import {
  elementsOf,
  isTensor,
  numbersOf,
  type SteppedValue,
  type SteppedValues,
  type Tensor,
} from "../core/tensor.ts";
import { roundTo } from "./cast.ts";
import { FIRST_VALUES, INLINE_ELEMENTS } from "./limits.ts";

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** Over the finite elements; null where there are none. Integers beyond 2^53 are exact in `min`, `max` and `first`, as strings. */
export type TensorStats = {
  readonly min: number | string | null;
  readonly max: number | string | null;
  readonly mean: number | null;
  /** Of the population. */
  readonly std: number | null;
  readonly nan: number;
  readonly inf: number;
  readonly negInf: number;
  readonly first: readonly (number | string | boolean)[];
};

export interface JsonOutputOptions {
  /** Arrays of more elements have `stats` in place of `data`. Default: INLINE_ELEMENTS. */
  readonly inlineElements?: number | undefined;
}

/**
 * A result as JSON can say it: an array is `{dtype, shape, data}` with nested lists or `{dtype, shape, stats}`; NaN and infinities
 * are strings, so are integers beyond 2^53; floats have the fewest digits that give them back in their own width.
 */
export function toJsonValue(value: SteppedValue, options: JsonOutputOptions = {}): JsonValue {
  if (typeof value === "number") return numberToJson(value);
  if (typeof value === "bigint") return bigintToJson(value);
  if (typeof value === "string") return value;
  if (isTensor(value)) return tensorToJson(value, options);
  if (value instanceof Map)
    return Object.fromEntries(Array.from(value, ([key, number]) => [String(key), numberToJson(number)]));
  return Array.from(value.values(), (item: SteppedValue) => toJsonValue(item, options));
}

/** All values by name, as JSON text. */
export function encodeJson(values: SteppedValues, options: JsonOutputOptions = {}): string {
  const entries = Array.from(values, ([name, value]) => [name, toJsonValue(value, options)] as const);
  return `${JSON.stringify(Object.fromEntries(entries))}\n`;
}

export function statsOf(tensor: Tensor): TensorStats {
  const elements = elementsOf(tensor);
  const numbers = numbersOf(tensor);
  let [sum, finite, nan, inf, negInf] = [0, 0, 0, 0, 0];
  let [least, most] = [-1, -1]; // indices, so that a 64-bit integer is reported exactly
  for (let i = 0; i < numbers.length; i++) {
    const number = numbers[i] ?? 0;
    if (Number.isFinite(number)) {
      finite++;
      sum += number;
      if (least < 0 || isLess(i, least)) least = i;
      if (most < 0 || isLess(most, i)) most = i;
    } else if (Number.isNaN(number)) nan++;
    else if (number > 0) inf++;
    else negInf++;
  }
  const mean = sum / finite;
  let squares = 0;
  for (const number of numbers) if (Number.isFinite(number)) squares += (number - mean) ** 2;
  const toJson = jsonElement(tensor);
  const bound = (index: number): number | string | null => {
    const element = index < 0 ? null : toJson(index);
    return typeof element === "boolean" ? Number(element) : element;
  };
  return {
    min: bound(least),
    max: bound(most),
    mean: finite === 0 ? null : toFinite(mean),
    std: finite === 0 ? null : toFinite(Math.sqrt(squares / finite)),
    nan,
    inf,
    negInf,
    first: Array.from({ length: Math.min(FIRST_VALUES, numbers.length) }, (_, i) => toJson(i)),
  };

  function isLess(a: number, b: number): boolean {
    // bfloat16 elements are bit patterns: compare what they stand for
    const source = tensor.dtype === "bfloat16" ? numbers : elements;
    return (source[a] ?? 0) < (source[b] ?? 0);
  }
}

function tensorToJson(tensor: Tensor, { inlineElements = INLINE_ELEMENTS }: JsonOutputOptions): JsonValue {
  const { dtype, shape } = tensor;
  const count = Math.floor(tensor.bytes.length / byteSize(dtype));
  if (count > inlineElements) return { dtype, shape, stats: statsOf(tensor) };
  const toJson = jsonElement(tensor);
  let level: JsonValue[] = Array.from({ length: count }, (_, i) => toJson(i));
  if (shape.length === 0) return { dtype, shape, data: level[0] ?? null };
  if (count === 0) return { dtype, shape, data: [] };
  // From the innermost axis outwards, each row of a level becomes one value of the next.
  for (const axis of shape.slice(1).toReversed()) {
    const rows: JsonValue[] = [];
    for (let i = 0; i < level.length; i += axis) rows.push(level.slice(i, i + axis));
    level = rows;
  }
  return { dtype, shape, data: level };
}

/** Elements of a tensor as JSON, by index. */
function jsonElement(tensor: Tensor): (index: number) => number | string | boolean {
  const { dtype } = tensor;
  if (dtype === "bool") return (i) => tensor.bytes[i] !== 0;
  if (isFloat(dtype)) {
    const numbers = numbersOf(tensor);
    return (i) => numberToJson(shortest(numbers[i] ?? 0, dtype));
  }
  const elements = elementsOf(tensor);
  return (i) => {
    const element = elements[i] ?? 0;
    return typeof element === "bigint" ? bigintToJson(element) : element;
  };
}

/** Digits that suffice to tell any two values of the type apart. */
const digitsOf: Partial<Record<DType, number>> = { float16: 5, bfloat16: 4, float32: 9 };

/** The float64 that prints with the fewest digits and still rounds to `value` in its own type: 0.1 for float16 0.0999755859375. */
export function shortest(value: number, dtype: DType): number {
  const most = digitsOf[dtype];
  // Whole numbers stay as they are while they are short: 65504 is clearer than the 65500 that float16 would take for it.
  if (most === undefined || !Number.isFinite(value) || Number.isSafeInteger(value)) return value;
  for (let digits = 1; digits < most; digits++) {
    const candidate = roundDecimal(value, digits);
    if (roundTo(dtype, candidate) === value) return candidate;
  }
  return roundDecimal(value, most);
}

/** To this many digits; a tie goes to the even digit, as in numpy (toPrecision takes the larger one). */
function roundDecimal(value: number, digits: number): number {
  const [, mantissa = "", exponent = ""] = /^(.*)(e.*)$/.exec(value.toExponential(digits)) ?? [];
  const isTie = /[02468]\.?5$/.test(mantissa) && Number(mantissa + exponent) === value;
  return Number(isTie ? mantissa.slice(0, -1) + exponent : value.toPrecision(digits));
}

function numberToJson(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

function bigintToJson(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

/** JSON has no infinity: a mean or deviation beyond float64 is left out. */
function toFinite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
