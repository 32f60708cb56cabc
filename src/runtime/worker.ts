// The thread an instance runs its blocking native calls in. Also an entry point of the executable: see scripts/build.ts.

import type { Envelope, ReplyEnvelope } from "./protocol.ts";
import { ModelService, toWireError } from "./service.ts";

declare const self: Worker;

const service = new ModelService();
let turn: Promise<void> = Promise.resolve();

self.onmessage = (event: MessageEvent<Envelope>) => {
  const { id, request } = event.data;
  turn = turn.then(async () => {
    self.postMessage(await reply(id, service.answer(request)));
  });
};

async function reply(id: number, answer: Promise<unknown>): Promise<ReplyEnvelope> {
  try {
    return { id, ok: true, value: await answer };
  } catch (error) {
    return { id, ok: false, error: toWireError(error) };
  }
}
