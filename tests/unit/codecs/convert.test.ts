import { describe, expect, test } from "bun:test";
import { convertFeature } from "../../../src/codecs/convert.ts";
import type { FeatureType, ImageType } from "../../../src/core/model.ts";
import { f32, tensorOf, zeros, type FeatureValue } from "../../../src/core/tensor.ts";
import { arrayType, errorOf, feature } from "../../support/codec-fixtures.ts";

function convert(value: FeatureValue, type: FeatureType): FeatureValue {
  return convertFeature(value, feature(type));
}

const rgb: ImageType = {
  kind: "image",
  width: 3,
  height: 2,
  colorSpace: "RGB",
  constraint: { kind: "fixed" },
};
const gray: ImageType = { ...rgb, colorSpace: "GRAYSCALE" };
const whole = { kind: "int64" } as const;
const real = { kind: "double" } as const;
const text = { kind: "string" } as const;
const names = { kind: "sequence", element: "string", size: { lower: 0, upper: 2 } } as const;
const ids = { kind: "sequence", element: "int64", size: { lower: 0, upper: undefined } } as const;
const weights = { kind: "dictionary", key: "string" } as const;
const counts = { kind: "dictionary", key: "int64" } as const;

describe("arrays", () => {
  test("of the right type and shape are passed on as they are", () => {
    const tensor = f32([1, 2]);
    expect(convert(tensor, arrayType("float32", [2]))).toBe(tensor);
  });

  test("get the declared type and a missing leading axis, sharing memory where they can", () => {
    const tensor = f32([1, 2]);
    const converted = convert(tensor, arrayType("float32", [1, 2]));
    expect(converted).toEqual(f32([1, 2], [1, 2]));
    expect(converted).toHaveProperty("bytes", tensor.bytes);
    expect(convert(tensor, arrayType("int32", [1, 2]))).toEqual(tensorOf("int32", [1, 2], [1, 2]));
  });

  test("of one element may be given as a number", () => {
    expect(convert(0.5, arrayType("float16", [1]))).toEqual(tensorOf("float16", [0.5]));
    expect(convert(5n, arrayType("int32", []))).toEqual(tensorOf("int32", [5], []));
    expect(convert(2n ** 64n - 1n, arrayType("uint64", [1]))).toEqual(tensorOf("uint64", [2n ** 64n - 1n]));
  });

  test("are states too", () => {
    expect(convert(f32([1]), { kind: "state", array: arrayType("float16", [1]) })).toEqual(
      tensorOf("float16", [1]),
    );
  });
});

test("pictures are checked for size and channels, and become uint8 or float16", () => {
  const picture = zeros("uint8", [2, 3, 3]);
  expect(convert(picture, rgb)).toBe(picture);
  expect(convert(picture, { ...rgb, colorSpace: "BGR" })).toBe(picture);
  expect(convert(f32([0, 255, 1, 2, 3, 4], [2, 3]), gray)).toEqual(
    tensorOf("uint8", [0, 255, 1, 2, 3, 4], [2, 3]),
  );
  expect(convert(f32([0, 1, 0.5, 0, 0, 0], [2, 3]), { ...gray, colorSpace: "GRAYSCALE_FLOAT16" })).toEqual(
    tensorOf("float16", [0, 1, 0.5, 0, 0, 0], [2, 3]),
  );
});

test("scalars come from numbers, and from arrays of one element without axes or of shape [1]", () => {
  expect(convert(3, whole)).toBe(3n);
  expect(convert(3n, real)).toBe(3);
  expect(convert(NaN, real)).toBe(NaN);
  expect(convert(f32([3], []), whole)).toBe(3n);
  expect(convert(f32([0.5]), real)).toBe(0.5);
  expect(convert(tensorOf("bfloat16", [0.5]), real)).toBe(0.5);
  expect(convert(tensorOf("bool", [1]), whole)).toBe(1n);
  expect(convert(tensorOf("int64", [2n ** 60n + 1n]), whole)).toBe(2n ** 60n + 1n);
});

test("strings, dictionaries and sequences pass; a one-axis array of whole numbers is a sequence", () => {
  expect(convert("cat", text)).toBe("cat");
  expect(convert(new Map([["a", 1]]), weights)).toEqual(new Map([["a", 1]]));
  expect(convert(new Map([[1n, 1]]), counts)).toEqual(new Map([[1n, 1]]));
  expect(convert(["a"], names)).toEqual(["a"]);
  expect(convert(f32([1, 2]), ids)).toEqual([1n, 2n]);
});

describe("what does not fit is refused", () => {
  const cases: readonly (readonly [FeatureValue, FeatureType, string])[] = [
    [
      "a",
      arrayType("float32", [2]),
      'Cannot use input "x": the model wants a float32 array [2], got the string "a"',
    ],
    [
      f32([1, 2, 3]),
      arrayType("float32", [2]),
      'Cannot use input "x": shape must be [2], got [3]: axis 0 must be 2',
    ],
    [
      f32([1.5, 2]),
      arrayType("int32", [2]),
      'Cannot convert input "x" from float32 to int32: element [0] is 1.5, not a whole number',
    ],
    [300n, arrayType("uint8", [1]), 'Cannot convert input "x" to uint8: it is 300, not within 0 to 255'],
    [1, rgb, 'Cannot use input "x": the model wants a picture [2, 3] in RGB, got the number 1'],
    [
      zeros("uint8", [2, 3]),
      rgb,
      'Cannot use input "x": a picture in RGB is an array [height, width, 3], got [2, 3]',
    ],
    [
      zeros("uint8", [2, 3, 4]),
      rgb,
      'Cannot use input "x": a picture in RGB is an array [height, width, 3], got [2, 3, 4]',
    ],
    [
      zeros("uint8", [2, 3, 1]),
      gray,
      'Cannot use input "x": a picture in GRAYSCALE is an array [height, width], got [2, 3, 1]',
    ],
    [
      zeros("uint8", [3, 2, 3]),
      rgb,
      'Cannot use input "x": size [height, width] must be [2, 3], got [3, 2]: axis 0 must be 2',
    ],
    [
      f32([0.5, 0, 0, 0, 0, 0], [2, 3]),
      gray,
      'Cannot convert input "x" from float32 to uint8: element [0, 0] is 0.5, not a whole number',
    ],
    [1.5, whole, 'Cannot convert input "x" to a whole number: it is 1.5, not a whole number'],
    [NaN, whole, 'Cannot convert input "x" to a whole number: it is NaN, which no integer holds'],
    [
      2n ** 63n,
      whole,
      'Cannot convert input "x" to a whole number: it is 9223372036854775808, not within -9223372036854775808 to 9223372036854775807',
    ],
    [10n ** 400n, real, 'Cannot convert input "x" to a number: it is beyond the range of float64'],
    [f32([1, 2]), real, 'Cannot use input "x": the model wants a number, got a float32 array [2]'],
    ["1", whole, 'Cannot use input "x": the model wants a whole number, got the string "1"'],
    [1, text, 'Cannot use input "x": the model wants a string, got the number 1'],
    [1n, text, 'Cannot use input "x": the model wants a string, got the number 1'],
    [
      ["a"],
      weights,
      'Cannot use input "x": the model wants a dictionary of strings to numbers, got a sequence',
    ],
    [new Map([["a", 1]]), counts, 'Cannot use input "x": its keys must be whole numbers, got "a"'],
    [new Map([[1n, 1]]), weights, 'Cannot use input "x": its keys must be strings, got "1"'],
    [
      new Map([["a", 1]]),
      names,
      'Cannot use input "x": the model wants a sequence of strings, got a dictionary',
    ],
    [["a", "b", "c"], names, 'Cannot use input "x": it must have 0..2 values, got 3'],
    [[1n], names, 'Cannot use input "x": the model wants a sequence of strings, value 0 is "1"'],
    [["a"], ids, 'Cannot use input "x": the model wants a sequence of whole numbers, value 0 is "a"'],
    [
      f32([1], [1, 1]),
      ids,
      'Cannot use input "x": the model wants a sequence of whole numbers, got a float32 array [1, 1]',
    ],
    [
      "a",
      { kind: "state", array: arrayType("float16", [1]) },
      'Cannot use state "x": the model wants a float16 array [1], got the string "a"',
    ],
  ];
  for (const [value, type, message] of cases)
    test(message, () => {
      const error = errorOf(() => convert(value, type));
      expect(error.message).toBe(message);
      expect(error.code).toBe("BAD_INPUT");
    });
});
