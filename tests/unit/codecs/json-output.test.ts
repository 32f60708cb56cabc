import { describe, expect, test } from "bun:test";
import { encodeJson, shortest, statsOf, toJsonValue } from "../../../src/codecs/json-output.ts";
import { f32, numbersOf, tensorOf, zeros, type FeatureValue } from "../../../src/core/tensor.ts";
import { base64, readFixture } from "../../support/codec-fixtures.ts";

const { printed } = await readFixture<{
  printed: Readonly<Record<"float16" | "float32", readonly (readonly [string, string])[]>>;
}>("numbers.json");

test("arrays have dtype, shape and nested data", () => {
  expect(toJsonValue(f32([1, 2, 3, 4, 5, 6], [1, 2, 3]))).toEqual({
    dtype: "float32",
    shape: [1, 2, 3],
    data: [
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
    ],
  });
  expect(toJsonValue(f32([7], []))).toEqual({ dtype: "float32", shape: [], data: 7 });
  expect(toJsonValue(zeros("int8", [3, 0]))).toEqual({ dtype: "int8", shape: [3, 0], data: [] });
  expect(toJsonValue(tensorOf("bool", [1, 0]))).toEqual({ dtype: "bool", shape: [2], data: [true, false] });
  expect(toJsonValue(tensorOf("bfloat16", [1.5]))).toEqual({ dtype: "bfloat16", shape: [1], data: [1.5] });
});

test("what JSON cannot say is a string", () => {
  expect(toJsonValue(f32([NaN, Infinity, -Infinity]))).toHaveProperty("data", [
    "NaN",
    "Infinity",
    "-Infinity",
  ]);
  expect(toJsonValue(tensorOf("int64", [2n ** 53n - 1n, 2n ** 53n, -(2n ** 63n)]))).toHaveProperty("data", [
    9007199254740991,
    "9007199254740992",
    "-9223372036854775808",
  ]);
  expect(toJsonValue(NaN)).toBe("NaN");
  expect(toJsonValue(2n ** 60n)).toBe("1152921504606846976");
});

test("scalars, strings, dictionaries and sequences are themselves", () => {
  expect(toJsonValue(1.5)).toBe(1.5);
  expect(toJsonValue(5n)).toBe(5);
  expect(toJsonValue("cat")).toBe("cat");
  expect(
    toJsonValue(
      new Map([
        ["cat", 0.25],
        ["__proto__", Infinity],
      ]),
    ),
  ).toEqual(JSON.parse('{"cat": 0.25, "__proto__": "Infinity"}'));
  expect(toJsonValue(new Map([[7n, 1]]))).toEqual({ "7": 1 });
  expect(toJsonValue(["a", "b"])).toEqual(["a", "b"]);
  expect(toJsonValue([1n, 2n ** 60n])).toEqual([1, "1152921504606846976"]);
});

describe("floats print as numpy prints them", () => {
  for (const dtype of ["float16", "float32"] as const)
    test(dtype, () => {
      const ours = printed[dtype].map(([bits]) =>
        shortest(numbersOf({ dtype, bytes: base64(bits) })[0] ?? 0, dtype),
      );
      const theirs = printed[dtype].map(([bits, text]) => {
        const value = numbersOf({ dtype, bytes: base64(bits) })[0] ?? 0;
        return Number.isSafeInteger(value) ? value : Number(text); // we keep whole numbers whole
      });
      expect(ours).toEqual(theirs);
    });

  test("0.1 is 0.1 in any width", () => {
    for (const dtype of ["float16", "bfloat16", "float32", "float64"] as const)
      expect(toJsonValue(tensorOf(dtype, [0.1]))).toHaveProperty("data", [0.1]);
  });
});

describe("arrays of more than 1,000 elements", () => {
  test("1,000 are inlined, 1,001 are not", () => {
    expect(toJsonValue(zeros("float32", [1000]))).toHaveProperty("data");
    expect(toJsonValue(zeros("float32", [1001]))).not.toHaveProperty("data");
    expect(toJsonValue(zeros("float32", [1001]), { inlineElements: Infinity })).toHaveProperty("data");
  });

  test("have statistics over their finite elements instead", () => {
    const values = [...Array.from({ length: 1000 }, (_, i) => i), NaN, Infinity, -Infinity, -Infinity];
    const json = toJsonValue(f32(values));
    // numpy: np.arange(1000).std() is 288.6749902572095
    expect(json).toEqual({
      dtype: "float32",
      shape: [1004],
      stats: {
        min: 0,
        max: 999,
        mean: 499.5,
        std: 288.6749902572095,
        nan: 1,
        inf: 1,
        negInf: 2,
        first: [0, 1, 2, 3, 4, 5, 6, 7],
      },
    });
  });
});

test("statistics of integers, bools, bfloat16 and of nothing finite", () => {
  expect(statsOf(tensorOf("int64", [2n ** 62n, -(2n ** 62n) - 1n]))).toMatchObject({
    min: "-4611686018427387905",
    max: "4611686018427387904",
    first: ["4611686018427387904", "-4611686018427387905"],
  });
  expect(statsOf(tensorOf("bool", [0, 1, 1, 0]))).toMatchObject({
    min: 0,
    max: 1,
    mean: 0.5,
    std: 0.5,
    first: [false, true, true, false],
  });
  expect(statsOf(tensorOf("bfloat16", [-2, 1]))).toMatchObject({ min: -2, max: 1, mean: -0.5 });
  expect(statsOf(f32([NaN]))).toEqual({
    min: null,
    max: null,
    mean: null,
    std: null,
    nan: 1,
    inf: 0,
    negInf: 0,
    first: ["NaN"],
  });
  expect(statsOf(tensorOf("float64", [1.7e308, 1.7e308]))).toMatchObject({ mean: null, std: null });
});

test("a file holds one object, by name", () => {
  const values = new Map<string, FeatureValue>([
    ["label", "cat"],
    ["p", f32([0.5])],
  ]);
  expect(encodeJson(values)).toBe('{"label":"cat","p":{"dtype":"float32","shape":[1],"data":[0.5]}}\n');
});
