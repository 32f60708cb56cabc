// Verdicts over results made by hand: each limit at its edge, and what was not measured is never passed.

import { describe, expect, test } from "bun:test";
import { type Judged, judgeSoak, worstWindow } from "../../../../src/suites/soak/verdict.ts";
import type { SoakWindow } from "../../../../src/suites/soak/schema.ts";
import { soakConfiguration } from "../../../support/soak-model.ts";

type Model = Judged["models"][number];

const model: Model = {
  name: "m",
  path: "m.mlpackage",
  digest: "d",
  kind: "mlProgram",
  function: "main",
  engine: { name: "portable", version: "1", device: "cpu" },
  comparison: { mode: "bits", tolerance: 0, inputs: 4, digest: "r" },
  completed: 1_000,
  failed: 0,
  wrong: 0,
  failures: [],
  latency: { count: 1_000, minMs: 1, meanMs: 2, p50Ms: 2, p90Ms: 3, p99Ms: 4, p999Ms: 5, maxMs: 6 },
  medianDrift: { points: 60, change: 0.01, pValue: 0.5 },
  p99Drift: { points: 60, change: 0.01, pValue: 0.5 },
  pool: { breakerTrips: 0, crashes: 0, replaced: 0, recycled: 0, refused: 0 },
};
const window: SoakWindow = {
  fromMs: 0,
  toMs: 300_000,
  process: 0,
  isVoid: false,
  residentBytes: 100e6,
  models: [{ completed: 1_000, failed: 0, wrong: 0, p50Ms: 2, p99Ms: 25, maxMs: 30 }],
  thermalState: null,
  powerSource: null,
  powerWatts: null,
};
const passing: Judged = {
  configuration: soakConfiguration,
  processes: [{ startedAt: "2026-01-01T00:00:00.000Z", fromMs: 0, toMs: 3_600_000, end: "finished" }],
  elapsedMs: 3_600_000,
  unsent: 0,
  models: [model],
  faults: [],
  memory: {
    startBytes: 100e6,
    endBytes: 150e6,
    peakBytes: 150e6,
    growthBytes: 50e6,
    slope: { estimate: 50e6, low: 40e6, high: 60e6, confidence: 0.95, unit: "bytes/hour" },
    neuralEngineBytes: null,
  },
  windows: [window],
  isInterrupted: false,
};

const withModel = (changes: Partial<Model>): Judged => ({ ...passing, models: [{ ...model, ...changes }] });
const withWindow = (changes: Partial<SoakWindow>): Judged => ({
  ...passing,
  windows: [{ ...window, ...changes }],
});
const withP99 = (p99Ms: number, changes: Partial<SoakWindow> = {}) =>
  withWindow({ ...changes, models: [{ completed: 1_000, failed: 0, wrong: 0, p50Ms: 2, p99Ms, maxMs: 99 }] });
const withMemory = (changes: Partial<Judged["memory"]>): Judged => ({
  ...passing,
  memory: { ...passing.memory, ...changes },
});
const slope = (estimate: number, low: number) =>
  withMemory({ slope: { estimate, low, high: 2 * estimate - low, confidence: 0.95, unit: "bytes/hour" } });

const namesOf = (judged: Judged, wanted: string) =>
  judgeSoak(judged).criteria.flatMap(({ name, status }) => (status === wanted ? [name] : []));

describe("a verdict", () => {
  test("at the very limits is a pass of every criterion", () => {
    const { outcome, criteria } = judgeSoak(passing);
    expect(outcome).toBe("pass");
    expect(
      criteria.map(({ name, model: of, status, value, limit, unit }) => [
        name,
        of,
        status,
        value,
        limit,
        unit,
      ]),
    ).toEqual([
      ["wrong answers", "m", "pass", 0, 0, "answers"],
      ["failures", null, "pass", 0, 0, "calls"],
      ["success", null, "pass", 1, 0.99, "share"],
      ["crashes", null, "pass", 0, 0, "processes"],
      ["breaker trips", null, "pass", 0, 0, "trips"],
      ["memory growth", null, "pass", 50e6, 50e6, "bytes"],
      ["memory slope", null, "pass", 50e6, 50e6, "bytes/hour"],
      ["p99 of the worst window", "m", "pass", 25, 25, "ms"],
      ["median drift", "m", "pass", 0.01, 0.2, "share"],
      ["p99 drift", "m", "pass", 0.01, 0.2, "share"],
    ]);
  });

  test.each<[string, Judged, string[]]>([
    ["one wrong answer", withModel({ wrong: 1 }), ["wrong answers"]],
    ["one failure", withModel({ failed: 1 }), ["failures"]],
    ["eleven failures in 1,011 calls", withModel({ failed: 11 }), ["failures", "success"]],
    ["one call not made", { ...passing, unsent: 1 }, ["failures"]],
    ["no calls at all", withModel({ completed: 0, latency: null }), ["success"]],
    [
      "a crash",
      withModel({ pool: { breakerTrips: 0, crashes: 1, replaced: 1, recycled: 0, refused: 0 } }),
      ["crashes"],
    ],
    [
      "a trip",
      withModel({ pool: { breakerTrips: 1, crashes: 0, replaced: 0, recycled: 0, refused: 0 } }),
      ["breaker trips"],
    ],
    [
      "a lost process",
      { ...passing, processes: passing.processes.map((one) => ({ ...one, end: "lost" as const })) },
      ["crashes"],
    ],
    ["growth", withMemory({ growthBytes: 50e6 + 1 }), ["memory growth"]],
    ["a slope", slope(51e6, 40e6), ["memory slope"]],
    ["p99", withP99(25.1), ["p99 of the worst window"]],
    ["drift", withModel({ medianDrift: { points: 60, change: 0.21, pValue: 0.001 } }), ["median drift"]],
    ["drift of p99", withModel({ p99Drift: { points: 60, change: 0.21, pValue: 0.001 } }), ["p99 drift"]],
  ])("fails for %s, and for nothing else", (_, judged, names) => {
    expect(namesOf(judged, "fail")).toEqual(names);
    expect(judgeSoak(judged).outcome).toBe("fail");
  });

  test.each<[string, Judged]>([
    ["a slope that may be none", slope(51e6, -1)],
    ["a drift that may be chance", withModel({ medianDrift: { points: 60, change: 0.5, pValue: 0.02 } })],
    ["a drift that is small", withModel({ medianDrift: { points: 60, change: 0.1, pValue: 1e-9 } })],
    ["a model that becomes faster", withModel({ p99Drift: { points: 60, change: -0.5, pValue: 1e-9 } })],
  ])("does not fail for %s", (_, judged) => {
    expect(judgeSoak(judged).outcome).toBe("pass");
  });

  test.each<[string, Judged, string[]]>([
    [
      "a short run",
      { ...passing, elapsedMs: 599_999 },
      ["memory growth", "memory slope", "median drift", "p99 drift"],
    ],
    ["an engine without statistics", withModel({ pool: null }), ["breaker trips"]],
    [
      "engines in processes of their own",
      { ...passing, configuration: { ...soakConfiguration, isolation: "process" } },
      ["memory growth", "memory slope"],
    ],
    ["too few blocks", withModel({ medianDrift: null, p99Drift: null }), ["median drift", "p99 drift"]],
    [
      "few calls",
      {
        ...withWindow({ models: [] }),
        models: [{ ...model, completed: 99, latency: model.latency && { ...model.latency, count: 99 } }],
      },
      ["p99 of the worst window"],
    ],
  ])("of %s says what was not measured", (_, judged, names) => {
    expect(namesOf(judged, "not measured")).toEqual(names);
    expect(namesOf(judged, "fail")).toEqual([]);
  });

  test("of a hot machine that fails for latency alone is throttled", () => {
    expect(judgeSoak(withP99(30, { thermalState: "serious" })).outcome).toBe("throttled");
    expect(judgeSoak(withP99(30, { thermalState: "fair" })).outcome).toBe("fail");
    const both = { ...withP99(30, { thermalState: "critical" }), unsent: 1 };
    expect(judgeSoak(both).outcome).toBe("fail");
    expect(judgeSoak(withP99(20, { thermalState: "critical" })).outcome).toBe("pass");
  });

  test("of an interrupted run waits for the rest, whatever failed so far", () => {
    expect(judgeSoak({ ...withModel({ wrong: 1 }), isInterrupted: true }).outcome).toBe("interrupted");
  });

  test("says how sure a slope and a drift are", () => {
    const p99Drift = { points: 60, change: 0.3, pValue: 0 };
    const details = judgeSoak(withModel({ p99Drift })).criteria.map(({ name, detail }) => [name, detail]);
    expect(Object.fromEntries(details)).toMatchObject({
      "memory slope": "with 95 % confidence 40.0 to 60.0 MB/h",
      "median drift": "p = 0.50 over 60 blocks",
      "p99 drift": "p < 0.001 over 60 blocks",
    });
  });

  test("counts faults that ended otherwise", () => {
    const faults = [{ kind: "cancel" as const, calls: 5, odd: 1, endings: { NATIVE: 1, answered: 4 } }];
    expect(namesOf({ ...passing, faults }, "fail")).toEqual(["faults with another ending"]);
  });
});

describe("the worst window", () => {
  const p99Of = (p99Ms: number, completed = 100, isVoid = false): SoakWindow => ({
    ...window,
    isVoid,
    models: [{ completed, failed: 0, wrong: 0, p50Ms: 1, p99Ms, maxMs: p99Ms }],
  });

  test("is the one with the highest p99 of those that count", () => {
    const windows = [p99Of(5), p99Of(9), p99Of(7), p99Of(50, 99), p99Of(60, 100, true)];
    expect(worstWindow(windows, 0)?.p99Ms).toBe(9);
    expect(worstWindow(windows, 1)).toBeUndefined();
  });
});
