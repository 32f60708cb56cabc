import { expect, test } from "bun:test";
import { longestWaitMs, RestartLimit } from "../../../../src/runtime/pool/restart-limit.ts";

function openLimit() {
  let now = 0;
  const limit = new RestartLimit(() => now);
  return { limit, pass: (ms: number) => (now += ms) };
}

test("one failure costs no wait, each further one in a row twice the wait before", () => {
  const { limit, pass } = openLimit();
  const waits = Array.from({ length: 6 }, () => {
    limit.loadFailed();
    const { waitMs } = limit;
    pass(waitMs);
    expect(limit.waitMs).toBe(0);
    return waitMs;
  });
  expect(waits).toEqual([0, 100, 200, 400, 800, 1_600]);
});

test("the wait ends somewhere, and passes with time", () => {
  const { limit, pass } = openLimit();
  for (let i = 0; i < 2_000; i++) limit.loadFailed();
  expect(limit.waitMs).toBe(longestWaitMs);
  pass(longestWaitMs - 1);
  expect(limit.waitMs).toBe(1);
});

test("a load that succeeds says nothing about crashes in predictions, nor the other way round", () => {
  const { limit } = openLimit();
  for (let i = 0; i < 3; i++) {
    limit.crashed();
    limit.loadSucceeded();
  }
  expect(limit.waitMs).toBe(200);
  limit.survived();
  expect(limit.waitMs).toBe(0);
  for (let i = 0; i < 3; i++) {
    limit.loadFailed();
    limit.survived();
  }
  expect(limit.failures).toBe(3);
  limit.loadSucceeded();
  expect(limit.waitMs).toBe(0);
});
