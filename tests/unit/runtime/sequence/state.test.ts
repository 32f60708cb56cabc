// The memory of a state where there is too little of it, and values that are none of its own.

import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { tensorOf } from "../../../../src/core/tensor.ts";
import { wholePages } from "../../../../src/native/pages.ts";
import { BufferPool } from "../../../../src/runtime/buffers/buffer-pool.ts";
import { openSession } from "../../../../src/runtime/session.ts";
import { ModelState } from "../../../../src/runtime/sequence/state.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";

const stateful = resolve(import.meta.dir, "../../../fixtures/formats/stateful.mlpackage");

function port(feature: string) {
  const shape = [16];
  return { feature, input: `${feature}_in`, output: `${feature}_out`, dtype: "float16" as const, shape };
}

test("a state for which there is no room leaves nothing behind", () => {
  using buffers = new BufferPool({ maxBlocks: 1 });
  expect(() => new ModelState([port("first"), port("second")], buffers)).toThrow("Cannot lend a buffer");
  expect(buffers.stats.lentCount).toBe(0);
});

test("a call without a state, for which there is half the room, leaves nothing behind", async () => {
  await using session = await openSession({ bufferBytes: 4 * wholePages(1) });
  const model = await session.load(stateful);
  const others = [await model.newState(), await model.newState(), await model.newState()];
  const inputs = new Map([["x", tensorOf("float16", Array<number>(16).fill(1))]]);
  for (let i = 0; i < 2; i++) expect((await rejectionOf(model.predict(inputs))).code).toBe("OVERLOADED");
  expect(session.stats.bufferPool?.lentCount).toBe(3);
  for (const state of others) await state[Symbol.asyncDispose]();
  expect((await model.predict(inputs)).size).toBe(1);
});

test("a value of fewer bytes than the state has is refused, and changes nothing", async () => {
  await using session = await openSession();
  const model = await session.load(stateful);
  await using state = await model.newState();
  const whole = tensorOf("float16", Array<number>(16).fill(3));
  await state.write(new Map([["memory", whole]]));
  const half = { ...whole, bytes: new Uint8Array(new ArrayBuffer(16)) };
  const refused = await rejectionOf(state.write(new Map([["memory", half]])));
  expect([refused.code, refused.message]).toEqual([
    "BAD_INPUT",
    'Cannot use state "memory": float16 [16] takes 32 bytes, got 16',
  ]);
  expect(await state.read()).toEqual(new Map([["memory", whole]]));
});
