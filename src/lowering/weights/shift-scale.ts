// Linearly quantised weights: scale * (data - offset), one scale and offset for each block of elements.

import type { DType } from "../../core/dtype.ts";
import { elementsOf, numbersOf } from "../../core/tensor.ts";
import type { MilTensor } from "../../formats/mil.ts";
import { forEachRun } from "./blocks.ts";
import { checkedCount, denseTensor } from "./unpack.ts";

type DenseTensor = MilTensor & { readonly dtype: DType };

/** Scale and offset have one shape, which counts the blocks along each axis of data. */
export interface ShiftScale {
  readonly data: DenseTensor;
  readonly scale: DenseTensor;
  readonly offset: DenseTensor | undefined;
}

/** The dense tensor in single precision, or rounded from it to half. The scale's grid must divide data. */
export function decodeShiftScale(
  weight: ShiftScale,
  dtype: "float32" | "float16",
  what: string,
): DenseTensor {
  const { data, scale, offset } = weight;
  const count = checkedCount(data, what);
  const from = elementsOf(data);
  const scales = numbersOf(scale);
  const offsets = offset && numbersOf(offset);
  const out =
    dtype === "float32"
      ? new Float32Array(new ArrayBuffer(count * 4))
      : new Float16Array(new ArrayBuffer(count * 2));
  if (from instanceof BigInt64Array || from instanceof BigUint64Array)
    return denseTensor(dtype, data.shape, out);
  forEachRun(data.shape, scale.shape, (start, length, block) => {
    const factor = scales[block] ?? 0;
    const shift = offsets?.[block] ?? 0;
    for (let i = start; i < start + length; i++) out[i] = factor * ((from[i] ?? 0) - shift);
  });
  return denseTensor(dtype, data.shape, out);
}

const integerRange = {
  int8: { low: -128, high: 127 },
  uint8: { low: 0, high: 255 },
  int4: { low: -8, high: 7 },
  uint4: { low: 0, high: 15 },
} as const;

/** The numbers as stored elements of an integer type; `undefined` where a number is no whole number of the type. */
export function asIntegers(
  numbers: Float32Array<ArrayBuffer>,
  dtype: "int8" | "uint8" | "int4" | "uint4",
): Uint8Array<ArrayBuffer> | undefined {
  const { low, high } = integerRange[dtype];
  const isWholeByte = dtype === "int8" || dtype === "uint8";
  const count = numbers.length;
  const out = new Uint8Array(new ArrayBuffer(isWholeByte ? count : Math.ceil(count / 2)));
  for (let i = 0; i < count; i++) {
    const number = numbers[i] ?? 0;
    if (!Number.isInteger(number) || number < low || number > high) return undefined;
    if (isWholeByte) out[i] = number & 255;
    else out[i >> 1] = (out[i >> 1] ?? 0) | ((number & 15) << (4 * (i & 1)));
  }
  return out;
}
