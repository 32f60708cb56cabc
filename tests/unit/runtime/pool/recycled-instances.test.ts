// Instances that are put out of service in good order, and what that means for those that borrow from them.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CoremlxError } from "../../../../src/core/errors.ts";
import type { LogFields, Telemetry } from "../../../../src/core/telemetry.ts";
import {
  type InstanceLease,
  type InstanceSource,
  ModelPool,
  type ModelPoolOptions,
  type PoolMember,
} from "../../../../src/runtime/pool/model-pool.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";

/** Notes when it is closed, and whether what it borrows was still there. */
class Member implements PoolMember {
  readonly isKillable = false;
  readonly name: string;
  readonly pid = 7;
  readonly #owner: Member | undefined;
  readonly #closings: string[];
  isEnded = false;
  /** Told to end while it runs, it ends later. */
  isSlowToEnd = false;
  /** In good order, with what it loaded. The death of a thread frees nothing native. */
  isClosed = false;
  endedBy: CoremlxError | undefined;
  served = 0;
  onEnd: (() => void) | undefined;

  constructor(name: string, owner: Member | undefined, closings: string[]) {
    this.name = name;
    this.#owner = owner;
    this.#closings = closings;
  }
  get isOwnerClosed(): boolean {
    return this.#owner?.isClosed === true;
  }
  die(error: CoremlxError): void {
    this.isEnded = true;
    this.endedBy = error;
    this.onEnd?.();
  }
  abandon(): void {
    this.isEnded = true;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.isSlowToEnd) this.end();
  }
  end(): void {
    if (this.isOwnerClosed) throw new Error(`${this.name} outlived its owner`);
    if (!this.isEnded) {
      this.isClosed = true;
      this.#closings.push(this.name);
      this.isEnded = true;
      this.onEnd?.();
    }
  }
}

function openPool(options: Partial<ModelPoolOptions<Member>> = {}) {
  const closings: string[] = [];
  const made: Member[] = [];
  const events: { readonly event: string; readonly fields: LogFields | undefined }[] = [];
  const telemetry: Telemetry = {
    log: (_, event: string, fields?: LogFields) => void events.push({ event, fields }),
  };
  let generation = 0;
  const add = (name: string, owner: Member | undefined) => {
    const member = new Member(name, owner, closings);
    made.push(member);
    return member;
  };
  const source = (): InstanceSource<Member> => {
    const letter = "abcdefgh"[generation++ % 8] ?? "";
    const first = add(letter, undefined);
    let guests = 0;
    const owner = options.areIndependent ? undefined : first;
    return { first, create: async () => add(`${letter}${++guests}`, owner) };
  };
  const { first, create } = source();
  const pool = new ModelPool<Member>({
    first,
    create,
    reload: async () => source(),
    maximum: 2,
    queueLimit: 8,
    idleMs: 60_000,
    hangMs: 60_000,
    maxAbandoned: 1,
    model: "m",
    telemetry,
    ...options,
  });
  return { pool, first, made, closings, events };
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

async function nameOfNext(pool: ModelPool<Member>): Promise<string> {
  using lease = await pool.acquire();
  return lease.instance.name;
}

describe("instances that share what one of them loaded", () => {
  test("go together: the model is loaded once more, and the owner is closed after its guests", async () => {
    const { pool, closings, events } = openPool();
    const [a, a1] = await Promise.all([pool.acquire(), pool.acquire()]);
    pool.recycle(a1.instance, "memory");
    await settle();
    expect(closings).toEqual([]);
    expect(await nameOfNext(pool)).toBe("b");
    a[Symbol.dispose](); // the owner is free first, and waits for its guest
    await settle();
    expect(closings).toEqual([]);
    a1[Symbol.dispose]();
    await settle();
    expect(closings).toEqual(["a1", "a"]);
    expect(pool.stats).toMatchObject({ recycled: 2, replaced: 0, byReason: { memory: 2 }, instances: 1 });
    const recycled = events.filter(({ event }) => event === "instance recycled");
    expect(recycled.map(({ fields }) => fields)).toEqual([
      { model: "m", reason: "memory", pid: 7 },
      { model: "m", reason: "memory", pid: 7 },
    ]);
  });

  test("serve until the replacement is ready, and those who wait for a fresh one get it", async () => {
    const late = Promise.withResolvers<void>();
    const { pool, first, made } = openPool({
      reload: async () => {
        await late.promise;
        const fresh = new Member("fresh", undefined, []);
        made.push(fresh);
        return { first: fresh, create: undefined };
      },
    });
    pool.recycle(first, "surface");
    pool.recycle(first, "surface"); // once is enough
    expect(await nameOfNext(pool)).toBe("a");
    const waiting = pool.acquire({ isFresh: true });
    late.resolve();
    using lease = await waiting;
    expect(lease.instance.name).toBe("fresh");
    expect(pool.stats.byReason).toEqual({ surface: 1 });
  });

  test("stay when the model cannot be loaded once more", async () => {
    const { pool, first, events } = openPool({
      reload: async () => Promise.reject(new CoremlxError("BAD_MODEL", "the file is gone")),
    });
    pool.recycle(first, "memory");
    await settle();
    expect(await nameOfNext(pool)).toBe("a");
    expect(pool.stats).toMatchObject({ recycled: 0, byReason: {} });
    expect(events).toEqual([
      {
        event: "instance not made",
        fields: { model: "m", reason: "the file is gone", failures: 1, retryAfterMs: 0 },
      },
    ]);
  });

  test("are counted together where they are recycled by count", async () => {
    const { pool } = openPool({ recycleAfter: 3 });
    const names: string[] = [];
    for (let i = 0; i < 7; i++) {
      names.push(await nameOfNext(pool));
      await settle();
    }
    expect(names).toEqual(["a", "a", "a", "b", "b", "b", "c"]);
    expect(pool.stats.byReason).toEqual({ count: 2 });
  });

  test("another user of what the owner loaded moves over before the owner is closed", async () => {
    const moved = Promise.withResolvers<void>();
    const firsts: string[] = [];
    const { pool, first, closings } = openPool({
      onReload: async ({ name }) => {
        firsts.push(name);
        await moved.promise;
      },
    });
    pool.recycle(first, "memory");
    await settle();
    expect({ firsts, closings }).toEqual({ firsts: ["b"], closings: [] });
    moved.resolve();
    await settle();
    expect(closings).toEqual(["a"]);
  });

  test("a hung thread keeps the owner it borrows from until it ends", async () => {
    const { pool, first, closings } = openPool({ hangMs: 1 });
    const [a, a1] = await Promise.all([pool.acquire(), pool.acquire()]);
    const call = Promise.withResolvers<void>();
    a1.abandon(call.promise, () => {});
    a[Symbol.dispose]();
    while (pool.stats.abandonedThreads === 0) await settle();
    pool.recycle(first, "memory");
    await settle();
    expect(await nameOfNext(pool)).toBe("b");
    expect(closings).toEqual([]);
    call.resolve();
    await settle();
    expect(closings).toEqual(["a1", "a"]);
  });

  test("closing does not wait for a guest that goes on with its last run, and the owner follows it", async () => {
    const { pool, closings } = openPool();
    const [, a1] = await Promise.all([pool.acquire(), pool.acquire()]);
    a1.instance.isSlowToEnd = true;
    await pool[Symbol.asyncDispose]();
    expect(closings).toEqual([]);
    a1.instance.end();
    await settle();
    expect(closings).toEqual(["a1", "a"]);
  });

  test("an owner that hung comes back in the place of another, so that there are never too many", async () => {
    const { pool, closings } = openPool({ hangMs: 1, maximum: 1 });
    const a = await pool.acquire();
    const call = Promise.withResolvers<void>();
    a.abandon(call.promise, () => {});
    using a1 = await pool.acquire();
    expect(a1.instance.name).toBe("a1");
    call.resolve();
    await settle();
    expect(pool.stats).toMatchObject({ instances: 1, idle: 1, retired: 1 });
    a1[Symbol.dispose]();
    await settle();
    expect(closings).toEqual(["a1"]);
    expect(await nameOfNext(pool)).toBe("a");
  });

  test("a model that cannot be shared is loaded once more when its only thread hangs", async () => {
    const { pool } = openPool({ create: undefined, hangMs: 1 });
    const a = await pool.acquire();
    a.abandon(new Promise(() => {}), () => {});
    expect(await nameOfNext(pool)).toBe("b");
  });
});

describe("instances that loaded the model each for itself", () => {
  test("go one by one, also the first", async () => {
    const { pool, first, closings } = openPool({ areIndependent: true });
    pool.recycle(first, "memory");
    await settle();
    expect(closings).toEqual(["a"]);
    expect(await nameOfNext(pool)).toBe("a1");
    expect(pool.stats).toMatchObject({ recycled: 1, instances: 1, byReason: { memory: 1 } });
  });

  test("are all replaced when all are doubted", async () => {
    const { pool, closings } = openPool({ areIndependent: true });
    const [a, b] = await Promise.all([pool.acquire(), pool.acquire()]);
    pool.recycleAll("breaker");
    await settle();
    expect(pool.stats).toMatchObject({ instances: 2, idle: 2, byReason: { breaker: 2 } });
    a[Symbol.dispose]();
    b[Symbol.dispose]();
    await settle();
    expect(closings.toSorted()).toEqual(["a", "a1"]);
  });

  test("are counted each for itself", async () => {
    const { pool } = openPool({ areIndependent: true, recycleAfter: 2 });
    const names: string[] = [];
    for (let i = 0; i < 5; i++) {
      names.push(await nameOfNext(pool));
      await settle();
    }
    expect(names).toEqual(["a", "a", "a1", "a1", "a2"]);
  });

  test("one stays through idleness, whichever it is", async () => {
    const { pool, first } = openPool({ areIndependent: true, idleMs: 1 });
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    for (const lease of leases) lease[Symbol.dispose]();
    while (pool.stats.retired === 0) await settle();
    expect(pool.stats.instances).toBe(1);
    first.die(new CoremlxError("NATIVE", "gone"));
    await settle();
    expect(pool.stats.instances).toBe(1);
  });
});

describe("instances that die", () => {
  const crash = new CoremlxError("NATIVE", "The engine's process ended by signal SIGSEGV: oops", {
    details: { code: null, signal: "SIGSEGV", output: "oops" },
  });

  test("while idle are replaced at once, at nobody's cost, and the event tells how they died", async () => {
    const { pool, first, events } = openPool({ areIndependent: true });
    first.die(crash);
    await settle();
    expect(await nameOfNext(pool)).toBe("a1");
    expect(pool.stats).toMatchObject({ replaced: 1, recycled: 0, byReason: { crashed: 1 } });
    expect(events[0]).toEqual({
      event: "instance replaced",
      fields: {
        model: "m",
        reason: "crashed",
        pid: 7,
        error: crash.message,
        signal: "SIGSEGV",
        output: "oops",
        abandonedThreads: 0,
      },
    });
  });

  test("in every call they serve are made ever more slowly", async () => {
    const { pool } = openPool({ areIndependent: true, maximum: 1 });
    for (let i = 0; i < 20; i++) {
      const abort = new AbortController();
      const waiting = pool.acquire({ signal: abort.signal }).then(
        (lease) => {
          lease.instance.die(crash);
          lease[Symbol.dispose]();
        },
        (error: unknown) => expect(error).toMatchObject({ code: "INTERRUPTED" }),
      );
      await settle();
      abort.abort();
      await waiting;
    }
    // The first death is put right at once, the second after 100 ms.
    expect(pool.stats).toMatchObject({ created: 2, instances: 0, byReason: { crashed: 2 } });
    await pool[Symbol.asyncDispose]();
  });

  test("again and again at their start are made ever more slowly", async () => {
    let starts = 0;
    const { pool, first, events } = openPool({
      areIndependent: true,
      create: async () => {
        starts++;
        return Promise.reject(crash);
      },
    });
    first.die(crash);
    const outcomes: string[] = [];
    for (let i = 0; i < 20; i++) {
      const abort = new AbortController();
      const waiting = rejectionOf(pool.acquire({ signal: abort.signal }));
      await settle();
      abort.abort();
      outcomes.push((await waiting).code);
    }
    // The first start comes at once after the crash, the second after that; the third has to wait.
    expect(outcomes.slice(0, 2)).toEqual(["NATIVE", "NATIVE"]);
    expect(outcomes.at(-1)).toBe("INTERRUPTED");
    expect(starts).toBe(2);
    expect(events.at(1)?.fields).toMatchObject({ failures: 1, signal: "SIGSEGV", output: "oops" });
    await pool[Symbol.asyncDispose]();
  });
});

test("more hung threads than are put up with are told to the owner of the breaker, and no more are made", async () => {
  const told: string[] = [];
  const { pool, made } = openPool({ hangMs: 1, maxAbandoned: 0, onExhausted: (reason) => told.push(reason) });
  const leases = await Promise.all([pool.acquire(), pool.acquire()]);
  leases[1]?.abandon(new Promise(() => {}), () => {});
  while (pool.stats.abandonedThreads === 0) await settle();
  expect(told).toEqual(["1 threads hang"]);
  const waiting = rejectionOf(pool.acquire());
  await settle();
  expect(made.length).toBe(2);
  await pool[Symbol.asyncDispose]();
  expect((await waiting).code).toBe("UNAVAILABLE");
});

type Action = {
  readonly kind: "acquire" | "return" | "die" | "abandon" | "complete" | "recycle" | "doubt";
  readonly pick: number;
};

test("any schedule of loans, deaths, late endings and recyclings closes no owner before its guests, and all in the end", async () => {
  const kinds = ["acquire", "acquire", "return", "die", "abandon", "complete", "recycle", "doubt"] as const;
  const action: fc.Arbitrary<Action> = fc.record({ kind: fc.constantFrom(...kinds), pick: fc.nat(9) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { maxLength: 60 }),
      fc.integer({ min: 1, max: 4 }),
      fc.boolean(),
      async (actions, maximum, areIndependent) => {
        const { pool, made } = openPool({ maximum, areIndependent, maxAbandoned: 100 });
        const held: InstanceLease<Member>[] = [];
        const calls: PromiseWithResolvers<void>[] = [];
        const acquiring: Promise<void>[] = [];
        const takeOne = <T>(from: T[], pick: number) => from.splice(pick % Math.max(from.length, 1), 1)[0];
        let [given, over] = [0, 0];
        for (const { kind, pick } of actions) {
          if (kind === "acquire") {
            acquiring.push(
              pool.acquire().then(
                (lease) => void held.push(lease),
                (error: unknown) => expect(error).toMatchObject({ code: "OVERLOADED" }),
              ),
            );
          } else if (kind === "complete") takeOne(calls, pick)?.resolve();
          else if (kind === "doubt") pool.recycleAll("breaker");
          else if (kind === "recycle") {
            const instance = [...pool.instances][pick % maximum];
            if (instance) pool.recycle(instance, "memory");
          } else {
            const lease = takeOne(held, pick);
            if (lease && kind === "abandon") {
              const call = Promise.withResolvers<void>();
              calls.push(call);
              given++;
              lease.abandon(call.promise, () => over++);
            } else {
              if (lease && kind === "die") lease.instance.die(new CoremlxError("NATIVE", "died"));
              lease?.[Symbol.dispose]();
            }
          }
          await settle();
          const { instances, busy, idle, draining, waiting } = pool.stats;
          expect(instances).toBe(busy + idle + draining);
          expect(instances).toBeLessThanOrEqual(maximum);
          if (idle > 0) expect(waiting).toBe(0);
          for (const { instance } of held) expect(instance.isOwnerClosed).toBe(false);
          expect(new Set(held.map((lease) => lease.instance)).size).toBe(held.length);
        }
        for (const call of calls) call.resolve();
        while (pool.stats.waiting > 0 || held.length > 0) {
          held.shift()?.[Symbol.dispose]();
          // Deaths in a row make it wait for the next instance: who waits longer than the test has patience is let go.
          if (pool.stats.waiting > 0 && pool.stats.instances === 0) break;
          await settle();
        }
        await pool[Symbol.asyncDispose]().catch((error: unknown) => expect(error).toBeUndefined());
        await Promise.all(acquiring.map((one) => one.catch(() => {})));
        for (const lease of held) lease[Symbol.dispose]();
        expect(over).toBe(given);
        expect(made.filter((member) => !member.isEnded).map(({ name }) => name)).toEqual([]);
      },
    ),
    { numRuns: 300, seed: 5 },
  );
});
