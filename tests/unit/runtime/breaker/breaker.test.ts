// The breaker against a reference state machine over arbitrary schedules, and its promises one by one.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CoremlxError, type ErrorCode } from "../../../../src/core/errors.ts";
import type { LogFields } from "../../../../src/core/telemetry.ts";
import {
  breakerDefaults,
  type BreakerLimits,
  type BreakerOptions,
  type BreakerPass,
  ModelBreaker,
} from "../../../../src/runtime/breaker/breaker.ts";
import { isEngineFault } from "../../../../src/runtime/breaker/breaker-faults.ts";
import { type Outcome, ReferenceBreaker, type ReferenceCall } from "../../../support/reference-breaker.ts";

const fault = new CoremlxError("NATIVE", "Cannot run the session: it broke");
const neutral = new CoremlxError("BAD_INPUT", "Unknown input");

class ManualClock {
  nowMs = 1_000_000;
  readonly now = () => this.nowMs;
  readonly epochNow = () => 1_700_000_000_000 + this.nowMs;
}

function make(options: Partial<BreakerOptions> = {}) {
  const clock = new ManualClock();
  const breaker = new ModelBreaker({ model: "m", now: clock.now, epochNow: clock.epochNow, ...options });
  return { clock, breaker };
}

/** Lets the policy take note of outcomes. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 12; turn++) await Promise.resolve();
}

function tell(breaker: ModelBreaker, pass: BreakerPass, outcome: Outcome): void {
  if (outcome === "success") breaker.success(pass);
  else breaker.failure(pass, outcome === "fault" ? fault : neutral);
}

async function fail(breaker: ModelBreaker, times = 1): Promise<void> {
  for (let time = 0; time < times; time++) {
    await breaker.run(() => Promise.reject(fault)).catch(() => undefined);
  }
}

function refusal(breaker: ModelBreaker): CoremlxError {
  try {
    breaker.before();
  } catch (error) {
    if (error instanceof CoremlxError) return error;
  }
  throw new Error("The breaker let a call through");
}

type Step =
  | { readonly do: "begin" | "trip" | "reset" | "resume" }
  | { readonly do: "end"; readonly which: number; readonly outcome: Outcome }
  | { readonly do: "wait"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: fc.constant<Step>({ do: "begin" }) },
  {
    weight: 24,
    arbitrary: fc.record({
      do: fc.constant("end" as const),
      which: fc.nat(),
      outcome: fc.constantFrom<Outcome>("success", "fault", "fault", "neutral"),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 6_000 })),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: "trip" }, { do: "reset" }, { do: "resume" }) },
);

const limits: fc.Arbitrary<BreakerLimits> = fc.record({
  consecutiveFaults: fc.integer({ min: 1, max: 6 }),
  faultRate: fc.constantFrom(0.25, 0.5, 0.75),
  minimumCalls: fc.integer({ min: 1, max: 8 }),
  windowMs: fc.constantFrom(100, 1_000, 5_000),
  openMs: fc.constantFrom(50, 500),
  maxOpenMs: fc.constantFrom(500, 2_000),
  probes: fc.integer({ min: 1, max: 3 }),
  probeLimitMs: fc.constantFrom(200, 3_000),
});

describe("against the reference", () => {
  test("any schedule of calls, outcomes, time and orders leads to the same states and counts", async () => {
    let opened = 0;
    let closedAgain = 0;
    await fc.assert(
      fc.asyncProperty(
        limits,
        fc.array(step, { minLength: 50, maxLength: 150, size: "max" }),
        async (chosen, steps) => {
          const clock = new ManualClock();
          const { now, epochNow } = clock;
          let breaker = new ModelBreaker({ model: "m", ...chosen, now, epochNow });
          const reference = new ReferenceBreaker(chosen, now);
          const running: { readonly pass: BreakerPass; readonly call: ReferenceCall }[] = [];
          let before = reference.state;

          for (const next of steps) {
            if (next.do === "wait") clock.nowMs += next.ms;
            if (next.do === "trip") {
              breaker.trip("by hand");
              reference.trip();
            }
            if (next.do === "reset") {
              breaker.reset();
              reference.reset();
            }
            if (next.do === "resume") {
              const saved: unknown = JSON.parse(JSON.stringify(breaker.save()));
              breaker = new ModelBreaker({ model: "m", ...chosen, now, epochNow });
              breaker.restore(saved);
              reference.resume();
            }
            if (next.do === "begin") {
              const call = reference.begin();
              const pass = attempt(breaker);
              expect(pass?.isProbe).toBe(call?.isProbe);
              if (pass !== undefined && call !== undefined) running.push({ pass, call });
            }
            if (next.do === "end" && running.length > 0) {
              const [ended] = running.splice(next.which % running.length, 1);
              if (ended !== undefined) {
                tell(breaker, ended.pass, next.outcome);
                reference.end(ended.call, next.outcome);
              }
            }
            await settle();
            const { state, trips, rejections, probes, retryAfterMs } = breaker.stats;
            expect({ state, trips, rejections, probes, retryAfterMs }).toEqual({
              state: reference.state,
              trips: reference.trips,
              rejections: reference.rejections,
              probes: reference.probes,
              retryAfterMs: reference.retryAfterMs,
            });
            if (before === "closed" && state === "open") opened++;
            if (before === "half-open" && state === "closed") closedAgain++;
            before = state;
          }
        },
      ),
      { seed: 11, numRuns: 400 },
    );
    // The schedules must reach what they are to test.
    expect(Math.min(opened, closedAgain)).toBeGreaterThan(100);
  });

  function attempt(breaker: ModelBreaker): BreakerPass | undefined {
    try {
      return breaker.before();
    } catch (error) {
      expect(error).toMatchObject({ code: "UNAVAILABLE" });
      return undefined;
    }
  }
});

describe("opening", () => {
  test("follows the set number of faults in a row", async () => {
    const { breaker } = make();
    await fail(breaker, breakerDefaults.consecutiveFaults - 1);
    expect(breaker.state).toBe("closed");
    await fail(breaker);
    expect(breaker.stats).toEqual({
      state: "open",
      sinceEpochMs: 1_700_001_000_000,
      trips: 1,
      rejections: 0,
      probes: 0,
      reason: "5 faults in a row",
      retryAfterMs: 5_000,
    });
  });

  test("follows a share of faults, not before the minimum of calls", async () => {
    const { breaker } = make({ consecutiveFaults: 1_000, minimumCalls: 10, faultRate: 0.5 });
    for (let pair = 0; pair < 4; pair++) {
      await fail(breaker);
      await breaker.run(() => Promise.resolve(1));
    }
    await fail(breaker); // 5 of 9
    expect(breaker.state).toBe("closed");
    await fail(breaker); // 6 of 10
    expect(breaker.stats).toMatchObject({ state: "open", reason: "6 faults in 10 calls within 30000 ms" });
  });

  test("forgets faults that are older than the window, also after a silence", async () => {
    // cockatiel's SamplingBreaker, at the same numbers, opens here.
    const { breaker, clock } = make({ consecutiveFaults: 1_000, minimumCalls: 10, windowMs: 10_000 });
    await fail(breaker, 9);
    clock.nowMs += 3_600_000;
    await fail(breaker);
    expect(breaker.state).toBe("closed");
  });

  test("does not happen for what says nothing about the engine, however often", async () => {
    const { breaker } = make({ minimumCalls: 1 });
    const codes: readonly ErrorCode[] = [
      "BAD_INPUT",
      "INTERRUPTED",
      "OVERLOADED",
      "USAGE",
      "UNSUPPORTED",
      "IO",
    ];
    for (let time = 0; time < 50; time++) {
      for (const code of codes) {
        await breaker.run(() => Promise.reject(new CoremlxError(code, "no"))).catch(() => undefined);
      }
    }
    expect(breaker.stats).toMatchObject({ state: "closed", trips: 0 });
  });

  test("counts once when several calls fail at the same time", async () => {
    const { breaker } = make({ consecutiveFaults: 2 });
    await Promise.allSettled(Array.from({ length: 8 }, () => breaker.run(() => Promise.reject(fault))));
    expect(breaker.stats).toMatchObject({ state: "open", trips: 1 });
  });

  test("is known before the caller sees the failure", async () => {
    const { breaker } = make({ consecutiveFaults: 1 });
    const seen = await breaker
      .run(() => Promise.reject(fault))
      .catch((error: unknown) => {
        return { error, state: breaker.state };
      });
    expect(seen).toEqual({ error: fault, state: "open" });
  });

  test("also follows work that throws instead of returning a promise", async () => {
    const { breaker } = make({ consecutiveFaults: 1 });
    const failed = breaker.run(() => {
      throw fault;
    });
    expect(await failed.catch((error: unknown) => error)).toBe(fault);
    expect(breaker.state).toBe("open");
  });
});

describe("an open breaker", () => {
  test("refuses with UNAVAILABLE and the time until the next try", async () => {
    const { breaker, clock } = make();
    await fail(breaker, 5);
    clock.nowMs += 700.4;
    const { code, message, hint, details } = refusal(breaker);
    expect({ code, message, hint, details }).toEqual({
      code: "UNAVAILABLE",
      message: 'Cannot run "m": its circuit breaker is open (5 faults in a row)',
      hint: "Try again in 5 s",
      details: { stage: "breaker", state: "open", reason: "5 faults in a row", retryAfterMs: 4_300 },
    });
    expect(breaker.stats.rejections).toBe(1);
  });

  test("does not make the call", async () => {
    const { breaker } = make({ consecutiveFaults: 1 });
    await fail(breaker);
    let calls = 0;
    const refused = breaker.run(async () => ++calls);
    expect(await refused.catch((error: unknown) => error)).toMatchObject({ code: "UNAVAILABLE" });
    expect(calls).toBe(0);
  });

  test("ignores outcomes of calls from before it opened", async () => {
    const { breaker, clock } = make({ consecutiveFaults: 1 });
    const [slowGood, slowBad, bad] = [breaker.before(), breaker.before(), breaker.before()];
    breaker.failure(bad, fault);
    await settle();
    breaker.success(slowGood);
    breaker.failure(slowBad, fault);
    await settle();
    expect(breaker.stats).toMatchObject({ state: "open", trips: 1 });
    clock.nowMs += 5_000;
    const probe = breaker.before();
    breaker.failure(slowBad, fault);
    breaker.success(slowGood);
    await settle();
    expect(breaker.state).toBe("half-open");
    breaker.success(probe);
    await settle();
    expect(breaker.state).toBe("closed");
  });

  test("stays open longer after each probe that fails, up to a limit, and as at first once it was closed", async () => {
    const { breaker, clock } = make({ consecutiveFaults: 1, openMs: 1_000, maxOpenMs: 5_000 });
    const waits: (number | undefined)[] = [];
    await fail(breaker);
    for (let time = 0; time < 5; time++) {
      waits.push(breaker.stats.retryAfterMs);
      clock.nowMs += breaker.stats.retryAfterMs ?? 0;
      await fail(breaker);
    }
    clock.nowMs += breaker.stats.retryAfterMs ?? 0;
    await breaker.run(() => Promise.resolve(1));
    await fail(breaker);
    waits.push(breaker.stats.retryAfterMs);
    expect(waits).toEqual([1_000, 2_000, 4_000, 5_000, 5_000, 1_000]);
  });
});

describe("probes", () => {
  async function opened(options: Partial<BreakerOptions> = {}) {
    const made = make({ consecutiveFaults: 1, ...options });
    await fail(made.breaker);
    made.clock.nowMs += 5_000;
    return made;
  }

  test("find fresh instances: each opening by faults is announced before", async () => {
    let announced = 0;
    const { breaker, clock } = await opened({ onOpen: () => void announced++ });
    expect(announced).toBe(1);
    await fail(breaker);
    expect(announced).toBe(2);
    clock.nowMs += 10_000;
    expect(await breaker.run(async (pass) => pass.isProbe)).toBe(true);
    expect({ announced, state: breaker.state }).toEqual({ announced: 2, state: "closed" });
    breaker.trip("maintenance");
    breaker.restore({ ...breaker.save(), isHeld: false });
    expect({ announced, state: breaker.state }).toEqual({ announced: 2, state: "open" });
  });

  test("are as few as set; the rest is told to come back soon", async () => {
    const { breaker } = await opened({ probes: 2 });
    const probes = [breaker.before(), breaker.before()];
    expect(probes.map(({ isProbe }) => isProbe)).toEqual([true, true]);
    const { message, details } = refusal(breaker);
    expect({ message, details }).toEqual({
      message: 'Cannot run "m": its circuit breaker tries whether the engine is well again (a fault)',
      details: { stage: "breaker", state: "half-open", reason: "a fault", retryAfterMs: 1_000 },
    });
    for (const probe of probes) {
      expect(breaker.state).toBe("half-open");
      breaker.success(probe);
      await settle();
    }
    expect(breaker.state).toBe("closed");
  });

  test("open it again when one fails, whatever the others say", async () => {
    const { breaker } = await opened({ probes: 3 });
    const probes = [breaker.before(), breaker.before(), breaker.before()] as const;
    breaker.success(probes[0]);
    breaker.failure(probes[1], fault);
    await settle();
    expect(breaker.stats).toMatchObject({
      state: "open",
      trips: 2,
      reason: "a probe failed",
      retryAfterMs: 10_000,
    });
    breaker.success(probes[2]);
    await settle();
    expect(breaker.state).toBe("open");
  });

  test("that say nothing about the engine hand their turn on", async () => {
    const { breaker } = await opened();
    for (let time = 0; time < 3; time++) {
      await breaker.run(() => Promise.reject(neutral)).catch(() => undefined);
      expect(breaker.state).toBe("half-open");
    }
    await breaker.run(() => Promise.resolve(1));
    expect(breaker.stats).toMatchObject({ state: "closed", probes: 4 });
  });

  test("that never end count as failed when their time is up", async () => {
    const { breaker, clock } = await opened({ probeLimitMs: 8_000 });
    const lost = breaker.before();
    clock.nowMs += 7_999;
    refusal(breaker);
    await settle();
    expect(breaker.state).toBe("half-open");
    clock.nowMs += 1;
    refusal(breaker);
    await settle();
    expect(breaker.stats).toMatchObject({ state: "open", trips: 2 });
    breaker.success(lost);
    await settle();
    expect(breaker.state).toBe("open");
  });
});

describe("opened for what calls cannot tell", () => {
  test("it lets a probe through when its time is over, and closes after its success", async () => {
    let announced = 0;
    const { breaker, clock } = make({ onOpen: () => void announced++ });
    const early = breaker.before();
    breaker.open("5 threads hang");
    breaker.open("6 threads hang");
    expect(refusal(breaker).message).toContain("is open (5 threads hang)");
    expect(breaker.stats).toMatchObject({ state: "open", trips: 1, retryAfterMs: 5_000 });
    breaker.success(early);
    await settle();
    expect({ state: breaker.state, announced }).toEqual({ state: "open", announced: 1 });
    clock.nowMs += 5_000;
    expect(await breaker.run(async (pass) => pass.isProbe)).toBe(true);
    expect(breaker.state).toBe("closed");
  });

  test("a probe that fails doubles the wait, as after faults", async () => {
    const { breaker, clock } = make();
    breaker.open("5 threads hang");
    clock.nowMs += 5_000;
    await fail(breaker);
    expect(breaker.stats).toMatchObject({ state: "open", reason: "a probe failed", retryAfterMs: 10_000 });
  });

  test("while it tries, it opens again and the probe under way says nothing more", async () => {
    const { breaker, clock } = make();
    breaker.open("5 threads hang");
    clock.nowMs += 5_000;
    const probe = breaker.before();
    await settle();
    breaker.open("6 threads hang");
    breaker.success(probe);
    await settle();
    expect(breaker.stats).toMatchObject({ state: "open", reason: "6 threads hang", retryAfterMs: 10_000 });
  });

  test("a trip by hand is not loosened", () => {
    const { breaker, clock } = make();
    breaker.trip("maintenance");
    breaker.open("5 threads hang");
    clock.nowMs += 3_600_000;
    expect(refusal(breaker).message).toContain("maintenance");
  });
});

describe("by hand", () => {
  test("a trip holds until reset, without probes", async () => {
    const { breaker, clock } = make();
    breaker.trip("4 native threads were abandoned");
    breaker.trip("another reason");
    clock.nowMs += 3_600_000;
    expect(refusal(breaker).message).toBe(
      'Cannot run "m": its circuit breaker is open (4 native threads were abandoned)',
    );
    expect(breaker.stats).toMatchObject({ state: "open", trips: 1, rejections: 1, retryAfterMs: 5_000 });
    breaker.reset();
    expect(await breaker.run(async (pass) => pass.isProbe)).toBe(false);
    expect(breaker.stats).toEqual({
      state: "closed",
      sinceEpochMs: clock.epochNow(),
      trips: 1,
      rejections: 1,
      probes: 0,
    });
  });

  test("a trip while a probe runs outlasts the probe's success", async () => {
    const { breaker, clock } = make({ consecutiveFaults: 1 });
    await fail(breaker);
    clock.nowMs += 5_000;
    const probe = breaker.before();
    breaker.trip("enough");
    breaker.success(probe);
    await settle();
    expect(breaker.stats).toMatchObject({ state: "open", trips: 2, reason: "enough" });
  });

  test("a reset forgets the faults so far", async () => {
    const { breaker } = make();
    await fail(breaker, 4);
    breaker.reset();
    await fail(breaker, 4);
    expect(breaker.state).toBe("closed");
  });

  test("a reset while a failure is being noted wins", async () => {
    const { breaker } = make({ consecutiveFaults: 1 });
    breaker.failure(breaker.before(), fault);
    breaker.reset();
    await settle();
    expect(breaker.stats).toMatchObject({ state: "closed", trips: 0 });
  });
});

describe("saving", () => {
  test("brings an open breaker back with the time it has left", async () => {
    const { breaker, clock } = make();
    await fail(breaker, 5);
    clock.nowMs += 1_000;
    const snapshot: unknown = JSON.parse(JSON.stringify(breaker.save()));
    clock.nowMs += 1_500;
    const other = new ModelBreaker({ model: "m", now: clock.now, epochNow: clock.epochNow });
    other.restore(snapshot);
    expect(other.stats).toEqual({ ...breaker.stats, retryAfterMs: 2_500 });
    clock.nowMs += 2_500;
    expect(other.before().isProbe).toBe(true);
  });

  test("ages the faults by the time between", async () => {
    const { breaker, clock } = make({ consecutiveFaults: 1_000, minimumCalls: 10, windowMs: 10_000 });
    await fail(breaker, 9);
    const snapshot = breaker.save();
    for (const [elapsedMs, state] of [
      [9_000, "open"],
      [10_000, "closed"],
    ] as const) {
      const later = new ManualClock();
      later.nowMs = clock.nowMs + elapsedMs;
      const { breaker: other } = make({
        consecutiveFaults: 1_000,
        minimumCalls: 10,
        windowMs: 10_000,
        now: () => 77, // another process: its monotonic clock starts anew
        epochNow: later.epochNow,
      });
      other.restore(snapshot);
      await fail(other);
      expect({ elapsedMs, state: other.state }).toEqual({ elapsedMs, state });
    }
  });

  test("keeps a hand's trip until reset", () => {
    const { breaker } = make();
    breaker.trip("enough");
    const { breaker: other, clock } = make();
    other.restore(breaker.save());
    clock.nowMs += 3_600_000;
    expect(refusal(other).details).toMatchObject({ reason: "enough" });
    other.reset();
    expect(other.state).toBe("closed");
  });

  const good = make().breaker.save();
  const slice = { age: 0, successes: 1, faults: 1 };
  test.each([
    ["nothing", undefined, "it is not an object"],
    ["a list", [], "it is not an object"],
    ["another version", { ...good, schemaVersion: 2 }, "its schema version is 2"],
    ["an unknown state", { ...good, state: "ajar" }, 'its state is "ajar"'],
    ["a reason that is no text", { ...good, reason: 5 }, '"reason" is not a string'],
    ["a hold that is no boolean", { ...good, isHeld: 1 }, '"isHeld" is not true or false'],
    ["no evidence", { ...good, evidence: null }, '"evidence" is not an object'],
    [
      "slices without end",
      { ...good, evidence: { consecutive: 0, slices: Array(11).fill(slice) } },
      "at most 10",
    ],
    [
      "a slice out of the window",
      { ...good, evidence: { consecutive: 0, slices: [{ ...slice, age: 10 }] } },
      "is 10",
    ],
    ["a negative time", { ...good, openForMs: -1 }, '"openForMs" is -1, not a number from 0'],
    ["a fraction of a trip", { ...good, trips: 0.5 }, '"trips" is 0.5, not a whole number'],
  ])("refuses %s", (_, snapshot, why) => {
    const { breaker } = make();
    expect(() => breaker.restore(snapshot)).toThrow(CoremlxError);
    expect(() => breaker.restore(snapshot)).toThrow(why);
    expect(breaker.state).toBe("closed");
  });

  test("survives numbers that are out of all proportion", () => {
    const { breaker } = make();
    breaker.restore({ ...good, state: "open", attempts: 1e15, openForMs: 1e300, reason: "x".repeat(1e6) });
    expect(breaker.stats.retryAfterMs).toBe(breakerDefaults.maxOpenMs);
    expect(breaker.stats.reason).toHaveLength(1_000);
  });
});

describe("options", () => {
  test.each([
    ["consecutiveFaults", 0],
    ["minimumCalls", 1.5],
    ["probes", Number.NaN],
    ["windowMs", 0],
    ["openMs", Number.POSITIVE_INFINITY],
    ["probeLimitMs", -5],
    ["faultRate", 1],
  ] as const)("%s cannot be %d", (name, value) => {
    expect(() => make({ [name]: value })).toThrow(`Cannot make a circuit breaker: "${name}" must be`);
  });

  test("an open time above the usual limit raises the limit", async () => {
    const { breaker } = make({ consecutiveFaults: 1, openMs: 90_000 });
    await fail(breaker);
    expect(breaker.stats.retryAfterMs).toBe(90_000);
  });

  test("the caller may say what a fault is", async () => {
    const { breaker } = make({ consecutiveFaults: 1, isFault: (error) => error === neutral });
    await fail(breaker, 3);
    expect(breaker.state).toBe("closed");
    await breaker.run(() => Promise.reject(neutral)).catch(() => undefined);
    expect(breaker.state).toBe("open");
  });

  test("without clocks it uses the system's", () => {
    const breaker = new ModelBreaker({ model: "m" });
    const before = Date.now();
    breaker.trip("now");
    expect(breaker.stats.sinceEpochMs - before).toBeLessThan(1_000);
  });
});

test("changes of state are logged with what led to them", async () => {
  const events: [string, string, LogFields | undefined][] = [];
  const { breaker, clock } = make({
    consecutiveFaults: 2,
    telemetry: { log: (...event) => void events.push([event[0], event[1], event[2]]) },
  });
  await fail(breaker, 2);
  clock.nowMs += 5_000;
  await breaker.run(() => Promise.resolve(1));
  const reason = "2 faults in a row";
  expect(events).toEqual([
    ["warn", "circuit breaker open", { model: "m", reason, retryAfterMs: 5_000 }],
    ["info", "circuit breaker half-open", { model: "m", reason }],
    ["info", "circuit breaker closed", { model: "m" }],
  ]);
});

describe("what counts as the engine's fault", () => {
  const abort = new DOMException("The operation was aborted", "AbortError");
  test.each([
    ["a failed library call", new CoremlxError("NATIVE", "x"), true],
    ["a mistake of ours in the engine", new CoremlxError("INTERNAL", "x"), true],
    ["an error that is none of ours", new TypeError("x"), true],
    ["a deadline while running", new CoremlxError("DEADLINE", "x"), true],
    ["a deadline in the queue", new CoremlxError("DEADLINE", "x", { details: { stage: "waiting" } }), false],
    ["an instance that died", new CoremlxError("UNAVAILABLE", "x", { details: { stage: "running" } }), true],
    [
      "a model that is being closed",
      new CoremlxError("UNAVAILABLE", "x", { details: { stage: "closing" } }),
      false,
    ],
    ["another breaker", new CoremlxError("UNAVAILABLE", "x", { details: { stage: "breaker" } }), false],
    ["a full queue", new CoremlxError("OVERLOADED", "x"), false],
    ["a wrong input", new CoremlxError("BAD_INPUT", "x"), false],
    ["a caller who left", new CoremlxError("INTERRUPTED", "x"), false],
    ["an abort signal", abort, false],
  ])("%s", (_, error, isFault) => {
    expect(isEngineFault(error)).toBe(isFault);
  });
});
