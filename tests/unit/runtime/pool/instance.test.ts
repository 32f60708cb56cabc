// Our side of a worker, over a channel that the test answers by hand.

import { describe, expect, test } from "bun:test";
import { JSCallback } from "bun:ffi";
import { Instance } from "../../../../src/runtime/pool/instance.ts";
import type { Channel, ChannelEvents } from "../../../../src/runtime/worker/channel.ts";
import { Mailbox } from "../../../../src/runtime/worker/mailbox.ts";
import type { Envelope, SharedTensor } from "../../../../src/runtime/worker/protocol.ts";
import { CoremlxError } from "../../../../src/core/errors.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";

class ManualChannel implements Channel {
  readonly sharesMemory = true;
  readonly mailbox = new Mailbox();
  readonly pid = process.pid;
  readonly posted: Envelope[] = [];
  isTerminated = false;
  readonly #events: ChannelEvents;

  readonly #worker = new Mailbox(this.mailbox.buffer);

  constructor(events: ChannelEvents) {
    this.#events = events;
    this.mailbox.announceMessage(); // so that taking never sleeps
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
  /** The worker takes the next run from its mailbox: the address of its input, and a way to answer it. */
  take() {
    const run = this.#worker.takeRun();
    return (
      run && {
        address: run.addresses[0],
        answer: (runMs: number) => {
          this.#worker.setRunMs(run.place, runMs);
          this.#events.onReply(run.id);
        },
      }
    );
  }
  die(): void {
    this.#events.onEnd(new CoremlxError("UNAVAILABLE", "The worker has ended"));
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

function at(address: number, name = "x"): SharedTensor[] {
  return [{ name, dtype: "float32", shape: [1], address, byteLength: 4 }];
}

/** An instance in the middle of a run that came through its mailbox. */
async function openInRun() {
  const cancels = [countCancels(), countCancels()] as const;
  const { instance, channel } = openInstance();
  instance.allowCancel(cancels.map(({ handle }) => handle));
  const first = instance.run(at(1), []);
  channel.answer(0, result);
  await first;
  const reply = instance.run(at(8), []);
  const taken = channel.take();
  expect(taken?.address).toBe(8);
  return {
    instance,
    channel,
    reply,
    taken,
    get cancelled() {
      return cancels.map(({ counts }) => counts.set);
    },
    [Symbol.dispose]() {
      for (const each of cancels) each[Symbol.dispose]();
    },
  };
}

const ran = (runMs: number) => ({ results: new Map(), runMs });

describe("a run that lies ready behind another", () => {
  test("is taken up without a message, and answered with its own time", async () => {
    using under = await openInRun();
    const { instance, channel, reply, taken } = under;
    expect(instance.mayRunAhead).toBe(true);
    const ahead = instance.runAhead(at(16), []);
    expect(instance.mayRunAhead).toBe(false);
    const next = channel.take();
    expect(next?.address).toBe(16);
    next?.answer(2);
    taken?.answer(1);
    expect([await reply, await ahead?.reply]).toEqual([ran(1), ran(2)]);
    expect(channel.types).toEqual(["run"]);
  });

  test("is refused where it cannot be taken up, or not be ended alone", async () => {
    const { instance, channel } = openInstance();
    expect(instance.runAhead(at(8), [])).toBeUndefined();
    const message = instance.run(at(8), []);
    expect(instance.runAhead(at(16), [])).toBeUndefined();
    channel.answer(0, result);
    await message;
    void instance.run(at(8), []);
    expect([instance.mayRunAhead, instance.runAhead(at(16), [])]).toEqual([false, undefined]);

    using under = await openInRun();
    expect(under.instance.runAhead(at(16, "another"), [])).toBeUndefined();
    expect(under.instance.runAhead(at(16), [])).toBeDefined();
    expect(under.instance.runAhead(at(24), [])).toBeUndefined();
  });

  test("each of the two is ended by a handle of its own, as long as it may be under way", async () => {
    using under = await openInRun();
    const ahead = under.instance.runAhead(at(16), []);
    expect(under.instance.cancel()).toBe(true);
    const [one, none] = under.cancelled.toSorted((a, b) => b - a);
    expect([one, none]).toEqual([1, 0]);
    expect(ahead?.cancel()).toBe(true);
    expect(under.cancelled).toEqual([1, 1]);
    under.taken?.answer(1);
    under.channel.take()?.answer(2);
    await Promise.all([under.reply, ahead?.reply]);
    expect(ahead?.cancel()).toBe(false);
    expect(under.cancelled).toEqual([1, 1]);
  });

  test("is taken back before it was taken: then it never runs, and another may lie there", async () => {
    using under = await openInRun();
    const { instance, channel } = under;
    const ahead = instance.runAhead(at(16), []);
    expect(ahead?.withdraw()).toBe(true);
    expect([ahead?.withdraw(), ahead?.cancel(), channel.take()]).toEqual([false, false, undefined]);
    expect(under.cancelled).toEqual([0, 0]);
    const other = instance.runAhead(at(24), []);
    expect(ahead?.withdraw()).toBe(false);
    const taken = channel.take();
    expect(taken?.address).toBe(24);
    expect(other?.withdraw()).toBe(false);
    taken?.answer(3);
    expect(await other?.reply).toEqual(ran(3));
    expect(other?.withdraw()).toBe(false);
  });

  test.each(["answered", "taken back"])("closing waits for both, where the second is %s", async (how) => {
    using under = await openInRun();
    const { instance, channel } = under;
    const ahead = instance.runAhead(at(16), []);
    const closing = instance[Symbol.asyncDispose]();
    expect(instance.mayRunAhead).toBe(false);
    under.taken?.answer(1);
    await under.reply;
    expect(channel.types).toEqual(["run"]);
    if (how === "answered") {
      channel.take()?.answer(2);
      await ahead?.reply;
    } else expect(ahead?.withdraw()).toBe(true);
    await Promise.resolve();
    expect(channel.types).toEqual(["run", "close"]);
    channel.answer(1, undefined);
    await closing;
    expect([instance.isEnded, ahead?.cancel()]).toEqual([true, false]);
  });

  test("outlives its thread where that had not begun it, else ends with it", async () => {
    using under = await openInRun();
    const ahead = under.instance.runAhead(at(16), []);
    const lost = rejectionOf(under.reply);
    under.channel.die();
    expect((await lost).message).toBe("The worker has ended");
    expect([ahead?.cancel(), ahead?.withdraw(), ahead?.withdraw()]).toEqual([false, true, false]);
    expect(under.channel.take()).toBeUndefined();

    using early = await openInRun();
    early.taken?.answer(1);
    await early.reply;
    const unread = rejectionOf(early.instance.run(at(32), []));
    const behind = early.instance.runAhead(at(40), []);
    early.channel.die();
    await unread;
    expect([behind?.withdraw(), behind?.withdraw()]).toEqual([true, false]);

    using other = await openInRun();
    const begun = other.instance.runAhead(at(16), []);
    expect(other.channel.take()?.address).toBe(16);
    const both = [rejectionOf(other.reply), rejectionOf(begun?.reply ?? Promise.resolve())];
    other.channel.die();
    expect((await Promise.all(both)).map(({ message }) => message)).toEqual(
      Array(2).fill("The worker has ended"),
    );
    expect(begun?.withdraw()).toBe(false);
  });
});
