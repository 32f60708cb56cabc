// Models of one session that share resources, on the real engine.

import { expect, test } from "bun:test";
import { join } from "node:path";
import { f32, type FeatureValue, zeros } from "../../../src/core/tensor.ts";
import { openSession, type Session } from "../../../src/runtime/session.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { digitsPackage } from "../../support/digits.ts";
import { writeSlowModel, writeSumModel } from "../../support/program-models.ts";
import { tempFolder } from "../../support/temp.ts";

const left = f32([1, 2, 3, 4, 5, 6], [2, 3]);
const pair = new Map<string, FeatureValue>([
  ["left", left],
  ["right", left],
]);

/** The most predictions that ran at once while `work` went on. */
async function countBusy(session: Session, work: Promise<unknown>): Promise<number> {
  let most = 0;
  let isOver = false;
  const settle = () => {
    isOver = true;
  };
  work.then(settle, settle);
  while (!isOver) {
    const busy = session.stats.models.reduce((sum, { instances }) => sum + instances.busy, 0);
    most = Math.max(most, busy);
    await new Promise((tick) => setImmediate(tick));
  }
  await work;
  return most;
}

test("a serial session runs one prediction at a time, over all models", async () => {
  using folder = tempFolder();
  await using session = await openSession({ serial: true });
  const sums = await Promise.all(
    ["a", "b"].map((name) =>
      session.load(writeSumModel(join(folder.path, `${name}.mlpackage`)), { instances: 2, inline: "auto" }),
    ),
  );
  const calls = sums.flatMap((model) => Array.from({ length: 100 }, () => model.predict(pair)));
  expect(await countBusy(session, Promise.all(calls))).toBe(1);
  expect(session.stats).toMatchObject({
    resources: { serial: { total: 1, inUse: 0, hung: 0, writtenOff: 0 } },
    models: [0, 1].map(() => ({
      scheduling: { weight: 1, resources: { serial: 1 }, granted: 100, heldMs: expect.any(Number) },
      instances: { limit: 1 },
    })),
  });
  expect(sums.map(({ isInline }) => isInline)).toEqual([false, false]);
});

test("what a call that was given up holds comes back when it has really ended", async () => {
  using folder = tempFolder();
  await using session = await openSession({ resources: { ane: 1, cpu: 1 } });
  const slow = await session.load(writeSlowModel(join(folder.path, "slow.mlpackage"), 8), {
    resources: { ane: 1 },
  });
  const sum = await session.load(writeSumModel(join(folder.path, "sum.mlpackage")), {
    resources: { ane: 1 },
  });
  const late = rejectionOf(slow.predict(new Map([["x", zeros("float32", [2048, 2048])]]), { timeoutMs: 15 }));
  const impatient = rejectionOf(sum.predict(pair, { timeoutMs: 1 }));
  expect(await impatient).toMatchObject({ code: "DEADLINE", details: { stage: "waiting" } });
  const patient = sum.predict(pair);
  expect((await late).code).toBe("DEADLINE");
  expect(session.stats.resources?.["ane"]).toMatchObject({ inUse: 0, hung: 1 });
  await patient;
  expect(session.stats.resources?.["ane"]).toEqual({ total: 1, inUse: 0, hung: 0, writtenOff: 0 });
});

test("a model that takes what the session does not have is refused before it is read", async () => {
  await using session = await openSession({ resources: { ane: 1 } });
  const missing = join(digitsPackage, "no such file");
  expect((await rejectionOf(session.load(missing, { resources: { ane: 2 } }))).code).toBe("USAGE");
  expect(await rejectionOf(session.load(digitsPackage, { resources: { gpu: 1 } }))).toMatchObject({
    code: "USAGE",
    message: 'Cannot load "Digits": the session has no resource "gpu"',
  });
  expect((await rejectionOf(openSession({ resources: { ane: 0 } }))).code).toBe("USAGE");
  const model = await session.load(digitsPackage);
  expect(session.stats.models[0]?.scheduling).toBeUndefined();
  expect(session.stats.resources).toEqual({ ane: { total: 1, inUse: 0, hung: 0, writtenOff: 0 } });
  await model[Symbol.asyncDispose]();
});
