// What counts as memory that grows: straight lines above a limit, at any pace; and not steps, noise or idleness.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { type MemoryGrowth, MemoryWatch } from "../../../../src/runtime/pool/memory-watch.ts";

const mebi = 1024 ** 2;
const limitBytes = 100 * mebi;

/** Feeds one sample after the other until growth is found: gives its index, and what was found. */
function watch(samples: readonly (readonly [predictions: number, bytes: number])[]) {
  const memory = new MemoryWatch(limitBytes);
  for (const [index, [predictions, bytes]] of samples.entries()) {
    const growth = memory.add(predictions, bytes);
    if (growth) return { index, growth };
  }
  return undefined;
}

const every = (count: number, bytesAt: (sample: number) => number) =>
  Array.from({ length: count }, (_, sample) => [sample * 100, bytesAt(sample)] as const);

test("a quick leak is found as soon as there are samples enough, with its slope", () => {
  const found = watch(every(100, (sample) => 50 * mebi + sample * 20 * mebi));
  expect(found).toEqual({
    index: 14,
    growth: {
      growthBytes: expect.closeTo(280 * mebi, 0),
      predictions: 1_400,
      bytesPerPrediction: expect.closeTo(0.2 * mebi, 3),
    } satisfies Record<keyof MemoryGrowth, unknown>,
  });
});

test("a slow leak is found over hours, when it has passed the limit", () => {
  // 20 KB per sample of 2 s: 100 MB after some 5,000 samples, which is 3 hours.
  const found = watch(every(10_000, (sample) => 50 * mebi + sample * 20 * 1024));
  expect(found?.index).toBeGreaterThan(5_100);
  expect(found?.index).toBeLessThan(5_400);
});

test("a leak that begins after a long healthy time is found as quickly as a new one", () => {
  const begin = 5_000;
  const found = watch(every(10_000, (s) => 50 * mebi + Math.max(0, s - begin) * 4 * mebi));
  expect((found?.index ?? 0) - begin).toBeLessThan(120);
});

test("one step, however high and whenever it comes, is no growth", () => {
  for (const at of [1, 5, 60, 119, 500]) {
    expect(watch(every(2_000, (sample) => (sample < at ? 50 : 900) * mebi))).toBeUndefined();
  }
});

test("memory that swings around a level is no growth", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 300, maxLength: 300 }), (swings) => {
      // Warm up first: a handful of random points may lie on a line.
      const level = every(300, () => 250 * mebi);
      const later = swings.map((swing, i) => [(300 + i) * 100, (50 + swing) * mebi] as const);
      expect(watch([...level, ...later])).toBeUndefined();
    }),
    { numRuns: 100, seed: 7 },
  );
});

test("growth below the limit, and growth without predictions, are put up with", () => {
  expect(watch(every(120, (sample) => 50 * mebi + sample * 0.8 * mebi))).toBeUndefined();
  const idle = Array.from({ length: 1_000 }, (_, sample) => [7, sample * 100 * mebi] as const);
  expect(watch(idle)).toBeUndefined();
});
