// bench on a model that is a list of durations, with a clock and readings of its own: every figure is known by hand.

import { describe, expect, test } from "bun:test";
import { CoremlxError } from "../../../src/core/errors.ts";
import type { FunctionDescription } from "../../../src/core/model.ts";
import type { FeatureValues } from "../../../src/core/tensor.ts";
import { describeHost } from "../../../src/engines/device.ts";
import { rangeFor } from "../../../src/runtime/pool/instance-range.ts";
import { openSession } from "../../../src/runtime/session.ts";
import {
  type BenchModel,
  type BenchOptions,
  type BenchProgress,
  type BenchSession,
  findDoubts,
  runBench,
} from "../../../src/suites/bench.ts";
import type { Probe } from "../../../src/suites/machine.ts";
import { type BenchResult, parseBenchResult, type SteadyResult } from "../../../src/suites/schemas.ts";
import type { Load } from "../../../src/suites/workload.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { digitsPackage } from "../../support/digits.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { describeProgram } from "../../support/program-description.ts";

const fn: FunctionDescription = {
  name: "main",
  inputs: [
    {
      name: "x",
      description: "",
      isOptional: false,
      type: {
        kind: "multiArray",
        dtype: "float32",
        shape: [2],
        constraint: { kind: "fixed" },
        defaultValue: undefined,
      },
    },
    { name: "extra", description: "", isOptional: true, type: { kind: "double" } },
  ],
  outputs: [],
  states: [],
  predictedFeatureName: undefined,
  predictedProbabilitiesName: undefined,
};
const description = describeProgram(fn);

/** A model that takes as long as `durationOf` says, or throws what it throws; each call has an instance to itself. */
class FakeModel implements BenchModel {
  readonly description = description;
  readonly function = fn;
  readonly inputs = fn.inputs;
  readonly engine = "portable";
  readonly engineVersion = "fake 1";
  readonly device = "cpu";
  readonly digest = "d1";
  readonly timings = { openMs: 12, compileMs: 4, loadMs: 30 };
  readonly seen: FeatureValues[] = [];
  readonly #clock: FakeClock;
  readonly #durationOf: (call: number) => number;
  isClosed = false;

  constructor(clock: FakeClock, durationOf: (call: number) => number) {
    this.#clock = clock;
    this.#durationOf = durationOf;
  }

  async predictTimed(inputs: FeatureValues, options: { readonly signal?: AbortSignal | undefined }) {
    const call = this.seen.push(inputs) - 1;
    const runMs = this.#durationOf(call);
    await this.#clock.sleepUntil(this.#clock.now() + runMs + 1, options.signal);
    if (options.signal?.aborted) throw new CoremlxError("INTERRUPTED", "The call was cancelled");
    return { runMs, queueMs: 0.5 };
  }

  async [Symbol.asyncDispose]() {
    this.isClosed = true;
  }
}

/** 100 MB and 1 MB more each second; half a core of ours, a tenth for others. */
function fakeProbe(clock: FakeClock): Probe {
  const begin = clock.now();
  const elapsed = () => clock.now() - begin;
  return {
    rssBytes: () => Math.round(100e6 + elapsed() * 1e3),
    cpuMs: () => ({ userMs: elapsed() * 0.4, systemMs: elapsed() * 0.1 }),
    machineBusyMs: () => 1e6 + elapsed() * 0.6,
  };
}

const oneCaller: Load = { mode: "closed", concurrency: 1 };

function setUp(
  durationOf: (call: number) => number,
  options: Partial<BenchOptions> = {},
  plan?: NonNullable<BenchSession["plan"]>,
) {
  const clock = new FakeClock();
  const model = new FakeModel(clock, durationOf);
  const loads: unknown[] = [];
  const session: BenchSession = {
    async load(path, loadOptions) {
      loads.push({ path, ...loadOptions });
      return model;
    },
    ...(plan && { plan }),
  };
  const run = () =>
    clock.run(
      runBench(session, "m.mlpackage", {
        load: oneCaller,
        warmup: { count: 3 },
        measure: { count: 100 },
        timeoutMs: 5_000,
        clock,
        probe: fakeProbe(clock),
        ...options,
      }),
    );
  return { clock, model, loads, run };
}

function steadyOf(result: BenchResult): SteadyResult {
  if (result.steady === null) throw new Error("Nothing was measured");
  return result.steady;
}

describe("bench", () => {
  test("measures more numbers of callers, each for as long, after the load", async () => {
    const { run, loads } = setUp(() => 1, { alsoConcurrent: [2, 5], measure: { durationMs: 100 } });
    const { concurrency, steady } = await run();
    expect(loads).toMatchObject([{ queueLimit: 5 }]);
    expect(concurrency?.map(({ callers, failed }) => [callers, failed])).toEqual([
      [1, 0],
      [2, 0],
      [5, 0],
    ]);
    // Each call has an instance to itself and takes 2 ms.
    expect(
      concurrency?.map(({ throughputPerSecond }) => Math.round(throughputPerSecond / 100) * 100),
    ).toEqual([500, 1_000, 2_500]);
    expect(concurrency?.[0]).toMatchObject({ completed: steady?.completed, p50Ms: steady?.latency?.p50Ms });
    expect((await setUp(() => 1).run()).concurrency).toBeUndefined();
  });

  test("says what the processors took, where somebody tells", async () => {
    const withMeter = (readJoules: () => number | undefined) => {
      const { run, clock } = setUp(() => 1, {
        probe: {
          ...fakeProbe(new FakeClock()),
          openEnergyMeter: () => ({ source: "RAPL, 1 package", readJoules }),
        },
      });
      return { run, clock };
    };
    const steady = steadyOf(await withMeter(() => 3).run());
    expect(steady.energy).toEqual({
      source: "RAPL, 1 package",
      joules: 3,
      watts: expect.closeTo(3 / (steady.elapsedMs / 1_000), 6),
      perPredictionJoules: 0.03,
    });
    expect(steadyOf(await withMeter(() => undefined).run()).energy).toBeNull();
    expect(steadyOf(await setUp(() => 1).run()).energy).toBeNull();
  });

  test("takes over the plan of an engine that has one, added up, and asks for it after the measurement", async () => {
    const share = { preferred: 3, preferredShare: 0.75, costShare: undefined, supported: 4 };
    let callsBefore = 0;
    const { run, model } = setUp(
      () => 1,
      {},
      async (planned) => {
        callsBefore = model.seen.length;
        expect(planned).toEqual({
          path: "m.mlpackage",
          engine: model.engine,
          function: model.function,
          device: model.device,
        });
        return {
          kind: "program",
          device: "cpu+ane",
          constants: 9,
          dispatched: 4,
          unknown: 0,
          dispatch: "planned",
          devices: { ane: share },
          notOnAne: [],
          operations: [],
        };
      },
    );
    const result = await run();
    expect(result.plan).toEqual({
      dispatch: "planned",
      operations: 4,
      unknown: 0,
      devices: [{ device: "ane", preferredShare: 0.75, costShare: null, supportedShare: 1 }],
    });
    expect(callsBefore).toBe(104);
    expect(parseBenchResult(JSON.parse(JSON.stringify(result)), "here")).toEqual(result);
    expect((await setUp(() => 1).run()).plan).toBeUndefined();
  });

  test("tells cold from warm, and leaves the warm-up out", async () => {
    // The first takes 200 ms, three more 50 ms, then 9 ms.
    const { run, model } = setUp((call) => (call === 0 ? 200 : call <= 3 ? 50 : 9));
    const result = await run();
    expect(result.cold).toEqual({
      openMs: 12,
      compileMs: 4,
      loadMs: 30,
      cache: null,
      first: { latencyMs: 201, runMs: 200 },
    });
    const steady = steadyOf(result);
    expect(steady).toMatchObject({
      elapsedMs: 1_000,
      completed: 100,
      failed: 0,
      unsent: 0,
      throughputPerSecond: 100,
      sendDelay: null,
      failures: [],
    });
    expect(steady.latency).toEqual({
      count: 100,
      minMs: 10,
      meanMs: 10,
      p50Ms: 10,
      p90Ms: 10,
      p99Ms: 10,
      p999Ms: 10,
      maxMs: 10,
    });
    expect(steady.run).toMatchObject({ count: 100, p50Ms: 9, maxMs: 9 });
    expect(steady.queue).toMatchObject({ count: 100, p50Ms: 0.5 });
    expect(steady.median).toEqual({ estimate: 10, low: 10, high: 10, confidence: 0.95 });
    expect(model.seen).toHaveLength(104);
    expect(model.isClosed).toBe(true);
  });

  test("counts memory and processor time from the start of the measurement", async () => {
    const { cpu, memory } = steadyOf(await setUp(() => 9).run());
    // Begun at 1,000 ms; first prediction and warm-up take 40.
    expect(memory).toMatchObject({ startBytes: 100_040_000, endBytes: 101_040_000, peakBytes: 101_040_000 });
    expect(memory.slope?.estimate).toBeCloseTo(1e6, 3);
    expect(memory.samples.length).toBeWithin(8, 12);
    expect(cpu.userMs).toBeCloseTo(400, 9);
    expect(cpu.systemMs).toBeCloseTo(100, 9);
    expect(cpu.usedCores).toBeCloseTo(0.5, 9);
    expect(cpu.perPredictionMs).toBeCloseTo(5, 9);
    expect(cpu.otherCores).toBeCloseTo(0.1, 9);
  });

  test("cannot tell the processor time of others from that of children", async () => {
    const result = await setUp(() => 9, { isolation: "process" }).run();
    expect(steadyOf(result).cpu.otherCores).toBeNull();
    expect(result.warnings).toEqual([]);
    expect(result.configuration.isolation).toBe("process");
  });

  test("thins the memory samples of a long run, and still knows its slope and its peak", async () => {
    const { memory } = steadyOf(await setUp(() => 99, { measure: { durationMs: 120_000 } }).run());
    expect(memory.samples.length).toBeWithin(250, 501);
    expect(memory.samples.at(-1)).toEqual([120_000, memory.endBytes]);
    expect(memory.slope?.estimate).toBeCloseTo(1e6, 3);
    expect(memory.peakBytes).toBe(memory.endBytes);
  });

  test("orders percentiles, histogram and windows by what happened", async () => {
    // Ten of each hundred take 19 ms, one takes 99; the second half of the calls 4 ms more.
    const durationOf = (call: number) => {
      const index = call - 4;
      const base = index % 100 === 50 ? 99 : index % 10 === 5 ? 19 : 9;
      return base + (index >= 500 ? 4 : 0);
    };
    const { latency, windows, histogram, completed } = steadyOf(
      await setUp(durationOf, { measure: { count: 1_000 } }).run(),
    );
    expect(completed).toBe(1_000);
    expect(latency?.minMs).toBe(10);
    expect(latency?.maxMs).toBe(104);
    const near = { p50Ms: 14, p90Ms: 20, p99Ms: 24, p999Ms: 104 };
    for (const [name, ms] of Object.entries(near)) {
      const found = Object.entries(latency ?? {}).find(([key]) => key === name)?.[1];
      expect(Math.abs((found ?? 0) / ms - 1)).toBeLessThan(0.002);
    }
    expect(windows).toHaveLength(20);
    expect(windows[0]?.fromMs).toBe(0);
    expect(windows.map((window) => window.completed)).toEqual(Array<number>(20).fill(50));
    expect(windows.map(({ p50Ms }) => Math.round(p50Ms))).toEqual([
      ...Array<number>(10).fill(10),
      ...Array<number>(10).fill(14),
    ]);
    windows.slice(1).forEach(({ fromMs }, i) => expect(fromMs).toBe(windows[i]?.toMs ?? -1));
    expect(histogram.reduce((sum, [, , count]) => sum + count, 0)).toBe(1_000);
  });

  test("lists failures by code, apart from the latencies", async () => {
    const durationOf = (call: number) => {
      if (call === 10) throw new CoremlxError("DEADLINE", "Cannot predict: no answer within 5 ms");
      if (call === 20 || call === 30) throw new CoremlxError("OVERLOADED", `Full ${call}`);
      if (call === 40) throw new TypeError("odd");
      return 9;
    };
    const result = await setUp(durationOf).run();
    const steady = steadyOf(result);
    expect(steady).toMatchObject({ completed: 96, failed: 4 });
    expect(steady.failures.map(({ code, count, message }) => ({ code, count, message }))).toEqual([
      { code: "DEADLINE", count: 1, message: "Cannot predict: no answer within 5 ms" },
      { code: "OVERLOADED", count: 2, message: "Full 20" },
      { code: "INTERNAL", count: 1, message: "odd" },
    ]);
    expect(steady.failures[0]?.latency.count).toBe(1);
    expect(steady.latency?.count).toBe(96);
  });

  test("throws when nothing succeeded, with the code and hint of what failed first", async () => {
    const { run, model } = setUp((call) => {
      if (call === 0) return 9;
      throw new CoremlxError("UNAVAILABLE", "The breaker is open", { hint: "Wait", details: { model: "m" } });
    });
    const error = await rejectionOf(run());
    expect(error).toMatchObject({
      code: "UNAVAILABLE",
      message: "Cannot measure: all 100 predictions failed, the first with: The breaker is open",
      hint: "Wait",
      details: { failed: 100, model: "m" },
    });
    expect(model.isClosed).toBe(true);
  });

  test("throws the error of the first prediction as it is", async () => {
    const { run, model } = setUp(() => {
      throw new CoremlxError("BAD_INPUT", "Cannot predict: wrong shape");
    });
    expect(await rejectionOf(run())).toMatchObject({
      code: "BAD_INPUT",
      message: "Cannot predict: wrong shape",
    });
    expect(model.seen).toHaveLength(1);
    expect(model.isClosed).toBe(true);
  });

  test("passes the settings on to the model, and records them", async () => {
    const { run, loads } = setUp(() => 9, {
      load: { mode: "closed", concurrency: 4 },
      warmup: { durationMs: 50 },
      measure: { durationMs: 500 },
      instances: 2,
      threads: 3,
      device: "cpu",
      functionName: "main",
    });
    const result = await run();
    expect(loads).toEqual([
      {
        path: "m.mlpackage",
        functionName: "main",
        device: "cpu",
        threads: 3,
        instances: 2,
        inline: undefined,
        isolation: undefined,
        queueLimit: 4,
        signal: undefined,
        withDigest: true,
      },
    ]);
    expect(result.configuration).toEqual({
      load: { mode: "closed", concurrency: 4 },
      warmup: { count: null, durationMs: 50 },
      measure: { count: null, durationMs: 500 },
      timeoutMs: 5_000,
      instances: 2,
      inline: "never",
      isolation: "worker",
      threads: 3,
      requestedDevice: "cpu",
      inputs: "random, seed 0",
    });
    expect(result).toMatchObject({
      model: { path: "m.mlpackage", digest: "d1", kind: "mlProgram", function: "main" },
      engine: { name: "portable", version: "fake 1", device: "cpu" },
      pool: null,
      isInterrupted: false,
    });
    expect(steadyOf(result).throughputPerSecond).toBe(400);
  });

  test("fills required inputs with seeded random values, or takes what it is given", async () => {
    const random = setUp(() => 9, { measure: { count: 2 } });
    await random.run();
    expect([...(random.model.seen[0]?.keys() ?? [])]).toEqual(["x"]);
    expect(random.model.seen.every((inputs) => inputs === random.model.seen[0])).toBe(true);

    const values: FeatureValues = new Map([["x", 4]]);
    const given = setUp(() => 9, {
      measure: { count: 2 },
      prepareInputs: async () => ({ values, description: "x=4" }),
    });
    expect((await given.run()).configuration.inputs).toBe("x=4");
    expect(given.model.seen[1]).toBe(values);
  });

  test("in an open loop counts lateness from the schedule", async () => {
    // Every call blocks the thread itself for 15 ms where one is due each 10: the backlog grows by 5 ms a call.
    const clock = new FakeClock();
    const model = new FakeModel(clock, () => {
      clock.block(15);
      return 0;
    });
    const result = await clock.run(
      runBench({ load: async () => model }, "m", {
        load: { mode: "open", ratePerSecond: 100, arrivals: "fixed", seed: 0 },
        warmup: {},
        measure: { count: 10 },
        timeoutMs: 5_000,
        clock,
        probe: fakeProbe(clock),
      }),
    );
    const { sendDelay, latency } = steadyOf(result);
    expect(sendDelay?.count).toBe(10);
    expect(sendDelay?.maxMs).toBeCloseTo(45, 6);
    expect(latency?.maxMs).toBeGreaterThanOrEqual(60);
    expect(result.warnings).toEqual([
      expect.stringMatching(/^Calls were sent late, 1 in 100 by \d+\.\d\d ms or more/),
      expect.stringMatching(/^Only 6\d\.\d of 100 calls a second were answered/),
    ]);
  });

  test("tells how far it is", async () => {
    const seen: BenchProgress[] = [];
    await setUp((call) => (call < 4 ? 100 : 9), {
      measure: { count: 200 },
      onProgress: (progress) => seen.push(progress),
    }).run();
    expect(seen.slice(0, 3).map(({ phase }) => phase)).toEqual(["load", "first", "warm-up"]);
    const measured = seen.flatMap((progress) => (progress.phase === "measured" ? [progress] : []));
    expect(measured.length).toBeGreaterThan(5);
    for (const { share, completed, failed } of measured) {
      expect(share).toBeCloseTo(completed / 200, 9);
      expect(failed).toBe(0);
    }
    expect(measured.at(-1)).toMatchObject({ p50Ms: 10, p99Ms: 10 });
  });
});

describe("an interrupted bench", () => {
  test("gives what it has measured", async () => {
    const abort = new AbortController();
    const { run, clock, model } = setUp(() => 9, { signal: abort.signal, measure: { durationMs: 60_000 } });
    clock.at(1_545, () => abort.abort());
    const result = await run();
    expect(result.isInterrupted).toBe(true);
    // Begun at 1,000; four predictions of 10 ms before the measurement, fifty and a half in it.
    expect(steadyOf(result)).toMatchObject({ elapsedMs: 505, completed: 50, failed: 0 });
    expect(parseBenchResult(JSON.parse(JSON.stringify(result)), "it")).toEqual(result);
    expect(model.isClosed).toBe(true);
  });

  test("in the warm-up gives the cold start", async () => {
    const abort = new AbortController();
    const { run, clock } = setUp(() => 9, { signal: abort.signal });
    clock.at(1_025, () => abort.abort());
    expect(await run()).toMatchObject({
      cold: { first: { latencyMs: 10, runMs: 9 } },
      steady: null,
      isInterrupted: true,
    });
  });

  test("in the first prediction gives the time of loading", async () => {
    const abort = new AbortController();
    const { run, clock } = setUp(() => 9_000, { signal: abort.signal });
    clock.at(1_500, () => abort.abort());
    const result = await run();
    expect(result).toMatchObject({
      cold: { openMs: 12, compileMs: 4, loadMs: 30, first: null },
      memory: { afterFirstBytes: null },
      steady: null,
      isInterrupted: true,
    });
    expect(parseBenchResult(JSON.parse(JSON.stringify(result)), "it")).toEqual(result);
  });
});

describe("doubts about a result", () => {
  const quiet = async (): Promise<SteadyResult> => steadyOf(await setUp(() => 9).run());
  const open: Load = { mode: "open", ratePerSecond: 100, arrivals: "fixed", seed: 0 };

  test("there are none about a steady run on a quiet machine", async () => {
    expect(findDoubts(await quiet(), oneCaller)).toEqual([]);
    expect(findDoubts(await quiet(), open)).toEqual([]);
  });

  test("arise from other programs, from a moving median and from calls not made", async () => {
    const steady = await quiet();
    const { cpu } = steady;
    expect(findDoubts({ ...steady, cpu: { ...cpu, otherCores: 0.9 } }, oneCaller)).toEqual([
      "Other programs kept 0.9 cores busy",
    ]);
    const windows = [10, 10, 10, 10, 12.5].map((p50Ms, i) => ({
      fromMs: i,
      toMs: i + 1,
      completed: 20,
      p50Ms,
      p99Ms: 20,
      maxMs: 20,
    }));
    expect(findDoubts({ ...steady, windows }, oneCaller)).toEqual([
      "The median moved by 25 % during the measurement",
    ]);
    expect(findDoubts({ ...steady, windows: windows.slice(1) }, oneCaller)).toEqual([]);
    expect(findDoubts({ ...steady, unsent: 3 }, open)).toEqual([
      "3 calls were due and not made: too many were under way",
    ]);
  });
});

test("with instances auto, their number is found before anything is measured", async () => {
  await using session = await openSession();
  const phases: string[] = [];
  const result = await runBench(session, digitsPackage, {
    load: { mode: "closed", concurrency: 1 },
    warmup: { count: 1 },
    measure: { count: 5 },
    timeoutMs: 10_000,
    instances: "auto",
    onProgress: ({ phase }) => phases.push(phase),
  });
  expect(parseBenchResult(JSON.parse(JSON.stringify(result)), "it")).toEqual(result);
  expect(result.configuration.instances).toBe("auto");
  const { most = 0, allowed = 0 } = result.pool ?? {};
  expect(most).toBe(rangeFor(describeHost()).most);
  expect(allowed).toBeGreaterThanOrEqual(1);
  expect(allowed).toBeLessThanOrEqual(most);
  expect(phases.slice(0, 3)).toEqual(["load", "first", "warm-up"]);
  expect(result.pool?.refused).toBe(0);
}, 60_000);

test("a real model, measured for a moment, gives a valid and plausible result", async () => {
  await using session = await openSession();
  const result = await runBench(session, digitsPackage, {
    load: { mode: "closed", concurrency: 2 },
    warmup: { count: 5 },
    measure: { count: 40 },
    timeoutMs: 10_000,
    instances: 2,
    threads: 1,
  });
  expect(parseBenchResult(JSON.parse(JSON.stringify(result)), "it")).toEqual(result);
  const { latency, run, throughputPerSecond, elapsedMs, completed, failed } = steadyOf(result);
  expect([completed, failed]).toEqual([40, 0]);
  expect(throughputPerSecond).toBeCloseTo(40 / (elapsedMs / 1_000), 6);
  expect(run?.p50Ms ?? 0).toBeLessThan(latency?.p50Ms ?? 0);
  expect(result.memory.afterLoadBytes).toBeGreaterThan(result.memory.beforeLoadBytes / 2);
  expect(result.model.digest).toMatch(/^[0-9a-f]{64}$/);
  expect(result.pool).toMatchObject({ isInline: false, replaced: 0, refused: 0, breakerTrips: 0 });
  expect(result.pool?.buffers?.hitRatio ?? 0).toBeGreaterThan(0.5);
});
