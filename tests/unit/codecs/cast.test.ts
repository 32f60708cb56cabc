import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { castTensor, integerRange, positionOf, storeInto } from "../../../src/codecs/cast.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { elementsOf, f32, numbersOf, tensorOf, zeros } from "../../../src/core/tensor.ts";
import { allDTypes, base64, errorOf, readFixture } from "../../support/codec-fixtures.ts";

const { casts } = await readFixture<{
  casts: readonly { from: DType; to: DType; source: string; result: string }[];
}>("numbers.json");

const subject = 'input "x"';

describe("floats round once, to nearest even, as numpy and ml_dtypes do", () => {
  for (const { from, to, source, result } of casts)
    test(`${from} to ${to}`, () => {
      const bytes = base64(source);
      const cast = castTensor(
        { dtype: from, shape: [elementsOf({ dtype: from, bytes }).length], bytes },
        to,
        subject,
      );
      expect(Array.from(numbersOf(cast))).toEqual(
        Array.from(numbersOf({ dtype: to, bytes: base64(result) })),
      );
    });
});

test("a right type costs nothing", () => {
  const tensor = f32([1, 2]);
  expect(castTensor(tensor, "float32", subject)).toBe(tensor);
});

test("integers become floats, and whole floats integers", () => {
  expect(castTensor(tensorOf("uint8", [0, 255]), "float32", subject)).toEqual(f32([0, 255]));
  expect(castTensor(tensorOf("int64", [-5n]), "float16", subject)).toEqual(tensorOf("float16", [-5]));
  expect(castTensor(tensorOf("bfloat16", [1.5]), "float64", subject)).toEqual(tensorOf("float64", [1.5]));
  expect(castTensor(f32([-3, 127, -0]), "int8", subject)).toEqual(tensorOf("int8", [-3, 127, 0]));
  expect(castTensor(f32([2 ** 40]), "int64", subject)).toEqual(tensorOf("int64", [2n ** 40n]));
  expect(castTensor(tensorOf("uint64", [7n]), "int32", subject)).toEqual(tensorOf("int32", [7]));
  expect(castTensor(tensorOf("bool", [1, 0]), "float16", subject)).toEqual(tensorOf("float16", [1, 0]));
  expect(castTensor(f32([1, 0, -0]), "bool", subject)).toEqual(tensorOf("bool", [1, 0, 0]));
});

test("NaN and infinity pass from float to float", () => {
  expect(castTensor(f32([NaN, Infinity, -Infinity]), "float16", subject)).toEqual(
    tensorOf("float16", [NaN, Infinity, -Infinity]),
  );
  expect(castTensor(tensorOf("float64", [NaN, Infinity]), "bfloat16", subject)).toEqual(
    tensorOf("bfloat16", [NaN, Infinity]),
  );
});

describe("a value that does not fit is named with its place", () => {
  const cases: readonly (readonly [DType, readonly number[], DType, string])[] = [
    ["float32", [0, 0, 0, 70000], "float16", "[1, 1] is 70000, beyond its range"],
    ["float64", [0, 1e39, 0, 0], "float32", "[0, 1] is 1e+39, beyond its range"],
    ["float64", [0, -3.4e38, 0, 0], "bfloat16", "[0, 1] is -3.4e+38, beyond its range"],
    ["uint32", [70000, 0, 0, 0], "float16", "[0, 0] is 70000, beyond its range"],
    ["float32", [0, 1.5, 0, 0], "int32", "[0, 1] is 1.5, not a whole number"],
    ["float32", [0, NaN, 0, 0], "int32", "[0, 1] is NaN, which no integer holds"],
    ["float32", [-Infinity, 0, 0, 0], "int64", "[0, 0] is -Infinity, which no integer holds"],
    ["float32", [0.5, 0, 0, 0], "int64", "[0, 0] is 0.5, not a whole number"],
    [
      "float32",
      [2 ** 63, 0, 0, 0],
      "int64",
      "[0, 0] is 9223372036854776000, not within -9223372036854775808 to 9223372036854775807",
    ],
    ["int32", [0, 0, -1, 0], "uint8", "[1, 0] is -1, not within 0 to 255"],
    ["int32", [0, 0, -1, 0], "uint64", "[1, 0] is -1, not within 0 to 18446744073709551615"],
    ["int32", [2, 0, 0, 0], "bool", "[0, 0] is 2, not 0 or 1"],
    ["float32", [NaN, 0, 0, 0], "bool", "[0, 0] is NaN, not 0 or 1"],
  ];
  for (const [from, values, to, reason] of cases)
    test(`${from} to ${to}: ${reason}`, () => {
      const error = errorOf(() => castTensor(tensorOf(from, values, [2, 2]), to, subject));
      expect(error.message).toBe(`Cannot convert input "x" from ${from} to ${to}: element ${reason}`);
      expect(error.details).toMatchObject({ expected: to });
    });
});

test("a whole number far beyond int64 rounds to the float it is nearest to", () => {
  const tensor = zeros("float32", []);
  expect(storeInto(tensor)(0, 2n ** 100n + 2n ** 76n + 1n)).toBeUndefined(); // just above halfway
  expect(numbersOf(tensor)[0]).toBe(2 ** 100 + 2 ** 77);
  expect(storeInto(tensor)(0, -(2n ** 100n) - 2n ** 76n)).toBeUndefined(); // halfway: to even
  expect(numbersOf(tensor)[0]).toBe(-(2 ** 100));
  expect(storeInto(tensor)(0, 2n ** 200n)).toBe("beyond its range");
});

test("integer ranges are those of the types", () => {
  expect(integerRange("int8")).toEqual({ min: -128n, max: 127n });
  expect(integerRange("uint64")).toEqual({ min: 0n, max: 18446744073709551615n });
});

test("a place is counted from the last axis", () => {
  expect(positionOf(17, [2, 3, 4])).toBe("[1, 1, 1]");
  expect(positionOf(0, [])).toBe("[]");
});

test("a cast that succeeds to a wider type and back changes nothing", () => {
  const wider: Partial<Record<DType, DType>> = {
    bool: "int8",
    int8: "float16",
    uint8: "int16",
    int16: "float32",
    uint16: "int32",
    float16: "float32",
    bfloat16: "float32",
    int32: "float64",
    uint32: "int64",
    float32: "float64",
  };
  for (const dtype of allDTypes) {
    const wide = wider[dtype];
    if (wide === undefined) continue;
    fc.assert(
      fc.property(fc.array(fc.nat(255)), (values) => {
        const tensor = tensorOf(dtype, dtype === "bool" ? values.map((value) => value % 2) : values);
        expect(castTensor(castTensor(tensor, wide, subject), dtype, subject)).toEqual(tensor);
      }),
      { numRuns: 20 },
    );
  }
});
