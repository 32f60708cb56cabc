import { describe, expect, test } from "bun:test";
import type { FeatureType } from "../../../../src/core/model.ts";
import { checkCarries } from "../../../../src/runtime/sequence/carry.ts";
import { arrayType, describeError, errorOf, feature } from "../../../support/codec-fixtures.ts";

const array = arrayType("float32", [1, 4]);
const between = (output: FeatureType, input: FeatureType) =>
  checkCarries([{ output: "y", input: "x" }], {
    inputs: [feature(input, "x")],
    outputs: [feature(output, "y")],
  });
const range = { kind: "range", axes: [{ lower: 1, upper: 8 }] } as const;
const ids: FeatureType = { kind: "sequence", element: "int64", size: { lower: 0, upper: undefined } };
const words: FeatureType = { ...ids, element: "string" };
const gray: FeatureType = {
  kind: "image",
  width: 4,
  height: 1,
  colorSpace: "GRAYSCALE",
  constraint: { kind: "fixed" },
};
const color: FeatureType = { ...gray, colorSpace: "BGR" };

describe("an output goes into an input", () => {
  const pairs: readonly (readonly [what: string, output: FeatureType, input: FeatureType])[] = [
    ["of the same shape", array, array],
    ["of another element type", arrayType("int32", [1, 4]), array],
    ["that has one leading axis of 1 more", arrayType("float32", [4]), array],
    ["when its shape is not declared", arrayType("float32", []), array],
    ["when its shape is flexible", arrayType("float32", [2], range), array],
    [
      "of a flexible shape that contains its own",
      arrayType("float32", [8]),
      arrayType("float32", [1], range),
    ],
    ["as a number, from an array of one element", arrayType("float32", [1]), { kind: "double" }],
    ["as an array of one element, from a number", { kind: "int64" }, arrayType("int32", [1])],
    ["as a number, from a number", { kind: "double" }, { kind: "int64" }],
    ["as a picture of the same size", gray, gray],
    ["as an array of a picture's shape", gray, array],
    ["as a picture, from an array of its shape", arrayType("uint8", [1, 4, 3]), color],
    ["as a picture of any size", { ...color, constraint: { kind: "range", axes: [] } }, color],
    ["as text", { kind: "string" }, { kind: "string" }],
    ["as a dictionary", { kind: "dictionary", key: "int64" }, { kind: "dictionary", key: "int64" }],
    ["as a sequence", words, words],
    ["as a sequence, from an array with one axis", arrayType("int32", [3]), ids],
  ];
  test.each(pairs)("%s", (_, output, input) => between(output, input));
});

describe("an output does not go into an input", () => {
  const pairs: readonly (readonly [what: string, output: FeatureType, input: FeatureType])[] = [
    ["of another shape", array, arrayType("float32", [1, 5])],
    ["of a shape outside its range", arrayType("float32", [9]), arrayType("float32", [1], range)],
    ["as text, from an array", array, { kind: "string" }],
    ["as a number, from an array of several", array, { kind: "double" }],
    ["as an array of several, from a number", { kind: "double" }, array],
    ["as a picture of another size", gray, { ...gray, width: 5 }],
    ["in gray, from a colour picture", color, gray],
    ["as text, from a picture", gray, { kind: "string" }],
    ["as an array, from text", { kind: "string" }, array],
    ["as an array, from a dictionary", { kind: "dictionary", key: "string" }, array],
    ["with other keys", { kind: "dictionary", key: "string" }, { kind: "dictionary", key: "int64" }],
    ["with other elements", words, ids],
    ["as words, from an array", array, words],
    ["as an array, from a sequence", ids, array],
    ["from a state", { kind: "state", array }, array],
  ];
  test.each(pairs)("%s", (_, output, input) => {
    expect(errorOf(() => between(output, input)).message).toStartWith(
      'Cannot carry output "y" into input "x": the output is a',
    );
  });

  test("and the error says what both are", () => {
    const error = errorOf(() => between(array, arrayType("float16", [1, 5])));
    expect(describeError(error)).toBe(
      'BAD_INPUT: Cannot carry output "y" into input "x": the output is a float32 array [1, 4], the input takes a float16 array [1, 5]',
    );
    expect(error.details).toEqual({ expected: "a float16 array [1, 5]", actual: "a float32 array [1, 4]" });
  });
});

describe("names", () => {
  const model = {
    inputs: [feature(array, "hidden"), feature(array, "audio")],
    outputs: [feature(array, "new_hidden"), feature(array, "speech")],
  };
  const failure = (...carries: readonly (readonly [string, string])[]) =>
    errorOf(() =>
      checkCarries(
        carries.map(([output, input]) => ({ output, input })),
        model,
      ),
    );

  test("that the model does not have are answered with those meant", () => {
    expect(failure(["new_hiden", "hidden"])).toMatchObject({
      message: 'Cannot carry: the model has no output "new_hiden"',
      hint: 'Did you mean "new_hidden"?',
    });
    expect(failure(["new_hidden", "x"])).toMatchObject({
      message: 'Cannot carry: the model has no input "x"',
      hint: 'The inputs are: "hidden", "audio"',
    });
  });

  test("of an input are good for one output", () => {
    expect(failure(["new_hidden", "hidden"], ["speech", "hidden"]).message).toBe(
      'Cannot carry output "speech" into input "hidden": output "new_hidden" is carried into it',
    );
    checkCarries(
      [
        { output: "speech", input: "hidden" },
        { output: "speech", input: "audio" },
      ],
      model,
    );
  });
});
