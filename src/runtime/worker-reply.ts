// One answer of a service, in the form that goes back over a channel.

import type { Envelope, ReplyEnvelope } from "./protocol.ts";
import { type ModelService, toWireError } from "./service.ts";

export async function replyTo(service: ModelService, { id, request }: Envelope): Promise<ReplyEnvelope> {
  try {
    return { id, ok: true, value: await service.answer(request) };
  } catch (error) {
    return { id, ok: false, error: toWireError(error) };
  }
}
