// soak in fake time: twenty minutes take a fifth of a second. What is sound passes; a leak, a stall, a flipped output and a crash each
// make it fail, for that reason and no other.

import { describe, expect, test } from "bun:test";
import { CoremlxError } from "../../../src/core/errors.ts";
import { randomSource } from "../../../src/codecs/generate.ts";
import { runSoak, type SeriesLine, type SoakOptions } from "../../../src/suites/soak.ts";
import { parseCheckpoint, type SoakCheckpoint } from "../../../src/suites/soak/checkpoint.ts";
import type { SoakConfiguration, SoakResult } from "../../../src/suites/soak/schema.ts";
import { parseSoakResult } from "../../../src/suites/schemas.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import {
  type Answering,
  FakeSoakModel,
  fakeSoakSession,
  soakConfiguration,
} from "../../support/soak-model.ts";

const hourMs = 3_600_000;
/** Memory takes long to tell, and no calls. */
const idleHour: Partial<SoakConfiguration> = {
  durationMs: hourMs,
  load: { mode: "open", ratePerSecond: 0.5, arrivals: "fixed", seed: 0 },
};

interface SetUp {
  readonly answer?: (call: number, nowMs: number) => Answering;
  readonly configuration?: Partial<SoakConfiguration>;
  /** Resident bytes after that time. */
  readonly memory?: (elapsedMs: number) => number;
  readonly options?: Partial<SoakOptions>;
  readonly models?: number;
}

/** 100 MB, give or take one. */
function levelMemory(): (elapsedMs: number) => number {
  const next = randomSource("memory");
  return () => 100e6 + (next() / 2 ** 32 - 0.5) * 2e6;
}

/** 4 to 6 ms. */
function sound(): (call: number) => Answering {
  const next = randomSource("latency");
  return () => ({ latencyMs: 4 + (next() / 2 ** 32) * 2 });
}

function setUp({ answer = sound(), configuration, memory = levelMemory(), options, models = 1 }: SetUp = {}) {
  const clock = new FakeClock();
  const beginMs = clock.now();
  const loaded = Array.from({ length: models }, () => new FakeSoakModel(clock, answer));
  const checkpoints: SoakCheckpoint[] = [];
  const series: SeriesLine[] = [];
  const run = () =>
    clock.run(
      runSoak(fakeSoakSession(loaded), {
        models: loaded.map((_, i) => ({ path: `/m${i}.mlpackage`, name: `m${i}` })),
        configuration: { ...soakConfiguration, ...configuration },
        clock,
        probe: {
          rssBytes: () => Math.round(memory(clock.now() - beginMs)),
          cpuMs: () => ({ userMs: 0, systemMs: 0 }),
          machineBusyMs: () => 0,
        },
        wallMs: () => Date.UTC(2026, 0, 1) + clock.now(),
        readCondition: () => ({ powerSource: "ac", isLowPowerMode: false, thermalState: "nominal" }),
        onCheckpoint: (checkpoint) => checkpoints.push(structuredClone(checkpoint)),
        onSeries: (line) => series.push(line),
        ...options,
      }),
    );
  return { clock, loaded, checkpoints, series, run };
}

function failuresOf({ verdict }: SoakResult): string[] {
  return verdict.criteria.filter(({ status }) => status === "fail").map(({ name }) => name);
}

describe("a soak", () => {
  test("that is sound passes, with a window each five minutes and nothing left lent", async () => {
    const { run, loaded, checkpoints, series } = setUp();
    const result = await run();
    expect(failuresOf(result)).toEqual([]);
    expect(result.verdict.outcome).toBe("pass");
    // Without an engine's statistics there is no breaker to ask, and 20 calls of a block have no p99.
    expect(result.verdict.criteria.filter(({ status }) => status !== "pass").map(({ name }) => name)).toEqual(
      ["breaker trips", "p99 drift"],
    );
    expect(result.windows).toHaveLength(4);
    expect(result.windows.map(({ models }) => models[0]?.completed ?? 0).reduce((a, b) => a + b, 0)).toBe(
      2_400,
    );
    expect(result.models[0]).toMatchObject({ completed: 2_400, failed: 0, wrong: 0 });
    expect(result.blocks).toHaveLength(120);
    expect(result.elapsedMs).toBe(1_200_000);
    expect(loaded.map(({ lent, isClosed }) => ({ lent, isClosed }))).toEqual([{ lent: 0, isClosed: true }]);
    expect(parseSoakResult(JSON.parse(JSON.stringify(result)), "here")).toEqual(result);
    expect(series.map(({ type }) => type).filter((type) => type !== "block")).toEqual([
      "start",
      ...Array<"window">(4).fill("window"),
      "end",
    ]);
    expect(checkpoints.at(-1)?.processes.map(({ end }) => end)).toEqual(["finished"]);
  });

  test("with a leak of 60 MB an hour fails for growth and slope", async () => {
    const level = levelMemory();
    const leak = (ms: number) => level(ms) + (60e6 * ms) / hourMs;
    const result = await setUp({ memory: leak, configuration: idleHour }).run();
    expect(failuresOf(result)).toEqual(["memory growth", "memory slope"]);
    expect(result.memory.slope?.estimate).toBeWithin(59e6, 61e6);
    expect(result.verdict.outcome).toBe("fail");
    // Half an hour has not grown that much yet: the slope tells.
    const half = await setUp({ memory: leak, configuration: { ...idleHour, durationMs: hourMs / 2 } }).run();
    expect(failuresOf(half)).toEqual(["memory slope"]);
  });

  test("with a leak of 30 MB an hour passes, and says so", async () => {
    const level = levelMemory();
    const result = await setUp({
      memory: (ms) => level(ms) + (30e6 * ms) / hourMs,
      configuration: idleHour,
    }).run();
    expect(failuresOf(result)).toEqual([]);
    expect(result.memory.slope?.estimate).toBeWithin(29e6, 31e6);
  });

  test("in which 1.5 % of the calls stall for 30 ms fails for p99", async () => {
    const latency = sound();
    const answer = (call: number): Answering =>
      [13, 80, 147].includes(call % 200) ? { latencyMs: 30 } : latency(call);
    const result = await setUp({ answer }).run();
    expect(failuresOf(result)).toEqual(["p99 of the worst window"]);
  });

  test("in which 0.5 % of the calls stall passes", async () => {
    const latency = sound();
    const result = await setUp({
      answer: (call) => (call % 200 === 13 ? { latencyMs: 30 } : latency(call)),
    }).run();
    expect(failuresOf(result)).toEqual([]);
  });

  test("with five bad minutes fails for its worst window, however good the rest", async () => {
    const latency = sound();
    const answer = (call: number, nowMs: number): Answering => {
      const isBad = nowMs > 700_000 && nowMs < 800_000 && call % 10 === 0;
      return isBad ? { latencyMs: 40 } : latency(call);
    };
    const result = await setUp({ answer }).run();
    expect(result.models[0]?.latency?.p99Ms ?? 99).toBeLessThan(25);
    expect(failuresOf(result)).toEqual(["p99 of the worst window"]);
    const judged = result.verdict.criteria.find(({ name }) => name === "p99 of the worst window");
    expect(judged?.detail).toBe("from minute 10 to 15");
  });

  test("that becomes slower and slower fails for drift, within the limit of p99", async () => {
    const latency = sound();
    const answer = (call: number, nowMs: number): Answering => {
      return { latencyMs: latency(call).latencyMs * (1 + (0.5 * nowMs) / 1_200_000) };
    };
    expect(failuresOf(await setUp({ answer }).run())).toEqual(["median drift"]);
  });

  test("with one output flipped in its last bit fails for that answer alone", async () => {
    const latency = sound();
    const result = await setUp({
      // 2^-23 is the last bit of a float32 from 1 to 2, and at most some of those below.
      answer: (call) => ({ ...latency(call), off: call === 1_777 ? 2 ** -22 : 0 }),
    }).run();
    expect(failuresOf(result)).toEqual(["wrong answers"]);
    expect(result.models[0]).toMatchObject({ wrong: 1, failed: 0 });
    expect(result.wrongAnswers).toHaveLength(1);
    expect(result.wrongAnswers[0]).toMatchObject({ model: "m0" });
    expect(result.wrongAnswers[0]?.difference).toMatch(/^output "y": element 0 is .+ where .+ was expected$/);
  });

  test("with one call lost fails for that failure alone", async () => {
    const latency = sound();
    const error = new CoremlxError("NATIVE", "Cannot predict: its process died of SIGSEGV");
    const result = await setUp({
      answer: (call) => ({ ...latency(call), error: call === 1_500 ? error : undefined }),
    }).run();
    expect(failuresOf(result)).toEqual(["failures"]);
    expect(result.models[0]?.failures).toEqual([{ code: "NATIVE", count: 1, message: error.message }]);
  });

  test("in which the machine slept does not judge that window", async () => {
    const latency = sound();
    const clock = { aheadMs: 0 };
    const set = setUp({
      answer: (call, nowMs) => {
        const isAsleep = nowMs > 700_000 && nowMs < 710_000;
        if (isAsleep) clock.aheadMs = 60_000;
        return isAsleep ? { latencyMs: 400 } : latency(call);
      },
      options: { wallMs: () => Date.UTC(2026, 0, 1) + set.clock.now() + clock.aheadMs },
    });
    const result = await set.run();
    expect(result.windows.flatMap(({ isVoid }, index) => (isVoid ? [index] : []))).toEqual([2]);
    expect(failuresOf(result)).toEqual([]);
    expect(result.warnings).toEqual(["The machine slept, or its clock was set: 1 windows are not judged"]);
  });
});

describe("several models", () => {
  test("are each judged by its own windows, the mix being the same for the same seed", async () => {
    const two = () => {
      const set = setUp({ models: 2, configuration: { durationMs: 600_000 } });
      return set.run();
    };
    const [one, other] = [await two(), await two()];
    expect(one.models.map(({ completed }) => completed)).toEqual(
      other.models.map(({ completed }) => completed),
    );
    const [first = 0, second = 0] = one.models.map(({ completed }) => completed);
    expect(first + second).toBe(1_200);
    // Heads and tails: 600 each, give or take four standard deviations of 17.
    expect(first).toBeWithin(530, 671);
    expect(
      one.verdict.criteria.filter(({ name }) => name.startsWith("p99 of")).map(({ model }) => model),
    ).toEqual(["m0", "m1"]);
  });
});

describe("faults on request", () => {
  test("end as they may, are no failures, and cost no other call its answer", async () => {
    const { run, loaded } = setUp({
      configuration: { durationMs: 600_000, faults: ["cancel", "timeout", "bad-input"], faultShare: 0.1 },
    });
    const result = await run();
    expect(failuresOf(result)).toEqual([]);
    const calls = result.faults.map((fault) => fault.calls).reduce((a, b) => a + b, 0);
    expect(calls).toBeWithin(78, 163);
    expect(result.faults.map(({ kind, odd }) => ({ kind, odd }))).toEqual([
      { kind: "cancel", odd: 0 },
      { kind: "timeout", odd: 0 },
      { kind: "bad-input", odd: 0 },
    ]);
    expect(Object.keys(result.faults[0]?.endings ?? {}).toSorted()).toEqual(["INTERRUPTED", "answered"]);
    expect(result.models[0]?.completed).toBe(1_200 - calls);
    expect(loaded[0]?.lent).toBe(0);
  });

  test("that end otherwise fail the soak", async () => {
    const latency = sound();
    const error = new CoremlxError("NATIVE", "odd");
    const result = await setUp({
      answer: (call) => ({ ...latency(call), error: call > 20 ? error : undefined }),
      configuration: {
        durationMs: 60_000,
        faults: ["cancel"],
        faultShare: 1,
        limits: { ...soakConfiguration.limits, maxFailures: 1e6 },
      },
    }).run();
    expect(failuresOf(result)).toContain("faults with another ending");
    expect(result.oddFaults[0]).toMatchObject({ model: "m0", difference: "cancel ended with NATIVE" });
  });
});

describe("an interruption", () => {
  const configuration = { durationMs: 1_200_000 };

  async function interrupt(atMs: number, answer?: SetUp["answer"]) {
    const abort = new AbortController();
    const set = setUp({ configuration, options: { signal: abort.signal }, ...(answer && { answer }) });
    set.clock.at(atMs, () => abort.abort());
    const result = await set.run();
    return { ...set, result, checkpoint: parseCheckpoint(JSON.stringify(set.checkpoints.at(-1)), "here") };
  }

  test("leaves a checkpoint from which the soak goes on to its whole length", async () => {
    const { result, checkpoint } = await interrupt(500_000);
    expect(result.isInterrupted).toBe(true);
    expect(result.verdict.outcome).toBe("interrupted");
    expect(parseSoakResult(JSON.parse(JSON.stringify(result)), "here")).toEqual(result);
    const whole = await setUp({ configuration, options: { before: checkpoint } }).run();
    expect(whole.isInterrupted).toBe(false);
    expect(whole.verdict.outcome).toBe("pass");
    expect(whole.processes.map(({ end }) => end)).toEqual(["interrupted", "finished"]);
    expect(whole.elapsedMs).toBe(1_200_000);
    // Two a second; the calls under way at the interruption and the first of the second process count once each.
    expect(whole.models[0]?.completed).toBeWithin(2_398, 2_403);
    expect(whole.startedAt).toBe(result.startedAt);
    // The window of the interruption is closed there, and a shorter one follows.
    expect(whole.windows.map(({ process }) => process)).toEqual([0, 0, 1, 1, 1]);
    expect(whole.models[0]?.latency?.count).toBe(whole.models[0]?.completed ?? 0);
  });

  test("forgets nothing that went wrong before", async () => {
    const latency = sound();
    const { checkpoint } = await interrupt(500_000, (call) => ({
      ...latency(call),
      off: call === 900 ? 1 : 0,
    }));
    const whole = await setUp({ configuration, options: { before: checkpoint } }).run();
    expect(failuresOf(whole)).toEqual(["wrong answers"]);
    expect(whole.wrongAnswers).toHaveLength(1);
  });

  test("that was none, the process being lost, is a crash", async () => {
    const { checkpoints } = await interrupt(500_000);
    const before = checkpoints.at(-2);
    expect(before?.processes.map(({ end }) => end)).toEqual(["running"]);
    const whole = await setUp({ configuration, options: { before } }).run();
    expect(whole.processes.map(({ end }) => end)).toEqual(["lost", "finished"]);
    expect(failuresOf(whole)).toEqual(["crashes"]);
  });

  test("before the measurement began leaves what there was", async () => {
    const { result, checkpoint } = await interrupt(1_100);
    expect(result).toMatchObject({ elapsedMs: 0, isInterrupted: true, windows: [], blocks: [] });
    const whole = await setUp({ configuration, options: { before: checkpoint } }).run();
    expect(whole.verdict.outcome).toBe("pass");
  });

  test("is not gone on from with another model, other answers, or at the end", async () => {
    const { checkpoint } = await interrupt(500_000);
    const change = (changes: Partial<SoakCheckpoint["models"][number]>) => ({
      ...checkpoint,
      models: checkpoint.models.map((model) => ({ ...model, ...changes })),
    });
    const refusal = async (before: SoakCheckpoint) =>
      (await rejectionOf(setUp({ configuration, options: { before } }).run())).message;
    expect(await refusal(change({ digest: "d0" }))).toBe(
      'Cannot continue the soak of "m0": the files of the model changed, from "d0" to "d1"',
    );
    expect(await refusal(change({ engineVersion: "fake 0" }))).toMatch(/the engine changed/);
    expect(await refusal(change({ referenceDigest: "0" }))).toBe(
      'Cannot continue the soak of "m0": its answers are not those of before the interruption',
    );
    expect(await refusal({ ...checkpoint, elapsedMs: 1_200_000 })).toBe(
      "Cannot continue the soak: it had come to its end",
    );
  });
});

test("a series that cannot be written ends the soak with that error, and closes the model", async () => {
  const full = new CoremlxError("IO", "Cannot write: no space is left on the device");
  let lines = 0;
  const { run, loaded, clock } = setUp({
    options: {
      onSeries() {
        if (++lines === 4) throw full;
      },
    },
  });
  expect(await rejectionOf(run())).toBe(full);
  expect(clock.now()).toBeLessThan(60_000);
  expect(loaded.map(({ isClosed }) => isClosed)).toEqual([true]);
});

test("a model that is broken does not become a busy loop", async () => {
  const error = new CoremlxError("UNAVAILABLE", "The breaker is open");
  const { run, loaded } = setUp({
    answer: (call) => ({ latencyMs: 0, error: call > 20 ? error : undefined }),
    configuration: {
      load: { mode: "closed", concurrency: 1 },
      durationMs: 10_000,
      warmup: { count: 0, durationMs: null },
    },
  });
  const result = await run();
  expect(result.verdict.outcome).toBe("fail");
  // One each 10 ms.
  expect(loaded[0]?.calls ?? 0).toBeLessThan(1_100);
});
