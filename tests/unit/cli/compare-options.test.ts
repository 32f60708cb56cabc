import { describe, expect, test } from "bun:test";
import { parseChanges, readPair } from "../../../src/cli/compare-options.ts";
import { formatComparison } from "../../../src/cli/compare-text.ts";
import type { BenchComparison, ComparedFinding } from "../../../src/suites/compare-schema.ts";
import { describeComparison } from "../../../src/report/pages/comparison-page.ts";
import { benchResult, latencyOfTen } from "../../support/bench-result.ts";
import { errorOf } from "../../support/codec-fixtures.ts";

describe("a configuration", () => {
  test("is what differs from the command line", () => {
    expect(parseChanges("threads=1,device=cpu")).toEqual({ threads: "1", device: "cpu" });
    expect(parseChanges(" engine = tape:a=b ")).toEqual({ engine: "tape:a=b" });
    expect(parseChanges("as given")).toEqual({});
  });

  test.each([
    ["threads", 'Cannot read --compare "threads": "threads" is not NAME=VALUE'],
    ["=1", 'Cannot read --compare "=1": "=1" is not NAME=VALUE'],
    ["threads=", 'Cannot read --compare "threads=": "threads=" is not NAME=VALUE'],
    ["thread=1", 'Cannot compare by "thread"'],
    ["threads=1,threads=2", 'Cannot read --compare "threads=1,threads=2": "threads" stands there twice'],
  ])("%s is refused", (text, message) => {
    expect(errorOf(() => parseChanges(text))).toMatchObject({ code: "USAGE", message });
  });

  test("is compared with another, or with the options as given", () => {
    expect(readPair(["a=1"])).toEqual(["as given", "a=1"]);
    expect(readPair(["a=1", "b=2"])).toEqual(["a=1", "b=2"]);
    expect(errorOf(() => readPair(["1", "2", "3"])).message).toBe(
      "Cannot compare 3 configurations: two at a time",
    );
  });
});

const side = {
  label: "threads=1",
  model: benchResult.model,
  engine: benchResult.engine,
  latency: latencyOfTen,
  throughputPerSecond: 100,
  failed: 0,
};
const found: ComparedFinding = {
  figure: "median latency",
  ratio: { estimate: 1.2, low: 1.18, high: 1.23, confidence: 0.95 },
  noiseShare: 0.021,
  better: "A",
};
const comparison: BenchComparison = {
  schemaVersion: 1,
  kind: "bench-comparison",
  startedAt: "2026-11-24T08:00:00.000Z",
  environment: benchResult.environment,
  configuration: {
    load: { mode: "closed", concurrency: 1 },
    blockMs: 100,
    rounds: 2,
    timeoutMs: 5_000,
    inputs: "none",
  },
  a: side,
  b: { ...side, label: "threads=2", latency: null, failed: 3 },
  rounds: Array(2).fill({ p50Ms: [10, 12, 12, 10], throughputPerSecond: [100, 83, 83, 100] }),
  findings: [
    found,
    { ...found, figure: "throughput", better: null },
    { ...found, figure: "throughput", ratio: null, noiseShare: null, better: null },
  ],
  isInterrupted: false,
  warnings: [],
};

describe("a comparison", () => {
  test("is told with its finding first", () => {
    const lines = formatComparison(comparison, (_, text) => text).split("\n");
    expect(lines.slice(0, 3)).toEqual([
      "median latency: A is better (threads=1) · B +20.0 % against A (95 %: +18.0 % to +23.0 %), noise 2.1 %",
      "throughput:     no difference above the noise · B +20.0 % against A (95 %: +18.0 % to +23.0 %), noise 2.1 %",
      "throughput:     too few rounds to tell",
    ]);
    expect(lines).toContain("2 rounds of A, B, B, A, 100 ms each · 1 caller · Example CPU, 2 cores");
  });

  test("has a page, whose verdict is a difference only where there is one", () => {
    expect(describeComparison(comparison).verdict).toEqual({
      tone: "good",
      word: "A IS BETTER",
      reason:
        "median latency: B +20.0 % · throughput: B +20.0 %, within the noise · throughput: too few rounds",
    });
    const none = { ...comparison, findings: [{ ...found, better: null }], isInterrupted: true };
    expect(describeComparison(none)).toMatchObject({
      verdict: { word: "NO DIFFERENCE" },
      warnings: ["Interrupted: these are the rounds up to then"],
    });
  });
});
