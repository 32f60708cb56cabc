// Closing a model while a thread of it is at work, asleep, or hangs in native code.

import { expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { zeros } from "../../../src/core/tensor.ts";
import { openSession, type SessionModel } from "../../../src/runtime/session.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { writeSlowModel } from "../../support/program-models.ts";
import { tempFolder } from "../../support/temp.ts";

const turn = () => new Promise<void>((done) => setImmediate(done));

/** Calls as many as there are instances, and waits until their threads hang in one long step of the graph. */
async function hang(model: SessionModel, count: number): Promise<void> {
  const inputs = new Map([["x", zeros("float32", [2048, 2048])]]);
  const calls = Array.from({ length: count }, () =>
    rejectionOf(model.predictLeased(inputs, { timeoutMs: 60 })),
  );
  for (const { code } of await Promise.all(calls)) expect(code).toBe("DEADLINE");
  while (model.stats.instances.abandonedThreads < count) await turn();
}

test("memory that a hung thread works on stays out of circulation when its model is closed", async () => {
  using folder = tempFolder();
  await using session = await openSession({ maxInlineBytes: 2 ** 30 });
  const path = writeSlowModel(join(folder.path, "slow.mlpackage"), 3);
  const model = await session.load(path, { instances: 1, threads: 1, hangMs: 1 });
  await hang(model, 1);
  expect(session.stats.bufferPool?.quarantinedCount).toBe(1);
  await model[Symbol.asyncDispose]();
  // The run takes a second and more, also where three such steps are soon done; closing does not wait for it.
  expect(session.stats.bufferPool?.quarantinedCount).toBe(1);
  while (session.stats.bufferPool?.quarantinedCount !== 0) await turn();
  expect(session.stats.bufferPool?.lentCount).toBe(0);
}, 60_000); // on a machine with much else to do

const program = resolve(import.meta.dir, "../../support/runtime/close-and-leave.ts");

test.each(["parked", "given up", "hung"])(
  "a process ends by itself once a model is closed whose worker is %s",
  async (state) => {
    using folder = tempFolder();
    const path = writeSlowModel(join(folder.path, "slow.mlpackage"), 1);
    const child = Bun.spawn([process.execPath, program, state, path], { stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    expect({ out, err, code }).toEqual({ out: `closed ${state}`, err: "", code: 0 });
  },
  60_000, // two runs of a second and more, where much else is to do
);
