import { describe, expect, test } from "bun:test";
import { formatSoakProgress, formatSoakWindow } from "../../../src/cli/soak-text.ts";
import type { SoakProgress } from "../../../src/suites/soak.ts";

const measured: SoakProgress = {
  phase: "measured",
  share: 0.314,
  elapsedMs: 1_130_000,
  completed: 12_345,
  failed: 0,
  wrong: 0,
  ratePerSecond: 10.9,
  p50Ms: 1.234,
  p99Ms: 5.6,
  slopeBytesPerHour: 3.1e6,
  residentBytes: 150e6,
  pools: [
    { model: "a", breaker: "closed", busy: 1, alive: 2, waiting: 0 },
    { model: "b", breaker: "closed", busy: 0, alive: 1, waiting: 0 },
  ],
};

describe("the live line of a soak", () => {
  test("says progress, rate, latency, memory with its slope, pool and breaker", () => {
    expect(formatSoakProgress(measured)).toBe(
      "31 % · 18 min 50 s · 12,345 answers · 10.9/s · p50 1.23 ms · p99 5.6 ms · 150 MB (+3.1 MB/h) · 1 of 3 busy · breaker closed",
    );
  });

  test("names what went wrong", () => {
    const pools = [{ model: "a\u001b[2J", breaker: "open", busy: 0, alive: 2, waiting: 0 }];
    const line = formatSoakProgress({
      ...measured,
      elapsedMs: 3_900_000,
      failed: 2,
      wrong: 1,
      slopeBytesPerHour: -2e3,
      pools,
    });
    expect(line).toStartWith("31 % · 1 h 05 min · ");
    expect(line).toEndWith(
      " · 150 MB (-2.0 kB/h) · 0 of 2 busy · breaker of a\\x1b[2J open · 2 failed · 1 wrong",
    );
  });
});

test("a window has a line with each model", () => {
  const quiet = { completed: 0, failed: 0, wrong: 0, p50Ms: null, p99Ms: null, maxMs: null };
  const window = {
    fromMs: 0,
    toMs: 300_000,
    process: 0,
    isVoid: true,
    residentBytes: 120e6,
    models: [{ completed: 1_500, failed: 1, wrong: 2, p50Ms: 2, p99Ms: 9, maxMs: 12 }, quiet],
    thermalState: "fair",
    powerSource: null,
    powerWatts: null,
  } as const;
  expect(formatSoakWindow({ ...window, models: [...window.models] }, ["a", "b"])).toBe(
    "5 min 00 s · a 1,500 answers, p50 2 ms, p99 9 ms, 1 failed, 2 wrong · b 0 answers · 120 MB · fair · not judged",
  );
});
