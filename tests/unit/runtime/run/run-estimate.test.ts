import { describe, expect, test } from "bun:test";
import { randomSource } from "../../../../src/codecs/generate.ts";
import { RunEstimate } from "../../../../src/runtime/run/run-estimate.ts";

function estimateAfter(runs: readonly number[]): RunEstimate {
  const estimate = new RunEstimate();
  for (const tookMs of runs) estimate.add(tookMs);
  return estimate;
}

describe("how long a run may take", () => {
  test("is not known before the third run, and until then any time is fair", () => {
    const estimate = estimateAfter([80, 80]);
    expect([estimate.neededMs, estimate.wasFair(0)]).toEqual([0, true]);
    estimate.add(80);
    expect(estimate.neededMs).toBe(100);
  });

  test("is a quarter more than the third longest of the last 32 took", () => {
    const runs = Array.from({ length: 40 }, (_, i) => 100 - i); // the last 32: 92 down to 61
    expect(estimateAfter(runs).neededMs).toBe(1.25 * 90);
  });

  test("does not follow one or two slow runs, as a first one is", () => {
    expect(estimateAfter([6_000, 10, 10, 10, 10, 4_000, 10]).neededMs).toBe(12.5);
  });

  test("follows a model that has become slow, whose runs are all given up", () => {
    const estimate = estimateAfter(Array<number>(32).fill(10));
    for (const atLeastMs of [11, 50, 50, 50]) estimate.addUnfinished(atLeastMs);
    expect(estimate.neededMs).toBe(62.5);
  });

  test("covers nearly every run of a model whose runs differ by half", () => {
    const next = randomSource("runs of 10 to 20 ms");
    const estimate = new RunEstimate();
    let longer = 0;
    for (let run = 0; run < 2_000; run++) {
      const tookMs = 10 + (10 * next()) / 2 ** 32;
      if (run >= 50 && tookMs > estimate.neededMs) longer++;
      estimate.add(tookMs);
    }
    expect(longer).toBeLessThan(20);
    expect(estimate.neededMs).toBeLessThanOrEqual(25);
  });

  test("twice the needed time was fair, less was not", () => {
    const estimate = estimateAfter([80, 80, 80]);
    expect([estimate.wasFair(199), estimate.wasFair(200)]).toEqual([false, true]);
  });
});
