import { expect, test } from "bun:test";
import { systemClock } from "../../../src/suites/clock.ts";

test("sleeps to the very moment, not before and hardly after", async () => {
  for (const ms of [0.3, 1, 2.7, 5.4]) {
    const due = systemClock.now() + ms;
    await systemClock.sleepUntil(due);
    expect(systemClock.now()).toBeGreaterThanOrEqual(due);
  }
  await systemClock.sleepUntil(systemClock.now() - 1_000);
});

test("an abort wakes it, and leaves no sleep for later", async () => {
  const abort = new AbortController();
  const sleep = systemClock.sleepUntil(systemClock.now() + 3_600_000, abort.signal);
  abort.abort();
  await sleep;
  await systemClock.sleepUntil(systemClock.now() + 3_600_000, abort.signal);
});

test("ticks until it is told to stop, and lets others go first", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let ticks = 0;
  const ticker = systemClock.every(1, () => {
    if (++ticks === 2) resolve();
  });
  await promise;
  ticker[Symbol.dispose]();
  const seen = ticks;
  await systemClock.yield();
  await systemClock.sleepUntil(systemClock.now() + 4);
  expect(ticks).toBe(seen);
});
