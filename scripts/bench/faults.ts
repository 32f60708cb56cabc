// A minute of faults under load, in threads and in processes of their own: which answers were lost, doubled or spoilt,
// and whether all that was lent has come back.

import { join } from "node:path";
import { randomSource } from "../../src/codecs/generate.ts";
import type { Session, SessionModel } from "../../src/runtime/session.ts";
import { writeFaultModel } from "../../tests/support/fault-model.ts";
import {
  type Fault,
  type FaultTally,
  loadWithFaults,
  strays,
  untilReturned,
} from "../../tests/support/runtime/fault-load.ts";
import { type FaultCounts, FaultyInstance } from "../../tests/support/runtime/faulty-instance.ts";
import type { Figure } from "./figure.ts";
import { openBenchSession } from "./session.ts";

/** 1 MiB in and out: its product takes some 4 ms, so that calls can be given up in the middle of it. */
const size = 512;
const callers = 6;
const instances = 3;
const hangMs = 200;

export async function measureFaults(folder: string, isQuick: boolean): Promise<Figure[]> {
  const path = writeFaultModel(join(folder, "faults.mlpackage"), size);
  const durationMs = isQuick ? 6_000 : 60_000;
  const inThreads = { hang: 0.01, error: 0.01, late: 0.01, kernel: 0.01 };
  const inProcesses = { hang: 0.01, error: 0.01, crash: 0.01 };
  return [
    ...(await survive({ path, folder, durationMs, isolation: "worker", share: inThreads })),
    ...(await survive({ path, folder, durationMs, isolation: "process", share: inProcesses })),
    ...(await tripOnDemand(path, folder)),
  ];
}

interface Trial {
  readonly path: string;
  readonly folder: string;
  readonly durationMs: number;
  readonly isolation: "worker" | "process";
  readonly share: Readonly<Partial<Record<Fault, number>>>;
}

/** With the default breaker, which a few per cent of faults must not open. */
async function survive({ path, folder, durationMs, isolation, share }: Trial): Promise<Figure[]> {
  const { session, counts } = await openFaulty(folder);
  await using _ = session;
  await using model = await session.load(path, { instances, threads: 1, hangMs, isolation });
  const tally = await loadWithFaults({ model, size, callers, durationMs, share, seed: 1 });
  const hasReturned = await untilReturned(session, model, 10_000);
  const left = hasReturned ? {} : strays(session, model);
  const full = await fillPool(session, model);
  const where = isolation === "worker" ? "in threads" : "in processes";
  const { quarantine, breaker } = model.stats;
  return [
    {
      name: `faults under load ${where}: answers lost, doubled or of another call`,
      value: tally.lost.length + tally.wrong.length,
      unit: `of ${tally.calls}`,
      limit: { atMost: 0 },
      note: `${describeEndings(tally)} in ${(durationMs / 1_000).toFixed(0)} s`,
    },
    {
      name: "calls that ended in a way they gave no reason for",
      value: tally.odd.length,
      unit: "",
      limit: { atMost: 0 },
      note: tally.odd[0] ?? "",
    },
    ...(isolation === "worker" ? [patternFigure(tally, counts)] : []),
    {
      name: "instances, buffers and files that have not come back",
      value: Object.values(left).reduce((sum, count) => sum + count, 0),
      unit: "",
      limit: { atMost: 0 },
      note: `${JSON.stringify(left)}; ${quarantine.entered} buffers went into quarantine, ${quarantine.released} left it; ${describeInstances(model)}`,
    },
    {
      name: "instances too few or too many at the end",
      value: Math.abs(full - instances),
      unit: "",
      limit: { atMost: 0 },
      note: `${full} serve`,
    },
    { name: "trips of the default breaker", value: breaker.trips, unit: "", limit: { atMost: 0 }, note: "" },
  ];
}

function patternFigure(tally: FaultTally, counts: FaultCounts): Figure {
  return {
    name: "answers with bytes of a late completion",
    value: tally.defaced.length,
    unit: `of ${tally.answered}`,
    limit: { atMost: 0 },
    note: `${counts.late} late completions wrote ${(counts.patternBytes / 1e6).toFixed(0)} MB of their pattern`,
  };
}

/** Told that 2 % are too many, it has to open under 4 %, and to close when they are over. */
async function tripOnDemand(path: string, folder: string): Promise<Figure[]> {
  const { session } = await openFaulty(folder);
  await using _ = session;
  const breaker = { consecutiveFaults: 1_000, faultRate: 0.02, minimumCalls: 100, openMs: 500 };
  await using model = await session.load(path, { instances, threads: 1, hangMs, breaker });
  const share = { error: 0.04 };
  await loadWithFaults({ model, size, callers, durationMs: 8_000, share, seed: 2 });
  const { trips, rejections } = model.stats.breaker;
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const after = await loadWithFaults({
    model,
    size,
    callers: 1,
    durationMs: 8_000,
    calls: 20,
    share: {},
    seed: 3,
  });
  return [
    {
      name: "trips of a breaker that is told 2 % are too many, under 4 %",
      value: trips,
      unit: "",
      limit: { atLeast: 1 },
      note: `it refused ${rejections} calls`,
    },
    {
      name: "answers once the faults are over",
      value: after.answered,
      unit: "of 20",
      limit: { atLeast: 20 },
      note: `the breaker is ${model.stats.breaker.state}; ${after.odd[0] ?? ""}`,
    },
  ];
}

async function openFaulty(
  folder: string,
): Promise<{ readonly session: Session; readonly counts: FaultCounts }> {
  const counts: FaultCounts = { late: 0, patternBytes: 0, crashes: 0 };
  const next = randomSource("when faults happen");
  const upTo = (ms: number) => (ms * next()) / 2 ** 32;
  const session = await openBenchSession(
    // Results of 1 MiB go into mapped files, so that these are put to the test as well.
    { maxInlineBytes: 4 * size * size - 1, outputDir: join(folder, "fault-outputs") },
    {
      openInstance: (isolation) =>
        new FaultyInstance({
          isolation,
          counts,
          lateMs: () => 20 + upTo(260),
          crashMs: () => upTo(5),
          signal: () => (counts.crashes % 2 === 0 ? "SIGSEGV" : "SIGKILL"),
        }),
    },
  );
  return { session, counts };
}

/** How many instances there are once callers have asked for all of them. */
async function fillPool(session: Session, model: SessionModel): Promise<number> {
  for (let round = 0; round < 40 && model.stats.instances.idle < instances; round++) {
    await loadWithFaults({ model, size, callers, durationMs: 500, calls: 30, share: {}, seed: 4 });
    await untilReturned(session, model, 5_000);
  }
  return model.stats.instances.idle;
}

function describeEndings({ endings }: FaultTally): string {
  return Object.entries(endings)
    .filter(([, counts]) => Object.keys(counts).length > 0)
    .map(([kind, counts]) => {
      const list = Object.entries(counts).map(([ending, count]) => `${count} ${ending}`);
      return `${kind}: ${list.join(", ")}`;
    })
    .join("; ");
}

function describeInstances(model: SessionModel): string {
  const { replaced, abandonedThreads } = model.stats.instances;
  return `${replaced} instances were replaced, ${abandonedThreads} threads are hung`;
}
