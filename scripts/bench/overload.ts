// Ten times what a model can answer, for a minute: how quickly the surplus is refused, what becomes of the rest, what it
// costs in memory, and how soon it is over.

import type { SessionModel } from "../../src/runtime/session.ts";
import type { FeatureValues } from "../../src/core/tensor.ts";
import type { Histogram } from "../../src/suites/histogram.ts";
import { fitSlope, mean, median } from "../../src/suites/stats.ts";
import { strays } from "../../tests/support/runtime/fault-load.ts";
import { type OpenLoadTally, sendAtRate } from "../../tests/support/runtime/open-load.ts";
import type { Figure } from "./figure.ts";
import { randomInputs, writeChainModel } from "./models.ts";
import { openBenchSession } from "./session.ts";

const chainLinks = 20;
const instances = 2;
const surplus = 10;
/** Seldom, for what is to be measured is what stays after a collection, and a collection holds everybody up. */
const memoryStepMs = 2_000;
const capacityMs = 3_000;
/** Recovered: this many calls in a row whose median is within this of the unloaded one. */
const recoveredCalls = 11;
const recoveredRatio = 1.1;
const recoveryLimitMs = 1_000;

export async function measureOverload(folder: string, isQuick: boolean): Promise<Figure[]> {
  const path = writeChainModel(folder, chainLinks);
  return [
    ...(await overloadBoundedQueue(path, isQuick ? 6_000 : 60_000)),
    ...(await overloadLongQueue(path, isQuick ? 3_000 : 20_000)),
  ];
}

/** A queue that is answered well within the deadline: what does not fit is refused. */
async function overloadBoundedQueue(path: string, durationMs: number): Promise<Figure[]> {
  const deadlineMs = 1_000;
  const queueLimit = 32;
  await using session = await openBenchSession();
  await using model = await session.load(path, { instances, threads: 1, queueLimit });
  const inputs = randomInputs(model, 0);
  const before = await measureUnloaded(model, inputs);
  const memory: [seconds: number, bytes: number][] = [];
  const startMs = performance.now();
  const tally = await sendAtRate({
    ratePerSecond: surplus * before.capacity,
    durationMs,
    send: () => model.predict(inputs, { timeoutMs: deadlineMs }),
    onTurn() {
      const atMs = performance.now() - startMs;
      if (atMs < memory.length * memoryStepMs) return;
      Bun.gc(true);
      memory.push([atMs / 1_000, process.memoryUsage.rss()]);
    },
  });
  const recovery = await measureRecovery(model, inputs, before.medianMs);
  const { queue } = model.stats;
  const after = await measureCapacity(model, inputs);
  const load = `${surplus} times the capacity of ${before.capacity.toFixed(0)}/s for ${(durationMs / 1_000).toFixed(0)} s, ${tally.sent} calls`;
  return [
    {
      name: "refusals at overload, 99th percentile",
      value: tally.refused.quantile(0.99),
      unit: "ms",
      limit: { atMost: 20 },
      note: `${load}; ${describe(tally.refused)}, from when each was due; sent late: ${describe(tally.sendDelay)}`,
    },
    {
      name: "slowest of the accepted calls",
      value: tally.answered.mostMs,
      unit: "ms",
      limit: { atMost: deadlineMs },
      note: describe(tally.answered),
    },
    {
      name: "accepted calls that missed their deadline, or ended in any other way",
      value: tally.expired.count + tally.odd.length,
      unit: `of ${tally.answered.count + tally.expired.count + tally.odd.length}`,
      limit: { atMost: 0 },
      note: tally.odd[0] ?? "",
    },
    {
      name: "most callers in the queue",
      value: queue.highWater,
      unit: "",
      limit: { atMost: queue.limit },
      note: "",
    },
    throughputFigure("answers at overload over the capacity", tally, [before.capacity, after]),
    ...memoryFigures(memory),
    {
      name: "recovery after the overload",
      value: recovery.afterMs,
      unit: "ms",
      limit: { atMost: recoveryLimitMs },
      note: `until ${recoveredCalls} calls in a row have a median within ${recoveredRatio} times the unloaded ${before.medianMs.toFixed(2)} ms; it was ${recovery.medianMs.toFixed(2)} ms`,
    },
    {
      name: "instances, buffers and callers that have not come back",
      value: Object.values(strays(session, model)).reduce((sum, count) => sum + count, 0),
      unit: "",
      limit: { atMost: 0 },
      note: JSON.stringify(strays(session, model)),
    },
  ];
}

/** A queue so long that the deadline is over before its end is reached: what then is answered is answered in time. */
async function overloadLongQueue(path: string, durationMs: number): Promise<Figure[]> {
  const deadlineMs = 500;
  await using session = await openBenchSession();
  await using model = await session.load(path, { instances, threads: 1 });
  const inputs = randomInputs(model, 0);
  const { capacity } = await measureUnloaded(model, inputs);
  const tally = await sendAtRate({
    ratePerSecond: surplus * capacity,
    durationMs,
    send: () => model.predict(inputs, { timeoutMs: deadlineMs }),
  });
  const after = await measureCapacity(model, inputs);
  const late = Math.max(tally.answered.quantile(0.999), tally.expired.quantile(0.999)) - deadlineMs;
  return [
    throughputFigure(`the same with a deadline of ${deadlineMs} ms and the default queue`, tally, [
      capacity,
      after,
    ]),
    {
      name: "its calls that end after their deadline, by how much",
      value: Math.max(0, late),
      unit: "ms",
      limit: { atMost: 50 },
      note: `99.9th percentile, from when each was due; sent late: ${describe(tally.sendDelay)}`,
    },
    {
      name: "its trips of the breaker",
      value: model.stats.breaker.trips,
      unit: "",
      limit: { atMost: 0 },
      note: `${tally.answered.count} answered, ${tally.expired.count} expired, ${tally.odd.length} ended otherwise`,
    },
  ];
}

/** Over the mean of the capacities before and after. */
function throughputFigure(name: string, tally: OpenLoadTally, capacities: readonly number[]): Figure {
  const perSecond = tally.answered.count / (tally.sendingMs / 1_000);
  const note = `${perSecond.toFixed(0)} a second; capacity before and after ${capacities.map((each) => each.toFixed(0)).join(", ")}`;
  return { name, value: perSecond / mean(capacities), unit: "times", limit: { atLeast: 0.8 }, note };
}

/** After the first quarter, in which pools and heap grow to their size: the slope, and the last quarter less the second. */
function memoryFigures(samples: readonly (readonly [number, number])[]): Figure[] {
  const quarter = Math.floor(samples.length / 4);
  const steady = samples.slice(quarter);
  const slope = fitSlope(steady);
  const level = (part: readonly (readonly [number, number])[]) => mean(part.map(([, bytes]) => bytes)) / 1e6;
  const grown = level(steady.slice(-quarter)) - level(steady.slice(0, quarter));
  const perMinute = (bytesPerSecond: number) => (bytesPerSecond * 60) / 1e6;
  return [
    {
      name: "memory growth in a minute of overload",
      value: perMinute(slope?.estimate ?? Number.NaN),
      unit: "MB",
      limit: { atMost: 5 },
      note: `95 %: ${perMinute(slope?.low ?? Number.NaN).toFixed(1)} to ${perMinute(slope?.high ?? Number.NaN).toFixed(1)}`,
    },
    {
      name: "resident memory in the last quarter over the second",
      value: grown,
      unit: "MB",
      limit: { atMost: 5 },
      note: `${level(steady.slice(0, quarter)).toFixed(1)} to ${level(steady.slice(-quarter)).toFixed(1)} MB`,
    },
  ];
}

/** The capacity with callers enough for all instances, then the latency of a single one. */
async function measureUnloaded(model: SessionModel, inputs: FeatureValues) {
  await measureCapacity(model, inputs);
  const capacity = await measureCapacity(model, inputs);
  const latencies: number[] = [];
  for (let i = 0; i < 100; i++) latencies.push(await timeOf(model, inputs));
  return { capacity, medianMs: median(latencies) };
}

/** Answers a second to callers enough for all instances. */
async function measureCapacity(model: SessionModel, inputs: FeatureValues): Promise<number> {
  const startMs = performance.now();
  let answered = 0;
  const caller = async () => {
    while (performance.now() - startMs < capacityMs) {
      await model.predict(inputs);
      answered++;
    }
  };
  await Promise.all(Array.from({ length: 2 * instances }, caller));
  return answered / ((performance.now() - startMs) / 1_000);
}

/** From the end of the overload to the first of a row of calls that are as quick as unloaded ones. */
async function measureRecovery(model: SessionModel, inputs: FeatureValues, unloadedMs: number) {
  const startMs = performance.now();
  const calls: { readonly sentMs: number; readonly tookMs: number }[] = [];
  for (;;) {
    const sentMs = performance.now() - startMs;
    calls.push({ sentMs, tookMs: await timeOf(model, inputs) });
    const row = calls.slice(-recoveredCalls);
    const medianMs = median(row.map(({ tookMs }) => tookMs));
    const hasRecovered = row.length === recoveredCalls && medianMs <= recoveredRatio * unloadedMs;
    if (hasRecovered || sentMs > 30 * recoveryLimitMs) return { afterMs: row[0]?.sentMs ?? sentMs, medianMs };
  }
}

async function timeOf(model: SessionModel, inputs: FeatureValues): Promise<number> {
  const startMs = performance.now();
  await model.predict(inputs);
  return performance.now() - startMs;
}

function describe(times: Histogram): string {
  const [half, most] = [times.quantile(0.5), times.mostMs].map((ms) => ms.toFixed(2));
  return `${times.count} in p50 ${half}, p99 ${times.quantile(0.99).toFixed(2)}, most ${most} ms`;
}
