// The loop that a worker and a child process share: requests answered one after the other, in the order they came.

import { Collection } from "./collection.ts";
import type { Mailbox } from "./mailbox.ts";
import type { Envelope, Reply, ReplyEnvelope } from "./protocol.ts";
import { ModelService, toWireError } from "./service.ts";

/**
 * Takes requests for a service of its own; each answer goes to `post` before the next request is looked at. With a
 * mailbox, the thread sleeps there while it has a graph to run, and leaves it for each message.
 */
export function answerInTurn(post: (reply: Reply) => void, mailbox?: Mailbox): (envelope: Envelope) => void {
  const service = new ModelService();
  const collection = new Collection();
  let turn: Promise<void> = Promise.resolve();
  return (envelope) => {
    turn = turn.then(async () => {
      mailbox?.takeMessage(); // not before its turn: while one waits here, the thread may not sleep
      post(await replyTo(service, envelope));
      if (mailbox) answerRuns({ service, mailbox, post, collection });
    });
  };
}

interface Turn {
  readonly service: ModelService;
  readonly mailbox: Mailbox;
  readonly post: (reply: Reply) => void;
  readonly collection: Collection;
}

/** Answers what comes through the mailbox, until a message waits. Blocks the thread. */
function answerRuns({ service, mailbox, post, collection }: Turn): void {
  while (service.hasGraph) {
    const run = mailbox.takeRun();
    if (run === undefined) return;
    try {
      const { results, runMs } = service.runAgain(run.addresses, run.place);
      mailbox.setRunMs(run.place, runMs);
      post(results.size === 0 ? run.id : { id: run.id, ok: true, value: { results, runMs } });
    } catch (error) {
      post({ id: run.id, ok: false, error: toWireError(error) });
    }
    collection.countRun();
  }
}

/** One answer of a service, in the form that goes back over a channel. */
async function replyTo(service: ModelService, { id, request }: Envelope): Promise<ReplyEnvelope> {
  try {
    return { id, ok: true, value: await service.answer(request) };
  } catch (error) {
    return { id, ok: false, error: toWireError(error) };
  }
}
