import { describe, expect, test } from "bun:test";
import { byteLengthOf, byteSize, isFloat, isPacked } from "../../../src/core/dtype.ts";
import { CoremlxError, errnoOf, messageOf } from "../../../src/core/errors.ts";
import { nearest, suggest } from "../../../src/core/suggest.ts";
import {
  elementCount,
  elementsOf,
  f32,
  isTensor,
  numbersOf,
  tensorOf,
  zeros,
} from "../../../src/core/tensor.ts";

describe("tensors", () => {
  test("a scalar array has rank 0 and one element", () => {
    expect(elementCount([])).toBe(1);
    expect(tensorOf("float32", [2], [])).toEqual({
      dtype: "float32",
      shape: [],
      bytes: new Uint8Array([0, 0, 0, 0x40]),
    });
  });

  test("an axis of size 0 leaves no elements", () => {
    expect(elementCount([3, 0, 5])).toBe(0);
    expect(zeros("int64", [0]).bytes.byteLength).toBe(0);
  });

  test("float16 elements are rounded to nearest", () => {
    expect([...numbersOf(tensorOf("float16", [0.1, 65504, 1e-8]))]).toEqual([0.0999755859375, 65504, 0]);
  });

  test("bfloat16 keeps the upper half of a float32, ties to even", () => {
    // 1.00390625 = 0x3f808000 lies halfway between 0x3f80 and 0x3f81: the even one is 0x3f80.
    const tensor = tensorOf("bfloat16", [1, 1.00390625, 1.01171875, Number.NaN]);
    expect(elementsOf(tensor)).toEqual(new Uint16Array([0x3f80, 0x3f80, 0x3f82, 0x7fc0]));
    expect([...numbersOf(tensor)]).toEqual([1, 1, 1.015625, Number.NaN]);
  });

  test("bool elements are 0 or 1", () => {
    expect(tensorOf("bool", [0, 2, -1]).bytes).toEqual(new Uint8Array([0, 1, 1]));
  });

  test("64-bit integers survive exactly", () => {
    const tensor = tensorOf("int64", [2n ** 62n + 1n, -3n]);
    expect(elementsOf(tensor)).toEqual(new BigInt64Array([2n ** 62n + 1n, -3n]));
    expect(elementsOf(tensorOf("uint64", [2n ** 64n - 1n]))).toEqual(new BigUint64Array([2n ** 64n - 1n]));
  });

  test("elements at an odd offset are copied, not misread", () => {
    const bytes = new Uint8Array(new ArrayBuffer(9));
    bytes.set(f32([1.5, -2]).bytes, 1);
    expect(elementsOf({ dtype: "float32", bytes: bytes.subarray(1) })).toEqual(new Float32Array([1.5, -2]));
  });

  test("only arrays are tensors", () => {
    expect(isTensor(f32([1]))).toBe(true);
    expect(isTensor("text")).toBe(false);
    expect(isTensor(new Map([["a", 1]]))).toBe(false);
    expect(isTensor(["a"])).toBe(false);
  });
});

describe("element types", () => {
  test("packed types share bytes", () => {
    expect(byteLengthOf("uint3", 3)).toBe(2);
    expect(byteLengthOf("int4", 3)).toBe(2);
    expect(byteLengthOf("float16", 3)).toBe(6);
    expect(byteSize("float64")).toBe(8);
    expect([isPacked("uint6"), isPacked("uint8")]).toEqual([true, false]);
    expect([isFloat("bfloat16"), isFloat("int8")]).toEqual([true, false]);
  });
});

describe("suggestions", () => {
  test("a typo finds the name, also with neighbours swapped", () => {
    expect(nearest("imgae", ["image", "mask"])).toBe("image");
    expect(suggest("Image", ["image", "mask"], "The inputs are")).toBe('Did you mean "image"?');
  });

  test("a name unlike any other lists them", () => {
    expect(suggest("zzz", ["image", "mask"], "The inputs are")).toBe('The inputs are: "image", "mask"');
    expect(suggest("zzz", [], "The inputs are")).toBe("The inputs are: none");
    const many = Array.from({ length: 12 }, (_, i) => `name${i}`);
    expect(suggest("zzz", many, "Known")).toEndWith('"name9", …');
  });

  test("a very long name costs nothing", () => {
    expect(nearest("x".repeat(100_000), ["y".repeat(100_000)])).toBeUndefined();
  });
});

describe("errors", () => {
  test("keep code, hint, details and cause", () => {
    const cause = new Error("why");
    const error = new CoremlxError("IO", "Cannot write", {
      cause,
      hint: "Free space",
      details: { path: "x" },
    });
    expect(error).toMatchObject({
      name: "CoremlxError",
      code: "IO",
      hint: "Free space",
      details: { path: "x" },
      message: "Cannot write",
      cause,
    });
    expect(messageOf("text")).toBe("text");
    expect([errnoOf(Object.assign(new Error("x"), { code: "ENOENT" })), errnoOf(3)]).toEqual([
      "ENOENT",
      undefined,
    ]);
  });
});
