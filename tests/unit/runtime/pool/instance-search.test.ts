import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { InstanceSearch } from "../../../../src/runtime/pool/instance-search.ts";

/** Returns of instances under full load, at so many predictions a second for each size, until the search has settled. */
function settle(search: InstanceSearch, rateOf: (size: number) => number, startMs = 0): number {
  let nowMs = startMs;
  for (let calls = 0; search.stats.state === "searching"; calls++) {
    if (calls > 100_000) throw new Error("it never settles");
    nowMs += 1_000 / rateOf(search.size);
    search.note(nowMs, true);
  }
  return nowMs;
}

describe("the smallest size that is as good as the best", () => {
  test.each([
    ["throughput that grows with each", [100, 200, 300, 400], 4],
    ["one that is enough", [100, 101, 99, 100], 1],
    ["a device that two keep busy", [100, 180, 182, 183], 2],
    ["a device that more than three make slower", [100, 190, 250, 180], 3],
    ["a search with nothing to choose", [100], 1],
  ])("for %s", (_, rates, size) => {
    const search = new InstanceSearch({ most: rates.length });
    settle(search, (each) => rates[each - 1] ?? 0);
    expect(search.size).toBe(size);
    expect(search.stats).toMatchObject({ state: "settled", size, settled: 1 });
  });

  test("is told with what was measured", () => {
    const search = new InstanceSearch({ most: 2 });
    const endMs = settle(search, (size) => size * 100);
    expect(search.stats.throughput.map(({ size, perSecond }) => [size, Math.round(perSecond)])).toEqual([
      [1, 100],
      [2, 200],
    ]);
    expect(endMs).toBeLessThan(2_000); // two sizes, three trials each
  });

  test("also when calls are slow: a trial takes four of them, however long", () => {
    const search = new InstanceSearch({ most: 2 });
    settle(search, (size) => size * 0.5);
    expect(search.size).toBe(2);
  });

  test("and when they are not quite so slow, sixteen", () => {
    const search = new InstanceSearch({ most: 2 });
    // Forty calls a second, sixteen for each of six trials, and those between them.
    expect(settle(search, () => 40)).toBeGreaterThan((6 * 16 * 1_000) / 40);
  });

  test("within the noise of the best, in any noise of up to 4 %", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.5, max: 1, noNaN: true }), { minLength: 2, maxLength: 4 }),
        fc.infiniteStream(fc.double({ min: 0.96, max: 1.04, noNaN: true })),
        (shares, noise) => {
          const rates = shares.map((share) => 1_000 * share);
          const search = new InstanceSearch({ most: rates.length });
          settle(search, (size) => (rates[size - 1] ?? 0) * (noise.next().value ?? 1));
          const best = Math.max(...rates);
          expect(rates[search.size - 1] ?? 0).toBeGreaterThanOrEqual(best * 0.8);
        },
      ),
      { seed: 4, numRuns: 200 },
    );
  });
});

describe("only full load counts", () => {
  test("while an instance is idle nothing is measured", () => {
    const search = new InstanceSearch({ most: 3 });
    for (let nowMs = 0; nowMs < 60_000; nowMs++) search.note(nowMs, false);
    expect(search.stats).toEqual({ state: "searching", size: 3, settled: 0, throughput: [] });
  });

  test("a pause discards the trial it falls into", () => {
    const search = new InstanceSearch({ most: 2 });
    let nowMs = 0;
    const note = (stepMs: number, isFull = true) => search.note((nowMs += stepMs), isFull);
    for (let pause = 0; pause < 100; pause++) {
      for (let i = 0; i < 15; i++) note(10);
      note(1_000, false);
    }
    expect(search.stats).toEqual({ state: "searching", size: 2, settled: 0, throughput: [] });
    settle(search, (size) => size * 100, nowMs);
    expect(Math.round(search.stats.throughput[1]?.perSecond ?? 0)).toBe(200);
  });
});

test("after ten minutes it is measured again, and what was found stays known meanwhile", () => {
  const search = new InstanceSearch({ most: 2 });
  const endMs = settle(search, (size) => size * 100);
  search.note(endMs + 599_000, true);
  expect(search.stats).toMatchObject({ state: "settled", size: 2 });
  search.note(endMs + 600_000, true);
  expect(search.stats).toMatchObject({
    state: "searching",
    settled: 1,
    throughput: [{ size: 1 }, { size: 2 }],
  });
  settle(search, () => 100, endMs + 600_000);
  expect(search.stats).toMatchObject({ state: "settled", size: 1, settled: 2 });
});
