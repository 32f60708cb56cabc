import { describe, expect, test } from "bun:test";
import { formatBench, formatProgress } from "../../../src/cli/bench-text.ts";
import type { Io } from "../../../src/cli/output.ts";
import { runProgram } from "../../../src/cli/program.ts";
import type { BenchResult } from "../../../src/suites/schemas.ts";
import { benchResult, latencyOfTen, steadyResult } from "../../support/bench-result.ts";
import { digitsPackage } from "../../support/digits.ts";
import { tempFolder } from "../../support/temp.ts";

function linesOf(result: BenchResult, hasBars = false): string[] {
  return formatBench(result, { paint: (_, text) => text, hasBars }).split("\n");
}

describe("a bench on paper", () => {
  test("instances that nobody chose are shown as what came of it", () => {
    const instancesOf = (instances: number | "auto" | null) => {
      const configuration = { ...benchResult.configuration, instances };
      const pool = benchResult.pool && { ...benchResult.pool, most: 4, allowed: 3 };
      return linesOf({ ...benchResult, configuration, pool })[3]?.split(" · ")[1];
    };
    expect([instancesOf(2), instancesOf(null), instancesOf("auto")]).toEqual([
      "instances 2",
      "instances up to 4",
      "instances auto: 3 of up to 4",
    ]);
  });

  test("shows what an engine plans to run where, as a plan", () => {
    const ane = { device: "ane", preferredShare: 0.75, costShare: 0.904, supportedShare: 1 };
    const cpu = { device: "cpu", preferredShare: 0.25, costShare: null, supportedShare: 1 };
    const gpu = { device: "gpu", preferredShare: 0, costShare: 0, supportedShare: 0.5 };
    const planOf = (dispatch: string) =>
      linesOf({ ...benchResult, plan: { dispatch, operations: 4, unknown: 0, devices: [cpu, gpu, ane] } })[4];
    expect(planOf("planned")).toBe("planned for 4 operations: cpu 25 % · ane 75 %, 90 % of the cost");
    expect(planOf("not measured")).toBe("planned: not measured");
  });

  test("says what ran, the cold start, the steady state and the cost", () => {
    expect(linesOf(benchResult)).toEqual([
      "Digits.mlpackage",
      "mlProgram · ONNX Runtime 1.27.0 · cpu",
      "Example CPU, 2 cores · linux 6.18.0 · coremlx 0.1.0 (0123456789ab) · Bun 1.4.5",
      "4 callers · instances 2 · threads auto · inputs random, seed 0 · warm-up 1 s · measured 1,000 calls",
      "",
      "cold start  open 12 ms · compile 145 ms · load 200 ms · first prediction 20.5 ms",
      "steady      1,000 predictions in 10 s · 100/s · none failed",
      "",
      "                   p50      p90      p99   p99.9     max     mean     min",
      "latency          10 ms  12.5 ms  19.5 ms  105 ms  1.25 s  10.3 ms  9.5 ms",
      "in the engine  65.1 µs  12.5 ms  19.5 ms  105 ms  1.25 s  10.3 ms  9.5 ms",
      "",
      "median      10 ms, with 95 % confidence 9.9 ms to 10.1 ms",
      "processors  0.50 busy · 5 ms for each prediction · 0.05 busy for others",
      "memory      40.0 MB before loading · 110 MB loaded · 120 MB at the start · 121 MB at the end · peak 122 MB · slope +100 kB/s (95 %: -50.0 kB to +250 kB)",
      "energy      not measured",
      "buffers     2,000 lent, 99.95 % hits · 16.4 kB held · 8.2 kB allocated since the first prediction",
    ]);
  });

  test("shows on a terminal how the latencies are spread", () => {
    const lines = linesOf(benchResult, true);
    const at = lines.findIndex((line) => line.includes("▇"));
    expect(lines.slice(at, at + 11)).toEqual([
      `    9.5 ms  ${"▇".repeat(40)}  400`,
      `   10.5 ms  ${"▇".repeat(20)}                      200`,
      `   11.5 ms  ${"▇".repeat(39)}   390`,
      ...[12.5, 13.5, 14.5, 15.5, 16.5, 17.5, 18.5].map((ms) => `   ${ms} ms  ${" ".repeat(40)}  0`),
      `beyond p99  ▇${" ".repeat(39)}  10`,
    ]);
  });

  test("shows one bar where all latencies are the same", () => {
    const latency = { ...latencyOfTen, minMs: 10, p99Ms: 10 };
    const steady = { ...steadyResult, latency, histogram: [[10, 10.02, 1_000] as [number, number, number]] };
    const bars = linesOf({ ...benchResult, steady }, true).filter((line) => line.includes("▇"));
    expect(bars).toEqual([`     10 ms  ${"▇".repeat(40)}  1,000`]);
  });

  test("describes an open load, failures and calls that were not made", () => {
    const steady = {
      ...steadyResult,
      failed: 3,
      unsent: 1_200,
      sendDelay: latencyOfTen,
      memory: { ...steadyResult.memory, slope: null },
      failures: [
        { code: "OVERLOADED", count: 3, message: "Full\u001b[31m", latency: { ...latencyOfTen, count: 3 } },
      ],
    };
    const load = { mode: "open", ratePerSecond: 12.5, arrivals: "poisson", seed: 1 } as const;
    const configuration = {
      ...benchResult.configuration,
      load,
      instances: null,
      threads: 1,
      warmup: { count: 0, durationMs: null },
      measure: { count: 50, durationMs: 2_500 },
    };
    const lines = linesOf({ ...benchResult, steady, configuration, pool: null });
    expect(lines[3]).toBe(
      "12.5 calls a second, Poisson · instances by the machine · threads 1 · inputs random, seed 0 · warm-up 0 calls · measured 50 calls or 2.5 s",
    );
    expect(lines).toContain("steady      1,000 predictions in 10 s · 100/s · 3 failed · 1,200 not sent");
    expect(lines).toContain("failed      3 OVERLOADED after 10 ms (p99 19.5 ms): Full\\x1b[31m");
    expect(lines.some((line) => line.startsWith("sent late "))).toBe(true);
    expect(lines.some((line) => line.startsWith("buffers "))).toBe(false);
    expect(lines.join()).not.toContain("slope");
    const even = { ...configuration, load: { ...load, arrivals: "fixed" as const } };
    expect(linesOf({ ...benchResult, configuration: even })[3]).toStartWith(
      "12.5 calls a second, evenly spaced",
    );
  });

  test("says where a model came from the cache, and where it runs in the caller's thread", () => {
    const pool = benchResult.pool && { ...benchResult.pool, isInline: true };
    const cold = { ...benchResult.cold, cache: "warm" as const };
    const lines = linesOf({ ...benchResult, cold, pool });
    expect(lines[3]).toStartWith("4 callers · instances 2 (in the caller's thread) · ");
    const configuration = { ...benchResult.configuration, isolation: "process" as const };
    const steady = { ...steadyResult, cpu: { ...steadyResult.cpu, otherCores: null } };
    const apart = linesOf({ ...benchResult, configuration, steady });
    expect(apart[3]).toStartWith("4 callers · instances 2 (in processes of their own) · ");
    expect(apart).toContain("processors  0.50 busy · 5 ms for each prediction");
    expect(lines[5]).toBe("cold start  open 12 ms · load 200 ms (from the cache) · first prediction 20.5 ms");
  });

  test("says that it was interrupted, and when nothing had been measured by then", () => {
    expect(linesOf({ ...benchResult, isInterrupted: true })).toContain(
      "steady      1,000 predictions in 10 s · 100/s · none failed, interrupted",
    );
    const early = linesOf({
      ...benchResult,
      isInterrupted: true,
      cold: { ...benchResult.cold, first: null },
      steady: null,
    });
    expect(early.at(-1)).toBe("interrupted before the measurement began");
    expect(early).toContain(
      "cold start  open 12 ms · compile 145 ms · load 200 ms · first prediction not reached",
    );
  });
});

describe("a bench under way", () => {
  test("says where it is", () => {
    expect((["load", "first", "warm-up"] as const).map((phase) => formatProgress({ phase }))).toEqual([
      "loading …",
      "first prediction …",
      "warming up …",
    ]);
    const live = { completed: 1_234, failed: 0, elapsedMs: 5_000, p50Ms: 4, p99Ms: 9.87 };
    expect(formatProgress({ phase: "measured", share: 0.421, ...live })).toBe(
      "42 % · 1,234 predictions · 247/s · p50 4 ms · p99 9.87 ms",
    );
    const failing = { completed: 0, failed: 12, elapsedMs: 0, p50Ms: NaN, p99Ms: NaN };
    expect(formatProgress({ phase: "measured", share: 0, ...failing })).toBe(
      "0 % · 0 predictions · 0.00/s · 12 failed",
    );
  });

  async function benchOn(isTerminal: boolean, ...more: string[]) {
    const written = { stdout: "", stderr: "" };
    using home = tempFolder();
    const io: Io = {
      cwd: home.path,
      env: { HOME: home.path },
      signal: new AbortController().signal,
      holdExit() {},
      isTerminal: { stdout: isTerminal, stderr: isTerminal },
      stdout: (text) => void (written.stdout += String(text)),
      stderr: (text) => void (written.stderr += text),
      readStdin: async () => new Uint8Array(),
    };
    const args = ["bench", digitsPackage, "--warmup", "300ms", "--duration", "600ms", "--color", "never"];
    return { code: await runProgram([...args, ...more], io), ...written };
  }

  test("keeps one line of a terminal up to date and takes it back", async () => {
    const { code, stdout, stderr } = await benchOn(true);
    expect(code).toBe(0);
    expect(stderr).toStartWith("\rloading …\u001b[K");
    expect(stderr).toContain("\rwarming up …\u001b[K");
    expect(stderr).toMatch(/\r\d+ % · [\d,]+ predictions · [\d,.]+\/s/);
    const [cleared = "", ...warnings] = stderr.slice(stderr.lastIndexOf("\r")).split("\u001b[K");
    expect(cleared).toBe("\r");
    expect(warnings.join("")).toMatch(/^(warn: .*\n)*$/);
    expect(stdout).toContain("▇");
  });

  test("is quiet in a pipe, and on a terminal when asked", async () => {
    for (const { code, stderr } of [await benchOn(false), await benchOn(true, "--quiet")]) {
      expect(code).toBe(0);
      expect(stderr).not.toContain("\r");
    }
  });
});
