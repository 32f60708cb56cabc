// A model on its way into the caller's thread.

import { expect, test } from "bun:test";
import { join } from "node:path";
import { f32, type FeatureValue } from "../../../src/core/tensor.ts";
import { openSession } from "../../../src/runtime/session.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { operation, port, writeProgram, writeSumModel } from "../../support/program-models.ts";
import { tempFolder } from "../../support/temp.ts";

test("a model that is closed on its way into the caller's thread does not arrive there", async () => {
  using folder = tempFolder();
  await using session = await openSession();
  const path = writeSumModel(join(folder.path, "sum.mlpackage"));
  for (const turnsBefore of [0, 1, 2, 3, 5, 8]) {
    const model = await session.load(path, { inline: "auto" });
    const moving = rejectionOf(model.runInline());
    for (let i = 0; i < turnsBefore; i++) await Promise.resolve();
    await model[Symbol.asyncDispose]();
    expect((await moving).code).toBe("UNAVAILABLE");
    expect(model.isInline).toBe(false);
  }
});

test("a model that is asked twice into the caller's thread goes there once", async () => {
  using folder = tempFolder();
  await using session = await openSession();
  const model = await session.load(writeSumModel(join(folder.path, "sum.mlpackage")), { inline: "auto" });
  await Promise.all([model.runInline(), model.runInline()]);
  expect(model.isInline).toBe(true);
});

test("what counts as small is the caller's to say", async () => {
  using folder = tempFolder();
  await using session = await openSession();
  const path = writeSumModel(join(folder.path, "sum.mlpackage"));
  const ones = f32([1, 1, 1, 1, 1, 1], [2, 3]);
  const inputs = new Map<string, FeatureValue>([
    ["left", ones],
    ["right", ones],
  ]);
  const small = await session.load(path, { inline: "auto", inlineLimitMs: 1_000 });
  const large = await session.load(path, { inline: "auto", inlineLimitMs: 0 });
  for (let i = 0; i < 64; i++) await Promise.all([small.predict(inputs), large.predict(inputs)]);
  while (!small.isInline) await new Promise((resolve) => setImmediate(resolve));
  expect(large.isInline).toBe(false);
});

test("time that a call has waited elsewhere is part of its timeout, and counts as queueing", async () => {
  using folder = tempFolder();
  await using session = await openSession();
  const ones = f32([1, 1, 1, 1, 1, 1], [2, 3]);
  const inputs = new Map<string, FeatureValue>([
    ["left", ones],
    ["right", ones],
  ]);
  for (const inline of ["always", false] as const) {
    const model = await session.load(writeSumModel(join(folder.path, "sum.mlpackage")), { inline });
    const { queueMs } = await model.predictTimed(inputs, { waitedMs: 2_000, timeoutMs: 10_000 });
    expect(queueMs).toBeGreaterThanOrEqual(2_000);
    expect(queueMs).toBeLessThan(10_000);
    const { phases } = model.stats.requests;
    expect(phases.queue.totalMs).toBe(queueMs);
    expect(phases.request.totalMs).toBeGreaterThanOrEqual(queueMs);
    const late = model.predictTimed(inputs, { waitedMs: 300, timeoutMs: 200 });
    expect((await rejectionOf(late)).code).toBe("DEADLINE");
    expect(model.stats.requests.failuresByReason).toEqual({ deadline: 1 });
  }
});

test("large results of a run in the caller's thread are written where they stay: pooled while leased, else the caller's", async () => {
  using folder = tempFolder();
  const side = 256; // 256 KiB, well above what is copied
  const [x, y] = [port("x", "float32", [side, side]), port("y", "float32", [side, side])];
  const path = writeProgram(join(folder.path, "double.mlpackage"), {
    inputs: [x],
    outputs: [y],
    operations: [operation("add", { x: "x", y: "x" }, y)],
  });
  await using session = await openSession();
  const model = await session.load(path, { inline: "always" });
  const filled = (value: number) => f32(Array<number>(side * side).fill(value), [side, side]);
  const given = (value: number) => new Map([["x", filled(value)]]);
  const lentBytes = () => session.stats.bufferPool?.lentBytes;

  const kept = await model.predict(given(1));
  {
    using lease = await model.predictLeased(given(2));
    expect(lentBytes()).toBe(side * side * 4);
    expect(lease.outputs).toEqual(new Map([["y", filled(4)]]));
  }
  expect(lentBytes()).toBe(0);
  await model.predict(given(3));
  expect(kept).toEqual(new Map([["y", filled(2)]]));
  await rejectionOf(model.predict(new Map([["x", f32([1], [1])]])));
  expect(lentBytes()).toBe(0);
});
