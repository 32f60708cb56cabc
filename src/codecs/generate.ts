// Values made up for an input: seeded random ones, zeros or ones, in the default shape.

import { isFloat, type DType } from "../core/dtype.ts";
import { type FeatureDescription, isColor, pictureDType } from "../core/model.ts";
import { elementCount, elementsOf, type FeatureValue, type Tensor } from "../core/tensor.ts";
import { checkElementCount, makeTensor } from "./allocate.ts";
import { storeInto } from "./cast.ts";
import { defaultLimits, type CodecLimits } from "./limits.ts";
import { defaultShape } from "./shape.ts";

export type Filling = "random" | "zeros" | "ones";

/**
 * A value of the declared type and default shape. "random" is U[0, 1) for floats, 0 or 1 for integers (valid token ids),
 * 0 to 255 for pictures (U[0, 1) for GRAYSCALE_FLOAT16), a five-letter word for strings. Dictionaries are empty and sequences
 * as short as allowed. The same seed and name give the same value on every machine, whatever other inputs there are.
 */
export function generate(
  description: FeatureDescription,
  filling: Filling,
  options: { readonly seed?: number | undefined; readonly limits?: CodecLimits | undefined } = {},
): FeatureValue {
  const { name, type } = description;
  const next = randomSource(`${options.seed ?? 0}/${name}`);
  const context = {
    filling,
    next,
    subject: `Cannot fill input "${name}"`,
    limits: options.limits ?? defaultLimits,
  };
  switch (type.kind) {
    case "multiArray":
      return fill(type.dtype, type.shape, context);
    case "state":
      return fill(type.array.dtype, type.array.shape, context);
    case "image": {
      const size = defaultShape(type);
      const dtype = pictureDType(type);
      if (dtype === "float16") return fill(dtype, size, context);
      return fill(dtype, isColor(type) ? [...size, 3] : size, { ...context, isPicture: true });
    }
    case "int64":
      return filling === "random" ? BigInt(next() >>> 31) : filling === "ones" ? 1n : 0n;
    case "double":
      return filling === "random" ? unitFloat(next, "float64") : filling === "ones" ? 1 : 0;
    case "string":
      return makeString(filling, next);
    case "dictionary":
      return type.key === "int64" ? new Map<bigint, number>() : new Map<string, number>();
    case "sequence": {
      const length = checkElementCount([type.size.lower], "int64", context);
      return type.element === "int64"
        ? Array.from({ length }, () =>
            filling === "random" ? BigInt(next() >>> 31) : filling === "ones" ? 1n : 0n,
          )
        : Array.from({ length }, () => makeString(filling, next));
    }
  }
}

interface Context {
  readonly filling: Filling;
  readonly next: () => number;
  readonly subject: string;
  readonly limits: CodecLimits;
  readonly isPicture?: boolean;
}

function fill(dtype: DType, shape: readonly number[], context: Context): Tensor {
  const { filling, next } = context;
  const tensor = makeTensor(dtype, shape, context);
  const count = elementCount(shape);
  if (filling === "zeros") return tensor;
  if (filling === "random" && context.isPicture === true) {
    for (let i = 0; i < count; i++) tensor.bytes[i] = next() >>> 24;
    return tensor;
  }
  if (filling === "random" && dtype === "float32") {
    const elements = elementsOf(tensor);
    for (let i = 0; i < count; i++) elements[i] = unitFloat(next, dtype);
    return tensor;
  }
  const store = storeInto(tensor);
  for (let i = 0; i < count; i++)
    store(i, filling === "ones" ? 1 : isFloat(dtype) ? unitFloat(next, dtype) : next() >>> 31);
  return tensor;
}

/** Bits of the fraction: with more, rounding could reach 1. */
const fractionBits: Partial<Record<DType, number>> = { float16: 11, bfloat16: 8, float32: 24 };

/** A multiple of 2^-n in [0, 1), n being the type's precision. */
function unitFloat(next: () => number, dtype: DType): number {
  const bits = fractionBits[dtype];
  if (bits !== undefined) return (next() >>> (32 - bits)) / 2 ** bits;
  return ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}

function makeString(filling: Filling, next: () => number): string {
  if (filling !== "random") return filling === "ones" ? "1" : "";
  return Array.from({ length: 5 }, () => String.fromCharCode(97 + (next() % 26))).join("");
}

/**
 * xoshiro128** by Blackman and Vigna, its state from four steps of splitmix32 over the FNV-1a hash of the text's UTF-8: a
 * documented sequence, so that another program can make the same inputs. Gives 32-bit unsigned integers.
 */
export function randomSource(text: string): () => number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  const mix = (): number => {
    hash = (hash + 0x9e3779b9) | 0;
    let z = Math.imul(hash ^ (hash >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  let [a, b, c, d] = [mix(), mix(), mix(), mix()];
  return () => {
    const product = Math.imul(b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result;
  };
}
