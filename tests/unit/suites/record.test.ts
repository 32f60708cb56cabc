// Recording through a session: what lands on the tape, and what does not.

import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { f32, type FeatureValues, isTensor, numbersOf } from "../../../src/core/tensor.ts";
import { decodeTape, encodeTape } from "../../../src/engines/tape/file.ts";
import { openSession } from "../../../src/runtime/session.ts";
import { type RecordOptions, recordTape } from "../../../src/suites/record.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";

const counter = resolve(import.meta.dir, "../../../examples/counter/Counter.mlpackage");

const options: RecordOptions = {
  devices: ["ane", "cpu", "auto", "gpu"],
  prepareInputs: async (inputs) => [amounts(inputs[0]?.name, 2), amounts(inputs[0]?.name, 3)],
  repeat: 3,
  timeoutMs: 10_000,
  now: () => Date.UTC(2026, 10, 24),
};

function amounts(name = "", value: number): FeatureValues {
  return new Map([[name, f32([value])]]);
}

test("each device is recorded, with the reason where it cannot be used; a state goes on from step to step", async () => {
  await using session = await openSession({ engine: "portable" });
  const seen: string[] = [];
  const recorded = await recordTape(session, counter, {
    ...options,
    onProgress: ({ device, done, total }) => seen.push(`${device} ${done}/${total}`),
  });
  const tape = decodeTape(encodeTape(recorded));
  expect(tape).toMatchObject({ recordedAt: "2026-11-24T00:00:00.000Z", label: "portable" });
  expect(tape.model).toMatchObject({ name: "Counter", digest: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect(tape.host?.cpu).toBe(session.device().cpu);
  expect(
    tape.recordings.map(({ requested, failure, takes }) => [requested, failure?.code, takes.length]),
  ).toEqual([
    ["ane", "UNSUPPORTED", 0],
    ["cpu", undefined, 6],
    ["auto", undefined, 6],
    ["gpu", "UNSUPPORTED", 0],
  ]);
  expect(seen.slice(0, 6)).toEqual(["cpu 1/6", "cpu 2/6", "cpu 3/6", "cpu 4/6", "cpu 5/6", "cpu 6/6"]);
  // Twice three steps; the states before them are part of what a take is recognised by.
  expect(tape.samples.length).toBe(6);
  const totals = tape.recordings[1]?.takes.map(({ outcome }) => {
    const total = "code" in outcome ? undefined : [...outcome.outputs.values()][0];
    return total !== undefined && isTensor(total) ? numbersOf(total)[0] : undefined;
  });
  expect(totals).toEqual([2, 4, 6, 3, 6, 9]);
  for (const { runMs } of tape.recordings[1]?.takes ?? []) expect(runMs).toBeGreaterThan(0);
});

test("where no device can be used, or the inputs are wrong, there is no tape", async () => {
  await using session = await openSession({ engine: "portable" });
  expect(await rejectionOf(recordTape(session, counter, { ...options, devices: ["ane"] }))).toMatchObject({
    code: "UNSUPPORTED",
  });
  const prepareInputs = async () => [new Map([["amount", f32([1, 2, 3, 4, 5, 6, 7])]])];
  expect(
    await rejectionOf(recordTape(session, counter, { ...options, devices: ["cpu"], prepareInputs })),
  ).toMatchObject({ code: "BAD_INPUT" });
});

test("of a server the failures are recorded too, and no machine, for nobody knows which it is", async () => {
  const tensor = { name: "amount", datatype: "FP32", shape: [1] };
  const json = JSON.stringify({
    outputs: [{ ...tensor, name: "total", parameters: { binary_data_size: 4 } }],
  });
  let calls = 0;
  using server = Bun.serve({
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/v2")
        return Response.json({ name: "s", version: "1", extensions: ["binary_tensor_data"] });
      if (pathname === "/v2/models/m")
        return Response.json({ platform: "p", inputs: [tensor], outputs: [{ ...tensor, name: "total" }] });
      if (!pathname.endsWith("/infer")) return Response.json({}, { status: 404 });
      if (++calls === 2) return Response.json({ error: "It broke" }, { status: 500 });
      return new Response(Buffer.concat([Buffer.from(json), Buffer.from(f32([calls]).bytes)]), {
        headers: { "inference-header-content-length": String(json.length) },
      });
    },
  });
  await using session = await openSession({ engine: server.url.origin });
  const prepareInputs = async () => [amounts("amount", 1)];
  const tape = await recordTape(session, "/nowhere/m", { ...options, devices: ["auto"], prepareInputs });
  const outcomes = tape.recordings[0]?.takes.map(({ outcome }) =>
    "code" in outcome ? { code: outcome.code, message: outcome.message } : outcome.outputs.get("total"),
  );
  expect(outcomes).toEqual([
    f32([1]),
    { code: "NATIVE", message: 'The server cannot run "m": It broke' },
    f32([3]),
  ]);
  expect({ label: tape.label, host: tape.host, digest: tape.model.digest }).toEqual({
    label: "remote",
    host: undefined,
    digest: undefined,
  });
});
