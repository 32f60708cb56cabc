// A worker that answers each run from its mailbox with the run's id, until a message waits.

import { Mailbox } from "../../../src/runtime/worker/mailbox.ts";

declare const self: Worker;

self.onmessage = (event: MessageEvent<SharedArrayBuffer>) => {
  const mailbox = new Mailbox(event.data);
  for (let run = mailbox.takeRun(); run; run = mailbox.takeRun()) self.postMessage(run.id);
  self.postMessage("message");
};
