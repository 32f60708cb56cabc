// Arrays of callers who do with them what they should not: too few bytes, memory transferred away, shapes written to.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import {
  f32,
  type FeatureValue,
  type FeatureValues,
  isTensor,
  numbersOf,
  type Tensor,
  zeros,
} from "../../../../src/core/tensor.ts";
import { openSession, type SessionModel } from "../../../../src/runtime/session.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";
import { operation, port, writeProgram, writeSlowModel } from "../../../support/program-models.ts";
import { tempFolder } from "../../../support/temp.ts";

/** 128 KiB, which are read where they lie; and 24 bytes, which are copied. */
const sizes = [
  ["large", [128, 256]],
  ["small", [2, 3]],
] as const;

/** sum = x + x */
function writeTwice(folder: string, shape: readonly number[]): string {
  const [x, sum] = [port("x", "float32", shape), port("sum", "float32", shape)];
  return writeProgram(join(folder, "twice.mlpackage"), {
    inputs: [x],
    outputs: [sum],
    operations: [operation("add", { x: "x", y: "x" }, sum)],
  });
}

function filled(shape: readonly [number, number], value: number): Tensor {
  return f32(Array<number>(shape[0] * shape[1]).fill(value), shape);
}

async function twice(model: SessionModel, x: Tensor): Promise<Tensor> {
  const sum = (await model.predict(new Map<string, FeatureValue>([["x", x]]))).get("sum");
  if (sum === undefined || !isTensor(sum)) throw new Error("no array");
  return sum;
}

/** As one without types has it. */
function shapeOf(outputs: FeatureValues): number[] {
  const sum = outputs.get("sum");
  if (sum === undefined || !isTensor(sum)) throw new Error("no array");
  return sum.shape as number[];
}

test("an array whose memory is transferred away while the engine reads it gives no answer", async () => {
  using folder = tempFolder();
  await using session = await openSession();
  const model = await session.load(writeSlowModel(join(folder.path, "slow.mlpackage"), 1));
  const x = zeros("float32", [2048, 2048]);
  const refused = rejectionOf(model.predict(new Map([["x", x]]), { timeoutMs: 60_000 }));
  while (model.stats.instances.busy === 0) await new Promise((tick) => setImmediate(tick));
  await new Promise((tick) => setImmediate(tick)); // its memory has been handed over
  const elsewhere = x.bytes.buffer.transfer(); // kept until the run is over
  expect(await refused).toMatchObject({
    code: "BAD_INPUT",
    message: 'Cannot use "x": its memory was transferred away during the run',
  });
  expect(elsewhere.byteLength).toBe(4 * 2048 * 2048);
  expect(session.stats.bufferPool).toMatchObject({ lentCount: 0, quarantinedCount: 0 });
}, 60_000); // on a machine with much else to do

describe.each(sizes)("a %s array", (_, shape) => {
  const [height, width] = shape;
  const byteLength = 4 * height * width;

  test("of fewer or more bytes than its shape takes is refused, also after one that was right", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeTwice(folder.path, shape));
    const x = filled(shape, 1);
    const expected = await twice(model, x);
    for (const actual of [0, 4, byteLength - 4, byteLength + 4]) {
      const wrong = { ...x, bytes: new Uint8Array(new ArrayBuffer(actual)) };
      expect(await rejectionOf(twice(model, wrong))).toMatchObject({
        code: "BAD_INPUT",
        message: `Cannot use input "x": float32 [${height}, ${width}] takes ${byteLength} bytes, got ${actual}`,
        details: { expected: byteLength, actual },
      });
      expect(await twice(model, x)).toEqual(expected);
    }
  });

  test("whose memory is transferred away while its call waits is refused, and nobody else's is read", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeTwice(folder.path, shape), { instances: 1 });
    for (let i = 0; i < 3; i++) await twice(model, filled(shape, 7));
    const [first, late] = [filled(shape, 1), filled(shape, 2)];
    const answer = twice(model, first);
    const refused = rejectionOf(twice(model, late));
    late.bytes.buffer.transfer();
    expect(numbersOf(await answer)).toEqual(new Float64Array(height * width).fill(2));
    expect((await refused).message).toEndWith(`takes ${byteLength} bytes, got 0`);
    expect(session.stats.bufferPool).toMatchObject({ lentCount: 0, quarantinedCount: 0 });
  });

  test("that is a result has a shape of its own, whatever its holder writes there", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeTwice(folder.path, shape));
    const inputs = new Map<string, FeatureValue>([["x", filled(shape, 3)]]);
    for (let i = 0; i < 4; i++) {
      const copied = shapeOf(await model.predict(inputs));
      using lease = await model.predictLeased(inputs);
      const pooled = shapeOf(lease.outputs);
      expect([copied, pooled]).toEqual([[...shape], [...shape]]);
      copied.length = 0;
      pooled.reverse();
    }
  });
});
