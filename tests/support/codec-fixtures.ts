// Helpers of the codec tests: committed reference values, seeded noise, the error that a call throws, tensors for fast-check.

import fc from "fast-check";
import { byteSize, type DType } from "../../src/core/dtype.ts";
import { CoremlxError } from "../../src/core/errors.ts";
import type {
  FeatureDescription,
  FeatureType,
  MultiArrayType,
  ShapeConstraint,
} from "../../src/core/model.ts";
import { elementCount, type Tensor } from "../../src/core/tensor.ts";

export const allDTypes: readonly DType[] = [
  "bool",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "float16",
  "bfloat16",
  "float32",
  "float64",
];

/** An array as the fixture files hold it. */
export interface StoredArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: string;
}

/** The parsed content of a file in tests/fixtures/codecs. The caller states its type. */
export async function readFixture<T>(name: string): Promise<T> {
  return (await Bun.file(new URL(`../fixtures/codecs/${name}`, import.meta.url).pathname).json()) as T;
}

export function base64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text, "base64"));
}

export function toTensor({ dtype, shape, data }: StoredArray): Tensor {
  return { dtype, shape, bytes: base64(data) };
}

/** The same bytes as scripts/fixtures/codecs.py makes. */
export function noise(count: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(new ArrayBuffer(count));
  let state = 12345;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

/** The CoremlxError that `call` throws. Fails the test for anything else, so also for a raw TypeError. */
export function errorOf(call: () => unknown): CoremlxError {
  try {
    call();
  } catch (error) {
    if (error instanceof CoremlxError) return error;
    throw error;
  }
  throw new Error("expected a CoremlxError, nothing was thrown");
}

export async function rejectionOf(promise: Promise<unknown>): Promise<CoremlxError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof CoremlxError) return error;
    throw error;
  }
  throw new Error("expected a CoremlxError, nothing was thrown");
}

/** `code: message`, which is what most error tests compare. */
export function describeError(error: CoremlxError): string {
  return `${error.code}: ${error.message}`;
}

export function feature(type: FeatureType, name = "x"): FeatureDescription {
  return { name, description: "", type, isOptional: false };
}

export function arrayType(
  dtype: DType,
  shape: readonly number[],
  constraint: ShapeConstraint = { kind: "fixed" },
): MultiArrayType {
  return { kind: "multiArray", dtype, shape, constraint, defaultValue: undefined };
}

/** Any tensor with up to `maxAxis` in each of at most four axes; any bit pattern, bools 0 or 1. */
export function tensors(dtypes: readonly DType[] = allDTypes, maxAxis = 4): fc.Arbitrary<Tensor> {
  return fc
    .tuple(fc.constantFrom(...dtypes), fc.array(fc.nat(maxAxis), { maxLength: 4 }))
    .chain(([dtype, shape]) =>
      fc
        .uint8Array({
          minLength: elementCount(shape) * byteSize(dtype),
          maxLength: elementCount(shape) * byteSize(dtype),
          max: dtype === "bool" ? 1 : 255,
        })
        .map((bytes) => ({ dtype, shape, bytes: Uint8Array.from(bytes) })),
    );
}

/** A file with some bytes changed, or cut: what damage looks like. */
export function damaged(file: Uint8Array): fc.Arbitrary<Uint8Array<ArrayBuffer>> {
  const edits = fc.array(fc.tuple(fc.nat(Math.max(0, file.length - 1)), fc.nat(255)), {
    minLength: 1,
    maxLength: 4,
  });
  return fc.tuple(edits, fc.oneof(fc.constant(file.length), fc.nat(file.length))).map(([changes, length]) => {
    const copy = Uint8Array.from(file);
    for (const [at, value] of changes) copy[at] = value;
    return copy.slice(0, length);
  });
}
