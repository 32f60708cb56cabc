// The thread an instance runs its blocking native calls in. Also an entry point of the executable: see scripts/build.ts.

import { Mailbox } from "./mailbox.ts";
import type { Envelope } from "./protocol.ts";
import { answerInTurn } from "./worker-reply.ts";

declare const self: Worker;

// The first message is the memory of the mailbox, all others are requests.
self.onmessage = ({ data }: MessageEvent<SharedArrayBuffer>) => {
  const answer = answerInTurn((reply) => self.postMessage(reply), new Mailbox(data));
  self.onmessage = (event: MessageEvent<Envelope>) => answer(event.data);
};
