// Instances over the fake engine, or another of a test's own: in this very thread, where nothing native runs, or in a child process that can die.

import { resolve } from "node:path";
import type { Engine } from "../../../src/engines/engine.ts";
import { Instance } from "../../../src/runtime/pool/instance.ts";
import { type Channel, type ChannelEvents, ChildChannel } from "../../../src/runtime/worker/channel.ts";
import type { Envelope } from "../../../src/runtime/worker/protocol.ts";
import { ModelService, toWireError } from "../../../src/runtime/worker/service.ts";
import { FakeEngine } from "../fake-engine.ts";
import { faultOf } from "./fault-codes.ts";

/** Answers as a worker does, one request after the other. */
class FakeChannel implements Channel {
  readonly sharesMemory = true;
  readonly mailbox = undefined;
  readonly pid = process.pid;
  readonly #events: ChannelEvents;
  readonly #service: ModelService;
  #turn: Promise<void> = Promise.resolve();

  constructor(events: ChannelEvents, makeEngine: () => Engine) {
    this.#events = events;
    this.#service = new ModelService(async () => makeEngine());
  }

  post({ id, request }: Envelope): void {
    this.#turn = this.#turn.then(async () => {
      try {
        this.#events.onReply({ id, ok: true, value: await this.#service.answer(request) });
      } catch (error) {
        this.#events.onReply({ id, ok: false, error: toWireError(error) });
      }
    });
  }
  terminate(): void {}
  unref(): void {}
}

export function openFakeInstance(): Instance {
  return openInThisThread(() => new FakeEngine(faultOf));
}

export function openInThisThread(makeEngine: () => Engine): Instance {
  return new Instance("worker", (_, events) => new FakeChannel(events, makeEngine));
}

const fakeChild = resolve(import.meta.dir, "fake-child.ts");

/** "crash at load": it dies of SIGSEGV each time it is to load something. */
export function openFakeChild(mood: "well" | "crash at load" = "well"): Instance {
  return new Instance(
    "process",
    (_, events) => new ChildChannel(events, [process.execPath, fakeChild, mood]),
  );
}
