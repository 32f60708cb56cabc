// The body of an engine's own process: the same service as in a worker, spoken to over the process's channel.

import type { Envelope } from "./protocol.ts";
import { answerInTurn } from "./worker-reply.ts";

/** Never returns: the process ends with its parent, or when it is killed. */
export async function serveParent(): Promise<never> {
  if (!process.connected) {
    process.stderr.write("error: this argument is for coremlx itself\n");
    process.exit(2);
  }
  // Ctrl-C reaches the whole group; who is to end here is the parent's decision.
  process.on("SIGINT", () => {});
  process.on("disconnect", () => process.exit(0));
  const answer = answerInTurn((reply) => process.send?.(reply));
  process.on("message", (envelope: Envelope) => answer(envelope));
  return new Promise<never>(() => {});
}
