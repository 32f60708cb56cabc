// Two configurations that take turns: a difference is found where there is one, and none is called so in the noise.

import { describe, expect, test } from "bun:test";
import { randomSource } from "../../../src/codecs/generate.ts";
import { CoremlxError } from "../../../src/core/errors.ts";
import type { FunctionDescription } from "../../../src/core/model.ts";
import type { BenchModel, BenchSession } from "../../../src/suites/bench.ts";
import { compareConfigurations, type CompareOptions, findDifference } from "../../../src/suites/compare.ts";
import type { ComparedRound } from "../../../src/suites/compare-schema.ts";
import { parseResult } from "../../../src/suites/schemas.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { describeProgram } from "../../support/program-description.ts";

const fn: FunctionDescription = {
  name: "main",
  inputs: [],
  outputs: [],
  states: [],
  predictedFeatureName: undefined,
  predictedProbabilitiesName: undefined,
};

/** Answers after so many milliseconds, or fails after so many below zero; notes whose turn it was. */
function sideOf(name: string, clock: FakeClock, turns: string[], durationOf: () => number) {
  const model: BenchModel = {
    description: describeProgram(fn),
    function: fn,
    inputs: [],
    engine: "portable",
    engineVersion: "fake 1",
    device: "cpu",
    digest: "d1",
    timings: { openMs: 1, compileMs: 1, loadMs: 1 },
    async predictTimed() {
      if (turns.at(-1) !== name) turns.push(name);
      const runMs = durationOf();
      await clock.sleepUntil(clock.now() + Math.abs(runMs));
      if (runMs < 0) throw new CoremlxError("NATIVE", "It broke");
      return { runMs };
    },
    async [Symbol.asyncDispose]() {
      turns.push(`${name} closed`);
    },
  };
  const session: BenchSession = { load: async () => model };
  return { label: name, session, path: `${name}.mlpackage`, options: {} };
}

function compare(a: () => number, b: () => number, changes: Partial<CompareOptions> = {}) {
  const clock = new FakeClock();
  const turns: string[] = [];
  const options: CompareOptions = {
    a: sideOf("A", clock, turns, a),
    b: sideOf("B", clock, turns, b),
    load: { mode: "closed", concurrency: 1 },
    warmupMs: 10,
    blockMs: 100,
    rounds: 8,
    timeoutMs: 1_000,
    prepareInputs: async () => ({ values: new Map(), description: "none" }),
    clock,
    ...changes,
  };
  return { turns, clock, run: () => clock.run(compareConfigurations(options)) };
}

describe("a comparison", () => {
  test("takes turns, A, B, B, A, and says by how much B is slower", async () => {
    const { run, turns } = compare(
      () => 10,
      () => 12,
    );
    const result = await run();
    expect(parseResult("bench-comparison", JSON.parse(JSON.stringify(result)), "a")).toEqual(result);
    // The warm-up of both, then eight rounds, whose ends meet.
    expect(turns.join("")).toBe(
      `AB${"ABBA".repeat(8).replaceAll("AA", "A").replaceAll("BB", "B")}B closedA closed`,
    );
    expect(result.rounds).toHaveLength(8);
    expect(result.rounds[0]?.p50Ms.map(Math.round)).toEqual([10, 12, 12, 10]);
    expect(result.findings).toEqual([
      {
        figure: "median latency",
        ratio: {
          estimate: expect.closeTo(1.2, 2),
          low: expect.any(Number),
          high: expect.any(Number),
          confidence: 0.95,
        },
        noiseShare: 0.01,
        better: "A",
      },
      expect.objectContaining({ figure: "throughput", better: "A" }),
    ]);
    expect(result.a).toMatchObject({ label: "A", failed: 0, latency: { count: 160 } });
    expect(result.b.throughputPerSecond).toBeCloseTo(1_000 / 12, 1);
  });

  test("of the same with the same finds nothing", async () => {
    const same = await compare(
      () => 10,
      () => 10,
    ).run();
    expect(same.findings.map(({ better, noiseShare }) => [better, noiseShare])).toEqual([
      [null, 0.01],
      [null, 0.01],
    ]);
  });

  test("ends with what a configuration fails with, and closes both", async () => {
    const { run, turns } = compare(
      () => 10,
      () => -1,
    );
    expect(await rejectionOf(run())).toMatchObject({ code: "NATIVE", message: "It broke" });
    expect(turns.slice(-2)).toEqual(["B closed", "A closed"]);
  });

  test("that is interrupted has the rounds that were whole", async () => {
    const interruption = new AbortController();
    let calls = 0;
    const { run } = compare(
      () => {
        if (++calls === 35) interruption.abort();
        return 10;
      },
      () => 10,
      { signal: interruption.signal },
    );
    const result = await run();
    expect(result.isInterrupted).toBe(true);
    expect(result.rounds).toHaveLength(1);
    expect(result.findings.map(({ ratio, better }) => [ratio, better])).toEqual([
      [null, null],
      [null, null],
    ]);
  });
});

describe("a difference", () => {
  /** Rounds whose blocks scatter by about `spread`, B taking `factor` times as long; slower and slower by `drift` a round. */
  function scattered(
    seed: number,
    factor: number,
    { spread = 0, drift = 0, rounds = 24 } = {},
  ): ComparedRound[] {
    const next = randomSource(`compare/${seed}`);
    // The sum of twelve uniform numbers less six is nearly normal.
    const normal = () =>
      Array.from({ length: 12 }, () => next() / 2 ** 32).reduce((sum, value) => sum + value, -6);
    return Array.from({ length: rounds }, (_, round) => {
      const block = (at: number, times: number) =>
        10 * times * Math.exp(spread * normal()) * (1 + drift * (round * 4 + at));
      const p50Ms: ComparedRound["p50Ms"] = [block(0, 1), block(1, factor), block(2, factor), block(3, 1)];
      const [a1, b1, b2, a2] = p50Ms.map((ms) => 1_000 / ms);
      return { p50Ms, throughputPerSecond: [a1 ?? 0, b1 ?? 0, b2 ?? 0, a2 ?? 0] };
    });
  }
  const betterOf = (rounds: readonly ComparedRound[]) =>
    [findDifference(rounds, "median latency").better, findDifference(rounds, "throughput").better] as const;

  test("of 20 % is found in noise of 3 %, in whichever direction", () => {
    expect(betterOf(scattered(1, 1.2, { spread: 0.03 }))).toEqual(["A", "A"]);
    expect(betterOf(scattered(1, 0.8, { spread: 0.03 }))).toEqual(["B", "B"]);
  });

  test("of 2 % is none in noise of 5 %", () => {
    for (let seed = 0; seed < 8; seed++)
      expect(betterOf(scattered(seed, 1.02, { spread: 0.05 }))).toEqual([null, null]);
  });

  test("of nothing is not found in thirty comparisons", () => {
    const found = Array.from({ length: 30 }, (_, seed) => betterOf(scattered(seed, 1, { spread: 0.04 })));
    expect(found.filter(([latency, throughput]) => latency !== null || throughput !== null)).toEqual([]);
  });

  test("is not made by a machine that becomes slower and slower", () => {
    expect(betterOf(scattered(1, 1, { drift: 0.01 }))).toEqual([null, null]);
  });

  test("smaller than 1 % is none, however quiet it is; and in four rounds there is none", () => {
    expect(betterOf(scattered(1, 1.009))).toEqual([null, null]);
    expect(betterOf(scattered(1, 1.011))).toEqual(["A", "A"]);
    expect(findDifference(scattered(1, 2, { rounds: 4 }), "throughput")).toEqual({
      figure: "throughput",
      ratio: null,
      noiseShare: null,
      better: null,
    });
  });
});
