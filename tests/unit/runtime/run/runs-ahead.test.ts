// Runs that lie ready behind others on real ONNX Runtime, among callers who leave, hurry and push in: every answer is the bits
// that arithmetic gives, nothing stays lent, and runs did lie ready.

import { expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { f32, type FeatureValue, isTensor, numbersOf, tensorOf } from "../../../../src/core/tensor.ts";
import { Instance } from "../../../../src/runtime/pool/instance.ts";
import { Mailbox } from "../../../../src/runtime/worker/mailbox.ts";
import { openSession, type SessionModel } from "../../../../src/runtime/session.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";
import { writeFaultModel } from "../../../support/fault-model.ts";
import { operation, port, writeProgram } from "../../../support/program-models.ts";
import { tempFolder } from "../../../support/temp.ts";

const shape = [160, 160];
const count = 160 * 160;
const callers = 6;

/** twice = x + x in memory of its own, small = y + y in pooled memory; a product beside them, for a run of some length. */
function writeModel(folder: string): string {
  const [x, y] = [port("x", "float32", shape), port("y", "float32", [4])];
  const [twice, small, product] = [
    port("twice", "float32", shape),
    port("small", "float32", [4]),
    port("product", "float32", shape),
  ];
  return writeProgram(join(folder, "ahead.mlpackage"), {
    inputs: [x, y],
    outputs: [twice, small, product],
    operations: [
      operation("matmul", { x: "x", y: "x" }, product),
      operation("add", { x: "x", y: "x" }, twice),
      operation("add", { x: "y", y: "y" }, small),
    ],
  });
}

/** What lay ready, and what was taken back. */
function countAhead() {
  const posts = spyOn(Instance.prototype, "runAhead");
  const takes = spyOn(Mailbox.prototype, "withdraw");
  return {
    get counts() {
      return {
        ready: posts.mock.results.filter(({ value }) => value !== undefined).length,
        withdrawn: takes.mock.results.filter(({ value }) => value === true).length,
      };
    },
    [Symbol.dispose]() {
      posts.mockRestore();
      takes.mockRestore();
    },
  };
}

interface Step {
  readonly kind: "predict" | "lease" | "abort" | "timeout";
  readonly value: number;
  readonly priority: number;
}
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("predict", "predict", "predict", "lease", "abort", "timeout"),
  value: fc.integer({ min: 1, max: 99 }),
  priority: fc.constantFrom(0, 0, 0, 1, 2),
});
const schedules = fc.array(fc.array(step, { minLength: 4, maxLength: 10 }), {
  minLength: callers,
  maxLength: callers,
});

const turn = () => new Promise<void>((done) => setImmediate(done));

function expectBits(outputs: ReadonlyMap<string, FeatureValue>, value: number): void {
  const expected = {
    twice: f32(Array<number>(count).fill(2 * value), shape),
    small: f32(Array<number>(4).fill(-2 * value), [4]),
    product: f32(Array<number>(count).fill(160 * value * value), shape), // whole numbers: exact in any order
  };
  for (const [name, { bytes }] of Object.entries(expected)) {
    const found = outputs.get(name);
    expect(found !== undefined && isTensor(found) && Buffer.compare(found.bytes, bytes)).toBe(0);
  }
}

async function take(model: SessionModel, { kind, value, priority }: Step): Promise<string> {
  const abort = new AbortController();
  const inputs = new Map([
    ["x", f32(Array<number>(count).fill(value), shape)],
    ["y", f32(Array<number>(4).fill(-value), [4])],
  ]);
  const options = {
    priority,
    signal: abort.signal,
    timeoutMs: kind === "timeout" ? (value % 16) / 4 : 60_000,
  };
  const leave = async () => {
    for (let i = value % 8; i > 0; i--) await turn();
    abort.abort();
  };
  if (kind === "abort") void leave();
  try {
    if (kind === "lease") {
      using lease = await model.predictLeased(inputs, options);
      await turn();
      expectBits(lease.outputs, value);
    } else expectBits(await model.predict(inputs, options), value);
    return "answered";
  } catch (error) {
    if (error instanceof Error && "code" in error) return String(error.code);
    throw error;
  }
}

const outcomes: Readonly<Record<Step["kind"], readonly string[]>> = {
  predict: ["answered"],
  lease: ["answered"],
  abort: ["answered", "INTERRUPTED"],
  timeout: ["answered", "DEADLINE"],
};

test.each([1, 2])(
  "six callers of %d instances get their own answers to the bit, whoever leaves, hurries or pushes in",
  async (instances) => {
    using folder = tempFolder();
    using ahead = countAhead();
    await using session = await openSession();
    const model = await session.load(writeModel(folder.path), {
      instances,
      inline: false,
      // A deadline that is too short says nothing about the engine here.
      breaker: { consecutiveFaults: 1_000, faultRate: 0.99, minimumCalls: 1_000 },
    });
    await fc.assert(
      fc.asyncProperty(schedules, async (schedule) => {
        const call = async (steps: readonly Step[]) => {
          for (const each of steps) expect(outcomes[each.kind]).toContain(await take(model, each));
        };
        await Promise.all(schedule.map(call));
        while (session.stats.bufferPool?.quarantinedCount !== 0) await turn();
        expect(session.stats.bufferPool).toMatchObject({ lentCount: 0, quarantinedCount: 0 });
        expect(model.stats.queue.pending).toBe(0);
      }),
      { numRuns: 8, seed: 20261124 },
    );
    expect(ahead.counts.ready - ahead.counts.withdrawn).toBeGreaterThan(20);
  },
);

test("behind a run that lasts, a call leaves without a trace, and the next goes on when that one is cancelled", async () => {
  using folder = tempFolder();
  using ahead = countAhead();
  await using session = await openSession();
  const model = await session.load(writeFaultModel(join(folder.path, "lasting.mlpackage"), 8), {
    instances: 1,
    inline: false,
  });
  const call = (trips: number, signal?: AbortSignal) => {
    const inputs = new Map<string, FeatureValue>([
      ["x", f32(Array<number>(64).fill(trips), [8, 8])],
      ["trips", tensorOf("int32", [trips])],
      ["index", tensorOf("int32", [3])],
    ]);
    return model.predict(inputs, { signal, timeoutMs: Number.POSITIVE_INFINITY });
  };
  await call(1);
  const [lasting, leaving] = [new AbortController(), new AbortController()];
  const long = rejectionOf(call(2_000_000_000, lasting.signal));
  await turn();
  const left = rejectionOf(call(2, leaving.signal));
  await turn();
  expect(ahead.counts).toEqual({ ready: 1, withdrawn: 0 });
  leaving.abort();
  expect((await left).code).toBe("INTERRUPTED");
  expect(ahead.counts).toEqual({ ready: 1, withdrawn: 1 });
  expect(session.stats.bufferPool?.quarantinedCount).toBe(0);
  const next = call(3);
  await turn();
  expect(ahead.counts.ready).toBe(2);
  // It leaves when its run is given up, and comes back to the same instance.
  lasting.abort();
  expect((await long).code).toBe("INTERRUPTED");
  const { y, steps } = Object.fromEntries(await next);
  expect([y, steps]).toEqual([f32(Array<number>(64).fill(3), [8, 8]), tensorOf("int32", [3])]);
  expect(session.stats.bufferPool).toMatchObject({ lentCount: 0, quarantinedCount: 0 });
});

test("a model with states runs ahead as well, each sequence on its own state, and what is given up ends its own alone", async () => {
  await using session = await openSession();
  using ahead = countAhead();
  const model = await session.load("examples/counter/Counter.mlpackage", { instances: 1 });
  const amount = new Map([
    ["amount", f32([1], [1])],
    ["previous", f32([1], [1])],
  ]);
  /** Totals of a sequence; one that leaves gives its 20th step up. */
  const run = async (isLeaving: boolean) => {
    await using state = await model.newState();
    const totals: (readonly number[])[] = [];
    for (let i = 0; i < 30; i++) {
      const abort = new AbortController();
      const call = model.predict(amount, { state, signal: abort.signal }).catch(() => undefined);
      if (isLeaving && i === 20) abort.abort();
      const outputs = await call;
      if (outputs === undefined) break;
      const total = outputs.get("total");
      totals.push(total !== undefined && isTensor(total) ? [...numbersOf(total)].map(Number) : []);
    }
    return totals;
  };
  const staying = [true, true, false, true, false, true];
  const all = await Promise.all(staying.map((stays) => run(!stays)));
  const expected = Array.from({ length: 30 }, (_, i) => [i + 1]);
  for (const [i, totals] of all.entries()) {
    if (staying[i]) expect(totals).toEqual(expected);
    else expect(totals).toEqual(expected.slice(0, totals.length));
  }
  expect(all[2]?.length).toBe(20);
  while (session.stats.bufferPool?.quarantinedCount !== 0) await turn();
  expect(session.stats.bufferPool).toMatchObject({ lentCount: 0 });
  expect(ahead.counts.ready - ahead.counts.withdrawn).toBeGreaterThan(20);
});
