// Recycling over the real engine: what callers see of it (nothing), and what becomes of what was loaded before.

import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { LogFields } from "../../../src/core/telemetry.ts";
import { type FeatureValue, f32, tensorOf } from "../../../src/core/tensor.ts";
import { type LoadModelOptions, openSession } from "../../../src/runtime/session.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { digitPicture, digitsPackage } from "../../support/digits.ts";
import {
  operation,
  port,
  writeIntegerModel,
  writeProgram,
  writeSumModel,
} from "../../support/program-models.ts";
import { tempFolder } from "../../support/temp.ts";

const turn = () => new Promise<void>((done) => setImmediate(done));

test.each([
  ["threads", { instances: 3, recycleAfter: 20 }],
  ["processes", { instances: 2, recycleAfter: 20, isolation: "process" }],
] as const)("%s are recycled under load, and every answer is right", async (_, options: LoadModelOptions) => {
  await using session = await openSession();
  const model = await session.load(digitsPackage, options);
  const pictures = await Promise.all(Array.from({ length: 10 }, (_, digit) => digitPicture(digit)));
  let answered = 0;
  const call = async (caller: number) => {
    for (let i = 0; i < 60 || model.stats.instances.recycled < 3; i++) {
      const digit = (caller * 7 + i) % 10;
      const outputs = await model.predict(new Map([["image", pictures[digit] as FeatureValue]]));
      expect(outputs.get("classLabel")).toBe(String(digit));
      answered++;
    }
  };
  await Promise.all([0, 1, 2, 3].map((caller) => call(caller)));
  const { instances, requests, breaker } = model.stats;
  expect(instances.byReason.count).toBe(instances.recycled);
  expect(requests).toMatchObject({ succeeded: answered, failed: 0 });
  expect(breaker.trips).toBe(0);
  expect(session.stats.bufferPool).toMatchObject({ lentCount: 0, quarantinedCount: 0 });
});

test("a model in the caller's thread moves over to what was loaded last", async () => {
  using folder = tempFolder();
  const y = port("y", "int32", [1]);
  const path = writeProgram(join(folder.path, "look-up.mlpackage"), {
    inputs: [port("table", "int32", [4]), port("index", "int32", [1])],
    outputs: [y],
    operations: [operation("gather", { x: "table", indices: "index" }, y)],
  });
  await using session = await openSession();
  const load = () => session.load(path, { inline: "auto", breaker: { consecutiveFaults: 3, openMs: 1 } });
  let model = await load();
  const at = (index: number) =>
    new Map([
      ["table", tensorOf("int32", [1, 2, 3, 4])],
      ["index", tensorOf("int32", [index])],
    ]);
  const third = new Map([["y", tensorOf("int32", [3])]]);
  // Its first runs decide, and a busy machine may make them long.
  for (let i = 1; !model.isInline; i++) {
    expect(await model.predict(at(2))).toEqual(third);
    if (i % 500 === 0) model = await load();
  }
  for (let i = 0; i < 3; i++) expect((await rejectionOf(model.predict(at(9)))).code).toBe("NATIVE");
  while (model.stats.instances.recycled === 0 || !model.isInline) await turn();
  // The probe goes to a worker; those after it stay here.
  for (let state = model.breaker.state; state !== "closed"; state = model.breaker.state) {
    await model.predict(at(2)).then(
      (outputs) => expect(outputs).toEqual(third),
      (error: { code: string }) => expect(error.code).toBe("UNAVAILABLE"),
    );
    await turn();
  }
  expect(model.stats.instances.byReason).toEqual({ breaker: 1 });
  expect(await model.predict(at(2))).toEqual(third);
});

test("a file that holds another model by now is not loaded in the place of the first", async () => {
  using folder = tempFolder();
  const events: { readonly event: string; readonly fields: LogFields | undefined }[] = [];
  await using session = await openSession({
    telemetry: { log: (_, event: string, fields?: LogFields) => void events.push({ event, fields }) },
  });
  const path = writeSumModel(join(folder.path, "model.mlpackage"));
  const model = await session.load(path, { recycleAfter: 3 });
  rmSync(path, { recursive: true });
  writeIntegerModel(path);
  const one = f32([1, 1, 1, 1, 1, 1], [2, 3]);
  const pair = new Map([
    ["left", one],
    ["right", one],
  ]);
  const failed = () => events.find(({ event }) => event === "instance not made");
  while (failed() === undefined) {
    expect(await model.predict(pair)).toEqual(new Map([["sum", f32([2, 2, 2, 2, 2, 2], [2, 3])]]));
  }
  expect(failed()?.fields).toMatchObject({
    model: "model",
    reason: expect.stringContaining("it is another model by now"),
  });
  expect(model.stats.instances).toMatchObject({ recycled: 0, replaced: 0 });
  expect((await model.predict(pair)).size).toBe(1);
});
