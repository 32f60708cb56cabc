import { describe, expect, test } from "bun:test";
import {
  allowsShape,
  checkShape,
  defaultShape,
  describeShapes,
  fitShape,
} from "../../../src/codecs/shape.ts";
import type { ImageType, MultiArrayType } from "../../../src/core/model.ts";
import { arrayType, errorOf } from "../../support/codec-fixtures.ts";

const fixed = arrayType("float32", [1, 3, 8, 8]);
const enumerated = arrayType("float32", [1, 8], {
  kind: "enumerated",
  shapes: [
    [1, 8],
    [1, 16],
  ],
});
const range = arrayType("float32", [1, 8], {
  kind: "range",
  axes: [
    { lower: 1, upper: 1 },
    { lower: 2, upper: 16 },
  ],
});
const open = arrayType("float32", [1, 8], {
  kind: "range",
  axes: [
    { lower: 1, upper: undefined },
    { lower: 2, upper: undefined },
  ],
});
const image: ImageType = {
  kind: "image",
  width: 4,
  height: 2,
  colorSpace: "RGB",
  constraint: { kind: "fixed" },
};

test("allowed shapes pass", () => {
  checkShape([1, 3, 8, 8], fixed);
  checkShape([1, 16], enumerated);
  checkShape([1, 2], range);
  checkShape([9, 1_000_000], open);
  checkShape([], arrayType("float32", []));
  checkShape([2, 4], image);
});

describe("a wrong shape is told what was expected and got", () => {
  const many = arrayType("float32", [0], {
    kind: "enumerated",
    shapes: Array.from({ length: 10 }, (_, i) => [i]),
  });
  const cases: readonly (readonly [readonly number[], MultiArrayType | ImageType, string])[] = [
    [[1, 3, 8, 9], fixed, "shape must be [1, 3, 8, 8], got [1, 3, 8, 9]: axis 3 must be 8"],
    [[3, 8, 8], fixed, "shape must be [1, 3, 8, 8] (4 axes), got [3, 8, 8] (3 axes)"],
    [[1, 9], enumerated, "shape must be one of [1, 8], [1, 16], got [1, 9]"],
    [[11], many, "shape must be one of [0], [1], [2], [3], [4], [5], [6], [7], and 2 more, got [11]"],
    [[1, 17], range, "shape must be [1, 2..16], got [1, 17]: axis 1 must be 2..16"],
    [[0, 2], open, "shape must be [1.., 2..], got [0, 2]: axis 0 must be 1.."],
    [[4, 2], image, "size [height, width] must be [2, 4], got [4, 2]: axis 0 must be 2"],
  ];
  for (const [shape, type, reason] of cases)
    test(reason, () => {
      const error = errorOf(() => checkShape(shape, type, 'input "x"'));
      expect(error.message).toBe(`Cannot use input "x": ${reason}`);
      expect(error.code).toBe("BAD_INPUT");
      expect(error.details).toEqual({ expected: describeShapes(type), actual: shape });
    });

  test("where only the arrangement is wrong, a hint says so", () => {
    expect(errorOf(() => checkShape([64, 3], fixed)).hint).toBe(
      "The number of elements is right: reshape it to [1, 3, 8, 8]",
    );
    expect(errorOf(() => checkShape([63, 3], fixed)).hint).toBeUndefined();
  });
});

test("only one leading axis of 1 is added, and a scalar loses its axis; nothing else is reshaped", () => {
  expect(fitShape([1, 3, 8, 8], fixed)).toEqual([1, 3, 8, 8]);
  expect(fitShape([3, 8, 8], fixed)).toEqual([1, 3, 8, 8]);
  expect(fitShape([16], range)).toEqual([1, 16]);
  expect(fitShape([16], enumerated)).toEqual([1, 16]);
  expect(fitShape([], arrayType("float32", [1]))).toEqual([1]);
  expect(fitShape([1], arrayType("float32", []))).toEqual([]);
  expect(fitShape([8, 8], arrayType("float32", [1, 1, 8, 8]))).toBeUndefined();
  expect(fitShape([1, 1, 3, 8, 8], fixed)).toBeUndefined();
  expect(fitShape([8, 8, 3], fixed)).toBeUndefined();
  expect(fitShape([8], arrayType("float32", [2, 8]))).toBeUndefined();
});

test("a picture's shape is [height, width]", () => {
  expect(defaultShape(image)).toEqual([2, 4]);
  expect(
    allowsShape([3, 9], {
      ...image,
      constraint: {
        kind: "range",
        axes: [
          { lower: 1, upper: 3 },
          { lower: 1, upper: undefined },
        ],
      },
    }),
  ).toBe(true);
});
