import { describe, expect, jest, test } from "bun:test";
import fc from "fast-check";
import { CoremlxError } from "../../../../src/core/errors.ts";
import type { LogLevel, Telemetry } from "../../../../src/core/telemetry.ts";
import {
  ModelPool,
  type InstanceLease,
  type ModelPoolOptions,
} from "../../../../src/runtime/pool/model-pool.ts";
import { brokenSurfaces } from "../../../../src/engines/surface-error.ts";
import { InstanceSearch } from "../../../../src/runtime/pool/instance-search.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";
import { Member, openCall } from "../../../support/runtime/pool-member.ts";

type Options = Partial<ModelPoolOptions<Member>>;

function openPool(options: Options = {}) {
  const made: Member[] = [new Member("first")];
  const logged: string[] = [];
  const telemetry: Telemetry = { log: (_: LogLevel, message: string) => logged.push(message) };
  const [first = new Member("first")] = made;
  const pool = new ModelPool<Member>({
    first,
    create: async () => {
      const member = new Member(`guest ${made.length}`);
      made.push(member);
      return member;
    },
    maximum: 2,
    queueLimit: 8,
    idleMs: 60_000,
    hangMs: 60_000,
    maxAbandoned: 1,
    telemetry,
    ...options,
  });
  return { pool, made, first, logged };
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("lending", () => {
  test("the first instance serves a lone caller again and again", async () => {
    const { pool, made } = openPool();
    for (let i = 0; i < 3; i++) {
      using lease = await pool.acquire();
      expect(lease.instance.name).toBe("first");
    }
    expect(made.length).toBe(1);
    expect(pool.stats).toMatchObject({ lent: 3, instances: 1, idle: 1, busy: 0, created: 1 });
  });

  test("it grows when callers wait and never beyond its maximum", async () => {
    const { pool, made } = openPool({ maximum: 3 });
    const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    const fourth = pool.acquire();
    await settle();
    expect(made.length).toBe(3);
    expect(pool.stats).toMatchObject({ busy: 3, waiting: 1 });
    leases[1]?.[Symbol.dispose]();
    using late = await fourth;
    expect(late.instance).toBe(leases[1]?.instance as Member);
    for (const lease of leases) lease[Symbol.dispose]();
  });

  test("a model that cannot be shared is served by its one instance", async () => {
    const { pool } = openPool({ create: undefined, maximum: 4 });
    const first = await pool.acquire();
    const second = pool.acquire();
    await settle();
    expect(pool.stats).toMatchObject({ instances: 1, waiting: 1 });
    first[Symbol.dispose]();
    using lease = await second;
    expect(lease.instance.name).toBe("first");
  });

  test("returning a lease twice returns it once", async () => {
    const { pool } = openPool({ maximum: 1 });
    const lease = await pool.acquire();
    lease[Symbol.dispose]();
    const again = await pool.acquire();
    lease[Symbol.dispose]();
    expect(pool.stats).toMatchObject({ busy: 1, idle: 0 });
    again[Symbol.dispose]();
  });

  test("callers are served by priority, then in the order they came", async () => {
    const { pool } = openPool({ maximum: 1 });
    const held = await pool.acquire();
    const served: string[] = [];
    const wait = async (name: string, priority: number) => {
      using _ = await pool.acquire({ priority });
      served.push(name);
    };
    const all = [wait("low", -1), wait("a", 0), wait("b", 0), wait("high", 5), wait("c", 0)];
    held[Symbol.dispose]();
    await Promise.all(all);
    expect(served).toEqual(["high", "a", "b", "c", "low"]);
  });
});

describe("waiting", () => {
  test("a full queue refuses at once and says how full it is", async () => {
    const { pool } = openPool({ maximum: 1, queueLimit: 1 });
    using _ = await pool.acquire();
    const waiting = pool.acquire().catch(() => {});
    const error = await rejectionOf(pool.acquire());
    expect(error).toMatchObject({ code: "OVERLOADED", details: { waiting: 1, limit: 1 } });
    expect(pool.stats).toMatchObject({ refused: 1, waitingHighWater: 1 });
    await pool[Symbol.asyncDispose]();
    await waiting;
  });

  test("who gives up leaves the queue to the others", async () => {
    const { pool } = openPool({ maximum: 1 });
    const held = await pool.acquire();
    const abort = new AbortController();
    const impatient = rejectionOf(pool.acquire({ signal: abort.signal }));
    const patient = pool.acquire();
    abort.abort();
    expect((await impatient).code).toBe("INTERRUPTED");
    held[Symbol.dispose]();
    using lease = await patient;
    expect(lease.instance.name).toBe("first");
    expect((await rejectionOf(pool.acquire({ signal: AbortSignal.abort() }))).code).toBe("INTERRUPTED");
  });

  test("who has waited for too long is refused, and the others move up", async () => {
    const { pool } = openPool({ maximum: 1, queueTimeoutMs: 1 });
    const held = await pool.acquire();
    const error = await rejectionOf(pool.acquire());
    expect(error).toMatchObject({
      code: "OVERLOADED",
      message: "Cannot predict: no instance became free within 1 ms",
      details: { timeoutMs: 1, stage: "waiting" },
    });
    expect(pool.stats).toMatchObject({ timedOut: 1, refused: 0, waiting: 0 });
    const patient = pool.acquire();
    held[Symbol.dispose]();
    using lease = await patient;
    expect(lease.instance.name).toBe("first");
  });

  test("closing refuses those who wait and those who come", async () => {
    const { pool, first } = openPool({ maximum: 1 });
    const lease = await pool.acquire();
    const waiting = rejectionOf(pool.acquire());
    await pool[Symbol.asyncDispose]();
    await pool[Symbol.asyncDispose]();
    expect((await waiting).code).toBe("UNAVAILABLE");
    expect((await rejectionOf(pool.acquire())).code).toBe("UNAVAILABLE");
    lease[Symbol.dispose]();
    expect(first.isDisposed).toBe(true);
  });

  test("an instance that cannot be made is logged, and the waiting go on waiting for the others", async () => {
    const failing = async () => Promise.reject(new CoremlxError("NATIVE", "no thread"));
    const { pool, logged } = openPool({ create: failing });
    const held = await pool.acquire();
    const waiting = pool.acquire();
    await settle();
    expect(logged).toEqual(["instance not made"]);
    held[Symbol.dispose]();
    using lease = await waiting;
    expect(lease.instance.name).toBe("first");
  });

  test("with no instance left, those who wait learn why none can be made", async () => {
    const failing = async () => Promise.reject(new CoremlxError("NATIVE", "no thread"));
    const { pool, first } = openPool({ create: failing });
    const held = await pool.acquire();
    first.isEnded = true;
    const waiting = rejectionOf(pool.acquire());
    held[Symbol.dispose]();
    expect((await waiting).message).toBe("no thread");
  });
});

describe("instances that break", () => {
  test("an ended instance is replaced when it comes back", async () => {
    const { pool, made } = openPool({ maximum: 1 });
    const held = await pool.acquire();
    held.instance.isEnded = true;
    const waiting = pool.acquire();
    held[Symbol.dispose]();
    using lease = await waiting;
    expect(lease.instance.name).toBe("guest 1");
    expect(made[0]?.isDisposed).toBe(true);
    expect(pool.stats).toMatchObject({ replaced: 1, instances: 1 });
  });

  test("a call given up returns its instance when it ends, its memory before that", async () => {
    const { pool } = openPool({ maximum: 1 });
    const lease = await pool.acquire();
    const call = openCall();
    const order: string[] = [];
    lease.abandon(call.promise, () => order.push("memory"));
    lease[Symbol.dispose]();
    expect(pool.stats).toMatchObject({ draining: 1, idle: 0 });
    const waiting = pool.acquire().then((next) => {
      order.push("instance");
      next[Symbol.dispose]();
    });
    call.reject(new Error("stopped"));
    await waiting;
    expect(order).toEqual(["memory", "instance"]);
    expect(pool.stats).toMatchObject({ draining: 0, abandonedThreads: 0, idle: 1 });
  });

  test("a call that hangs costs its instance, which is replaced; its late end is counted back", async () => {
    const { pool, made } = openPool({ maximum: 2, hangMs: 1 });
    const first = await pool.acquire();
    const lease = await pool.acquire();
    const call = openCall();
    let isOver = false;
    lease.abandon(call.promise, () => (isOver = true));
    using replacement = await pool.acquire();
    expect(replacement.instance).not.toBe(lease.instance);
    expect(pool.stats).toMatchObject({ abandonedThreads: 1, replaced: 1 });
    expect(isOver).toBe(false);
    call.resolve();
    await settle();
    expect(isOver).toBe(true);
    expect(pool.stats.abandonedThreads).toBe(0);
    expect(made[1]?.isDisposed).toBe(true);
    first[Symbol.dispose]();
  });

  test("an instance that its engine calls spent when a call was given up is replaced at once, and no thread is lost", async () => {
    const { pool, made } = openPool({ maximum: 1, areIndependent: true });
    const lease = await pool.acquire();
    const call = openCall();
    lease.abandon(call.promise, () => {});
    const waiting = pool.acquire();
    call.reject(new CoremlxError("DEADLINE", "The engine ended it", { details: brokenSurfaces }));
    using replacement = await waiting;
    expect(replacement.instance.name).toBe("guest 1");
    expect(made[0]?.isDisposed).toBe(true);
    expect(pool.stats).toMatchObject({ abandonedThreads: 0, replaced: 1, draining: 0, instances: 1 });
  });

  test("one that was to leave anyway just leaves, spent or not", async () => {
    const { pool, made } = openPool({ maximum: 1, areIndependent: true });
    const lease = await pool.acquire();
    const call = openCall();
    lease.abandon(call.promise, () => {});
    pool.recycle(lease.instance, "memory");
    await settle();
    call.reject(new CoremlxError("DEADLINE", "The engine ended it", { details: brokenSurfaces }));
    await settle();
    expect(made.map(({ isDisposed }) => isDisposed)).toEqual([true, false]);
    expect(pool.stats).toMatchObject({ replaced: 0, recycled: 1, instances: 1, idle: 1 });
  });

  test("too many hung threads make the model unavailable, until one of them ends", async () => {
    const { pool, first } = openPool({ maximum: 1, hangMs: 1, maxAbandoned: 0 });
    const lease = await pool.acquire();
    const call = openCall();
    const waiting = rejectionOf(pool.acquire());
    lease.abandon(call.promise, () => {});
    expect((await waiting).code).toBe("UNAVAILABLE");
    expect((await rejectionOf(pool.acquire())).message).toContain("threads of this model hang");
    call.resolve();
    await settle();
    using back = await pool.acquire();
    expect(back.instance).toBe(first);
  });

  test("an instance that can be killed is, and leaves no thread behind", async () => {
    const { pool } = openPool({ maximum: 1, hangMs: 1 });
    const lease = await pool.acquire();
    lease.instance.isKillable = true;
    const call = openCall();
    lease.abandon(call.promise, () => {});
    using replacement = await pool.acquire();
    expect(replacement.instance.name).toBe("guest 1");
    expect(lease.instance.isAbandoned).toBe(true);
    expect(pool.stats).toMatchObject({ abandonedThreads: 0, replaced: 1 });
    call.reject(new Error("killed"));
  });

  test("closing waits for an instance on its way: it joins what the first one owns", async () => {
    const late = Promise.withResolvers<Member>();
    const { pool, first } = openPool({ create: () => late.promise });
    const held = await pool.acquire();
    const waiting = rejectionOf(pool.acquire());
    let isClosed = false;
    const closing = pool[Symbol.asyncDispose]().then(() => {
      isClosed = true;
    });
    expect((await waiting).code).toBe("UNAVAILABLE");
    await settle();
    expect([isClosed, first.isDisposed]).toEqual([false, false]);
    const guest = new Member("late");
    late.resolve(guest);
    await closing;
    expect([guest.isDisposed, first.isDisposed]).toEqual([true, true]);
    held[Symbol.dispose]();
  });

  test("closing beside a hung thread leaves alone what it may still read", async () => {
    const { pool, first } = openPool({ maximum: 2, hangMs: 1 });
    const held = await pool.acquire();
    const guest = await pool.acquire();
    const call = openCall();
    guest.abandon(call.promise, () => {});
    (await pool.acquire())[Symbol.dispose](); // made only once the hang was noticed
    held[Symbol.dispose]();
    await pool[Symbol.asyncDispose]();
    expect(first).toMatchObject({ isAbandoned: false, isDisposed: false });
    call.resolve();
    await settle();
    expect([guest.instance.isDisposed, first.isDisposed]).toEqual([true, true]);
  });
});

describe("fewer than the maximum", () => {
  test("instances that are too many stop when they come back, and start again when they may", async () => {
    const { pool, made } = openPool({ maximum: 3 });
    const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    pool.limitTo(1);
    expect(pool.stats).toMatchObject({ maximum: 3, allowed: 1, busy: 3, parked: 0 });
    const waiting = pool.acquire();
    leases[0]?.[Symbol.dispose]();
    leases[1]?.[Symbol.dispose]();
    await settle();
    expect(pool.stats).toMatchObject({ busy: 1, parked: 2, waiting: 1 });
    leases[2]?.[Symbol.dispose]();
    using last = await waiting;
    expect(last.instance).toBe(made[2] as Member);
    const next = pool.acquire();
    pool.limitTo(2);
    using second = await next;
    expect(second.instance.name).not.toBe(last.instance.name);
    expect(pool.stats).toMatchObject({ allowed: 2, busy: 2, parked: 1, created: 3 });
  });

  test("idle ones stop at once, and there is always one", async () => {
    const { pool } = openPool({ maximum: 2 });
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    for (const lease of leases) lease[Symbol.dispose]();
    pool.limitTo(0);
    expect(pool.stats).toMatchObject({ allowed: 1, idle: 1, parked: 1 });
    using _ = await pool.acquire();
    const waiting = rejectionOf(pool.acquire());
    expect(pool.stats.waiting).toBe(1);
    await pool[Symbol.asyncDispose]();
    expect((await waiting).code).toBe("UNAVAILABLE");
  });

  test("one that breaks is replaced by a parked one", async () => {
    const { pool, made } = openPool({ maximum: 2 });
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    pool.limitTo(1);
    leases[0].instance.isEnded = true;
    leases[1][Symbol.dispose]();
    leases[0][Symbol.dispose]();
    using lease = await pool.acquire();
    expect(lease.instance).toBe(leases[1].instance);
    expect(made.length).toBe(2);
  });

  test("no more are made than may run, and as many as calls wait once they may", async () => {
    const { pool } = openPool({ maximum: 3 });
    pool.limitTo(1);
    using _ = await pool.acquire();
    const waiting = [pool.acquire(), pool.acquire()];
    await settle();
    expect(pool.stats).toMatchObject({ created: 1, waiting: 2 });
    pool.limitTo(3);
    for (const lease of await Promise.all(waiting)) lease[Symbol.dispose]();
    expect(pool.stats).toMatchObject({ created: 3, waiting: 0 });
  });

  test("parked instances go after a while, as idle ones do", async () => {
    const { pool, made } = openPool({ maximum: 2, idleMs: 1 });
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    leases[1][Symbol.dispose]();
    leases[0][Symbol.dispose]();
    pool.limitTo(1);
    expect(pool.stats).toMatchObject({ idle: 1, parked: 1 });
    while (pool.stats.retired === 0) await settle();
    expect(pool.stats).toMatchObject({ instances: 1, idle: 1, parked: 0 });
    expect(made.map((member) => member.isDisposed)).toEqual([false, true]);
  });

  test("a parked first instance serves again once the others have gone", async () => {
    const { pool, first } = openPool({ maximum: 2, idleMs: 1 });
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    pool.limitTo(1);
    leases[0][Symbol.dispose]();
    leases[1][Symbol.dispose]();
    expect(pool.stats).toMatchObject({ idle: 1, parked: 1 });
    while (pool.stats.retired === 0) await settle();
    expect(pool.stats).toMatchObject({ idle: 1, parked: 0 });
    using lease = await pool.acquire();
    expect(lease.instance).toBe(first);
    expect(pool.stats).toMatchObject({ instances: 1, parked: 0 });
  });
});

test("a lone caller does not tell how many instances are worth having", async () => {
  const { pool } = openPool({ maximum: 2, search: new InstanceSearch({ most: 2 }) });
  const untilMs = performance.now() + 300; // longer than a trial
  while (performance.now() < untilMs) {
    using _ = await pool.acquire();
  }
  expect(pool.stats).toMatchObject({ allowed: 2, search: { state: "searching", size: 2 } });
});

test("a search for their number under full load ends with the smallest that is as good as the best", async () => {
  jest.useFakeTimers();
  try {
    const { pool } = openPool({ maximum: 3, search: new InstanceSearch({ most: 3 }) });
    let isOver = false;
    /** Two at a time get as much done as three, in the same time. */
    const call = async () => {
      while (!isOver) {
        using _ = await pool.acquire();
        const callMs = Math.max(pool.stats.busy / 2, 1) * 10;
        await new Promise((resolve) => setTimeout(resolve, callMs));
      }
    };
    const callers = [call(), call(), call(), call()];
    for (let i = 0; pool.stats.search?.state === "searching" && i < 10_000; i++) {
      jest.advanceTimersByTime(1);
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    }
    expect(pool.stats).toMatchObject({ maximum: 3, allowed: 2, search: { state: "settled", size: 2 } });
    isOver = true;
    for (let i = 0; i < 100; i++) {
      jest.advanceTimersByTime(1);
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    }
    await Promise.all(callers);
  } finally {
    jest.useRealTimers();
  }
});

test("idle instances beyond the first go after a while", async () => {
  const { pool, made } = openPool({ idleMs: 1 });
  const leases = await Promise.all([pool.acquire(), pool.acquire()]);
  for (const lease of leases) lease[Symbol.dispose]();
  while (pool.stats.retired === 0) await settle();
  expect(pool.stats).toMatchObject({ instances: 1, idle: 1, retired: 1 });
  expect(made.map((member) => member.isDisposed)).toEqual([false, true]);
});

type Action =
  | { readonly kind: "acquire"; readonly priority: number; readonly willAbort: boolean }
  | { readonly kind: "abort" | "return" | "break" | "abandon" | "complete"; readonly pick: number };

test("any schedule of loans, aborts, breaks and late endings keeps the promises and ends with everything returned", async () => {
  const action: fc.Arbitrary<Action> = fc.oneof(
    fc.record({
      kind: fc.constant("acquire" as const),
      priority: fc.integer({ min: 0, max: 2 }),
      willAbort: fc.boolean(),
    }),
    fc.record({
      kind: fc.constantFrom(
        "abort" as const,
        "return" as const,
        "break" as const,
        "abandon" as const,
        "complete" as const,
      ),
      pick: fc.nat(9),
    }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { maxLength: 60 }),
      fc.integer({ min: 1, max: 4 }),
      async (actions, maximum) => {
        const { pool, made } = openPool({ maximum, queueLimit: 5, maxAbandoned: 100 });
        const held: InstanceLease<Member>[] = [];
        const calls: ReturnType<typeof openCall>[] = [];
        const aborts: AbortController[] = [];
        const outcomes: Promise<string>[] = [];
        let [given, over] = [0, 0];
        for (const step of actions) {
          if (step.kind === "acquire") {
            const abort = new AbortController();
            if (step.willAbort) aborts.push(abort);
            outcomes.push(
              pool.acquire({ priority: step.priority, signal: abort.signal }).then(
                (lease) => {
                  held.push(lease);
                  return "lent";
                },
                (error: unknown) => (error instanceof CoremlxError ? error.code : "odd"),
              ),
            );
          } else if (step.kind === "abort") aborts[step.pick % Math.max(aborts.length, 1)]?.abort();
          else if (step.kind === "complete")
            calls.splice(step.pick % Math.max(calls.length, 1), 1)[0]?.resolve();
          else {
            const [lease] = held.splice(step.pick % Math.max(held.length, 1), 1);
            if (lease && step.kind === "break") lease.instance.isEnded = true;
            if (lease && step.kind === "abandon") {
              const call = openCall();
              calls.push(call);
              given++;
              lease.abandon(call.promise, () => over++);
            } else lease?.[Symbol.dispose]();
          }
          await settle();
          const { instances, busy, idle, draining, waiting } = pool.stats;
          expect(instances).toBe(busy + idle + draining);
          expect(instances).toBeLessThanOrEqual(maximum);
          expect(busy).toBe(held.length);
          if (idle > 0) expect(waiting).toBe(0);
          expect(new Set(held.map((lease) => lease.instance)).size).toBe(held.length);
        }
        for (const call of calls) call.resolve();
        while (pool.stats.waiting > 0 || held.length > 0) {
          held.shift()?.[Symbol.dispose]();
          await settle();
        }
        for (const outcome of await Promise.all(outcomes))
          expect(["lent", "OVERLOADED", "INTERRUPTED"]).toContain(outcome);
        expect(over).toBe(given);
        await pool[Symbol.asyncDispose]();
        expect(made.every((member) => member.isEnded)).toBe(true);
      },
    ),
    { numRuns: 150, seed: 4 },
  );
});
