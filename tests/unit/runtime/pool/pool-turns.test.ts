// Pools of several models that take turns at shared resources.

import { expect, test } from "bun:test";
import { ModelPool, type ModelPoolOptions } from "../../../../src/runtime/pool/model-pool.ts";
import { ResourceScheduler } from "../../../../src/runtime/pool/resource-scheduler.ts";
import { type ResourceCounts, ResourceLedger } from "../../../../src/runtime/pool/resources.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";
import { Member, openCall } from "../../../support/runtime/pool-member.ts";

function open(resources: ResourceCounts) {
  const ledger = new ResourceLedger(resources, { isSerial: false });
  const scheduler = new ResourceScheduler({ ledger, hungHoldMs: 60_000 });
  const join = (takes: ResourceCounts, options: Partial<ModelPoolOptions<Member>> = {}) => {
    const claim = ledger.claim({ model: "m", resources: takes, instances: 4 });
    return new ModelPool<Member>({
      first: new Member("first"),
      create: async () => new Member("guest"),
      maximum: 4,
      queueLimit: 8,
      idleMs: 60_000,
      hangMs: 60_000,
      maxAbandoned: 1,
      join: claim && ((contender) => scheduler.join(claim, contender)),
      ...options,
    });
  };
  return { scheduler, join };
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

test("one unit lets one prediction run at a time, over all models", async () => {
  const { scheduler, join } = open({ ane: 1 });
  const [a, b] = [join({ ane: 1 }), join({ ane: 1 })];
  const lease = await a.acquire();
  const next = b.acquire();
  await settle();
  expect(b.stats).toMatchObject({ waiting: 1, idle: 1, busy: 0, seat: { granted: 0 } });
  lease[Symbol.dispose]();
  using other = await next;
  expect(other.instance.name).toBe("first");
  expect(scheduler.stats["ane"]).toMatchObject({ total: 1, inUse: 1 });
  expect(b.stats.seat).toMatchObject({ weight: 1, resources: { ane: 1 }, granted: 1 });
});

test("a model that takes nothing waits for nobody", async () => {
  const { join } = open({ ane: 1 });
  const [a, free] = [join({ ane: 1 }), join({})];
  using _ = await a.acquire();
  using lease = await free.acquire();
  expect(lease.instance.name).toBe("first");
  expect(free.stats.seat).toBeUndefined();
});

test("no instance is made for calls that only wait for resources", async () => {
  const { join } = open({ ane: 1 });
  const [a, b] = [join({ ane: 1 }), join({ ane: 1 })];
  using _ = await a.acquire();
  const waiting = rejectionOf(b.acquire());
  await settle();
  expect(b.stats).toMatchObject({ created: 1, instances: 1, waiting: 1 });
  await b[Symbol.asyncDispose]();
  expect((await waiting).code).toBe("UNAVAILABLE");
});

test("who stops waiting lets those of other models pass", async () => {
  const { join } = open({ cpu: 2 });
  const [a, big, small] = [join({ cpu: 1 }), join({ cpu: 2 }), join({ cpu: 1 })];
  using _ = await a.acquire();
  const abort = new AbortController();
  const impatient = rejectionOf(big.acquire({ signal: abort.signal }));
  const patient = small.acquire();
  await settle();
  expect(small.stats.waiting).toBe(1);
  abort.abort();
  expect((await impatient).code).toBe("INTERRUPTED");
  (await patient)[Symbol.dispose]();
});

test("a model that closes lets the others pass, and its call keeps what it holds until it ends", async () => {
  const { scheduler, join } = open({ cpu: 2 });
  const [a, big, small] = [join({ cpu: 1 }), join({ cpu: 2 }), join({ cpu: 1 })];
  const held = await a.acquire();
  const waiting = rejectionOf(big.acquire());
  const patient = small.acquire();
  await big[Symbol.asyncDispose]();
  expect((await waiting).code).toBe("UNAVAILABLE");
  using _ = await patient;
  await a[Symbol.asyncDispose]();
  expect(scheduler.stats["cpu"]).toMatchObject({ inUse: 2 });
  held[Symbol.dispose]();
  expect(scheduler.stats["cpu"]).toMatchObject({ inUse: 1 });
});

test("the time to wait covers waiting for resources", async () => {
  const { join } = open({ ane: 1 });
  const [a, b] = [join({ ane: 1 }), join({ ane: 1 }, { queueTimeoutMs: 1 })];
  using _ = await a.acquire();
  expect((await rejectionOf(b.acquire())).code).toBe("OVERLOADED");
});

test("a full queue refuses those who wait for resources too", async () => {
  const { join } = open({ ane: 1 });
  const [a, b] = [join({ ane: 1 }), join({ ane: 1 }, { queueLimit: 0 })];
  (await b.acquire())[Symbol.dispose]();
  using _ = await a.acquire();
  expect((await rejectionOf(b.acquire())).code).toBe("OVERLOADED");
});

test("a process that is ended for hanging gives back what it held; a thread only when it ends", async () => {
  const { scheduler, join } = open({ cpu: 2 });
  const [killable, thread] = [join({ cpu: 1 }, { hangMs: 1 }), join({ cpu: 1 }, { hangMs: 1 })];
  const [first, second] = [await killable.acquire(), await thread.acquire()];
  first.instance.isKillable = true;
  const calls = [openCall(), openCall()] as const;
  first.abandon(calls[0].promise, () => {});
  second.abandon(calls[1].promise, () => {});
  while (killable.stats.replaced + thread.stats.abandonedThreads < 2) await settle();
  expect(scheduler.stats["cpu"]).toEqual({ total: 2, inUse: 0, hung: 1, writtenOff: 0 });
  calls[1].resolve();
  await settle();
  expect(scheduler.stats["cpu"]).toEqual({ total: 2, inUse: 0, hung: 0, writtenOff: 0 });
});
