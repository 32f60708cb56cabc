import { describe, expect, test } from "bun:test";
import { Mailbox } from "../../../../src/runtime/worker/mailbox.ts";
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
