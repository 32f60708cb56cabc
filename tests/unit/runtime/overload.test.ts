// Far more than a model can answer, for a second or two: only counts are judged here, `bun run bench overload` judges
// times.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type FeatureValues, tensorOf, zeros } from "../../../src/core/tensor.ts";
import { openSession } from "../../../src/runtime/session.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { writeFaultModel } from "../../support/fault-model.ts";
import { strays, untilReturned } from "../../support/runtime/fault-load.ts";
import { sendAtRate } from "../../support/runtime/open-load.ts";
import { tempFolder } from "../../support/temp.ts";

setDefaultTimeout(60_000);

/** A run of some 5 µs for each trip. */
function inputs(trips: number): FeatureValues {
  return new Map([
    ["x", zeros("float32", [8, 8])],
    ["trips", tensorOf("int32", [trips])],
    ["index", tensorOf("int32", [0])],
  ]);
}

/** Runs of some 20 ms: a machine that does 500 of them a second has not been built. */
const slow = inputs(4_000);
const ratePerSecond = 1_000;

describe("far more than a model can answer", () => {
  test("is answered or refused, call by call, the queue keeps to its bound, and nothing is left behind", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const queueLimit = 8;
    const model = await session.load(writeFaultModel(join(folder.path, "m.mlpackage"), 8), { queueLimit });
    const tally = await sendAtRate({
      ratePerSecond,
      durationMs: 1_500,
      send: () => model.predict(slow, { timeoutMs: 30_000 }),
    });
    expect(tally.odd).toEqual([]);
    expect(tally.expired.count).toBe(0);
    expect(tally.answered.count + tally.refused.count).toBe(tally.sent);
    expect(tally.refused.count).toBeGreaterThan(tally.answered.count);
    expect(model.stats.queue).toEqual({
      pending: 0,
      highWater: queueLimit,
      limit: queueLimit,
      rejected: tally.refused.count,
      timedOut: 0,
    });
    expect(strays(session, model)).toEqual({});
    expect((await model.predict(inputs(3))).get("steps")).toEqual(tensorOf("int32", [3]));
  });

  test("with a queue longer than the deadline does not pass for a fault of the engine", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeFaultModel(join(folder.path, "m.mlpackage"), 8));
    await model.predict(slow);
    const tally = await sendAtRate({
      ratePerSecond,
      durationMs: 2_000,
      send: () => model.predict(slow, { timeoutMs: 400 }),
    });
    expect(tally.odd).toEqual([]);
    expect(tally.answered.count + tally.expired.count).toBe(tally.sent);
    expect(tally.answered.count).toBeGreaterThan(0);
    expect(model.stats.breaker).toMatchObject({ state: "closed", trips: 0, rejections: 0 });
    expect(await untilReturned(session, model, 20_000)).toBe(true);
  });

  test("a call for which the queue has left too little time is not started", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeFaultModel(join(folder.path, "m.mlpackage"), 8));
    const patient = { timeoutMs: 60_000 };
    const runs: number[] = [];
    for (let i = 0; i < 3; i++) runs.push((await model.predictTimed(slow, patient)).runMs);
    const ahead = model.predict(slow, patient);
    // Time enough to see the end of the one ahead of it, but not for a run after that.
    const timeoutMs = 1.6 * Math.min(...runs);
    const late = await rejectionOf(model.predict(slow, { timeoutMs }));
    expect(late).toMatchObject({ code: "DEADLINE", details: { timeoutMs, stage: "waiting" } });
    await ahead;
    // What is started and given up goes into quarantine.
    expect(model.stats.quarantine).toMatchObject({ entered: 0 });
    expect(model.stats.breaker).toMatchObject({ trips: 0 });
  });
});
