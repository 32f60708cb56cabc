// Large results: what they cost against memory that is simply written again, in time, in memory and in files left behind.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isTensor } from "../../src/core/tensor.ts";
import type { MappedFileKind } from "../../src/native/mapped-file.ts";
import { BufferPool } from "../../src/runtime/buffers/buffer-pool.ts";
import { type OutputLease, OutputStore } from "../../src/runtime/outputs/outputs.ts";
import { median, pairedRatio } from "../../src/suites/stats.ts";
import { OutputProcess } from "../../tests/support/runtime/output-process.ts";
import { BareModel } from "./bare.ts";
import type { Figure } from "./figure.ts";
import { randomInputs, writeOuterSumModel } from "./models.ts";
import { openBenchSession } from "./session.ts";

const largeBytes = 200_000_000;
const megabyte = 1_000_000;
const ratioLimit = { atMost: 1.2 };
/** Sealed memory is Linux's. */
const kinds: readonly MappedFileKind[] = process.platform === "linux" ? ["memory", "file"] : ["file"];

export async function measureOutputs(folder: string, isQuick: boolean): Promise<Figure[]> {
  const pairs = isQuick ? 6 : 30;
  const count = isQuick ? 1_000 : 10_000;
  const figures: Figure[] = [];
  for (const kind of kinds) {
    for (const isPublished of [false, true])
      figures.push(...compareWriting({ folder, kind, isPublished, pairs }));
  }
  figures.push(...(await compareRuns(folder, pairs)));
  for (const kind of kinds) {
    figures.push(...measureMany(join(folder, `many-${kind}`), kind, count));
    figures.push(await measureLeftovers(join(folder, `killed-${kind}`), kind, count));
  }
  return figures;
}

interface Writing {
  readonly folder: string;
  readonly kind: MappedFileKind;
  readonly isPublished: boolean;
  readonly pairs: number;
}

/** A result written by us, against one ArrayBuffer that is written again, pair by pair. */
function compareWriting({ folder, kind, isPublished, pairs }: Writing): Figure[] {
  const reused = new Uint8Array(new ArrayBuffer(largeBytes)).fill(1);
  using buffers = new BufferPool();
  using store = new OutputStore({
    folder: join(folder, "outputs"),
    buffers,
    kind,
    limits: { capacityBytes: 4 * largeBytes },
    maxInlineBytes: 0,
  });
  const write = (value: number) => {
    using lease = store.acquire("uint8", [largeBytes]);
    lease.bytes.fill(value);
    if (isPublished) publish(lease);
  };
  const rewrite = (value: number) => void reused.fill(value);
  write(0);
  write(1);
  const peakBefore = peakBytes();
  const times = timePairs(pairs, write, rewrite);
  const ratio = pairedRatio(times);
  // A published file is written twice, into our pages and into the file: see docs/developing.md.
  const isTwofold = kind === "file" && isPublished;
  const name = `results of 200 MB, kind "${kind}", ${isPublished ? "published" : "kept to ourselves"}`;
  return [
    {
      name: `${name}, over writing into reused memory`,
      value: ratio.estimate,
      unit: "times",
      limit: isTwofold ? undefined : ratioLimit,
      note: `95 %: ${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)}; ${medians(times)}, ${pairs} pairs`,
    },
    {
      name: "growth of the peak memory meanwhile",
      value: (peakBytes() - peakBefore) / megabyte,
      unit: "MB",
      limit: { atMost: 5 },
      note: `over ${pairs} results`,
    },
  ];
}

/** A model's result of 200 MB through the session, against a bare run that writes into the same memory again. */
async function compareRuns(folder: string, pairs: number): Promise<Figure[]> {
  const path = writeOuterSumModel(folder, largeBytes);
  await using session = await openBenchSession({ outputDir: join(folder, "session-outputs") });
  await using model = await session.load(path, { threads: 1 });
  using bare = await BareModel.open(path, 1);
  const inputs = randomInputs(model, 0);
  const predict = async () => {
    using lease = await model.predictLeased(inputs);
    const y = lease.outputs.get("y");
    if (y === undefined || !isTensor(y) || y.bytes.byteLength !== largeBytes || lease.mapped.size !== 1)
      throw new Error("The result is not a mapped one of 200 MB");
  };
  const times: [number, number][] = [];
  for (let i = 0; i < 2; i++) await predict();
  bare.run();
  const peakBefore = peakBytes();
  for (let i = 0; i < pairs; i++) {
    const early = i % 2 === 0 ? time(() => bare.run()) : undefined;
    const startMs = performance.now();
    await predict();
    const mine = performance.now() - startMs;
    times.push([mine, early ?? time(() => bare.run())]);
  }
  const ratio = pairedRatio(times);
  return [
    {
      name: "a prediction of 200 MB over a bare run that writes into reused memory",
      value: ratio.estimate,
      unit: "times",
      limit: ratioLimit,
      note: `95 %: ${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}; ${medians(times)}, ${pairs} pairs`,
    },
    {
      name: "growth of the peak memory meanwhile",
      value: (peakBytes() - peakBefore) / megabyte,
      unit: "MB",
      limit: { atMost: 5 },
      note: "",
    },
  ];
}

function measureMany(folder: string, kind: MappedFileKind, count: number): Figure[] {
  using buffers = new BufferPool();
  const store = new OutputStore({ folder, kind, buffers, maxInlineBytes: 0 });
  const round = () => {
    for (let i = 0; i < count; i++) {
      using lease = store.acquire("uint8", [megabyte]);
      lease.bytes[0] = i;
      publish(lease);
    }
    Bun.gc(true);
  };
  round();
  const before = process.memoryUsage.rss();
  const elapsedMs = time(round);
  const grown = process.memoryUsage.rss() - before;
  store[Symbol.dispose]();
  return [
    {
      name: `files that ${count} published results of kind "${kind}" leave behind`,
      value: entriesIn(folder),
      unit: "",
      limit: { atMost: 0 },
      note: `1 MB each, ${((elapsedMs * 1_000) / count).toFixed(0)} µs each`,
    },
    {
      name: "growth of the memory meanwhile",
      value: grown / megabyte,
      unit: "MB",
      limit: { atMost: 5 },
      note: "",
    },
  ];
}

/** A process that has published as many, and is killed while some are still there. */
async function measureLeftovers(folder: string, kind: MappedFileKind, count: number): Promise<Figure> {
  const kept = 100;
  const child = new OutputProcess({ folder, kind });
  for (let i = 0; i < count; i++) {
    await child.publish(megabyte, i % 256);
    if (i >= kept) await child.ask({ do: "return", index: i - kept });
  }
  await child.kill();
  const left = readdirSync(folder, { recursive: true }).length;
  using buffers = new BufferPool();
  using store = new OutputStore({ folder, kind, buffers });
  return {
    name: `files of as many in a process that was killed, after the next start`,
    value: entriesIn(folder),
    unit: "",
    limit: { atMost: 0 },
    note: `${left} names were there after the kill, in ${store.stats.swept} folder that was swept`,
  };
}

function publish(lease: OutputLease): void {
  if (lease.kind !== "mapped") throw new Error("The result is not mapped");
  lease.publish();
}

/** Every other pair in the opposite order. */
function timePairs(
  pairs: number,
  ours: (value: number) => void,
  base: (value: number) => void,
): [number, number][] {
  return Array.from({ length: pairs }, (_, i): [number, number] => {
    const early = i % 2 === 0 ? time(() => base(i)) : undefined;
    const mine = time(() => ours(i));
    return [mine, early ?? time(() => base(i))];
  });
}

function medians(times: readonly (readonly [number, number])[]): string {
  const [ours, base] = [0, 1].map((at) => median(times.map((pair) => pair[at] ?? Number.NaN)).toFixed(1));
  return `${ours} ms, in reused memory ${base} ms`;
}

function entriesIn(folder: string): number {
  return existsSync(folder) ? readdirSync(folder, { recursive: true }).length : 0;
}

function time(work: () => void): number {
  const startMs = performance.now();
  work();
  return performance.now() - startMs;
}

/** The most memory the process ever had. */
function peakBytes(): number {
  if (process.platform !== "linux") return process.resourceUsage().maxRSS;
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) * 1_024;
}
