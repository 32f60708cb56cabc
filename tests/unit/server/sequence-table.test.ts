// States between requests: order, bounds, forgetting. The states are stand-ins, and so is the time.

import { describe, expect, test } from "bun:test";
import { CoremlxError } from "../../../src/core/errors.ts";
import { type SequenceState, SequenceTable } from "../../../src/server/sequence-table.ts";

class FakeState implements SequenceState {
  isUsable = true;
  isClosed = false;
  readonly steps: string[] = [];
  async [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
    this.isUsable = false;
  }
}

function makeTable(own: { readonly maxSequences?: number; readonly maxWaiting?: number } = {}) {
  const states: FakeState[] = [];
  const clock = { nowMs: 0 };
  const table = new SequenceTable<FakeState>({
    modelName: "m",
    newState: async () => {
      const state = new FakeState();
      states.push(state);
      return state;
    },
    maxSequences: 2,
    maxWaiting: 3,
    idleMs: 100,
    now: () => clock.nowMs,
    ...own,
  });
  const step = (key: string, word: string, flags: { isStart?: boolean; isEnd?: boolean } = {}) =>
    table.run({ key, isStart: false, isEnd: false, ...flags }, async (state) => {
      state.steps.push(word);
      return word;
    });
  return { table, states, clock, step };
}

async function failureOf(work: Promise<unknown>): Promise<readonly [string, string]> {
  try {
    await work;
  } catch (error) {
    if (error instanceof CoremlxError) return [error.code, error.message];
    throw error;
  }
  throw new Error("Expected an error, got none");
}

const notStarted = [
  "BAD_INPUT",
  "inference request for sequence 7 to model 'm' must specify the START flag on the first request of the sequence",
] as const;

test("a sequence has one state from its start to its end", async () => {
  const { table, states, step } = makeTable();
  await step("7", "a", { isStart: true });
  await step("7", "b");
  await step("7", "c", { isEnd: true });
  expect(states).toMatchObject([{ steps: ["a", "b", "c"], isClosed: true }]);
  expect(table.size).toBe(0);
});

test("a sequence that was not started, or is over, is told to start", async () => {
  const { step } = makeTable();
  expect(await failureOf(step("7", "a"))).toEqual(notStarted);
  await step("7", "a", { isStart: true, isEnd: true });
  expect(await failureOf(step("7", "b"))).toEqual(notStarted);
});

test("a start begins anew", async () => {
  const { states, step, table } = makeTable();
  await step("7", "a", { isStart: true });
  await step("7", "b", { isStart: true });
  expect(states.map(({ steps, isClosed }) => ({ steps, isClosed }))).toEqual([
    { steps: ["a"], isClosed: true },
    { steps: ["b"], isClosed: false },
  ]);
  expect(table.size).toBe(1);
});

test("requests of one sequence run one after the other, in the order they came", async () => {
  const { table, step } = makeTable();
  await step("7", "a", { isStart: true });
  const gate = Promise.withResolvers<void>();
  const order: string[] = [];
  const run = (word: string, wait: Promise<void>) =>
    table.run({ key: "7", isStart: false, isEnd: false }, async () => {
      order.push(`${word} begins`);
      await wait;
      order.push(`${word} ends`);
    });
  const runs = [run("b", gate.promise), run("c", Promise.resolve())];
  await step("8", "other", { isStart: true }); // another sequence does not wait for it
  expect(order).toEqual(["b begins"]);
  gate.resolve();
  await Promise.all(runs);
  expect(order).toEqual(["b begins", "b ends", "c begins", "c ends"]);
});

test("a failed request leaves its sequence, one that was given up ends it", async () => {
  const { table, states, step } = makeTable();
  await step("7", "a", { isStart: true });
  const failed = table.run({ key: "7", isStart: false, isEnd: false }, async () => {
    throw new CoremlxError("BAD_INPUT", "no");
  });
  expect(await failureOf(failed)).toEqual(["BAD_INPUT", "no"]);
  await step("7", "b");
  const givenUp = table.run({ key: "7", isStart: false, isEnd: false }, async (state) => {
    state.isUsable = false; // what the runtime does to the state of a run that may still write to it
    throw new CoremlxError("DEADLINE", "late");
  });
  const waiting = failureOf(step("7", "c"));
  expect(await failureOf(givenUp)).toEqual(["DEADLINE", "late"]);
  expect(await waiting).toEqual(notStarted);
  expect(states.map(({ isClosed }) => isClosed)).toEqual([true]);
  expect(table.size).toBe(0);
});

describe("bounds", () => {
  test("of sequences: one more is refused until one is over", async () => {
    const { step } = makeTable();
    await step("1", "a", { isStart: true });
    await step("2", "a", { isStart: true });
    expect(await failureOf(step("3", "a", { isStart: true }))).toEqual([
      "OVERLOADED",
      "Model 'm' has no room for more than 2 sequences",
    ]);
    await step("1", "b", { isEnd: true });
    await step("3", "a", { isStart: true });
  });

  test("of requests that wait: one more is refused", async () => {
    const { table, step } = makeTable();
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const first = table.run({ key: "7", isStart: true, isEnd: false }, () => {
      begun.resolve();
      return gate.promise;
    });
    await begun.promise;
    const others = ["b", "c"].map((word) => step("7", word));
    expect(await failureOf(step("7", "d"))).toEqual([
      "OVERLOADED",
      "Too many requests of sequence 7 wait for each other",
    ]);
    gate.resolve();
    await first;
    expect(await Promise.all(others)).toEqual(["b", "c"]);
  });

  test("of time: what is idle for so long is forgotten, what is under way is not", async () => {
    const { table, clock, states, step } = makeTable();
    await step("1", "a", { isStart: true });
    const gate = Promise.withResolvers<void>();
    const long = table.run({ key: "2", isStart: true, isEnd: false }, () => gate.promise);
    await table.forgetIdle();
    clock.nowMs = 99;
    await table.forgetIdle();
    expect(table.size).toBe(2);
    clock.nowMs = 100;
    await table.forgetIdle();
    expect(states.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    gate.resolve();
    await long;
    expect(table.size).toBe(1);
  });
});

test("closing closes every state", async () => {
  const { table, states, step } = makeTable();
  await step("1", "a", { isStart: true });
  await step("2", "a", { isStart: true });
  await table[Symbol.asyncDispose]();
  expect(states.map(({ isClosed }) => isClosed)).toEqual([true, true]);
});
