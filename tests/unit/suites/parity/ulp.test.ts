import { expect, test } from "bun:test";
import fc from "fast-check";
import { halfDistance, singleDistance, sumRows, UlpHistogram } from "../../../../src/suites/parity/ulp.ts";

test("neighbouring floats are one step apart, across zero and up to infinity", () => {
  expect(singleDistance(1, 1 + 2 ** -23)).toBe(1);
  expect(singleDistance(2 ** -149, -(2 ** -149))).toBe(2);
  expect(singleDistance(0, -0)).toBe(0);
  expect(halfDistance(1, 1 + 2 ** -10)).toBe(1);
  expect(halfDistance(65_504, 70_000)).toBe(1); // the greatest, and what does not fit
  expect(halfDistance(-(2 ** -24), 2 ** -24)).toBe(2);
  // All finite float16 values: 31 exponents of 1024 each, both signs, zero once.
  expect(halfDistance(-65_504, 65_504)).toBe(2 * (31 * 1024 - 1));
});

test("a walk of n steps ends n steps away, whichever float it starts from", () => {
  const bits = new Uint16Array(1);
  const value = new Float16Array(bits.buffer);
  const at = (pattern: number) => {
    bits[0] = pattern;
    return value[0] ?? Number.NaN;
  };
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x7bff }), fc.integer({ min: 0, max: 0x7bff }), (a, b) => {
      expect(halfDistance(at(a), at(b))).toBe(Math.abs(a - b));
      expect(halfDistance(at(a), at(0x8000 + b))).toBe(a + b);
    }),
    { seed: 7, numRuns: 500 },
  );
});

test("a histogram has rows that end at powers of two, without those that are empty", () => {
  const histogram = new UlpHistogram();
  for (const distance of [0, 0, 1, 2, 3, 4, 5, 8, 9, 2 ** 31]) histogram.add(distance);
  const rows = [
    [0, 2],
    [1, 1],
    [2, 1],
    [4, 2],
    [8, 2],
    [16, 1],
    [2 ** 31, 1],
  ];
  expect(histogram.rows()).toEqual(rows as [number, number][]);
  expect(
    sumRows([
      [[0, 2]],
      [[4, 1]],
      [
        [0, 1],
        [1, 5],
      ],
    ]),
  ).toEqual([
    [0, 3],
    [1, 5],
    [4, 1],
  ]);
});
