import { describe, expect, test } from "bun:test";
import { parseJson } from "../../../src/codecs/json-text.ts";
import { featuresFromJson, fromJson, fromLiteral } from "../../../src/codecs/json.ts";
import { toJsonValue } from "../../../src/codecs/json-output.ts";
import type { FeatureType } from "../../../src/core/model.ts";
import { f32, tensorOf, zeros, type FeatureValue } from "../../../src/core/tensor.ts";
import { arrayType, describeError, errorOf, feature } from "../../support/codec-fixtures.ts";

function read(text: string, type: FeatureType): FeatureValue {
  return fromJson(parseJson(text, { subject: "Cannot read it" }), feature(type));
}

function messageFor(text: string, type: FeatureType): string {
  return describeError(errorOf(() => read(text, type)));
}

const whole = { kind: "int64" } as const;
const real = { kind: "double" } as const;
const names = { kind: "sequence", element: "string", size: { lower: 0, upper: undefined } } as const;
const ids = { kind: "sequence", element: "int64", size: { lower: 1, upper: 3 } } as const;
const weights = { kind: "dictionary", key: "string" } as const;
const counts = { kind: "dictionary", key: "int64" } as const;

describe("arrays", () => {
  test("nested lists become the declared type and shape", () => {
    expect(read("[[1, 2.5], [-3, 4]]", arrayType("float32", [2, 2]))).toEqual(f32([1, 2.5, -3, 4], [2, 2]));
    expect(read("[true, 0, 1]", arrayType("bool", [3]))).toEqual(tensorOf("bool", [1, 0, 1]));
    expect(read("[[[]]]", arrayType("float32", [1, 1, 0]))).toEqual(zeros("float32", [1, 1, 0]));
  });

  test("a missing leading axis is added, and a number is an array of one element", () => {
    expect(read("[1, 2]", arrayType("float32", [1, 2]))).toEqual(f32([1, 2], [1, 2]));
    expect(read("7", arrayType("int32", [1]))).toEqual(tensorOf("int32", [7], [1]));
  });

  test("NaN and infinities are strings", () => {
    expect(read('["NaN", "Infinity", "-Infinity"]', arrayType("float16", [3]))).toEqual(
      tensorOf("float16", [NaN, Infinity, -Infinity]),
    );
  });

  test("64-bit integers are exact, as numbers or strings", () => {
    expect(read('[9007199254740993, "-9223372036854775808"]', arrayType("int64", [2]))).toEqual(
      tensorOf("int64", [9007199254740993n, -9223372036854775808n]),
    );
    expect(read("[18446744073709551615]", arrayType("uint64", [1]))).toEqual(
      tensorOf("uint64", [2n ** 64n - 1n]),
    );
  });

  test("the form that results have is read back, in its own type first", () => {
    const tensor = tensorOf("float16", [0.1, 2, NaN, -Infinity], [2, 2]);
    const text = JSON.stringify(toJsonValue(tensor));
    expect(read(text, arrayType("float16", [2, 2]))).toEqual(tensor);
    expect(read('{"dtype":"uint8","shape":[1,2],"data":[3,4]}', arrayType("float32", [1, 2]))).toEqual(
      f32([3, 4], [1, 2]),
    );
    expect(read('{"dtype":"float32","shape":[],"data":5}', arrayType("float32", [1]))).toEqual(f32([5], [1]));
    expect(read('{"dtype":"float32","shape":[2,0],"data":[]}', arrayType("float32", [2, 0]))).toEqual(
      zeros("float32", [2, 0]),
    );
  });

  const cases: readonly (readonly [string, FeatureType, string])[] = [
    [
      "[[1,2],[3]]",
      arrayType("float32", [2, 2]),
      'Cannot read input "x": element [1] is a list of 1 where one of 2 is due',
    ],
    [
      "[[1,2],3]",
      arrayType("float32", [2, 2]),
      'Cannot read input "x": element [1] is 3 where a list of 2 is due',
    ],
    [
      "[1,[2]]",
      arrayType("float32", [2]),
      'Cannot read input "x": element [1] is a list where a number is due',
    ],
    [
      '[[1,"a"]]',
      arrayType("float32", [1, 2]),
      'Cannot read input "x": element [0][1] is the string "a", no number',
    ],
    ["[null]", arrayType("float32", [1]), 'Cannot read input "x": element [0] is null, no number'],
    ['"a"', arrayType("float32", [1]), 'Cannot read input "x": the value is the string "a", no number'],
    [
      "[1.5]",
      arrayType("int32", [1]),
      'Cannot read input "x": element [0] is 1.5, not a whole number, for int32',
    ],
    [
      '["NaN"]',
      arrayType("int32", [1]),
      'Cannot read input "x": element [0] is the string "NaN", which no integer holds, for int32',
    ],
    [
      "[300]",
      arrayType("uint8", [1]),
      'Cannot read input "x": element [0] is 300, not within 0 to 255, for uint8',
    ],
    ["[2]", arrayType("bool", [1]), 'Cannot read input "x": element [0] is 2, not 0 or 1, for bool'],
    [
      "[70000]",
      arrayType("float16", [1]),
      'Cannot read input "x": element [0] is 70000, beyond its range, for float16',
    ],
    [
      "[1,2,3]",
      arrayType("float32", [2]),
      'Cannot use input "x": shape must be [2], got [3]: axis 0 must be 2',
    ],
    [
      '{"dtype":"q","shape":[1],"data":[1]}',
      arrayType("float32", [1]),
      'Cannot read input "x": an object must have a dtype, a shape and data',
    ],
    [
      '{"dtype":"float32","shape":[1],"file":"x.npy"}',
      arrayType("float32", [1]),
      'Cannot read input "x": an object must have a dtype, a shape and data',
    ],
    [
      '{"dtype":"float32","shape":["a"],"data":[1]}',
      arrayType("float32", [1]),
      'Cannot read input "x": an axis of the string "a" is no size',
    ],
    [
      '{"dtype":"float32","shape":[2],"data":[1]}',
      arrayType("float32", [2]),
      'Cannot read input "x": the data have the shape [1], not [2]',
    ],
    [
      '{"dtype":"float32","shape":[99999,99999],"data":[1]}',
      arrayType("float32", [2]),
      'Cannot read input "x": shape [99999, 99999] of float32 takes 39999200004 bytes, more than the limit of 4294967296',
    ],
  ];
  for (const [text, type, message] of cases)
    test(`${text.slice(0, 60)} is refused`, () => {
      expect(messageFor(text, type)).toBe(`BAD_INPUT: ${message}`);
    });

  test("more axes than the limit are refused", () => {
    const text = "[".repeat(40) + "1" + "]".repeat(40);
    expect(messageFor(text, arrayType("float32", [1]))).toBe(
      'BAD_INPUT: Cannot read input "x": 40 axes are more than the limit of 32',
    );
  });

  test("lists whose first row promises more than there is take no memory", () => {
    const row = `[${"1,".repeat(60_000)}1]`;
    const text = `[${row}${",[]".repeat(60_000)}]`;
    expect(messageFor(text, arrayType("uint8", [1]))).toBe(
      'BAD_INPUT: Cannot read input "x": element [1] is a list of 0 where one of 60001 is due',
    );
  });
});

describe("other kinds", () => {
  test("numbers, strings, dictionaries and sequences", () => {
    expect(read('"9223372036854775807"', whole)).toBe(9223372036854775807n);
    expect(read("[3]", whole)).toBe(3n);
    expect(read("3", real)).toBe(3);
    expect(read('"-Infinity"', real)).toBe(-Infinity);
    expect(read('"text"', { kind: "string" })).toBe("text");
    expect(read('{"a": 1, "b": "NaN"}', weights)).toEqual(
      new Map([
        ["a", 1],
        ["b", NaN],
      ]),
    );
    expect(read('{"-5": 0.5}', counts)).toEqual(new Map([[-5n, 0.5]]));
    expect(read('["a", ""]', names)).toEqual(["a", ""]);
    expect(read('[1, "2"]', ids)).toEqual([1n, 2n]);
  });

  const image: FeatureType = {
    kind: "image",
    width: 2,
    height: 1,
    colorSpace: "RGB",
    constraint: { kind: "fixed" },
  };
  test("pictures are arrays [height, width, 3] or [height, width]", () => {
    expect(read("[[[1,2,3],[4,5,6]]]", image)).toEqual(tensorOf("uint8", [1, 2, 3, 4, 5, 6], [1, 2, 3]));
    expect(read("[[0.5, 1]]", { ...image, colorSpace: "GRAYSCALE_FLOAT16" })).toEqual(
      tensorOf("float16", [0.5, 1], [1, 2]),
    );
  });

  test("states are arrays", () => {
    expect(read("[1]", { kind: "state", array: arrayType("float16", [1]) })).toEqual(
      tensorOf("float16", [1]),
    );
  });

  const cases: readonly (readonly [string, FeatureType, string])[] = [
    ["1.5", whole, 'Cannot convert input "x" to a whole number: it is 1.5, not a whole number'],
    ["null", real, 'Cannot read input "x": the model wants a number, got null'],
    ["5", { kind: "string" }, 'Cannot read input "x": the model wants a string, got 5'],
    ["[1]", weights, 'Cannot read input "x": the model wants a dictionary of strings to numbers, got a list'],
    ['{"a": "b"}', weights, 'Cannot read input "x": the value of "a" is the string "b", no number'],
    ['{"a": 1}', counts, 'Cannot read input "x": the key "a" is no whole number'],
    ["{}", names, 'Cannot read input "x": the model wants a sequence of strings, got an object'],
    ['["a", 1]', names, 'Cannot read input "x": value 1 is 1, no string'],
    ["[1.5]", ids, 'Cannot read input "x": value 0 is 1.5, no whole number'],
    ["[]", ids, 'Cannot use input "x": it must have 1..3 values, got 0'],
  ];
  for (const [text, type, message] of cases)
    test(`${text} for ${type.kind} is refused`, () => {
      expect(messageFor(text, type)).toBe(`BAD_INPUT: ${message}`);
    });
});

describe("several inputs in one file", () => {
  const inputs = [feature(arrayType("float32", [2]), "a"), feature({ kind: "string" }, "b")];

  test("come by name", () => {
    const node = parseJson('{"b": "text", "a": [1, 2]}', { subject: "" });
    expect(featuresFromJson(node, inputs)).toEqual(
      new Map<string, FeatureValue>([
        ["b", "text"],
        ["a", f32([1, 2])],
      ]),
    );
  });

  test("an unknown name, and no object at all", () => {
    const unknown = errorOf(() => featuresFromJson(parseJson('{"c": 1}', { subject: "" }), inputs));
    expect(unknown.message).toBe('Cannot read inputs from JSON: the model has no input "c"');
    expect(unknown.hint).toBe('It has "a", "b"');
    expect(errorOf(() => featuresFromJson([1], inputs)).message).toBe(
      "Cannot read inputs from JSON: it is no object of names and values",
    );
  });
});

test("literals: text for strings, numbers and JSON for the rest", () => {
  expect(fromLiteral("[1", feature({ kind: "string" }))).toBe("[1");
  expect(fromLiteral("NaN", feature(real))).toBe(NaN);
  expect(fromLiteral("-Infinity", feature(arrayType("float32", [1])))).toEqual(f32([-Infinity]));
  expect(fromLiteral("[1, 2]", feature(arrayType("float32", [1, 2])))).toEqual(f32([1, 2], [1, 2]));
  expect(errorOf(() => fromLiteral("cat", feature(real))).message).toBe(
    'Cannot read input "x" from "cat": line 1, column 1, at "cat": expected a value',
  );
});
