// What travels between a caller and a model: arrays, and the other Core ML feature values.

import { byteSize, type DType } from "./dtype.ts";

/** A dense row-major array, little endian. Rank 0 is a scalar array with one element. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Exactly `elementCount(shape)` elements. Alignment is not promised: copy or use DataView before making a typed view. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}
export type Tensors = Readonly<Record<string, Tensor>>;

export type Dictionary = ReadonlyMap<string, number> | ReadonlyMap<bigint, number>;
export type Sequence = readonly string[] | readonly bigint[];

/**
 * One feature value, by the model's declared type: a multi array and an image are a Tensor (an image is uint8
 * [H, W, 3] in RGB order or uint8 [H, W]; float16 [H, W] for GRAYSCALE_FLOAT16); double is a number, int64 a bigint.
 */
export type FeatureValue = Tensor | number | bigint | string | Dictionary | Sequence;
export type FeatureValues = ReadonlyMap<string, FeatureValue>;

/**
 * One output over the steps of a sequence: an array with a leading axis of steps (numbers too), else a list with one value
 * for each step.
 */
export type SteppedValue = FeatureValue | readonly FeatureValue[];
export type SteppedValues = ReadonlyMap<string, SteppedValue>;

export function isTensor(value: SteppedValue): value is Tensor {
  return typeof value === "object" && "dtype" in value && "bytes" in value;
}

/** Product of a shape's axes; 1 for rank 0. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, axis) => product * axis, 1);
}

export type NumericArray =
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | Float16Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>;

const arrayOf = {
  bool: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  float16: Float16Array,
  bfloat16: Uint16Array, // raw bits: JavaScript has no bfloat16
  float32: Float32Array,
  float64: Float64Array,
} as const;

/** The tensor's elements as a typed array: a view where alignment allows, else a copy. bfloat16 comes as raw uint16. */
export function elementsOf(tensor: Pick<Tensor, "dtype" | "bytes">): NumericArray {
  const size = byteSize(tensor.dtype);
  const { bytes } = tensor;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new arrayOf[tensor.dtype](aligned.buffer, aligned.byteOffset, Math.floor(aligned.byteLength / size));
}

/** A zero-filled tensor over memory of its own (an explicit ArrayBuffer, so that native code may see it). */
export function zeros(dtype: DType, shape: readonly number[]): Tensor {
  return { dtype, shape, bytes: new Uint8Array(new ArrayBuffer(elementCount(shape) * byteSize(dtype))) };
}

/** A tensor from numbers, converted as typed arrays convert (bool: non-zero is 1). */
export function tensorOf(
  dtype: DType,
  values: ArrayLike<number | bigint>,
  shape?: readonly number[],
): Tensor {
  const tensor = zeros(dtype, shape ?? [values.length]);
  const elements = elementsOf(tensor);
  for (let i = 0; i < elements.length; i++) {
    const value = values[i] ?? 0;
    if (elements instanceof BigInt64Array || elements instanceof BigUint64Array) elements[i] = BigInt(value);
    else if (dtype === "bool") elements[i] = Number(value) === 0 ? 0 : 1;
    else if (dtype === "bfloat16") elements[i] = bfloat16Bits(Number(value));
    else elements[i] = Number(value);
  }
  return tensor;
}

export function f32(values: readonly number[], shape?: readonly number[]): Tensor {
  return tensorOf("float32", values, shape);
}

/** Elements as JavaScript numbers; 64-bit integers beyond 2^53 lose precision. */
export function numbersOf(tensor: Pick<Tensor, "dtype" | "bytes">): Float64Array<ArrayBuffer> {
  const elements = elementsOf(tensor);
  const numbers = new Float64Array(elements.length);
  for (let i = 0; i < elements.length; i++) {
    const value = Number(elements[i] ?? 0);
    numbers[i] = tensor.dtype === "bfloat16" ? bfloat16Value(value) : value;
  }
  return numbers;
}

const scratch = new DataView(new ArrayBuffer(4));

function bfloat16Bits(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff; // round to nearest, ties to even
}

function bfloat16Value(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** The same sizes in the same order. A loop, for each prediction asks more than once. */
export function isSameShape(left: readonly number[], right: readonly number[]): boolean {
  if (left.length !== right.length) return false;
  for (let axis = 0; axis < left.length; axis++) if (left[axis] !== right[axis]) return false;
  return true;
}
