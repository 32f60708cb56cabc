// A million predictions of a small model, in a worker and in the caller's thread: what they leave in memory and in handles.

import { readdirSync } from "node:fs";
import type { SessionModel } from "../../src/runtime/session.ts";
import { fitSlope } from "../../src/suites/stats.ts";
import type { Figure } from "./figure.ts";
import { randomInputs, writeTinyModel } from "./models.ts";
import { openBenchSession } from "./session.ts";

const windows = 10;
/** The resident memory of an idle program goes up and down by megabytes; what leaks raises the least of them too. */
const samplesPerWindow = 10;
/** Windows in which the engine compiles and the heap finds its size. */
const warmupWindows = 2;

export async function measureEndurance(folder: string, isQuick: boolean): Promise<Figure[]> {
  const path = writeTinyModel(folder);
  const predictions = isQuick ? 100_000 : 1_000_000;
  const figures: Figure[] = [];
  for (const inline of [false, "auto"] as const) {
    // Once without being measured: libraries and threads of the runtime stay for good.
    await endure({ path, inline, predictions: 2_000 });
    figures.push(...(await endure({ path, inline, predictions })));
  }
  return figures;
}

interface Trial {
  readonly path: string;
  readonly inline: "auto" | false;
  readonly predictions: number;
}

async function endure({ path, inline, predictions }: Trial): Promise<Figure[]> {
  const before = countHandles();
  const memory: [number, number][] = [];
  const startMs = performance.now();
  let isInline = false;
  {
    await using session = await openBenchSession();
    await using model = await session.load(path, { threads: 1, inline });
    const each = predictions / windows / samplesPerWindow;
    for (let window = 1; window <= windows; window++) {
      const samples: number[] = [];
      for (let sample = 0; sample < samplesPerWindow; sample++) {
        await predict(model, each);
        Bun.gc(true);
        samples.push(process.memoryUsage.rss() / 1e6);
      }
      memory.push([(window * predictions) / windows / 100_000, Math.min(...samples)]);
    }
    ({ isInline } = model);
  }
  const elapsedMs = performance.now() - startMs;
  const left = await untilNoMoreThan(before, 10_000);
  const slope = fitSlope(memory.slice(warmupWindows));
  const where = isInline ? "in the caller's thread" : "through a worker";
  const at = (index: number) => memory.at(index)?.[1].toFixed(1);
  return [
    {
      name: `memory per 100,000 of ${predictions.toLocaleString("en-US")} predictions ${where}`,
      value: slope?.estimate ?? Number.NaN,
      unit: "MB",
      limit: { atMost: 1 },
      note: `95 %: ${slope?.low.toFixed(3)} to ${slope?.high.toFixed(3)}; least resident memory of each tenth ${at(warmupWindows)} to ${at(-1)} MB; ${((elapsedMs * 1_000) / predictions).toFixed(1)} µs each`,
    },
    {
      name: "file descriptors and threads left when the session is closed",
      value: left.descriptors - before.descriptors + left.threads - before.threads,
      unit: "",
      limit: { atMost: 0 },
      note: `${before.descriptors} and ${before.threads} before, ${left.descriptors} and ${left.threads} after`,
    },
  ];
}

async function predict(model: SessionModel, count: number): Promise<void> {
  const inputs = randomInputs(model, 0);
  for (let i = 0; i < count; i++) await model.predict(inputs);
}

interface Handles {
  readonly descriptors: number;
  readonly threads: number;
}

/** Linux; elsewhere nothing is counted. */
function countHandles(): Handles {
  if (process.platform !== "linux") return { descriptors: 0, threads: 0 };
  return { descriptors: readdirSync("/proc/self/fd").length, threads: readdirSync("/proc/self/task").length };
}

/** Threads end a little after they were told to. */
async function untilNoMoreThan(before: Handles, withinMs: number): Promise<Handles> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    Bun.gc(true);
    const now = countHandles();
    const isOver = now.descriptors <= before.descriptors && now.threads <= before.threads;
    if (isOver || performance.now() > endMs) return now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
