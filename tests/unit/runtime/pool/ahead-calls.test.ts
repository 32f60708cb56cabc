// Calls whose runs lie ready behind those under way, over instances that the test moves by hand.

import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import fc from "fast-check";
import { CoremlxError } from "../../../../src/core/errors.ts";
import { ModelPool, type ModelPoolOptions } from "../../../../src/runtime/pool/model-pool.ts";
import { AheadMember, FakeCall } from "../../../support/runtime/ahead-member.ts";

interface CallOptions {
  readonly priority?: number;
  readonly signal?: AbortSignal;
  /** "none": it brings nothing to lie ready; "refused": it cannot lie ready. */
  readonly ahead?: "ready" | "none" | "refused";
}

const hangMs = 1_000;

/** Everything that can go on without a timer has. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

function openPool(options: Partial<ModelPoolOptions<AheadMember>> = {}) {
  const members: AheadMember[] = [];
  const begun: string[] = [];
  const make = () => {
    const member = new AheadMember(`instance ${members.length}`);
    member.onBegin = (name) => begun.push(name);
    members.push(member);
    return member;
  };
  const pool = new ModelPool<AheadMember>({
    first: make(),
    create: async () => make(),
    areIndependent: true,
    maximum: 1,
    queueLimit: 1_000,
    idleMs: 1e9,
    hangMs,
    maxAbandoned: 1_000,
    ...options,
  });
  const start = (name: string, { priority, signal, ahead = "ready" }: CallOptions = {}) => {
    const call = new FakeCall(name);
    const prepare = { ready: call.prepare, none: undefined, refused: () => undefined }[ahead];
    void call.follow(pool.acquire({ priority, signal, prepare }));
    return call;
  };
  /** So many instances, each in the run of a call of its own: "run 0", "run 1". */
  const fill = async (count: number) => {
    const calls = Array.from({ length: count }, (_, i) => start(`run ${i}`));
    await settle();
    return calls;
  };
  const member = (at: number): AheadMember => {
    const found = members[at];
    if (found === undefined) throw new Error(`No instance ${at}`);
    return found;
  };
  return { pool, members, member, begun, start, fill };
}

/** By instance: what lies ready there. */
const readyOf = (members: readonly AheadMember[]) => members.map(({ ready }) => ready?.name);

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

describe("a call whose run lies ready", () => {
  test("waits like the others, and has its turn when the run before it is over", async () => {
    const { pool, member, members, start, fill } = openPool({ queueLimit: 2 });
    await fill(1);
    const [first, second] = [start("a"), start("b")];
    expect(readyOf(members)).toEqual(["a"]);
    expect(pool.stats).toMatchObject({ waiting: 2, waitingHighWater: 2, busy: 1, lent: 1 });
    const third = start("c");
    await settle();
    expect(third.error).toMatchObject({ code: "OVERLOADED", details: { waiting: 2, limit: 2 } });
    member(0).work();
    await settle();
    expect([first.state, member(0).current?.name]).toEqual(["waiting", "a"]);
    member(0).hear();
    await settle();
    expect([first.state, readyOf(members)]).toEqual(["running", ["b"]]);
    expect(first.lease?.prepared).toBeDefined();
    expect(pool.stats).toMatchObject({ waiting: 1, busy: 1, lent: 2 });
    member(0).finish();
    await settle();
    member(0).finish();
    await settle();
    expect([first.state, second.state, member(0).begun]).toEqual(["done", "done", ["run 0", "a", "b"]]);
    expect(pool.stats).toMatchObject({ waiting: 0, idle: 1, busy: 0, lent: 3 });
  });

  test("lies behind what was lent first, in the order of service", async () => {
    const { members, start, fill } = openPool({ maximum: 3 });
    await fill(3);
    for (const name of ["a", "b", "c", "d"]) start(name);
    expect(readyOf(members)).toEqual(["a", "b", "c"]);
  });

  test("leaves by its signal, and the next lies there", async () => {
    const { pool, members, start, fill } = openPool();
    await fill(1);
    const abort = new AbortController();
    const [first] = [start("a", { signal: abort.signal }), start("b")];
    abort.abort();
    await settle();
    expect([first.error, readyOf(members)]).toEqual([
      expect.objectContaining({ code: "INTERRUPTED" }),
      ["b"],
    ]);
    expect(pool.stats.waiting).toBe(1);
  });

  test("that leaves after it has begun is ended, and its instance serves again only then", async () => {
    const { pool, member, start, fill } = openPool();
    const [before] = await fill(1);
    const abort = new AbortController();
    const [first, second] = [start("a", { signal: abort.signal }), start("b")];
    member(0).work();
    abort.abort();
    await settle();
    expect([first.error, first.timesSettled]).toEqual([expect.objectContaining({ code: "INTERRUPTED" }), 1]);
    expect(member(0).current).toMatchObject({ name: "a", isCancelled: true });
    member(0).hear();
    await settle();
    expect([before?.state, second.state]).toEqual(["done", "waiting"]);
    expect(pool.stats).toMatchObject({ draining: 1, busy: 0, idle: 0, waiting: 1 });
    member(0).finish();
    await settle();
    expect([second.state, member(0).begun]).toEqual(["running", ["run 0", "a", "b"]]);
  });

  test("is refused when it has waited for too long, and is taken back", async () => {
    const { pool, members, start, fill } = openPool({ queueTimeoutMs: 500 });
    await fill(1);
    const call = start("a");
    expect(readyOf(members)).toEqual(["a"]);
    jest.advanceTimersByTime(500);
    await settle();
    expect(call.error).toMatchObject({ code: "OVERLOADED" });
    expect([readyOf(members), pool.stats.waiting, pool.stats.timedOut]).toEqual([[undefined], 0, 1]);
  });

  test("gives way to a higher priority, and the others move up behind it", async () => {
    const { members, start, fill } = openPool({ maximum: 2 });
    await fill(2);
    for (const name of ["a", "b", "c"]) start(name);
    start("high", { priority: 1 });
    expect(readyOf(members)).toEqual(["high", "a"]);
    start("higher", { priority: 2 });
    expect(readyOf(members)).toEqual(["higher", "high"]);
  });

  test("gives way also to what cannot lie ready itself, and to nobody whom it has to wait for", async () => {
    const { member, members, start, fill } = openPool({ maximum: 2 });
    await fill(2);
    start("a");
    start("b");
    start("high", { priority: 1, ahead: "refused" });
    expect(readyOf(members)).toEqual([undefined, undefined]);
    member(1).finish();
    await settle();
    expect(member(1).current?.name).toBe("high");
    expect(readyOf(members)).toEqual(["a", undefined]);
  });

  test.each(["none", "refused"] as const)(
    "comes after an earlier call that lies nowhere (%s)",
    async (ahead) => {
      const { member, members, start, fill } = openPool();
      await fill(1);
      start("plain", { ahead });
      start("a");
      expect(readyOf(members)).toEqual([undefined]);
      for (let i = 0; i < 2; i++) {
        member(0).finish();
        await settle();
      }
      expect(member(0).begun).toEqual(["run 0", "plain", "a"]);
    },
  );

  test("goes to an instance that has nothing else to do", async () => {
    const { pool, member, start, fill } = openPool({ maximum: 2 });
    await fill(2);
    const call = start("a");
    expect(member(0).ready?.name).toBe("a");
    member(1).finish();
    await settle();
    expect([call.state, member(1).begun, member(0).ready]).toEqual(["running", ["run 1", "a"], undefined]);
    expect(pool.stats).toMatchObject({ waiting: 0, busy: 2, idle: 0 });
  });

  test("goes before a later call to an instance that has none behind its run", async () => {
    const { member, members, start, fill } = openPool({ maximum: 2 });
    await fill(2);
    start("a");
    start("b", { ahead: "refused" });
    expect(readyOf(members)).toEqual(["a", undefined]);
    member(1).finish();
    await settle();
    expect(member(1).current?.name).toBe("a");
  });

  test("is not overtaken for ever where the run before it goes on and on", async () => {
    const { member, members, start, fill } = openPool({ maximum: 2 });
    await fill(2);
    for (const name of ["a", "b", "c", "d", "e"]) start(name);
    expect(readyOf(members)).toEqual(["a", "b"]);
    for (let i = 0; i < 3; i++) {
      member(1).finish();
      await settle();
    }
    expect(member(1).begun).toEqual(["run 1", "b", "c", "a"]);
    member(1).finish();
    await settle();
    expect([member(1).current?.name, readyOf(members)]).toEqual(["d", ["e", undefined]]);
  });
});

describe("a call that lies ready behind a run which does not end well", () => {
  test("goes elsewhere when that run is given up", async () => {
    const { pool, member, members, start, fill } = openPool({ maximum: 2 });
    const [long] = await fill(2);
    const call = start("a");
    long?.abandon();
    expect(readyOf(members)).toEqual([undefined, "a"]);
    member(1).finish();
    await settle();
    expect([call.state, pool.stats.draining]).toEqual(["running", 1]);
  });

  test("has its turn where it has begun, and its instance is nobody else's before it is over", async () => {
    const { pool, member, start, fill } = openPool();
    const [given] = await fill(1);
    const [first, second] = [start("a"), start("b", { ahead: "none" })];
    member(0).work();
    let isOver = false;
    given?.abandon(() => (isOver = true));
    await settle();
    expect([first.state, second.state, isOver]).toEqual(["waiting", "waiting", false]);
    member(0).hear();
    await settle();
    expect([first.state, second.state, isOver]).toEqual(["running", "waiting", true]);
    expect(pool.stats).toMatchObject({ busy: 1, idle: 0, draining: 0, waiting: 1 });
    member(0).finish();
    await settle();
    expect([first.state, second.state]).toEqual(["done", "running"]);
  });

  test("goes to the replacement of one that hangs, and a late end disturbs nobody", async () => {
    const { pool, member, start, fill } = openPool();
    const [hung] = await fill(1);
    const call = start("a");
    hung?.abandon();
    jest.advanceTimersByTime(hangMs);
    await settle();
    expect(member(1).begun).toEqual(["a"]);
    member(0).finish();
    await settle();
    expect([call.state, member(0).begun, member(0).isDisposed]).toEqual(["running", ["run 0"], true]);
    expect(pool.stats).toMatchObject({ instances: 1, busy: 1, waiting: 0, abandonedThreads: 0 });
  });

  test("goes to the replacement of one whose thread ended, unless it had begun", async () => {
    const { pool, member, start, fill } = openPool();
    const [lost] = await fill(1);
    const call = start("a");
    member(0).die();
    await settle();
    expect([lost?.state, call.state, member(1).begun]).toEqual(["failed", "running", ["a"]]);
    const next = start("b");
    member(1).work();
    member(1).die();
    await settle();
    expect([call.state, next.state]).toEqual(["failed", "failed"]);
    jest.advanceTimersByTime(60_000);
    await settle();
    expect(pool.stats).toMatchObject({ waiting: 0, busy: 0 });
  });

  test("goes elsewhere when its instance rests or was replaced; where it has begun, it ends there", async () => {
    const { pool, member, members, start, fill } = openPool({ maximum: 2 });
    await fill(2);
    for (const name of ["a", "b"]) start(name);
    pool.limitTo(1);
    member(0).work();
    member(0).hear();
    await settle();
    expect([member(0).current?.name, readyOf(members)]).toEqual(["a", [undefined, "b"]]);
    member(0).finish();
    await settle();
    expect(pool.stats).toMatchObject({ parked: 1, allowed: 1, waiting: 1, busy: 1 });
    pool.recycle(member(1), "count");
    await settle();
    expect(members.map(({ begun }) => begun)).toEqual([["run 0", "a", "b"], ["run 1"], []]);
    member(1).finish();
    await settle();
    expect([member(1).isDisposed, pool.stats.waiting]).toEqual([true, 0]);
  });

  test("is turned away when the pool closes, and taken back; what has begun is ended", async () => {
    const { pool, member, start, fill } = openPool({ maximum: 2 });
    const running = await fill(2);
    const calls = ["a", "b", "c"].map((name) => start(name));
    member(1).work();
    const closing = pool[Symbol.asyncDispose]();
    await settle();
    expect(calls.map(({ error }) => error)).toEqual(
      Array(3).fill(expect.objectContaining({ code: "UNAVAILABLE", message: "The model is closed" })),
    );
    expect([member(0).ready, member(1).current?.isCancelled]).toEqual([undefined, true]);
    for (const each of [member(0), member(1), member(1)]) each.finish();
    await settle();
    await closing;
    expect(running.map(({ state }) => state)).toEqual(["done", "done"]);
    expect([...member(0).begun, ...member(1).begun]).toEqual(["run 0", "run 1", "b"]);
  });
});

const at = fc.nat(7);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("start" as const),
      priority: fc.integer({ min: 0, max: 2 }),
      ahead: fc.constantFrom("ready", "ready", "ready", "none", "refused"),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom("finish", "work", "hear"), at }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("abandon", "abort"), at }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("die", "limitTo", "recycle"), at }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("hang") }) },
);

test("whatever happens in whatever order, each call ends once, none waits beside an idle instance, none lies ready in the end", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { minLength: 5, maxLength: 60 }),
      fc.boolean(),
      async (maximum, steps, closes) => {
        const { pool, members, begun, start } = openPool({ maximum });
        const calls: FakeCall[] = [];
        const aborts: AbortController[] = [];
        const check = () => {
          const { idle, waiting, busy, draining } = pool.stats;
          const inEngines = new Set(members.map(({ current }) => current?.name));
          const stuck = calls.filter(({ state, name }) => state === "waiting" && !inEngines.has(name));
          if (idle > 0) expect(stuck.map(({ name }) => name)).toEqual([]);
          expect(waiting).toBe(calls.filter(({ state }) => state === "waiting").length);
          expect(Math.min(busy, idle, draining)).toBeGreaterThanOrEqual(0);
          expect(begun.length).toBe(new Set(begun).size);
        };
        for (const each of steps) {
          const index = "at" in each ? each.at : 0;
          const member = members[index % members.length];
          if (each.kind === "start") {
            const abort = new AbortController();
            aborts.push(abort);
            calls.push(start(`call ${calls.length}`, { ...each, signal: abort.signal }));
          } else if (each.kind === "finish") member?.finish();
          else if (each.kind === "work") member?.work();
          else if (each.kind === "hear") member?.hear();
          else if (each.kind === "die") member?.die();
          else if (each.kind === "limitTo") pool.limitTo(1 + (index % maximum));
          else if (each.kind === "recycle" && member) pool.recycle(member, "count");
          else if (each.kind === "abandon") calls[index % Math.max(calls.length, 1)]?.abandon();
          else if (each.kind === "abort") aborts[index % Math.max(aborts.length, 1)]?.abort();
          else if (each.kind === "hang") jest.advanceTimersByTime(hangMs);
          await settle();
          check();
        }
        if (closes) void pool[Symbol.asyncDispose]();
        else pool.limitTo(maximum);
        for (let i = 0; i < 4 * calls.length + 40; i++) {
          for (const member of members) member.finish();
          if (i % 10 === 9) jest.advanceTimersByTime(60_000); // until a new one may be made after those that died
          await settle();
          if (!closes) check();
        }
        expect(calls.map(({ timesSettled }) => timesSettled)).toEqual(calls.map(() => 1));
        expect(readyOf(members)).toEqual(members.map(() => undefined));
        expect(pool.stats.waiting).toBe(0);
        const failures = calls.map(({ error }) => (error instanceof CoremlxError ? error.code : error));
        for (const code of failures)
          expect([undefined, "INTERRUPTED", "UNAVAILABLE"]).toContain(code as undefined);
      },
    ),
    { seed: 20261124, numRuns: 150 },
  );
});

test("one instance serves by priority, then in the order of arrival, but for the one that had begun", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.integer({ min: 0, max: 2 }), fc.constantFrom("finish", "work", "hear")), {
        maxLength: 40,
      }),
      async (steps) => {
        const { member, begun, start } = openPool();
        const waiting: { readonly name: string; readonly priority: number }[] = [];
        const expected: string[] = [];
        const serve = () => {
          waiting.sort((a, b) => b.priority - a.priority); // stable
          const next = waiting.shift();
          if (next) expected.push(next.name);
        };
        for (const [index, each] of steps.entries()) {
          if (typeof each === "number") {
            waiting.push({ name: `${index}`, priority: each });
            start(`${index}`, { priority: each });
          } else member(0)[each]();
          await settle();
          while (expected.length < begun.length) serve();
          expect(begun).toEqual(expected);
        }
      },
    ),
    { seed: 7, numRuns: 100 },
  );
});

test("no call is overtaken more than twice for each instance by calls that came after it", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 4 }),
      fc.array(fc.oneof(fc.constant("start"), fc.nat(3)), { minLength: 20, maxLength: 80 }),
      async (maximum, steps) => {
        const { members, begun, start } = openPool({ maximum });
        let started = 0;
        for (const each of steps) {
          if (typeof each === "number") members[each % members.length]?.finish();
          else start(`${started++}`);
          await settle();
        }
        for (const [position, name] of begun.entries()) {
          const later = begun.slice(0, position).filter((other) => Number(other) > Number(name));
          expect(later.length).toBeLessThanOrEqual(2 * maximum);
        }
      },
    ),
    { seed: 8, numRuns: 100 },
  );
});
