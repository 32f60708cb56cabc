import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Mailbox, mostRuns } from "../../../../src/runtime/worker/mailbox.ts";
import type { SharedTensor } from "../../../../src/runtime/worker/protocol.ts";

function at(address: number): SharedTensor {
  return { name: "x", dtype: "float32", shape: [1], address, byteLength: 4 };
}

describe("a mailbox between an instance and its worker", () => {
  test("hands over a run with the addresses of its inputs, then of its outputs", () => {
    const ours = new Mailbox();
    const theirs = new Mailbox(ours.buffer);
    ours.postRun(7, [at(2 ** 47), at(16)], [at(2 ** 40 + 64)]);
    const run = theirs.takeRun();
    expect(run?.id).toBe(7);
    expect([...(run?.addresses.subarray(0, 3) ?? [])]).toEqual([2 ** 47, 16, 2 ** 40 + 64]);
    theirs.setRunMs(0, 1.25);
    expect([ours.runMs(0), ours.runMs(1)]).toEqual([1.25, 0]);
  });

  test("sends the worker to its event loop for each message, and no more often", () => {
    const ours = new Mailbox();
    const theirs = new Mailbox(ours.buffer);
    ours.announceMessage();
    ours.announceMessage();
    expect(theirs.takeRun()).toBeUndefined();
    theirs.takeMessage();
    expect(theirs.takeRun()).toBeUndefined();
    theirs.takeMessage();
    ours.postRun(1, [], []);
    expect(theirs.takeRun()?.id).toBe(1);
  });

  test("a run comes before a message that was announced later", () => {
    const ours = new Mailbox();
    const theirs = new Mailbox(ours.buffer);
    ours.postRun(1, [], []);
    ours.announceMessage();
    expect(theirs.takeRun()?.id).toBe(1);
    expect(theirs.takeRun()).toBeUndefined();
  });

  test("a worker that sleeps is woken by a run and by a message", async () => {
    const ours = new Mailbox();
    const worker = new Worker(new URL("../../../support/runtime/mailbox-worker.ts", import.meta.url).href);
    const heard: unknown[] = [];
    let hear: () => void = () => {};
    worker.onmessage = (event: MessageEvent<unknown>) => {
      heard.push(event.data);
      hear();
    };
    const next = () => new Promise<void>((resolve) => (hear = resolve));
    const rounds = 200;
    worker.postMessage(ours.buffer);
    for (let id = 1; id <= rounds; id++) {
      const answered = next();
      ours.postRun(id, [], []);
      await answered;
    }
    const left = next();
    ours.announceMessage();
    await left;
    worker.terminate();
    expect(heard).toEqual([...Array.from({ length: rounds }, (_, i) => i + 1), "message"]);
  });
});

/** Both sides. The other one finds that a message waits, so that it never sleeps. */
function openBoth() {
  const ours = new Mailbox();
  ours.announceMessage();
  return { ours, theirs: new Mailbox(ours.buffer) };
}

describe("a run that lies ready behind another", () => {
  test("is taken after it, from a place of its own", () => {
    const { ours, theirs } = openBoth();
    expect(ours.nextPlace).toBe(0);
    ours.postRun(1, [at(64)], []);
    expect(ours.nextPlace).toBe(1);
    ours.postRun(2, [at(128)], []);
    const [first, second] = [theirs.takeRun(), theirs.takeRun()];
    expect([first?.id, first?.place, first?.addresses[0]]).toEqual([1, 0, 64]);
    expect([second?.id, second?.place, second?.addresses[0]]).toEqual([2, 1, 128]);
    expect(theirs.takeRun()).toBeUndefined();
  });

  test("is taken back until it is taken, and another may lie there then", () => {
    const { ours, theirs } = openBoth();
    ours.postRun(1, [], []);
    ours.postRun(2, [], []);
    expect(theirs.takeRun()?.id).toBe(1);
    expect([ours.withdraw(), ours.nextPlace]).toEqual([true, 1]);
    expect(theirs.takeRun()).toBeUndefined();
    ours.postRun(3, [at(8)], []);
    const third = theirs.takeRun();
    expect([third?.id, third?.place, third?.addresses[0]]).toEqual([3, 1, 8]);
    expect(ours.withdraw()).toBe(false);
    expect(ours.nextPlace).toBe(0);
  });

  test("nothing is taken back where nothing was posted", () => {
    const { ours } = openBoth();
    expect([ours.withdraw(), ours.nextPlace]).toEqual([false, 0]);
  });
});

test("any mixture of posting, taking back, taking and answering goes as through a list", () => {
  const step = fc.constantFrom("post", "post", "withdraw", "take", "answer");
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const { ours, theirs } = openBoth();
      const ready: number[] = [];
      const taken: number[] = [];
      for (const [id, kind] of steps.entries()) {
        if (kind === "post" && ready.length + taken.length < mostRuns) {
          ours.postRun(id, [at(id)], [at(-id)]);
          ready.push(id);
        } else if (kind === "withdraw") expect(ours.withdraw()).toBe(ready.pop() !== undefined);
        else if (kind === "answer") taken.shift();
        else if (kind === "take") {
          const expected = ready.shift();
          const run = theirs.takeRun();
          const found = run && [run.id, run.addresses[0], run.addresses[1]];
          expect(found).toEqual(expected === undefined ? undefined : [expected, expected, -expected]);
          if (expected !== undefined) taken.push(expected);
        }
      }
    }),
    { seed: 20261124, numRuns: 300 },
  );
});

test("beside a thread that takes them, each run is either taken back or answered, never both and never neither", async () => {
  const ours = new Mailbox();
  const worker = new Worker(new URL("../../../support/runtime/mailbox-worker.ts", import.meta.url).href);
  const heard: unknown[] = [];
  let hear: () => void = () => {};
  worker.onmessage = (event: MessageEvent<unknown>) => {
    heard.push(event.data);
    hear();
  };
  worker.postMessage(ours.buffer);
  const expected: unknown[] = [];
  let withdrawn = 0;
  // By turns at once, and after a time in which the other side may have come as far as either.
  for (let round = 0; withdrawn < 200 || expected.length - round < 50; round++) {
    const [first, second] = [2 * round, 2 * round + 1];
    ours.postRun(first, [], []);
    ours.postRun(second, [], []);
    for (let spin = 0; spin < (round % 64) * 200; spin++) Atomics.load(new Int32Array(1), 0);
    expected.push(first);
    if (ours.withdraw()) withdrawn++;
    else expected.push(second);
    while (heard.length < expected.length) await new Promise<void>((resolve) => (hear = resolve));
  }
  ours.announceMessage();
  expected.push("message");
  while (heard.length < expected.length) await new Promise<void>((resolve) => (hear = resolve));
  worker.terminate();
  expect(heard).toEqual(expected);
});
