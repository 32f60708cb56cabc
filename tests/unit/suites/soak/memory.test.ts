// Expected values: scipy.stats.linregress, and numpy's least squares with a level for each process.

import { describe, expect, test } from "bun:test";
import { fitMemorySlope, measureGrowth, type MemoryPoint } from "../../../../src/suites/soak/memory.ts";
import { memoryLines } from "../../../../src/suites/soak/result.ts";

const line = (seconds: readonly number[], megabytes: readonly number[]): MemoryPoint[] =>
  seconds.map((at, i) => ({ atMs: at * 1_000, bytes: (megabytes[i] ?? 0) * 1e6 }));

const first = line([0, 60, 120, 180, 240], [100, 100.5, 102.5, 103, 104.5]);
const second = line([300, 360, 420, 480], [80, 82, 82.5, 84]);

describe("the slope of memory", () => {
  test("is that of the least squares, in bytes an hour, with its interval", () => {
    const slope = fitMemorySlope([first]);
    expect(slope?.estimate).toBeCloseTo(69e6, 0);
    expect(slope?.low).toBeCloseTo(44_973_057.3, 0);
    expect(slope?.high).toBeCloseTo(93_026_942.7, 0);
  });

  test("of two processes does not count the step between their levels", () => {
    const slope = fitMemorySlope([first, second]);
    expect(slope?.estimate).toBeCloseTo(71e6, 0);
    expect(slope?.low).toBeCloseTo(56_455_103.7, 0);
    expect(slope?.high).toBeCloseTo(85_544_896.3, 0);
  });

  test("is unknown for two points, one moment or none", () => {
    expect(fitMemorySlope([first.slice(0, 2)])).toBeUndefined();
    expect(fitMemorySlope([line([5, 5, 5], [1, 2, 3])])).toBeUndefined();
    expect(fitMemorySlope([[], []])).toBeUndefined();
  });
});

describe("the growth of memory", () => {
  test("is the last tenth less the first, by medians, so that one peak is no growth", () => {
    const bytes = Array.from({ length: 40 }, (_, i) => (i === 38 ? 900 : 100 + i));
    const points = line(
      bytes.map((_, i) => i),
      bytes,
    );
    // Four points each: 100 to 103, and 136, 137, 900, 139.
    expect(measureGrowth([points])).toBeCloseTo((138 - 101.5) * 1e6, 3);
  });

  test("is that of the process that grew most", () => {
    expect(measureGrowth([first, second])).toBe(4.5e6);
    expect(measureGrowth([second, line([0, 1], [5, 90])])).toBe(85e6);
    expect(measureGrowth([line([0], [5])])).toBeUndefined();
  });
});

test("blocks become a line for each process, without those that were void or had no sample", () => {
  const block = { fromMs: 0, toMs: 1_000, process: 0, isVoid: false, residentBytes: 5, models: [] };
  expect(
    memoryLines([
      block,
      { ...block, isVoid: true, residentBytes: 900 },
      { ...block, residentBytes: null },
      { ...block, fromMs: 1_000, toMs: 2_000, process: 1, residentBytes: 6 },
      { ...block, fromMs: 2_000, toMs: 3_000, process: 1, residentBytes: 7 },
    ]),
  ).toEqual([
    [{ atMs: 500, bytes: 5 }],
    [
      { atMs: 1_500, bytes: 6 },
      { atMs: 2_500, bytes: 7 },
    ],
  ]);
});
