// Faults under load, a few seconds of them: only counts are judged here, `bun run bench faults` goes on for minutes.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { openSession } from "../../../src/runtime/session.ts";
import { writeFaultModel } from "../../support/fault-model.ts";
import { loadWithFaults, strays, untilReturned } from "../../support/runtime/fault-load.ts";
import { FaultyInstance } from "../../support/runtime/faulty-instance.ts";
import { tempFolder } from "../../support/temp.ts";

setDefaultTimeout(60_000);

const size = 64;
const nothingWrong = { wrong: [], defaced: [], lost: [], odd: [] };
/** Only when told to: a row of faults this long does not come about by chance. */
const patientBreaker = { consecutiveFaults: 50, faultRate: 0.9, minimumCalls: 100 };

async function openFaulty(folder: string) {
  const counts = { late: 0, patternBytes: 0, crashes: 0 };
  let turn = 0;
  const session = await openSession(
    { maxInlineBytes: 4 * size * size - 1, outputDir: join(folder, "outputs") },
    {
      openInstance: (isolation) =>
        new FaultyInstance({
          isolation,
          counts,
          // Some of them longer than hangMs: their instance is given up, and comes back.
          lateMs: () => 20 + 60 * (turn++ % 5),
          crashMs: () => turn++ % 4,
          signal: () => (counts.crashes % 2 === 0 ? "SIGSEGV" : "SIGKILL"),
        }),
    },
  );
  return { session, counts, path: writeFaultModel(join(folder, "model.mlpackage"), size) };
}

describe("faults under load", () => {
  test("hangs, errors and late completions that write a pattern cost no other call its answer", async () => {
    using folder = tempFolder();
    const { session, counts, path } = await openFaulty(folder.path);
    await using _ = session;
    const model = await session.load(path, { instances: 3, hangMs: 200, breaker: patientBreaker });
    const share = { hang: 0.03, error: 0.03, late: 0.03, kernel: 0.03 };
    const load = { model, size, callers: 6, durationMs: 60_000, calls: 600, share, seed: 4 };
    const tally = await loadWithFaults(load);
    expect(tally).toMatchObject({ calls: 600, ...nothingWrong });
    expect(await untilReturned(session, model, 20_000)).toBe(true);
    expect(strays(session, model)).toEqual({});
    expect(counts.late).toBeGreaterThan(5);
    expect(tally.endings.hang["DEADLINE"]).toBeGreaterThan(5);
    expect(tally.endings.error["NATIVE"]).toBeGreaterThan(5);
    expect(model.stats.breaker).toMatchObject({ state: "closed", trips: 0 });
    expect(model.stats.quarantine).toMatchObject({ count: 0, bytes: 0, isFull: false });
    expect(model.stats.quarantine.entered).toBe(model.stats.quarantine.released);
  });

  test("processes that die in the middle of a run cost their own call only", async () => {
    using folder = tempFolder();
    const { session, counts, path } = await openFaulty(folder.path);
    await using _ = session;
    const isolation = "process";
    const model = await session.load(path, { instances: 2, hangMs: 100, isolation, breaker: patientBreaker });
    const share = { hang: 0.02, error: 0.03, crash: 0.04 };
    const load = { model, size, callers: 4, durationMs: 60_000, calls: 120, share, seed: 2 };
    const tally = await loadWithFaults(load);
    expect(tally).toMatchObject({ calls: 120, ...nothingWrong });
    expect(counts.crashes).toBe(tally.endings.crash["NATIVE"] ?? 0);
    expect(counts.crashes).toBeGreaterThan(1);
    expect(await untilReturned(session, model, 20_000)).toBe(true);
    expect(model.stats.breaker).toMatchObject({ state: "closed", trips: 0 });
    expect(model.stats.instances.replaced).toBeGreaterThanOrEqual(counts.crashes);
  });

  test("the breaker opens when it is told that so many faults are too many", async () => {
    using folder = tempFolder();
    const { session, path } = await openFaulty(folder.path);
    await using _ = session;
    const breaker = { consecutiveFaults: 1_000, faultRate: 0.1, minimumCalls: 40 };
    const model = await session.load(path, { breaker });
    const load = { model, size, callers: 3, durationMs: 60_000, calls: 300, share: { error: 0.3 }, seed: 6 };
    const { endings, odd } = await loadWithFaults(load);
    expect(model.stats.breaker).toMatchObject({ state: "open", trips: 1 });
    expect(endings.normal["UNAVAILABLE"]).toBeGreaterThan(100);
    expect(odd[0]).toContain("its circuit breaker is open");
  });
});
