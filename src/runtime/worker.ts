// The thread an instance runs its blocking native calls in. Also an entry point of the executable: see scripts/build.ts.

import type { Envelope } from "./protocol.ts";
import { ModelService } from "./service.ts";
import { replyTo } from "./worker-reply.ts";

declare const self: Worker;

const service = new ModelService();
let turn: Promise<void> = Promise.resolve();

self.onmessage = (event: MessageEvent<Envelope>) => {
  turn = turn.then(async () => {
    self.postMessage(await replyTo(service, event.data));
  });
};
