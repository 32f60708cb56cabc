// A program that loads a model, closes everything in the state that is asked for, and comes to its end: whether the process
// then ends, how, and how soon is for the test to see. Arguments: the state, the model.

import { zeros } from "../../../src/core/tensor.ts";
import { openSession } from "../../../src/runtime/session.ts";

const [state = "", path = ""] = process.argv.slice(2);
const session = await openSession();
const model = await session.load(path, { instances: 1, threads: 1, hangMs: state === "hung" ? 1 : 60_000 });
const inputs = new Map([["x", zeros("float32", [2048, 2048])]]);
const call = (timeoutMs: number) => model.predict(inputs, { timeoutMs }).catch(() => undefined);

// The second run goes through the mailbox, and the worker waits there for a third.
if (state === "parked") for (let i = 0; i < 2; i++) await call(60_000);
else await call(60);
while (state === "hung" && model.stats.instances.abandonedThreads === 0) {
  await new Promise<void>((done) => setImmediate(done));
}
await session[Symbol.asyncDispose]();
process.stdout.write(`closed ${state}`);
