import { describe, expect, test } from "bun:test";
import { QuantileHistogram } from "../../../../src/core/histogram.ts";
import { parseCheckpoint, type SoakCheckpoint } from "../../../../src/suites/soak/checkpoint.ts";
import { SoakRecord } from "../../../../src/suites/soak/record.ts";
import { errorOf } from "../../../support/codec-fixtures.ts";
import { soakConfiguration } from "../../../support/soak-model.ts";

const figures = { completed: 2, failed: 1, wrong: 0, p50Ms: 5, p99Ms: 7, maxMs: 7 };
const span = { fromMs: 0, toMs: 10_000, process: 0, isVoid: false, residentBytes: 5, models: [figures] };

function histogram(): unknown {
  const latency = new QuantileHistogram();
  latency.add(5);
  latency.add(7);
  return JSON.parse(JSON.stringify(latency));
}

const checkpoint: SoakCheckpoint = {
  schemaVersion: 1,
  kind: "soak-checkpoint",
  startedAt: "2026-01-01T00:00:00.000Z",
  configuration: { ...soakConfiguration, faults: ["cancel"] },
  elapsedMs: 10_000,
  unsent: 1,
  peakBytes: 9,
  processes: [{ startedAt: "2026-01-01T00:00:00.000Z", fromMs: 0, toMs: 10_000, end: "interrupted" }],
  models: [
    {
      path: "/m.mlpackage",
      name: "m",
      digest: "d",
      engineVersion: "1",
      device: "cpu",
      referenceDigest: "r",
      completed: 2,
      failed: 1,
      wrong: 0,
      failures: [{ code: "DEADLINE", count: 1, message: "late" }],
      latency: histogram(),
      pool: null,
    },
  ],
  faults: [{ kind: "cancel", calls: 1, odd: 0, endings: { INTERRUPTED: 1 } }],
  oddFaults: [],
  wrongAnswers: [],
  windows: [],
  blocks: [span],
};

describe("a checkpoint", () => {
  test("is read as it was written", () => {
    expect(parseCheckpoint(JSON.stringify(checkpoint), "here")).toEqual(checkpoint);
  });

  test.each([
    [
      "of another version",
      { ...checkpoint, schemaVersion: 2 },
      /^Cannot continue the soak of "here": \/schemaVersion: /,
    ],
    ["without models", { ...checkpoint, models: [] }, /\/models: /],
    ["with something nobody knows", { ...checkpoint, extra: 1 }, /\/extra: /],
    [
      "with a block of another number of models",
      { ...checkpoint, blocks: [{ ...span, models: [] }] },
      /0 models where there are 1$/,
    ],
    ["that is null", null, /the document: /],
  ])("%s is refused", (_, value, message) => {
    expect(errorOf(() => parseCheckpoint(JSON.stringify(value), "here"))).toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(message),
    });
  });

  test("that was cut off is refused", () => {
    const text = JSON.stringify(checkpoint).slice(0, -20);
    expect(errorOf(() => parseCheckpoint(text, "here")).code).toBe("BAD_INPUT");
  });

  test("is where a record goes on: counts add up, latencies keep their quantiles", () => {
    const { configuration } = checkpoint;
    const record = new SoakRecord({ names: ["m"], configuration, process: 1, before: checkpoint });
    record.addAnswer(0, 9);
    record.addFailure(0, { code: "DEADLINE", message: "later" });
    record.addFault(0, "cancel", { ending: "answered", atMs: 11_000, input: 0 });
    record.sample(20);
    const readCondition = () => ({ thermalState: null, powerSource: null, powerWatts: null });
    record.advance(12_000, { isEnd: true, readCondition });
    expect(record.totals[0]).toMatchObject({ completed: 3, failed: 2, wrong: 0 });
    expect([...(record.totals[0]?.failures.values() ?? [])]).toEqual([
      { code: "DEADLINE", count: 2, message: "late" },
    ]);
    expect(record.totals[0]?.latency).toMatchObject({ count: 3, min: 5, max: 9, sum: 21 });
    expect(record.faults).toEqual([
      { kind: "cancel", calls: 2, odd: 0, endings: { INTERRUPTED: 1, answered: 1 } },
    ]);
    expect(record.peakBytes).toBe(20);
    expect(record.blocks).toEqual([
      span,
      {
        fromMs: 10_000,
        toMs: 12_000,
        process: 1,
        isVoid: false,
        residentBytes: 20,
        models: [{ completed: 1, failed: 1, wrong: 0, p50Ms: 9, p99Ms: 9, maxMs: 9 }],
      },
    ]);
  });

  test("with a histogram that cannot be is refused where it is taken up", () => {
    const before = {
      ...checkpoint,
      models: checkpoint.models.map((model) => ({ ...model, latency: { layout: "x" } })),
    };
    const { configuration } = checkpoint;
    expect(errorOf(() => new SoakRecord({ names: ["m"], configuration, process: 1, before })).code).toBe(
      "BAD_INPUT",
    );
  });
});
