import { describe, expect, test } from "bun:test";
import { CoremlxError } from "../../../src/core/errors.ts";
import {
  arrivalGaps,
  type Call,
  type Load,
  mostUnderWay,
  runWorkload,
  type WorkloadOptions,
} from "../../../src/suites/workload.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const oneCaller: Load = { mode: "closed", concurrency: 1 };
const fixed = (ratePerSecond: number): Load => ({ mode: "open", ratePerSecond, arrivals: "fixed", seed: 0 });

/** A server that works on one call at a time, each for as long as the list says, then the last again and again. */
function singleServer(clock: FakeClock, serviceMs: readonly number[]) {
  let free = clock.now();
  const counts = { calls: 0 };
  const send = async () => {
    const runMs = serviceMs[Math.min(counts.calls++, serviceMs.length - 1)] ?? 0;
    const begin = Math.max(free, clock.now());
    const queueMs = begin - clock.now();
    free = begin + runMs;
    await clock.sleepUntil(free);
    return { runMs, queueMs };
  };
  return { counts, send };
}

async function run(
  clock: FakeClock,
  options: Pick<WorkloadOptions, "load" | "send"> & Partial<WorkloadOptions>,
) {
  const calls: Call[] = [];
  const starts: number[] = [];
  const result = await clock.run(
    runWorkload({
      warmup: {},
      measure: { count: 5 },
      clock,
      onStart: (startMs) => starts.push(startMs),
      onCall: (call) => calls.push(call),
      ...options,
    }),
  );
  return { calls, starts, result, latencies: calls.map(({ dueMs, endMs }) => endMs - dueMs) };
}

describe("a closed loop", () => {
  test("of one caller makes the asked number of calls, one after the other", async () => {
    const clock = new FakeClock(0);
    const server = singleServer(clock, [10, 20, 30, 5, 5]);
    const { calls, latencies, result } = await run(clock, { load: oneCaller, send: server.send });
    expect(latencies).toEqual([10, 20, 30, 5, 5]);
    expect(calls.map(({ dueMs }) => dueMs)).toEqual([0, 10, 30, 60, 65]);
    expect(calls[0]).toEqual({
      dueMs: 0,
      sentMs: 0,
      endMs: 10,
      answer: { runMs: 10, queueMs: 0 },
      error: undefined,
    });
    expect(result).toEqual({ startMs: 0, endMs: 70, unsent: 0, isInterrupted: false });
  });

  test("keeps as many calls under way as there are callers", async () => {
    const clock = new FakeClock(0);
    let [underWay, most] = [0, 0];
    const { latencies, result } = await run(clock, {
      load: { mode: "closed", concurrency: 3 },
      measure: { count: 9 },
      async send() {
        most = Math.max(most, ++underWay);
        await clock.sleep(10);
        underWay--;
        return { runMs: 10 };
      },
    });
    expect(most).toBe(3);
    expect(latencies).toEqual(Array<number>(9).fill(10));
    expect(result.endMs).toBe(30);
  });

  test("ends with the duration, and waits for the calls that began before", async () => {
    const clock = new FakeClock(0);
    const server = singleServer(clock, [30]);
    const { latencies, result } = await run(clock, {
      load: oneCaller,
      measure: { durationMs: 100 },
      send: server.send,
    });
    expect(latencies).toHaveLength(4); // at 0, 30, 60 and 90
    expect(result.endMs).toBe(120);
  });

  test("measures at least one call, however long it takes", async () => {
    const clock = new FakeClock(0);
    const { latencies } = await run(clock, {
      load: oneCaller,
      measure: { durationMs: 1 },
      send: singleServer(clock, [5_000]).send,
    });
    expect(latencies).toEqual([5_000]);
  });

  test.each([
    ["calls", { count: 3 }],
    ["time", { durationMs: 300 }],
    ["calls or time", { count: 3, durationMs: 10_000 }],
  ])("warms up for so many %s, and nobody hears of it", async (_, warmup) => {
    const clock = new FakeClock(0);
    const server = singleServer(clock, [100, 100, 100, 7]);
    const { latencies, starts, result } = await run(clock, {
      load: oneCaller,
      warmup,
      measure: { count: 2 },
      send: server.send,
    });
    expect(server.counts.calls).toBe(5);
    expect(latencies).toEqual([7, 7]);
    expect(starts).toEqual([300]);
    expect(result).toMatchObject({ startMs: 300, endMs: 314 });
  });

  test("gives back the answers of the warm-up, and those that come after an interruption", async () => {
    const clock = new FakeClock(0);
    const abort = new AbortController();
    clock.at(350, () => abort.abort());
    let calls = 0;
    const uncounted: number[] = [];
    const { latencies } = await run(clock, {
      load: oneCaller,
      warmup: { count: 2 },
      measure: { count: 100 },
      signal: abort.signal,
      async send() {
        const runMs = ++calls;
        await clock.sleep(100);
        return { runMs };
      },
      onUncounted: ({ runMs }) => uncounted.push(runMs),
    });
    expect(latencies).toEqual([100]);
    expect(uncounted).toEqual([1, 2]);
    await clock.run(clock.sleep(100));
    expect(uncounted).toEqual([1, 2, 4]);
  });

  test("goes on after failures, which are told with what was thrown", async () => {
    const clock = new FakeClock(0);
    let calls = 0;
    const { calls: seen } = await run(clock, {
      load: oneCaller,
      measure: { count: 3 },
      async send() {
        await clock.sleep(10);
        if (++calls === 2) throw new CoremlxError("OVERLOADED", "Full");
        return { runMs: 10 };
      },
    });
    expect(seen.map(({ answer, error }) => answer?.runMs ?? error)).toEqual([
      10,
      new CoremlxError("OVERLOADED", "Full"),
      10,
    ]);
  });

  test("lets timers and signals through when answers are there at once", async () => {
    const clock = new FakeClock(0);
    const abort = new AbortController();
    clock.at(100, () => abort.abort());
    const { result, calls } = await run(clock, {
      load: { mode: "closed", concurrency: 2 },
      measure: { durationMs: 3_600_000 },
      signal: abort.signal,
      async send() {
        clock.block(1);
        return { runMs: 1 };
      },
    });
    expect(result.isInterrupted).toBe(true);
    expect(calls.length).toBeWithin(100, 150);
  });
});

describe("an open loop", () => {
  test("makes calls on time, whatever the answers do", async () => {
    const clock = new FakeClock(0);
    const { calls, latencies } = await run(clock, {
      load: fixed(100),
      async send() {
        await clock.sleep(35);
        return { runMs: 35 };
      },
    });
    expect(calls.map(({ sentMs }) => sentMs)).toEqual([0, 10, 20, 30, 40]);
    expect(latencies).toEqual([35, 35, 35, 35, 35]);
  });

  test("counts what a stall makes later calls wait: coordinated omission is not left out", async () => {
    // A call each 10 ms to a server that takes 1 ms, but 100 ms for the third.
    const clock = new FakeClock(0);
    const server = singleServer(clock, [1, 1, 100, 1]);
    const { latencies } = await run(clock, { load: fixed(100), measure: { count: 14 }, send: server.send });
    // By hand: the third ends at 120; those due at 30, 40, … end at 121, 122, …
    expect(latencies).toEqual([1, 1, 100, 91, 82, 73, 64, 55, 46, 37, 28, 19, 10, 1]);

    // A closed loop sees the one.
    const again = new FakeClock(0);
    const closed = await run(again, {
      load: oneCaller,
      measure: { count: 14 },
      send: singleServer(again, [1, 1, 100, 1]).send,
    });
    expect(closed.latencies.filter((ms) => ms > 1)).toEqual([100]);
  });

  test("counts from when a call was due, also when the sender itself was held up", async () => {
    const clock = new FakeClock(0);
    let calls = 0;
    const { calls: seen, latencies } = await run(clock, {
      load: fixed(100),
      measure: { count: 4 },
      async send() {
        if (++calls === 2) clock.block(25); // nothing runs in this thread from 10 to 35
        await clock.sleep(1);
        return { runMs: 1 };
      },
    });
    expect(seen.map(({ dueMs, sentMs }) => sentMs - dueMs)).toEqual([0, 0, 15, 5]);
    expect(latencies).toEqual([1, 26, 16, 6]);
  });

  test("measures from the first call due after the warm-up for as long as asked", async () => {
    const clock = new FakeClock(500);
    const server = singleServer(clock, [1]);
    const { starts, latencies, result } = await run(clock, {
      load: fixed(10),
      warmup: { durationMs: 250 },
      measure: { durationMs: 1_000 },
      send: server.send,
    });
    expect(starts).toEqual([800]);
    expect(latencies).toHaveLength(10);
    expect(server.counts.calls).toBe(13);
    expect(result).toMatchObject({ startMs: 800, endMs: 1_701 });
  });

  test("leaves calls out, and counts them, when too many are under way", async () => {
    const clock = new FakeClock(0);
    const release = Promise.withResolvers<void>();
    clock.at(100_000, () => release.resolve());
    const extra = 7;
    const { calls, result } = await run(clock, {
      load: fixed(1_000_000),
      measure: { count: mostUnderWay + extra },
      async send() {
        await release.promise;
        return { runMs: 1 };
      },
    });
    expect(calls).toHaveLength(mostUnderWay);
    expect(result.unsent).toBe(extra);
  });

  test("gives the same Poisson arrivals for the same seed, with the asked mean", () => {
    const gaps = (seed: number, count: number) =>
      arrivalGaps({ mode: "open", ratePerSecond: 50, arrivals: "poisson", seed }).take(count).toArray();
    // The documented sequence of random numbers, walked in Python.
    const expected = [12.89421125526002, 7.277819458866563, 2.0776439094760426, 1.2752133072849736];
    gaps(5, 4).forEach((gap, i) => expect(gap).toBeCloseTo(expected[i] ?? 0, 9));
    expect(gaps(5, 100)).toEqual(gaps(5, 100));
    expect(gaps(6, 4)).not.toEqual(gaps(5, 4));
    const many = gaps(1, 20_000);
    const mean = many.reduce((sum, gap) => sum + gap, 0) / many.length;
    expect(mean).toBeWithin(19.5, 20.5);
    // Exponential: the standard deviation is the mean.
    const deviation = Math.sqrt(many.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / many.length);
    expect(deviation).toBeWithin(19, 21);
  });
});

describe("an interruption", () => {
  test.each([
    ["closed", { mode: "closed", concurrency: 2 }],
    ["open", fixed(100)],
  ] satisfies [string, Load][])("ends a %s loop at once, without the calls under way", async (_, load) => {
    const clock = new FakeClock(0);
    const abort = new AbortController();
    clock.at(105, () => abort.abort());
    const { calls, result } = await run(clock, {
      load,
      measure: { durationMs: 10_000 },
      signal: abort.signal,
      async send() {
        await clock.sleep(50);
        return { runMs: 50 };
      },
    });
    expect(result).toEqual({ startMs: 0, endMs: 105, unsent: 0, isInterrupted: true });
    expect(calls.every(({ endMs }) => endMs <= 105)).toBe(true);
    const heard = calls.length;
    await clock.run(clock.sleep(1_000));
    expect(calls).toHaveLength(heard);
  });

  test("during the warm-up leaves nothing measured", async () => {
    const clock = new FakeClock(0);
    const abort = new AbortController();
    clock.at(20, () => abort.abort());
    const { calls, starts, result } = await run(clock, {
      load: oneCaller,
      warmup: { durationMs: 1_000 },
      signal: abort.signal,
      send: singleServer(clock, [5]).send,
    });
    expect([calls, starts]).toEqual([[], []]);
    expect(result).toMatchObject({ startMs: undefined, isInterrupted: true });
  });

  test("before the start means no call at all", async () => {
    const clock = new FakeClock(0);
    const server = singleServer(clock, [5]);
    for (const load of [oneCaller, fixed(10)]) {
      const { result } = await run(clock, { load, signal: AbortSignal.abort(), send: server.send });
      expect(result.isInterrupted).toBe(true);
    }
    expect(server.counts.calls).toBe(0);
  });
});
