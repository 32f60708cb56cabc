// The loop that a worker and a child process share: requests answered one after the other, in the order they came.

import type { Envelope, ReplyEnvelope } from "./protocol.ts";
import { ModelService, toWireError } from "./service.ts";

/** Takes requests for a service of its own; each answer goes to `post` before the next request is looked at. */
export function answerInTurn(post: (reply: ReplyEnvelope) => void): (envelope: Envelope) => void {
  const service = new ModelService();
  let turn: Promise<void> = Promise.resolve();
  return (envelope) => {
    turn = turn.then(async () => post(await replyTo(service, envelope)));
  };
}

/** One answer of a service, in the form that goes back over a channel. */
export async function replyTo(service: ModelService, { id, request }: Envelope): Promise<ReplyEnvelope> {
  try {
    return { id, ok: true, value: await service.answer(request) };
  } catch (error) {
    return { id, ok: false, error: toWireError(error) };
  }
}
