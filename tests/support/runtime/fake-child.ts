// The body of a child process over the fake engine. Dies, hangs and leaks on request.

import type { Envelope } from "../../../src/runtime/worker/protocol.ts";
import { ModelService, toWireError } from "../../../src/runtime/worker/service.ts";
import { type Fault, FakeEngine } from "../fake-engine.ts";
import { childCodes, faultOf, leakBytes } from "./fault-codes.ts";

const leaked: Uint8Array[] = [];

function misbehave(x: Float64Array): Fault {
  switch (x[0]) {
    case childCodes.SIGSEGV:
    case childCodes.SIGBUS:
    case childCodes.SIGKILL:
      return die(x[0]);
    case childCodes.exit:
      process.stdout.write("framework: something odd\n");
      process.stderr.write("fatal error: the surface is gone\n");
      process.exit(7);
      break;
    case childCodes.leak:
      leaked.push(new Uint8Array(new ArrayBuffer(leakBytes)).fill(1));
  }
  return faultOf(x);
}

function die(code: number): never {
  const signal = Object.entries(childCodes).find(([, other]) => other === code)?.[0];
  process.kill(process.pid, signal);
  for (;;) Bun.sleepSync(1_000);
}

const service = new ModelService(async () => new FakeEngine(misbehave));
let turn: Promise<void> = Promise.resolve();
process.on("disconnect", () => process.exit(0));
process.on("message", ({ id, request }: Envelope) => {
  turn = turn.then(async () => {
    if (request.type === "load" && process.argv[2] === "crash at load") die(childCodes.SIGSEGV);
    try {
      process.send?.({ id, ok: true, value: await service.answer(request) });
    } catch (error) {
      process.send?.({ id, ok: false, error: toWireError(error) });
    }
  });
});
