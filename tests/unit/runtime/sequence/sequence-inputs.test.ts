import { describe, expect, test } from "bun:test";
import type { FeatureType, ShapeConstraint } from "../../../../src/core/model.ts";
import { f32, type FeatureValue, tensorOf } from "../../../../src/core/tensor.ts";
import { fitValue, readStartValue, readStepInput } from "../../../../src/runtime/sequence/sequence-inputs.ts";
import { arrayType, describeError, errorOf, feature } from "../../../support/codec-fixtures.ts";

const row = arrayType("float32", [1, 2]);
const upTo8: ShapeConstraint = {
  kind: "range",
  axes: [
    { lower: 1, upper: 8 },
    { lower: 2, upper: 2 },
  ],
};
const rows = arrayType("float32", [1, 2], upTo8);
const gray: FeatureType = {
  kind: "image",
  width: 2,
  height: 1,
  colorSpace: "GRAYSCALE",
  constraint: { kind: "fixed" },
};
const color: FeatureType = { ...gray, colorSpace: "RGB" };
const ids: FeatureType = { kind: "sequence", element: "int64", size: { lower: 1, upper: 3 } };

/** What each step is given. */
function steps(value: FeatureValue, type: FeatureType, count: number) {
  const input = readStepInput(value, feature(type), count);
  return { isStepped: input.isStepped, values: Array.from({ length: count }, (_, step) => input.at(step)) };
}

describe("an input over the steps of a sequence", () => {
  const six = f32([1, 2, 3, 4, 5, 6], [3, 1, 2]);

  test("with a leading axis of steps has a value for each", () => {
    expect(steps(six, row, 3)).toEqual({
      isStepped: true,
      values: [f32([1, 2], [1, 2]), f32([3, 4], [1, 2]), f32([5, 6], [1, 2])],
    });
  });

  test("each of which lies in memory of its own", () => {
    const input = readStepInput(six, feature(row), 3);
    const value = input.at(1);
    if (typeof value !== "object" || !("bytes" in value)) throw new Error("no array");
    expect(value.bytes.buffer.byteLength).toBe(8);
    value.bytes.fill(0);
    expect(input.at(1)).toEqual(f32([3, 4], [1, 2]));
  });

  test("without it is the same at every step", () => {
    const same = f32([7, 8], [1, 2]);
    expect(steps(same, row, 3)).toEqual({ isStepped: false, values: [same, same, same] });
  });

  test("may lack the axis of 1 that any input may lack", () => {
    expect(steps(f32([1, 2, 3, 4], [2, 2]), row, 2).values).toEqual([
      f32([1, 2], [1, 2]),
      f32([3, 4], [1, 2]),
    ]);
    expect(steps(f32([1, 2, 3]), arrayType("float32", [1]), 3).values).toEqual([
      f32([1]),
      f32([2]),
      f32([3]),
    ]);
    expect(steps(f32([1, 2], [2]), row, 5)).toMatchObject({ isStepped: false });
  });

  test("is converted whole, before anything runs", () => {
    const type = arrayType("int32", [1]);
    expect(steps(f32([1, 2], [2, 1]), type, 2).values).toEqual([
      tensorOf("int32", [1]),
      tensorOf("int32", [2]),
    ]);
    const error = errorOf(() => readStepInput(f32([1, 2.5], [2, 1]), feature(type), 2));
    expect(describeError(error)).toBe(
      'BAD_INPUT: Cannot convert input "x" from float32 to int32: element [1, 0] is 2.5, not a whole number',
    );
  });

  test("of one step is that step, with the axis and without it", () => {
    expect(steps(f32([1, 2], [1, 1, 2]), row, 1)).toMatchObject({ values: [f32([1, 2], [1, 2])] });
    expect(steps(f32([1, 2], [1, 2]), row, 1)).toMatchObject({ values: [f32([1, 2], [1, 2])] });
    expect(steps(f32([1]), arrayType("float32", [1]), 1).values).toEqual([f32([1])]);
  });

  test("may be a picture for each step, or the same picture", () => {
    const picture = (...values: number[]) => tensorOf("uint8", values, [1, 2]);
    expect(steps(tensorOf("uint8", [1, 2, 3, 4], [2, 1, 2]), gray, 2).values).toEqual([
      picture(1, 2),
      picture(3, 4),
    ]);
    expect(steps(picture(5, 6), gray, 2).values).toEqual([picture(5, 6), picture(5, 6)]);
    const pixels = tensorOf("uint8", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [2, 1, 2, 3]);
    expect(steps(pixels, color, 2).isStepped).toBe(true);
    const half = tensorOf("float16", [1, 2, 3, 4], [2, 1, 2]);
    expect(steps(half, { ...gray, colorSpace: "GRAYSCALE_FLOAT16" }, 2).values).toEqual([
      tensorOf("float16", [1, 2], [1, 2]),
      tensorOf("float16", [3, 4], [1, 2]),
    ]);
  });

  test("may be a number for each step", () => {
    expect(steps(f32([1, 2]), { kind: "int64" }, 2).values).toEqual([1n, 2n]);
    expect(steps(f32([0.5, 2], [2, 1]), { kind: "double" }, 2).values).toEqual([0.5, 2]);
    expect(steps(3n, { kind: "double" }, 2)).toEqual({ isStepped: false, values: [3, 3] });
    expect(steps(f32([4]), { kind: "int64" }, 2)).toEqual({ isStepped: false, values: [4n, 4n] });
  });

  test("may be a sequence of whole numbers for each step, or the same", () => {
    expect(steps(tensorOf("int32", [1, 2, 3, 4], [2, 2]), ids, 2).values).toEqual([
      [1n, 2n],
      [3n, 4n],
    ]);
    expect(steps(tensorOf("int32", [1, 2]), ids, 2)).toMatchObject({
      isStepped: false,
      values: [
        [1n, 2n],
        [1n, 2n],
      ],
    });
    expect(steps([5n], ids, 2).values).toEqual([[5n], [5n]]);
  });

  test("is the same at every step where it is a string, a dictionary or a sequence of strings", () => {
    expect(steps("go", { kind: "string" }, 2)).toEqual({ isStepped: false, values: ["go", "go"] });
    const map = new Map([["a", 1]]);
    expect(steps(map, { kind: "dictionary", key: "string" }, 2).values).toEqual([map, map]);
    const words: FeatureType = { kind: "sequence", element: "string", size: { lower: 0, upper: undefined } };
    expect(steps(["a"], words, 2).values).toEqual([["a"], ["a"]]);
    expect(errorOf(() => readStepInput(f32([1]), feature({ kind: "string" }), 1)).message).toBe(
      'Cannot use input "x": the model wants a string, got a float32 array [1]',
    );
  });

  test("that could be both is refused, with what to write in its place", () => {
    const error = errorOf(() => readStepInput(f32(Array(8).fill(0), [4, 2]), feature(rows), 4));
    expect(describeError(error)).toBe(
      'BAD_INPUT: Cannot tell what input "x" is in a sequence of 4 steps: shape [4, 2] can be [4, 2] at every step, or [1, 2] at each of 4 steps',
    );
    expect(error.hint).toBe(
      "Give it the shape [4, 1, 2] for a value for each step; repeat it as [4, 4, 2] for the same at every step",
    );
    expect(steps(f32(Array(8).fill(0), [4, 1, 2]), rows, 4).isStepped).toBe(true);
    expect(steps(f32(Array(32).fill(0), [4, 4, 2]), rows, 4).isStepped).toBe(true);
    expect(steps(f32(Array(8).fill(0), [4, 2]), rows, 3).isStepped).toBe(false);
  });

  test("of one step that could be both and would differ is refused too", () => {
    const shapes: ShapeConstraint = { kind: "enumerated", shapes: [[2], [1, 2]] };
    const error = errorOf(() =>
      readStepInput(f32([1, 2], [1, 2]), feature(arrayType("float32", [2], shapes)), 1),
    );
    expect(error.message).toContain("can be [1, 2] at every step, or [2] at each of 1 steps");
  });

  test("with another number of steps is refused", () => {
    const error = errorOf(() => readStepInput(six, feature(row), 4));
    expect(describeError(error)).toBe(
      'BAD_INPUT: Cannot use input "x": it has values for 3 steps, the sequence has 4',
    );
    expect(error.details).toEqual({ name: "x", expected: 4, actual: 3 });
  });

  test("of any other shape is refused, with both that would do", () => {
    expect(errorOf(() => readStepInput(f32([1, 2, 3], [1, 3]), feature(row), 4)).message).toBe(
      'Cannot use input "x" in a sequence of 4 steps: it must be a float32 array [1, 2] (the same at every step), or have a leading axis of 4 before that (a value for each), got [1, 3]',
    );
    expect(errorOf(() => readStepInput(f32([1], []), feature(row), 4)).message).toContain("got []");
    expect(
      errorOf(() => readStepInput(tensorOf("uint8", [1, 2], [1, 2]), feature(color), 4)).message,
    ).toContain("it must be a picture [1, 2] in RGB (the same");
  });
});

describe("the first value of an input that is carried into", () => {
  test("is one value", () => {
    expect(readStartValue(f32([1, 2]), feature(row), "y")).toEqual(f32([1, 2], [1, 2]));
    expect(readStartValue(3, feature({ kind: "int64" }), "y")).toBe(3n);
    expect(readStartValue(f32(Array(8).fill(0), [4, 2]), feature(rows), "y")).toMatchObject({
      shape: [4, 2],
    });
  });

  test("cannot be one for each step", () => {
    const error = errorOf(() => readStartValue(f32([1, 2, 3, 4], [2, 1, 2]), feature(row), "y"));
    expect(describeError(error)).toBe(
      'BAD_INPUT: Cannot carry output "y" into input "x": the input has a value for each of 2 steps already',
    );
    expect(error.hint).toBe("Give its value for the first step only");
  });

  test("is refused like any input's when it does not fit", () => {
    expect(errorOf(() => readStartValue(f32([1, 2, 3]), feature(row), "y")).message).toStartWith(
      'Cannot use input "x": shape must be [1, 2]',
    );
  });
});

test("no array is a value of a type without arrays", () => {
  expect(fitValue([1], { kind: "string" })).toBeUndefined();
  expect(fitValue([2], { ...ids, element: "string" })).toBeUndefined();
  expect(fitValue([4], ids)).toBeUndefined();
  expect(fitValue([2, 2], { kind: "double" })).toBeUndefined();
});
