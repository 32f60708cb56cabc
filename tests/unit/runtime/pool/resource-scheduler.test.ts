import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Contender,
  type Grant,
  ResourceScheduler,
} from "../../../../src/runtime/pool/resource-scheduler.ts";
import { type ResourceCounts, ResourceLedger } from "../../../../src/runtime/pool/resources.ts";
import { ScheduledLoad } from "../../../support/runtime/scheduled-load.ts";

const ane = { ane: 1 };

describe("shares", () => {
  test("with weights 1 and 3 under saturation, turns converge to 1:3", () => {
    const load = new ScheduledLoad(ane);
    const light = load.add({ name: "light", takes: ane, callMs: 10 });
    const heavy = load.add({ name: "heavy", takes: ane, weight: 3, callMs: 10 });
    light.seat.notify();
    load.run(40_000);
    expect(light.served + heavy.served).toBe(4_001); // one after the other, without a gap
    expect(heavy.served / light.served).toBeCloseTo(3, 1);
    expect(load.scheduler.stats).toEqual({ ane: { total: 1, inUse: 1, hung: 0, writtenOff: 0 } });
  });

  test("a weight is a share of time, whatever the calls take", () => {
    const load = new ScheduledLoad(ane);
    const quick = load.add({ name: "quick", takes: ane, callMs: 1 });
    const slow = load.add({ name: "slow", takes: ane, weight: 3, callMs: 20 });
    quick.seat.notify();
    load.run(40_000);
    expect(slow.heldMs / quick.heldMs).toBeGreaterThan(2.9);
    expect(slow.heldMs / quick.heldMs).toBeLessThan(3.1);
    expect(quick.seat.stats).toMatchObject({ weight: 1, resources: ane, granted: quick.served });
    expect(quick.seat.stats.heldMs).toBeCloseTo(quick.heldMs, 3);
  });

  test("calls too short to measure share by number", () => {
    const load = new ScheduledLoad(ane);
    const a = load.add({ name: "a", takes: ane, callMs: 0 });
    const b = load.add({ name: "b", takes: ane, weight: 2, callMs: 0 });
    let left = 3_000;
    const stop = () => (left-- > 0 ? 0 : 1_000);
    const c = load.add({ name: "c", takes: ane, callMs: stop });
    a.seat.notify();
    load.run(0);
    expect([a.served / c.served, b.served / c.served].map((ratio) => Math.round(ratio * 100) / 100)).toEqual([
      1, 2,
    ]);
  });

  test("any weights and lengths of calls: shares of time are as the weights", () => {
    const model = fc.record({
      weight: fc.integer({ min: 1, max: 8 }),
      callMs: fc.integer({ min: 1, max: 30 }),
      instances: fc.integer({ min: 2, max: 4 }),
    });
    fc.assert(
      fc.property(fc.array(model, { minLength: 2, maxLength: 5 }), (models) => {
        const load = new ScheduledLoad({ cpu: 2 });
        const tracks = models.map((each, i) => load.add({ ...each, name: `${i}`, takes: { cpu: 2 } }));
        tracks[0]?.seat.notify();
        load.run(10_000);
        const weights = models.reduce((sum, { weight }) => sum + weight, 0);
        tracks.forEach((track, i) => {
          const fair = (10_000 * (models[i]?.weight ?? 0)) / weights;
          expect(Math.abs(track.heldMs - fair)).toBeLessThan(200);
        });
      }),
      { seed: 4, numRuns: 30 },
    );
  });

  test("what nobody else wants goes to whoever does", () => {
    const load = new ScheduledLoad(ane);
    const light = load.add({ name: "light", takes: ane, callMs: 10 });
    load.add({ name: "heavy", takes: ane, weight: 100, callMs: 10, isBacklogged: false });
    light.seat.notify();
    load.run(1_000);
    expect(light.served).toBe(101);
  });
});

describe("nobody starves", () => {
  test("a call that takes everything gets its turn among many that take little", () => {
    const load = new ScheduledLoad({ cpu: 4 });
    const big = load.add({ name: "big", takes: { cpu: 4 }, callMs: 5 });
    let at = 0;
    const lengths = [3, 5, 7, 11];
    const small = load.add({
      name: "small",
      takes: { cpu: 1 },
      instances: 4,
      callMs: () => lengths[at++ % 4] ?? 1,
    });
    small.seat.notify();
    load.run(20_000);
    // Each is due half of the units: 20 s x 4 / 2 of both.
    expect(big.heldMs * 4).toBeGreaterThan(30_000);
    expect(small.heldMs).toBeGreaterThan(20_000);
    expect(big.longestWaitMs).toBeLessThan(60);
  });

  test("nor one that was alone for long, when others come", () => {
    const load = new ScheduledLoad(ane);
    const old = load.add({ name: "old", takes: ane, callMs: 10 });
    old.seat.notify();
    load.run(100_000);
    const fresh = load.add({ name: "fresh", takes: ane, callMs: 10 });
    fresh.seat.notify();
    const before = old.served;
    load.run(1_000);
    expect(Math.abs(old.served - before - fresh.served)).toBeLessThanOrEqual(1);
  });

  test("nor one that paused after it was alone", () => {
    const load = new ScheduledLoad(ane);
    const pausing = load.add({ name: "pausing", takes: ane, callMs: 10, isBacklogged: false });
    pausing.pending = 1_000;
    pausing.seat.notify();
    load.run(20_000);
    const steady = load.add({ name: "steady", takes: ane, callMs: 10 });
    steady.seat.notify();
    load.run(100);
    pausing.pending = 50;
    pausing.seat.notify();
    const [mine, theirs] = [pausing.served, steady.served];
    load.run(1_000);
    expect(Math.abs(pausing.served - mine - (steady.served - theirs))).toBeLessThanOrEqual(2);
  });

  test("and what one left unused while it did not wait is not saved up", () => {
    const load = new ScheduledLoad(ane);
    const steady = load.add({ name: "steady", takes: ane, callMs: 10 });
    const late = load.add({ name: "late", takes: ane, callMs: 10, isBacklogged: false });
    steady.seat.notify();
    load.run(10_000);
    late.pending = 1_000;
    late.seat.notify();
    const before = steady.served;
    load.run(1_000);
    expect(Math.abs(steady.served - before - late.served)).toBeLessThanOrEqual(2);
  });

  test("models that want different things do not hold each other up", () => {
    const load = new ScheduledLoad({ ane: 1, cpu: 1 });
    const a = load.add({ name: "a", takes: { ane: 1 }, weight: 100, callMs: 10 });
    const b = load.add({ name: "b", takes: { cpu: 1 }, weight: 0.1, callMs: 10 });
    a.seat.notify();
    load.run(10_000);
    expect([a.served, b.served]).toEqual([1_001, 1_001]);
  });

  test("one that takes two things gets its share of each, and leaves the rest to the others", () => {
    const load = new ScheduledLoad({ ane: 1, cpu: 1 });
    const a = load.add({ name: "a", takes: { ane: 1 }, weight: 9, callMs: 10 });
    const b = load.add({ name: "b", takes: { cpu: 1 }, callMs: 7 });
    a.seat.notify();
    load.run(10_000);
    const both = load.add({ name: "both", takes: { ane: 1, cpu: 1 }, callMs: 10 });
    both.seat.notify();
    const before = { a: a.heldMs, b: b.heldMs };
    load.run(100_000);
    expect((a.heldMs - before.a) / both.heldMs).toBeCloseTo(9, 0);
    // It is due as much of the cpu as b, and gets less: b has what it cannot use.
    expect(b.heldMs - before.b).toBeGreaterThan(80_000);
    expect(both.longestWaitMs).toBeLessThan(200);
  });
});

/** A contender without calls of its own accord. */
function openSeat(scheduler: ResourceScheduler, ledger: ResourceLedger, resources: ResourceCounts) {
  const state = { waiting: 0, grants: [] as Grant[] };
  const contender: Contender = {
    get isWaiting() {
      return state.waiting > 0;
    },
    get isReady() {
      return state.waiting > 0;
    },
    serve(grant) {
      state.waiting--;
      state.grants.push(grant);
    },
  };
  const claim = ledger.claim({ model: "m", resources, instances: 4 });
  if (claim === undefined) throw new Error("takes nothing");
  const seat = scheduler.join(claim, contender);
  const ask = () => {
    state.waiting++;
    seat.notify();
  };
  return { seat, state, ask };
}

function open(resources: ResourceCounts, hungHoldMs = 60_000) {
  const ledger = new ResourceLedger(resources, { isSerial: false });
  const logged: unknown[] = [];
  const telemetry = { log: (level: string, _: string, fields: unknown) => logged.push([level, fields]) };
  const scheduler = new ResourceScheduler({ ledger, hungHoldMs, telemetry });
  return { scheduler, logged, join: (takes: ResourceCounts) => openSeat(scheduler, ledger, takes) };
}

describe("calls that are given up", () => {
  test("keep what they hold until they end", () => {
    const { scheduler, join } = open(ane);
    const [a, b] = [join(ane), join(ane)];
    a.ask();
    b.ask();
    const [grant] = a.state.grants;
    grant?.giveUp();
    grant?.giveUp();
    expect(scheduler.stats).toEqual({ ane: { total: 1, inUse: 0, hung: 1, writtenOff: 0 } });
    expect(b.state.grants.length).toBe(0);
    grant?.end();
    grant?.end();
    expect(b.state.grants.length).toBe(1);
    expect(scheduler.stats).toEqual({ ane: { total: 1, inUse: 1, hung: 0, writtenOff: 0 } });
    scheduler[Symbol.dispose]();
  });

  test("lose it after a time, which their late end does not count twice", async () => {
    const { scheduler, join, logged } = open(ane, 1);
    const [a, b] = [join(ane), join(ane)];
    a.ask();
    b.ask();
    const [grant] = a.state.grants;
    grant?.giveUp();
    while (b.state.grants.length === 0) await new Promise((tick) => setImmediate(tick));
    expect(logged).toEqual([["warn", { model: "m", afterMs: 1 }]]);
    expect(scheduler.stats).toEqual({ ane: { total: 1, inUse: 1, hung: 0, writtenOff: 1 } });
    grant?.end();
    b.state.grants[0]?.end();
    expect(scheduler.stats).toEqual({ ane: { total: 1, inUse: 0, hung: 0, writtenOff: 1 } });
  });

  test("do not make those wait who want something else", () => {
    const { join } = open({ ane: 1, cpu: 1 });
    const [stuck, both, other] = [join(ane), join({ ane: 1, cpu: 1 }), join({ cpu: 1 })];
    stuck.ask();
    both.ask();
    other.ask();
    // For `both`, which is next, the cpu is kept as long as the ane will be free soon,
    expect(other.state.grants.length).toBe(0);
    stuck.state.grants[0]?.giveUp();
    // and lent once nobody knows when.
    expect(other.state.grants.length).toBe(1);
    expect(both.state.grants.length).toBe(0);
    stuck.state.grants[0]?.end();
    other.state.grants[0]?.end();
    expect(both.state.grants.length).toBe(1);
  });
});

test("what a call that was given up goes on for is not charged to its model", () => {
  let nowMs = 0;
  const ledger = new ResourceLedger(ane, { isSerial: false });
  using scheduler = new ResourceScheduler({ ledger, hungHoldMs: 60_000, now: () => nowMs });
  const { seat, state, ask } = openSeat(scheduler, ledger, ane);
  ask();
  nowMs = 5;
  state.grants[0]?.giveUp();
  nowMs = 1_000;
  state.grants[0]?.end();
  expect(seat.stats).toEqual({ weight: 1, resources: ane, granted: 1, heldMs: 5 });
});

describe("without waiting", () => {
  test("a call takes what is free, unless somebody's turn comes first", () => {
    const { join } = open({ cpu: 2 });
    const [a, big, c] = [join({ cpu: 1 }), join({ cpu: 2 }), join({ cpu: 1 })];
    const first = a.seat.tryTake();
    expect(first).toBeDefined();
    big.ask();
    expect(c.seat.tryTake()).toBeUndefined();
    expect(big.state.grants.length).toBe(0);
    first?.end();
    expect(big.state.grants.length).toBe(1);
  });

  test("who leaves makes room for those behind", () => {
    const { join } = open({ cpu: 2 });
    const [a, big, c] = [join({ cpu: 1 }), join({ cpu: 2 }), join({ cpu: 1 })];
    a.ask();
    big.ask();
    c.ask();
    expect(c.state.grants.length).toBe(0);
    big.seat.leave();
    expect(c.state.grants.length).toBe(1);
  });
});
