// One element type to another by the contract's rules: floats round to nearest, everything else must be exact.

import { byteSize, isFloat, type DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import { elementsOf, numbersOf, type Tensor } from "../core/tensor.ts";
import { makeTensor } from "./allocate.ts";

/**
 * The same values in another element type; the tensor itself when the type is right already. Float to float rounds to
 * nearest, integers become floats likewise; a finite value that would become infinite is an error. Float to integer must be
 * integral and in range, so NaN and infinity are errors; bool takes 0 and 1. `subject` names the value: `input "x"`.
 */
export function castTensor(tensor: Tensor, dtype: DType, subject: string): Tensor {
  if (tensor.dtype === dtype) return tensor;
  const out = makeTensor(dtype, tensor.shape, { subject: `Cannot convert ${subject} to ${dtype}` });
  const to = elementsOf(out);
  const from = elementsOf(tensor);
  if (isFloat(dtype) && dtype !== "bfloat16" && !isBig(from) && !isBig(to)) {
    // The runtime rounds as we do, much faster; what it turned infinite is looked for afterwards, and reported below.
    const values = tensor.dtype === "bfloat16" ? numbersOf(tensor) : from;
    to.set(values);
    if (
      canHold(dtype, tensor.dtype) ||
      to.every((value, i) => Number.isFinite(value) || !Number.isFinite(values[i]))
    )
      return out;
  }
  const store = storeInto(out);
  const values = isBig(from) ? from : numbersOf(tensor);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    const problem = store(i, value);
    if (problem !== undefined)
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot convert ${subject} from ${tensor.dtype} to ${dtype}: element ${positionOf(i, tensor.shape)} is ${formatNumber(value)}, ${problem}`,
        { details: { expected: dtype, actual: String(value), index: i } },
      );
  }
  return out;
}

/** Writes one element by the rules above; returns what is wrong with the value instead of throwing. */
export type Store = (index: number, value: number | bigint) => string | undefined;

/** A writer into `tensor`'s memory, which must be aligned (core's `zeros` is). */
export function storeInto(tensor: Tensor): Store {
  const { dtype } = tensor;
  const to = elementsOf(tensor);
  if (dtype === "bool")
    return (i, value) => {
      const number = Number(value);
      if (number !== 0 && number !== 1) return "not 0 or 1";
      to[i] = number;
      return undefined;
    };
  if (isFloat(dtype))
    return (i, value) => {
      const rounded = roundTo(dtype, typeof value === "bigint" ? nearestNumber(value, dtype) : value);
      if (!Number.isFinite(rounded) && (typeof value === "bigint" || Number.isFinite(value)))
        return "beyond its range";
      to[i] = dtype === "bfloat16" ? bfloat16Bits(rounded) : rounded;
      return undefined;
    };
  const { min, max } = integerRange(dtype);
  if (isBig(to))
    return (i, value) => {
      if (typeof value === "number" && !Number.isInteger(value)) return notWhole(value);
      const whole = BigInt(value);
      if (whole < min || whole > max) return `not within ${min} to ${max}`;
      to[i] = whole;
      return undefined;
    };
  const low = Number(min);
  const high = Number(max);
  return (i, value) => {
    if (typeof value === "number" && !Number.isInteger(value)) return notWhole(value);
    if (value < low || value > high) return `not within ${low} to ${high}`;
    to[i] = Number(value);
    return undefined;
  };
}

/** The nearest value of a float type, ties to even; infinite when there is none. */
export function roundTo(dtype: DType, value: number): number {
  if (dtype === "float32") return Math.fround(value);
  if (dtype === "float16") return Math.f16round(value);
  if (dtype === "bfloat16") return bfloat16Value(bfloat16Bits(value));
  return value;
}

/** The inclusive range of an integer type. */
export function integerRange(dtype: DType): { readonly min: bigint; readonly max: bigint } {
  const bits = BigInt(byteSize(dtype) * 8);
  return dtype.startsWith("u")
    ? { min: 0n, max: 2n ** bits - 1n }
    : { min: -(2n ** (bits - 1n)), max: 2n ** (bits - 1n) - 1n };
}

/** "[0, 3]", or "" for a scalar: where a row-major index lies. */
export function positionOf(index: number, shape: readonly number[]): string {
  const position: number[] = [];
  let rest = index;
  for (const axis of shape.toReversed()) {
    position.unshift(rest % axis);
    rest = Math.floor(rest / axis);
  }
  return `[${position.join(", ")}]`;
}

/** As `String`, with -0 told from 0. */
export function formatNumber(value: number | bigint): string {
  return Object.is(value, -0) ? "-0" : String(value);
}

function notWhole(value: number): string {
  return Number.isFinite(value) ? "not a whole number" : "which no integer holds";
}

/** Pairs where no finite value becomes infinite. */
function canHold(to: DType, from: DType): boolean {
  if (to === "float16") return byteSize(from) === 1;
  return to === "float64" || from !== "float64";
}

function isBig(
  elements: ArrayLike<number | bigint>,
): elements is BigInt64Array<ArrayBuffer> | BigUint64Array<ArrayBuffer> {
  return elements instanceof BigInt64Array || elements instanceof BigUint64Array;
}

/**
 * A number that rounds to the same float as the integer does. float64 takes the nearest itself; for narrower types going
 * through it would round twice, so the bits that do not fit are kept as one sticky bit.
 */
function nearestNumber(value: bigint, dtype: DType): number {
  if (dtype === "float64" || BigInt.asIntN(54, value) === value) return Number(value);
  let shift = 12n;
  while (value >> shift > SAFE || -(value >> shift) > SAFE) shift += 20n; // JSON may hold larger ones than int64
  const kept = value >> shift;
  const sticky = kept << shift === value ? kept : kept | 1n;
  return Number(sticky) * 2 ** Number(shift);
}

const SAFE = 2n ** 53n;

const scratch = new DataView(new ArrayBuffer(4));

/** Rounds once: through float32 to odd, then to nearest even. */
function bfloat16Bits(value: number): number {
  const single = Math.fround(value);
  scratch.setFloat32(0, single);
  let bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  if (single !== value && Number.isFinite(single)) {
    if (Math.abs(single) > Math.abs(value)) bits -= 1;
    bits |= 1;
  }
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function bfloat16Value(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}
