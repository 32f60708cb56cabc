import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { makeScale } from "../../../src/report/scale.ts";

describe("the axis of a chart", () => {
  test.each([
    [
      [0, 10],
      ["0", "2", "4", "6", "8", "10"],
    ],
    [
      [0.1, 0.37],
      ["0.1", "0.2", "0.3", "0.4"],
    ],
    [
      [1_234, 5_678],
      ["1,000", "2,000", "3,000", "4,000", "5,000", "6,000"],
    ],
    [
      [-3, 4],
      ["-4", "-2", "0", "2", "4"],
    ],
    [[50], ["44", "46", "48", "50", "52", "54", "56"]],
    [[], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]],
  ])("over %p has round numbers", (values, ticks) => {
    const scale = makeScale(values);
    expect(scale.ticks.map(scale.format)).toEqual(ticks);
  });

  test("holds every value between its ends, in order, with few ticks", () => {
    const finite = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e12, max: 1e12 });
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1, maxLength: 20 }), fc.boolean(), (values, isFromZero) => {
        const scale = makeScale(values, { isFromZero });
        const slack = (scale.high - scale.low) * 1e-6;
        expect(scale.low).toBeLessThan(scale.high);
        for (const value of values) {
          expect(value).toBeGreaterThanOrEqual(scale.low - slack);
          expect(value).toBeLessThanOrEqual(scale.high + slack);
        }
        expect(scale.ticks.length).toBeGreaterThan(1);
        expect(scale.ticks.length).toBeLessThan(12);
        if (isFromZero) expect(scale.place(0)).toBeWithin(0, 1 + 1e-9);
      }),
    );
  });

  test("says nothing of values that are none", () => {
    expect(makeScale([Number.NaN, Number.POSITIVE_INFINITY, -1e308, 1e308, 1, 2]).high).toBe(2);
  });
});
