import { describe, expect, test } from "bun:test";
import { randomSource } from "../../../../src/codecs/generate.ts";
import { RunEstimate } from "../../../../src/runtime/pool/run-estimate.ts";

function estimateAfter(runs: readonly number[]): RunEstimate {
  const estimate = new RunEstimate();
  for (const tookMs of runs) estimate.add(tookMs);
  return estimate;
}

describe("how long a run may take", () => {
  test("nothing is needed before the first run, and any time is fair", () => {
    const estimate = new RunEstimate();
    expect([estimate.neededMs, estimate.wasFair(0)]).toEqual([0, true]);
  });

  test("follows RFC 6298: the first run counts for itself and half of it, later ones for an eighth and a quarter", () => {
    expect(estimateAfter([80]).neededMs).toBe(80 + 4 * 40);
    // mean 80 + (160 - 80) / 8 = 90, deviation 40 + (80 - 40) / 4 = 50
    expect(estimateAfter([80, 160]).neededMs).toBe(90 + 4 * 50);
  });

  test("comes down to a steady run's own time, however long the first one took", () => {
    const { neededMs } = estimateAfter([5_000, ...Array<number>(100).fill(10)]);
    expect(neededMs).toBeGreaterThanOrEqual(10);
    expect(neededMs).toBeLessThan(10.5);
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
    expect(estimate.neededMs).toBeLessThan(40);
  });

  test("a run that was given up raises it, and never lowers it", () => {
    const estimate = estimateAfter(Array<number>(100).fill(100));
    estimate.addUnfinished(1);
    expect(estimate.neededMs).toBeCloseTo(100, 3);
    estimate.addUnfinished(300);
    expect(estimate.neededMs).toBeGreaterThan(300);
  });

  test("twice the needed time was fair, less was not", () => {
    const estimate = estimateAfter([80]);
    expect([estimate.wasFair(479), estimate.wasFair(480)]).toEqual([false, true]);
  });
});
