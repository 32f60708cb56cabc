// Our side of a worker, over a channel that the test answers by hand.

import { describe, expect, test } from "bun:test";
import { JSCallback } from "bun:ffi";
import { Instance } from "../../../../src/runtime/pool/instance.ts";
import type { Channel, ChannelEvents } from "../../../../src/runtime/worker/channel.ts";
import { Mailbox } from "../../../../src/runtime/worker/mailbox.ts";
import type { Envelope } from "../../../../src/runtime/worker/protocol.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";

class ManualChannel implements Channel {
  readonly sharesMemory = true;
  readonly mailbox = new Mailbox();
  readonly pid = process.pid;
  readonly posted: Envelope[] = [];
  isTerminated = false;
  readonly #events: ChannelEvents;

  constructor(events: ChannelEvents) {
    this.#events = events;
  }
  post(envelope: Envelope): void {
    structuredClone(envelope);
    this.posted.push(envelope);
  }
  terminate(): void {
    this.isTerminated = true;
  }
  unref(): void {}

  get types(): readonly string[] {
    return this.posted.map(({ request }) => request.type);
  }
  answer(index: number, value: unknown): void {
    this.#events.onReply({ id: this.posted[index]?.id ?? 0, ok: true, value });
  }
}

function openInstance() {
  let channel: ManualChannel | undefined;
  const instance = new Instance("worker", (_, events) => (channel = new ManualChannel(events)));
  if (channel === undefined) throw new Error("no channel");
  return { instance, channel };
}

/** Counts how often a run was asked to end, and how often that was taken back. */
function countCancels() {
  const counts = { set: 0, unset: 0 };
  const set = new JSCallback(() => void counts.set++, { args: ["ptr"], returns: "void" });
  const unset = new JSCallback(() => void counts.unset++, { args: ["ptr"], returns: "void" });
  const handle = {
    kind: "ort" as const,
    runOptions: 1,
    setTerminate: Number(set.ptr),
    unsetTerminate: Number(unset.ptr),
  };
  return {
    counts,
    handle,
    [Symbol.dispose]() {
      set.close();
      unset.close();
    },
  };
}

const result = { results: new Map(), runMs: 1 };

describe("an instance that is closed while it runs", () => {
  test("may be cancelled until the run is over, and is told to close only then: the handle goes with the graph", async () => {
    using cancels = countCancels();
    const { instance, channel } = openInstance();
    instance.allowCancel([cancels.handle]);
    const run = instance.run([], []);
    const closing = instance[Symbol.asyncDispose]();
    await Promise.resolve();
    expect(channel.types).toEqual(["run"]);
    expect(instance.cancel()).toBe(true);
    expect(cancels.counts).toEqual({ set: 1, unset: 1 });
    channel.answer(0, result);
    expect(await run).toEqual(result);
    expect(channel.types).toEqual(["run", "close"]);
    expect(instance.cancel()).toBe(false);
    expect(cancels.counts).toEqual({ set: 1, unset: 1 });
    channel.answer(1, undefined);
    await closing;
    expect([instance.isEnded, channel.isTerminated]).toEqual([true, true]);
  });

  test("takes no further call", async () => {
    const { instance, channel } = openInstance();
    const run = instance.run([], []);
    const closing = instance[Symbol.asyncDispose]();
    const late = await rejectionOf(instance.run([], []));
    expect([late.code, late.message]).toEqual(["UNAVAILABLE", "The model is closed"]);
    channel.answer(0, result);
    await run;
    channel.answer(1, undefined);
    await closing;
    expect(channel.types).toEqual(["run", "close"]);
  });
});

test("what cannot be sent is refused by its reason, and nobody waits for it when the instance is closed", async () => {
  const { instance, channel } = openInstance();
  const unsendable = new Map([["x", (() => 1) as unknown as string]]);
  const refused = await instance
    .call({ type: "predict", inputs: unsendable })
    .catch((error: unknown) => error);
  expect(String(refused)).toContain("DataCloneError");
  const closing = instance[Symbol.asyncDispose]();
  expect(channel.types).toEqual(["close"]);
  channel.answer(0, undefined);
  await closing;
});
