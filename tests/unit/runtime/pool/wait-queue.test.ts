// Calls that wait for their turn, for anybody or with somebody in particular.

import { afterEach, describe, expect, jest, test } from "bun:test";
import { CoremlxError } from "../../../../src/core/errors.ts";
import { WaitQueue } from "../../../../src/runtime/pool/wait-queue.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";

function open({ limit = 8, timeoutMs = Number.POSITIVE_INFINITY } = {}) {
  const told: string[] = [];
  const queue = new WaitQueue<string, string>({ limit, timeoutMs, onLeave: () => told.push("left") });
  const wait = (detail: string, priority = 0, signal?: AbortSignal) =>
    queue.wait({ detail, priority, signal });
  const stage = () => {
    const call = queue.stageNext(() => true);
    if (call === undefined) throw new Error("nobody waits");
    call.onLeave = () => told.push(`${call.detail} left`);
    return call;
  };
  const serveAll = () => {
    for (let next = queue.takeNext(); next !== undefined; next = queue.takeNext()) next.resolve("a turn");
  };
  return { queue, wait, stage, told, serveAll };
}

afterEach(() => {
  jest.useRealTimers();
});

describe("a call that is staged", () => {
  test("waits like any other, but for nobody else", async () => {
    const { queue, wait, stage } = open({ limit: 2 });
    const [first, second] = [wait("first"), wait("second")];
    const call = stage();
    expect([call.detail, queue.size, queue.waiting]).toEqual(["first", 1, 2]);
    expect(queue.stats).toEqual({ waiting: 2, highWater: 2, refused: 0, timedOut: 0 });
    expect((await rejectionOf(wait("third"))).code).toBe("OVERLOADED");
    expect(queue.stats.refused).toBe(1);
    queue.takeNext()?.resolve("second's");
    expect(await second).toBe("second's");
    expect(queue.takeNext()).toBeUndefined();
    call.take();
    call.resolve("first's");
    expect([await first, queue.waiting]).toEqual(["first's", 0]);
  });

  test("stays among the others where nobody accepts it", async () => {
    const { queue, wait, serveAll } = open();
    const waiting = [wait("first"), wait("second")];
    const asked: string[] = [];
    expect(queue.stageNext((detail) => asked.push(detail) === 0)).toBeUndefined();
    expect([asked, queue.size, queue.waiting]).toEqual([["first"], 2, 2]);
    serveAll();
    await Promise.all(waiting);
  });

  test("leaves by its signal, and whoever has it is told before all others", async () => {
    const { queue, wait, stage, told } = open();
    const abort = new AbortController();
    const left = rejectionOf(wait("first", 0, abort.signal));
    const call = stage();
    abort.abort();
    expect((await left).code).toBe("INTERRUPTED");
    expect(told).toEqual(["first left", "left"]);
    call.restore();
    expect([queue.size, queue.waiting]).toEqual([0, 0]);
  });

  test("leaves when it has waited for too long", async () => {
    jest.useFakeTimers();
    const { queue, wait, stage, told } = open({ timeoutMs: 1_000 });
    const left = rejectionOf(wait("first"));
    stage();
    jest.advanceTimersByTime(999);
    expect(told).toEqual([]);
    jest.advanceTimersByTime(1);
    expect((await left).code).toBe("OVERLOADED");
    expect(told).toEqual(["first left", "left"]);
    expect(queue.stats).toEqual({ waiting: 0, highWater: 1, refused: 0, timedOut: 1 });
  });

  test("goes by no signal and no time once it was taken", async () => {
    jest.useFakeTimers();
    const { wait, stage, told } = open({ timeoutMs: 1_000 });
    const abort = new AbortController();
    const turn = wait("first", 0, abort.signal);
    const call = stage();
    call.take();
    abort.abort();
    jest.advanceTimersByTime(2_000);
    call.resolve("its turn");
    expect(await turn).toBe("its turn");
    expect(told).toEqual([]);
  });

  test("goes back to where it stood, and tells nobody when it leaves from there", async () => {
    const { queue, wait, stage, told, serveAll } = open();
    const abort = new AbortController();
    const order: string[] = [];
    const note = (name: string) => () => void order.push(name);
    const calls = [
      wait("first").then(note("first")),
      wait("gone", 0, abort.signal).catch(note("gone")),
      wait("second").then(note("second")),
      wait("high", 1).then(note("high")),
    ];
    const staged = [stage(), stage(), stage()];
    expect(staged.map(({ detail, priority }) => [detail, priority])).toEqual([
      ["high", 1],
      ["first", 0],
      ["gone", 0],
    ]);
    calls.push(wait("third").then(note("third")));
    for (const call of staged.toReversed()) call.restore();
    expect([queue.size, queue.first?.priority]).toEqual([5, 1]);
    abort.abort();
    serveAll();
    await Promise.all(calls);
    expect(order).toEqual(["gone", "high", "first", "second", "third"]);
    expect(told).toEqual(["left"]);
  });

  test("that went back for good is not staged again, nor is anybody who comes after it", async () => {
    const { queue, wait, stage, serveAll } = open();
    const [first, second] = [wait("first"), wait("second")];
    stage().restoreForGood();
    expect([queue.stageNext(() => true), queue.size]).toEqual([undefined, 2]);
    queue.takeNext()?.resolve("a turn");
    expect(stage().detail).toBe("second");
    serveAll();
    expect(await first).toBe("a turn");
    queue.turnAway(new CoremlxError("UNAVAILABLE", "no more"));
    expect((await rejectionOf(second)).code).toBe("UNAVAILABLE");
  });

  test("is turned away with the others, and whoever has it is told", async () => {
    const { queue, wait, stage, told } = open();
    const calls = [wait("first"), wait("second"), wait("third")].map((call) => rejectionOf(call));
    stage();
    stage();
    queue.turnAway(new CoremlxError("UNAVAILABLE", "no more"));
    expect((await Promise.all(calls)).map(({ message }) => message)).toEqual(Array(3).fill("no more"));
    expect(told).toEqual(["first left", "second left", "left"]);
    expect([queue.size, queue.waiting]).toEqual([0, 0]);
  });
});
