// Several pools over shared resources, beside a plain account of who has what: every promise that can be read off the
// account is checked after each step.

import { expect, jest } from "bun:test";
import { CoremlxError } from "../../../src/core/errors.ts";
import { ModelPool, type InstanceLease } from "../../../src/runtime/pool/model-pool.ts";
import { ResourceScheduler } from "../../../src/runtime/pool/resource-scheduler.ts";
import { type ResourceCounts, ResourceLedger } from "../../../src/runtime/pool/resources.ts";
import { Member, openCall } from "./pool-member.ts";

export interface PoolPlan {
  readonly takes: ResourceCounts;
  readonly weight: number;
  readonly maximum: number;
  readonly isKillable: boolean;
  readonly hasQueueTimeout: boolean;
}

export const times = { queueTimeoutMs: 50, hangMs: 30, hungHoldMs: 100 } as const;
export const queueLimit = 4;

interface Waiting {
  readonly priority: number;
  readonly order: number;
  readonly sinceMs: number;
  readonly abort: AbortController;
}

interface GivenUp {
  readonly call: ReturnType<typeof openCall>;
  readonly sinceMs: number;
  isOver: boolean;
}

interface Account {
  readonly name: string;
  readonly plan: PoolPlan;
  readonly pool: ModelPool<Member>;
  readonly members: Member[];
  waiting: Waiting[];
  readonly held: InstanceLease<Member>[];
  readonly givenUp: GivenUp[];
  memoryReturned: number;
  isClosed: boolean;
}

/** Needs the fake timers of bun:test. */
export class SharedPools {
  readonly #resources: ResourceCounts;
  readonly #scheduler: ResourceScheduler;
  readonly #accounts: Account[];
  /** Promises found broken where nobody could throw. */
  readonly #broken: unknown[] = [];
  #order = 0;

  constructor(resources: ResourceCounts, plans: readonly PoolPlan[]) {
    const ledger = new ResourceLedger(resources, { isSerial: false });
    this.#resources = resources;
    this.#scheduler = new ResourceScheduler({ ledger, hungHoldMs: times.hungHoldMs });
    this.#accounts = plans.map((plan, i) => this.#open(plan, { name: `model ${i}`, ledger }));
  }

  /** Starts a call. */
  acquire(pick: number, priority: number): void {
    const account = this.#accountAt(pick);
    const abort = new AbortController();
    const entry = { priority, order: this.#order++, sinceMs: performance.now(), abort };
    account.waiting.push(entry);
    account.pool
      .acquire({ priority, signal: abort.signal })
      .then(
        (lease) => {
          expect(entry).toBe(nextOf(account.waiting) as Waiting);
          leave(account, entry);
          expect(account.held.map(({ instance }) => instance)).not.toContain(lease.instance);
          account.held.push(lease);
        },
        (error: unknown) => {
          leave(account, entry);
          this.#checkRefusal(account, entry, error);
        },
      )
      .catch((error: unknown) => this.#broken.push(error));
  }

  abort(pick: number, which: number): void {
    const { waiting } = this.#accountAt(pick);
    waiting[which % Math.max(waiting.length, 1)]?.abort.abort();
  }

  giveBack(pick: number, which: number, isBroken: boolean): void {
    const lease = takeOne(this.#accountAt(pick).held, which);
    if (lease && isBroken) lease.instance.isEnded = true;
    lease?.[Symbol.dispose]();
    lease?.[Symbol.dispose]();
  }

  /** Its caller stops waiting, the call goes on. */
  giveUp(pick: number, which: number): void {
    const account = this.#accountAt(pick);
    const lease = takeOne(account.held, which);
    if (lease === undefined) return;
    const call = openCall();
    const entry = { call, sinceMs: performance.now(), isOver: false };
    account.givenUp.push(entry);
    lease.abandon(call.promise, () => account.memoryReturned++);
    lease[Symbol.dispose]();
  }

  /** A call that was given up comes to its end after all. */
  complete(pick: number, which: number): void {
    const open = this.#accountAt(pick).givenUp.filter(({ isOver }) => !isOver);
    const entry = open[which % Math.max(open.length, 1)];
    if (entry === undefined) return;
    entry.isOver = true;
    entry.call.resolve();
  }

  /** Heat, or the search for their number, lets fewer instances run. */
  limit(pick: number, ceiling: number): void {
    this.#accountAt(pick).pool.limitTo(ceiling);
  }

  close(pick: number): void {
    const account = this.#accountAt(pick);
    account.isClosed = true;
    void account.pool[Symbol.asyncDispose]();
  }

  async pass(ms: number): Promise<void> {
    jest.advanceTimersByTime(ms);
    await settle();
  }

  async check(): Promise<void> {
    await settle();
    if (this.#broken.length > 0) throw this.#broken[0];
    for (const account of this.#accounts) checkAccount(account);
    this.#checkResources();
    this.#checkNobodyWaitsInVain();
  }

  /** Ends whatever is under way; then nothing may be missing. */
  async finish(): Promise<void> {
    for (let round = 0; round < 1_000 && this.#isBusy; round++) {
      for (const account of this.#accounts) {
        for (const entry of account.givenUp) entry.isOver = true;
        for (const { call } of account.givenUp) call.resolve();
        for (const lease of account.held.splice(0)) lease[Symbol.dispose]();
      }
      await this.pass(1);
    }
    for (const [i, account] of this.#accounts.entries()) {
      expect({ waiting: account.waiting, held: account.held }).toEqual({ waiting: [], held: [] });
      expect(account.memoryReturned).toBe(account.givenUp.length);
      this.close(i);
    }
    await settle();
    expect(this.#broken).toEqual([]);
    const { stats } = this.#scheduler;
    for (const [name, total] of Object.entries(this.#resources)) {
      expect(stats[name]).toMatchObject({ total, inUse: 0, hung: 0 });
    }
    for (const { members } of this.#accounts) {
      expect(members.every((member) => member.isEnded)).toBe(true);
    }
    this.#scheduler[Symbol.dispose]();
  }

  get #isBusy(): boolean {
    return this.#accounts.some(
      ({ waiting, held, givenUp }) =>
        waiting.length > 0 || held.length > 0 || givenUp.some(({ isOver }) => !isOver),
    );
  }

  #open(
    plan: PoolPlan,
    { name, ledger }: { readonly name: string; readonly ledger: ResourceLedger },
  ): Account {
    const members: Member[] = [];
    const make = () => {
      const member = new Member(`${name} instance ${members.length}`);
      member.isKillable = plan.isKillable;
      members.push(member);
      return member;
    };
    const { takes, weight, maximum: instances } = plan;
    const claim = ledger.claim({ model: name, resources: takes, weight, instances });
    const pool = new ModelPool<Member>({
      first: make(),
      create: async () => make(),
      maximum: Math.min(instances, claim?.mostAtOnce ?? instances),
      queueLimit,
      queueTimeoutMs: plan.hasQueueTimeout ? times.queueTimeoutMs : undefined,
      idleMs: 40,
      hangMs: times.hangMs,
      maxAbandoned: 1,
      join: claim && ((contender) => this.#scheduler.join(claim, contender)),
    });
    return {
      name,
      plan,
      pool,
      members,
      waiting: [],
      held: [],
      givenUp: [],
      memoryReturned: 0,
      isClosed: false,
    };
  }

  #accountAt(pick: number): Account {
    const account = this.#accounts[pick % this.#accounts.length];
    if (account === undefined) throw new Error("no pools");
    return account;
  }

  #checkRefusal({ plan, pool, isClosed }: Account, { abort, sinceMs }: Waiting, error: unknown): void {
    const code = error instanceof CoremlxError ? error.code : String(error);
    if (code === "INTERRUPTED") expect(abort.signal.aborted).toBe(true);
    else if (code === "UNAVAILABLE") expect(isClosed || pool.stats.abandonedThreads > 1).toBe(true);
    else {
      expect(code).toBe("OVERLOADED");
      const waitedMs = performance.now() - sinceMs;
      if (waitedMs > 0)
        expect([plan.hasQueueTimeout, waitedMs >= times.queueTimeoutMs]).toEqual([true, true]);
    }
  }

  /** By the account: who holds what, and for how long what hangs is kept. */
  #checkResources(): void {
    const { stats } = this.#scheduler;
    for (const [name, total] of Object.entries(this.#resources)) {
      let [inUse, hung] = [0, 0];
      for (const { plan, held, givenUp } of this.#accounts) {
        const takes = plan.takes[name] ?? 0;
        const keptMs = plan.isKillable ? times.hangMs : times.hungHoldMs;
        inUse += takes * held.length;
        hung +=
          takes * givenUp.filter((call) => !call.isOver && performance.now() - call.sinceMs < keptMs).length;
      }
      expect(stats[name]).toMatchObject({ total, inUse, hung });
      expect(inUse + hung).toBeLessThanOrEqual(total);
    }
  }

  /** Where calls wait beside idle instances, one of them is next and does not fit: the others may be waiting for it. */
  #checkNobodyWaitsInVain(): void {
    const { stats } = this.#scheduler;
    const ready = this.#accounts.filter(({ pool }) => pool.stats.waiting > 0 && pool.stats.idle > 0);
    const lacking = ready.filter(({ plan }) =>
      Object.entries(plan.takes).some(([name, units]) => {
        const { total = 0, inUse = 0, hung = 0 } = stats[name] ?? {};
        return units > total - inUse - hung;
      }),
    );
    if (ready.length > 0) expect(lacking.length).toBeGreaterThan(0);
  }
}

function checkAccount({ plan, pool, waiting, held, isClosed }: Account): void {
  if (isClosed) return;
  const { stats } = pool;
  expect(stats.busy).toBe(held.length);
  expect(stats.waiting).toBe(waiting.length);
  expect(stats.instances).toBe(stats.busy + stats.idle + stats.draining + stats.parked);
  expect(stats.instances).toBeLessThanOrEqual(stats.maximum);
  if (stats.parked > 0) expect(stats.instances - stats.parked).toBeGreaterThanOrEqual(stats.allowed);
  if (stats.idle > 0) expect(stats.instances - stats.parked).toBeLessThanOrEqual(stats.allowed);
  for (const { sinceMs } of waiting) {
    if (plan.hasQueueTimeout) expect(performance.now() - sinceMs).toBeLessThan(times.queueTimeoutMs);
  }
}

function nextOf(waiting: readonly Waiting[]): Waiting | undefined {
  return waiting.toSorted((a, b) => b.priority - a.priority || a.order - b.order)[0];
}

function leave(account: Account, entry: Waiting): void {
  account.waiting = account.waiting.filter((other) => other !== entry);
}

function takeOne<T>(list: T[], which: number): T | undefined {
  return list.splice(which % Math.max(list.length, 1), 1)[0];
}

/** Whatever follows from what has happened. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
