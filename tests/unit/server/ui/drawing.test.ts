// Pixels and lines, against values worked out by hand.

import { describe, expect, test } from "bun:test";
import type { PictureView } from "../../../../src/server/ui/answer-plan.ts";
import { linePath, rangeOf, toPixels } from "../../../../src/server/ui/drawing.ts";

function picture(own: Partial<PictureView>): PictureView {
  const layout = { kind: "channels", count: 1 } as const;
  return { kind: "picture", width: 2, height: 1, layout, values: [], isBytes: true, ...own };
}

function rgbaOf(view: PictureView): readonly (readonly number[])[] {
  return toPixels(view).map(({ rgba }) => [...rgba]);
}

describe("pixels", () => {
  test("of gray bytes are those bytes", () => {
    expect(rgbaOf(picture({ values: [7, 255] }))).toEqual([[7, 7, 7, 255, 255, 255, 255, 255]]);
  });

  test("of colours are found in both layouts", () => {
    const expected = [[1, 2, 3, 255, 4, 5, 6, 255]];
    expect(rgbaOf(picture({ values: [1, 2, 3, 4, 5, 6], layout: { kind: "channels", count: 3 } }))).toEqual(
      expected,
    );
    expect(rgbaOf(picture({ values: [1, 4, 2, 5, 3, 6], layout: { kind: "colors", count: 3 } }))).toEqual(
      expected,
    );
  });

  test("of planes are a picture each, over one scale", () => {
    expect(
      rgbaOf(picture({ values: [-1, 0, 1, 3], isBytes: false, layout: { kind: "planes", count: 2 } })),
    ).toEqual([
      [0, 0, 0, 255, 64, 64, 64, 255],
      [128, 128, 128, 255, 255, 255, 255, 255],
    ]);
  });

  test("that are no number, or all the same, are black", () => {
    expect(rgbaOf(picture({ values: [Number.NaN, 5], isBytes: false }))).toEqual([
      [0, 0, 0, 255, 0, 0, 0, 255],
    ]);
  });
});

test("a range leaves out what is not finite", () => {
  expect(rangeOf([Number.NaN, -2, Infinity, 3])).toEqual({ least: -2, greatest: 3 });
  expect(rangeOf([])).toEqual({ least: 0, greatest: 0 });
});

describe("a line", () => {
  test("goes through every value, the greatest on top", () => {
    expect(linePath([0, 2, 1], 100, 50)).toBe("M0.0 50.0L50.0 0.0L100.0 25.0");
  });

  test("has a gap where there is no number", () => {
    expect(linePath([0, Number.NaN, 1, 1], 30, 10)).toBe("M0.0 10.0M20.0 0.0L30.0 0.0");
  });

  test("of a long signal keeps its peaks, and is short", () => {
    const values = Array.from({ length: 100_000 }, () => 0);
    values[77_777] = 5;
    values[33_333] = -5;
    const path = linePath(values, 100, 10);
    expect(path.match(/[ML]/g)?.length).toBeLessThanOrEqual(200);
    expect(path).toContain("77.8 0.0");
    expect(path).toContain("33.3 10.0");
  });
});
