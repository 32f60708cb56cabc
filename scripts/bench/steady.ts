// Steady state on a fixed shape: what a prediction allocates once everything is warm. Counts, so they are exact.

import { heapStats } from "bun:jsc";
import { BufferPool } from "../../src/runtime/buffers/buffer-pool.ts";
import { statsSince } from "../../src/runtime/buffers/block-pool-stats.ts";
import { fitSlope, median, quantile } from "../../src/suites/stats.ts";
import type { Figure } from "./figure.ts";
import { randomInputs, writeWideModel } from "./models.ts";
import { openBenchSession } from "./session.ts";

const warmup = 1_000;
const blocks = 10;

export async function measureSteadyState(folder: string, predictions: number): Promise<Figure[]> {
  await using session = await openBenchSession();
  await using model = await session.load(writeWideModel(folder), { threads: 1 });
  const inputs = randomInputs(model, 0);
  const predict = async (count: number) => {
    for (let i = 0; i < count; i++) {
      using _ = await model.predictLeased(inputs);
    }
  };
  await predict(warmup);
  const heap: [number, number][] = [];
  const before = session.stats.bufferPool;
  for (let block = 1; block <= blocks; block++) {
    await predict(Math.ceil(predictions / blocks));
    Bun.gc(true);
    heap.push([block * Math.ceil(predictions / blocks), heapStats().heapSize]);
  }
  const after = session.stats.bufferPool;
  if (before === undefined || after === undefined) throw new Error("The session counts no buffers");
  const counts = statsSince(before, after);
  const slope = fitSlope(heap);
  const note = `${predictions.toLocaleString("en-US")} predictions of 256 KiB in and out, after ${warmup} to warm up`;
  return [
    { name: "buffer hits", value: counts.hitRatio, unit: "", limit: { atLeast: 0.99 }, note },
    { name: "allocations avoided", value: counts.avoidedRatio, unit: "", limit: { atLeast: 0.99 }, note: "" },
    {
      name: "tensor memory allocated per prediction",
      value: counts.allocatedBytes / predictions,
      unit: "bytes",
      limit: { atMost: 0 },
      note: "counted",
    },
    {
      name: "JavaScript heap growth per prediction",
      value: slope?.estimate ?? 0,
      unit: "bytes",
      limit: { atMost: 16 },
      note:
        slope === undefined
          ? ""
          : `95 %: ${slope.low.toFixed(1)} to ${slope.high.toFixed(1)}, heap after collection`,
    },
    measureLoan(),
  ];
}

/** A loan of the buffer pool, against fresh memory of the size of a picture. */
function measureLoan(): Figure {
  const shape = [1, 3, 224, 224];
  const byteLength = 4 * 3 * 224 * 224;
  using pool = new BufferPool();
  const lend = () => pool.acquire("float32", shape)[Symbol.dispose]();
  const allocate = () => void new Uint8Array(new ArrayBuffer(byteLength));
  const [loans, fresh]: [number[], number[]] = [[], []];
  for (let round = 0; round < 30; round++) {
    loans.push(timeEach(1_000, lend));
    fresh.push(timeEach(100, allocate));
  }
  const spread = [0.25, 0.75].map((at) =>
    quantile(
      loans.toSorted((a, b) => a - b),
      at,
    ).toFixed(2),
  );
  return {
    name: "to lend a buffer and take it back",
    value: median(loans),
    unit: "µs",
    limit: undefined,
    note: `quartiles ${spread.join(" to ")}; a fresh ArrayBuffer of ${byteLength} bytes ${median(fresh).toFixed(1)} µs`,
  };
}

/** Microseconds. */
function timeEach(count: number, work: () => void): number {
  const startMs = performance.now();
  for (let i = 0; i < count; i++) work();
  return ((performance.now() - startMs) * 1_000) / count;
}
