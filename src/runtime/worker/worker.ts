// The thread an instance runs its blocking native calls in. Also an entry point of the executable: see scripts/build.ts.

import type { Envelope } from "./protocol.ts";
import { answerInTurn } from "./worker-reply.ts";

declare const self: Worker;

const answer = answerInTurn((reply) => self.postMessage(reply));

self.onmessage = (event: MessageEvent<Envelope>) => answer(event.data);
