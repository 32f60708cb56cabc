import { describe, expect, test } from "bun:test";
import { f32, tensorOf } from "../../../../src/core/tensor.ts";
import { comparePair, summarizeFigures } from "../../../../src/suites/parity/compare.ts";
import { pairValues } from "../../../../src/suites/parity/values.ts";
import { errorOf } from "../../../support/codec-fixtures.ts";

const compare = (subject: Parameters<typeof pairValues>[1], reference: Parameters<typeof pairValues>[2]) =>
  comparePair(pairValues("y", subject, reference), 2);

describe("two arrays", () => {
  test("have the figures that a calculation by hand gives", () => {
    // Errors 0, 0.5, 1 and 0; the span of the reference is 6, its greatest magnitude 4.
    const figures = compare(f32([4, 1.5, -1, 0]), f32([4, 1, -2, 0]));
    expect(figures).toEqual({
      count: 4,
      isEqual: false,
      odd: 0,
      maxAbs: 1,
      meanAbs: 0.375,
      maxRel: 0.5,
      ofRange: 0.25,
      cosine: expect.closeTo((16 + 1.5 + 2) / (Math.sqrt(16 + 2.25 + 1) * Math.sqrt(21)), 12),
      psnrDb: expect.closeTo(20 * Math.log10(6 / Math.sqrt(1.25 / 4)), 10),
      ulp32: [
        [0, 2],
        [2 ** 22, 1],
        [2 ** 23, 1],
      ],
      ulp16: [
        [0, 2],
        [512, 1],
        [1024, 1],
      ],
      isTopSame: true,
      topShared: 1,
    });
  });

  test("that are equal have no error, no ratio, and nothing to object to", () => {
    expect(compare(f32([1, 2]), f32([1, 2]))).toMatchObject({
      isEqual: true,
      maxAbs: 0,
      psnrDb: null,
      cosine: expect.closeTo(1, 12),
    });
  });

  test("agree where both are NaN or both the same infinity, and are odd where one is", () => {
    const [nan, inf] = [Number.NaN, Number.POSITIVE_INFINITY];
    expect(compare(f32([nan, inf, -inf, 1]), f32([nan, inf, -inf, 1]))).toMatchObject({
      isEqual: true,
      odd: 0,
    });
    expect(compare(f32([nan, inf, 5, 1]), f32([2, -inf, nan, 1]))).toMatchObject({
      isEqual: false,
      odd: 3,
      maxAbs: 0,
      count: 4,
    });
  });

  test("of which the reference is nothing but zeros have an error without a scale", () => {
    expect(compare(f32([1e-3]), f32([0]))).toMatchObject({
      ofRange: Number.MAX_VALUE,
      cosine: null,
      maxRel: 0,
    });
  });

  test("rank by value and then by place, whatever NaN is among them", () => {
    const figures = compare(f32([Number.NaN, 3, 3, 1]), f32([9, 3, 5, 1]));
    expect(figures).toMatchObject({ isTopSame: false, topShared: 0.5 });
    expect(compare(f32([1, 2, 3, 4], [2, 2]), f32([4, 3, 2, 1], [2, 2])).isTopSame).toBeNull();
  });

  test("of whole numbers have no steps between floats", () => {
    const figures = compare(tensorOf("int32", [1, 5]), tensorOf("int32", [1, 7]));
    expect(figures).toMatchObject({ maxAbs: 2, ulp16: [], ulp32: [], isTopSame: null });
  });

  test("may differ by axes of one, and in nothing else of their shape", () => {
    expect(compare(f32([1, 2], [1, 2, 1]), f32([1, 2])).isEqual).toBe(true);
    expect(errorOf(() => compare(f32([1, 2, 3, 4], [2, 2]), f32([1, 2, 3, 4])))).toMatchObject({
      code: "BAD_INPUT",
      message: 'Cannot compare output "y": float32 [2, 2] with float32 [4]',
    });
  });
});

describe("other values", () => {
  test("of a dictionary are compared by key, or with an array in the order of the keys", () => {
    const scores = new Map([
      ["cat", 0.5],
      ["dog", 0.25],
    ]);
    expect(compare(scores, new Map([...scores].toReversed())).isEqual).toBe(true);
    expect(compare(scores, f32([0.5, 0.5]))).toMatchObject({ maxAbs: 0.25, isTopSame: true });
    expect(
      errorOf(() =>
        compare(
          scores,
          new Map([
            ["cat", 1],
            ["cow", 1],
          ]),
        ),
      ).message,
    ).toBe('Cannot compare output "y": other keys on one side: no "cow"');
  });

  test("are equal or not where they are words, and never a number", () => {
    expect(compare("cat", "cat")).toMatchObject({ isEqual: true, count: 1 });
    expect(compare(["a", "b"], ["a", "c"])).toMatchObject({ isEqual: false });
    expect(errorOf(() => compare("1", 1)).message).toBe('Cannot compare output "y": a string with a number');
  });
});

test("over several inputs each figure is the worst, and the place of the worst is told", () => {
  const all = [
    compare(f32([1, 2]), f32([1, 2])),
    compare(f32([1, 2.5]), f32([1, 2])),
    compare(f32([1, 1.9]), f32([1, 2])),
  ];
  expect(summarizeFigures(all)).toMatchObject({
    inputs: 3,
    equalInputs: 1,
    count: 6,
    maxAbs: 0.5,
    meanAbs: expect.closeTo(0.1, 6),
    ofRange: 0.25,
    worstInput: 1,
    topSame: 1,
    cosine: all[1]?.cosine,
  });
  const odd = compare(f32([Number.NaN, 2]), f32([1, 2]));
  expect(summarizeFigures([...all, odd]).worstInput).toBe(3);
});
