// What pooled buffers and mapped outputs cost against memory that is simply written again, interleaved in one process.
// Usage: bun run bench:memory [--runs N] [--predictions N] [--output-mb N] [--folder DIR] [--json]

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { heapStats } from "bun:jsc";
import { mapPages } from "../src/native/pages.ts";
import { statsSince } from "../src/runtime/buffers/block-pool-stats.ts";
import { BufferPool } from "../src/runtime/buffers/buffer-pool.ts";
import { type OutputLease, OutputStore } from "../src/runtime/outputs/outputs.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "30" },
    predictions: { type: "string", default: "10000" },
    "output-mb": { type: "string", default: "200" },
    folder: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const runs = Number(values.runs);
const predictions = Number(values.predictions);
const outputBytes = Number(values["output-mb"]) * 1_000_000;
const folder = mkdtempSync(join(values.folder ?? tmpdir(), "coremlx-bench-"));

try {
  const machine = `${cpus()[0]?.model ?? "unknown CPU"}, ${availableParallelism()} cores`;
  const result = {
    schemaVersion: 1,
    machine,
    bun: Bun.version,
    pool: benchPool(),
    outputs: benchOutputs(),
    many: benchMany(),
  };
  if (values.json) console.log(JSON.stringify(result));
  else print(result);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** A prediction's traffic without the prediction: a picture in, a thousand scores out. */
function benchPool() {
  const inputShape = [1, 3, 224, 224];
  const outputShape = [1, 1_000];
  const picture = new Uint8Array(new ArrayBuffer(4 * 3 * 224 * 224)).fill(1);
  using pool = new BufferPool();
  const predict = () => {
    using input = pool.acquire("float32", inputShape);
    using output = pool.acquire("float32", outputShape);
    input.bytes.set(picture);
    output.bytes[0] = input.bytes[0] ?? 0;
  };
  predict();
  const before = pool.stats;
  for (let i = 0; i < predictions; i++) predict();
  const after = statsSince(before, pool.stats);

  const heapAfter = () => {
    for (let i = 0; i < predictions; i++) predict();
    Bun.gc(true);
    return heapStats().heapSize;
  };
  heapAfter(); // the engine compiles, and sets up its heap, in the first rounds
  const heapBefore = heapAfter();
  const heapGrowthBytes = heapAfter() - heapBefore;

  const batch = 1_000;
  const [lease, fresh]: [number[], number[]] = [[], []];
  for (let run = 0; run < runs; run++) {
    lease.push(
      time(() => {
        for (let i = 0; i < batch; i++) pool.acquire("float32", inputShape)[Symbol.dispose]();
      }) / batch,
    );
    fresh.push(
      time(() => {
        for (let i = 0; i < batch / 10; i++) new Uint8Array(new ArrayBuffer(picture.byteLength));
      }) /
        (batch / 10),
    );
  }
  return {
    predictions,
    hitRatio: after.hitRatio,
    avoidedRatio: after.avoidedRatio,
    allocatedBytesPerPrediction: after.allocatedBytes / predictions,
    bytesSaved: after.bytesSaved,
    heapGrowthBytes,
    leaseMicroseconds: spread(lease.map((ms) => ms * 1_000)),
    freshBufferMicroseconds: spread(fresh.map((ms) => ms * 1_000)),
  };
}

/** Large results: written, perhaps published, returned. Each variant against one ArrayBuffer written again, in turn. */
function benchOutputs() {
  const reused = new Uint8Array(new ArrayBuffer(outputBytes));
  using pages = mapPages(outputBytes);
  using buffers = new BufferPool();
  const limits = { capacityBytes: 4 * outputBytes };
  const variants: Record<string, (fill: number) => void> = {
    "reused huge pages": (fill) => void pages.bytes.fill(fill),
  };
  const stores: OutputStore[] = [];
  for (const kind of process.platform === "linux" ? (["memory", "file"] as const) : (["file"] as const)) {
    const open = () => {
      const store = new OutputStore({
        folder: join(folder, "outputs"),
        buffers,
        kind,
        limits,
        maxInlineBytes: 0,
      });
      stores.push(store);
      return store;
    };
    const [kept, published] = [open(), open()];
    variants[`${kind}, kept to ourselves`] = (fill) => {
      using lease = kept.acquire("uint8", [outputBytes]);
      lease.bytes.fill(fill);
    };
    variants[`${kind}, published`] = (fill) => {
      using lease = published.acquire("uint8", [outputBytes]);
      lease.bytes.fill(fill);
      publish(lease);
    };
  }
  variants["fresh ArrayBuffer"] = (fill) => {
    new Uint8Array(new ArrayBuffer(outputBytes)).fill(fill);
    Bun.gc(true); // else a few of them are more than the machine has
  };

  const rows = Object.entries(variants).map(([name, write]) => {
    const first = time(() => write(0));
    write(1);
    const [ours, base, ratios]: [number[], number[], number[]] = [[], [], []];
    const peaks: number[] = [];
    for (let run = 0; run < runs; run++) {
      const baseline = () => time(() => void reused.fill(run));
      const early = run % 2 === 0 ? baseline() : undefined; // every other pair in the opposite order
      const mine = time(() => write(run));
      const theirs = early ?? baseline();
      ours.push(mine);
      base.push(theirs);
      ratios.push(mine / theirs);
      peaks.push(residentBytes());
    }
    return {
      name,
      firstMs: first,
      milliseconds: spread(ours),
      reusedMilliseconds: spread(base),
      ratio: spread(ratios),
      residentGrowthBytes: (peaks.at(-1) ?? 0) - (peaks[0] ?? 0),
    };
  });
  for (const store of stores) store[Symbol.dispose]();
  return { outputBytes, runs, rows };
}

function benchMany() {
  using buffers = new BufferPool();
  const store = new OutputStore({ folder: join(folder, "many"), buffers, maxInlineBytes: 0 });
  const count = 10_000;
  const round = () => {
    for (let i = 0; i < count; i++) {
      using lease = store.acquire("uint8", [1_000_000]);
      lease.bytes[0] = i;
      publish(lease);
    }
    Bun.gc(true);
  };
  round();
  const before = residentBytes();
  const elapsed = time(round);
  const growth = residentBytes() - before;
  store[Symbol.dispose]();
  return {
    count,
    microsecondsEach: (elapsed * 1_000) / count,
    residentGrowthBytes: growth,
    leftBehind: readdirSync(join(folder, "many")).length,
  };
}

function publish(lease: OutputLease): void {
  if (lease.kind !== "mapped") throw new Error("not mapped");
  lease.publish();
}

function print(result: {
  readonly machine: string;
  readonly pool: ReturnType<typeof benchPool>;
  readonly outputs: ReturnType<typeof benchOutputs>;
  readonly many: ReturnType<typeof benchMany>;
}): void {
  const { pool, outputs, many } = result;
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  console.log(`${result.machine}; Bun ${Bun.version}; medians (quartiles) of ${runs} runs`);
  console.log(
    `buffer pool, ${pool.predictions} predictions after warm-up: hits ${percent(pool.hitRatio)}, ` +
      `allocations avoided ${percent(pool.avoidedRatio)}, ${pool.allocatedBytesPerPrediction} bytes allocated each, ` +
      `${(pool.bytesSaved / 1e6).toFixed(0)} MB saved, JavaScript heap ${(pool.heapGrowthBytes / 1024).toFixed(0)} KiB`,
  );
  console.log(
    `  acquire and return ${show(pool.leaseMicroseconds)} us; a fresh ArrayBuffer of that size ${show(pool.freshBufferMicroseconds)} us`,
  );
  console.log(`results of ${outputs.outputBytes / 1e6} MB, against writing into one ArrayBuffer again:`);
  for (const row of outputs.rows) {
    console.log(
      `  ${row.name.padEnd(26)} first ${row.firstMs.toFixed(0)} ms, then ${show(row.milliseconds)} ms; reused ${show(row.reusedMilliseconds)} ms; ` +
        `ratio ${show(row.ratio)}; resident ${(row.residentGrowthBytes / 1e6).toFixed(1)} MB over ${outputs.runs} results`,
    );
  }
  console.log(
    `${many.count} more published results of 1 MB: ${many.microsecondsEach.toFixed(0)} us each, resident ${(many.residentGrowthBytes / 1e6).toFixed(1)} MB, ` +
      `${many.leftBehind} files left behind`,
  );
}

function show({ median, quartiles }: ReturnType<typeof spread>): string {
  return `${median.toFixed(2)} (${quartiles.map((value) => value.toFixed(2)).join(" to ")})`;
}

function spread(samples: readonly number[]) {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { median: at(0.5), quartiles: [at(0.25), at(0.75)] };
}

function time(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

/** With shared pages, so mapped outputs count. */
function residentBytes(): number {
  if (process.platform !== "linux") return process.memoryUsage.rss();
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) * 1024;
}
