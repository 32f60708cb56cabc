// Runs handed over in every mixture: repeated, given up before and while they run, refused, on instances that are replaced
// beneath them. Every answer is compared with arithmetic, and in the end nothing is lent and nothing in quarantine.

import { expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { f32, type FeatureValue, isTensor, numbersOf } from "../../../../src/core/tensor.ts";
import { openSession, type SessionModel } from "../../../../src/runtime/session.ts";
import { operation, port, writeProgram } from "../../../support/program-models.ts";
import { tempFolder } from "../../../support/temp.ts";

/** 64 KiB: read where it lies. */
const shape = [128, 128];
const count = 128 * 128;

/** twice = x + x and small = y + y: one result in memory of its own, one through the pool. */
function writeModel(folder: string): string {
  const [x, y] = [port("x", "float32", shape), port("y", "float32", [2, 3])];
  const [twice, small] = [port("twice", "float32", shape), port("small", "float32", [2, 3])];
  return writeProgram(join(folder, "mixed.mlpackage"), {
    inputs: [x, y],
    outputs: [twice, small],
    operations: [operation("add", { x: "x", y: "x" }, twice), operation("add", { x: "y", y: "y" }, small)],
  });
}

const kinds = ["predict", "lease", "abort", "timeout", "short"] as const;
interface Step {
  readonly kind: (typeof kinds)[number];
  readonly value: number;
}
const steps = fc.array(
  fc.record({ kind: fc.constantFrom(...kinds), value: fc.integer({ min: 1, max: 999 }) }),
  {
    minLength: 10,
    maxLength: 40,
  },
);

const turn = () => new Promise<void>((done) => setImmediate(done));

async function turns(howMany: number): Promise<void> {
  for (let i = 0; i < howMany; i++) await turn();
}

function inputsOf(value: number): Map<string, FeatureValue> {
  const y = f32(Array<number>(6).fill(-value), [2, 3]);
  return new Map([
    ["x", f32(Array<number>(count).fill(value), shape)],
    ["y", y],
  ]);
}

function expectTwice(outputs: ReadonlyMap<string, FeatureValue>, value: number): void {
  const found = ["twice", "small"].map((name) => {
    const tensor = outputs.get(name);
    return tensor !== undefined && isTensor(tensor) ? [...new Set(numbersOf(tensor))] : tensor;
  });
  expect(found).toEqual([[2 * value], [-2 * value]]);
}

/** What became of it. An answer is looked at; a lease is held for a turn, beside other runs. */
async function take(model: SessionModel, { kind, value }: Step): Promise<string> {
  const inputs = inputsOf(value);
  const abort = new AbortController();
  if (kind === "short") inputs.set("x", { ...f32(Array<number>(count - 1).fill(value)), shape });
  if (kind === "abort") void turns(value % 4).then(() => abort.abort());
  const timeoutMs = kind === "timeout" ? (value % 8) / 8 : 60_000;
  try {
    if (kind === "lease") {
      using lease = await model.predictLeased(inputs, { timeoutMs });
      await turn();
      expectTwice(lease.outputs, value);
    } else expectTwice(await model.predict(inputs, { timeoutMs, signal: abort.signal }), value);
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
  short: ["BAD_INPUT"],
};

test.each([
  { where: "worker", isolation: "worker", numRuns: 20, recycleAfter: undefined },
  { where: "worker that is replaced after seven runs", isolation: "worker", numRuns: 10, recycleAfter: 7 },
  { where: "process", isolation: "process", numRuns: 5, recycleAfter: undefined },
] as const)(
  "each answer of a $where is its own, whatever becomes of the calls beside it, and all memory comes back",
  async ({ isolation, numRuns, recycleAfter }) => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeModel(folder.path), {
      isolation,
      recycleAfter,
      instances: 2,
      // A deadline that is too short says nothing about the engine here.
      breaker: { consecutiveFaults: 1_000, faultRate: 0.99, minimumCalls: 1_000 },
    });
    await fc.assert(
      fc.asyncProperty(steps, async (schedule) => {
        const calls = schedule.map(async (step) => {
          const outcome = await take(model, step);
          expect(outcomes[step.kind]).toContain(outcome);
        });
        await Promise.all(calls);
        for (const step of schedule.slice(0, 5))
          expect(outcomes[step.kind]).toContain(await take(model, step));
        while (session.stats.bufferPool?.quarantinedCount !== 0) await turn();
        expect(session.stats.bufferPool).toMatchObject({ lentCount: 0, quarantinedCount: 0 });
        expect(model.stats.queue.pending).toBe(0);
      }),
      { numRuns, seed: 20261124 },
    );
  },
  60_000, // starting processes and replacing instances, where much else is to do
);
