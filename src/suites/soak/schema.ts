// The form of what a soak leaves behind: the result, and the parts of it that a checkpoint keeps.

import { type Static, Type } from "@sinclair/typebox";
import {
  count,
  environment,
  extent,
  interval,
  latency,
  load,
  ms,
  nullable,
  precision,
  record,
} from "../schema-parts.ts";

const text = (description?: string) => Type.String(description === undefined ? {} : { description });
const signedBytes = (description: string) => nullable(Type.Number({ description }));

const oneOf = <const T extends string>(words: readonly T[], description?: string) =>
  Type.Union(
    words.map((word) => Type.Literal(word)),
    description === undefined ? {} : { description },
  );

export const faultKinds = ["cancel", "timeout", "bad-input"] as const;
export type FaultKind = (typeof faultKinds)[number];

export const limits = Type.Object(
  {
    maxFailures: count("calls without an answer, and calls of an open load that were not made"),
    minSuccessShare: Type.Number({ minimum: 0, maximum: 1, description: "right answers, of all calls" }),
    maxGrowthBytes: count("from the first tenth of the time to the last"),
    maxSlopeBytesPerHour: count(),
    maxP99Ms: ms("of each model in its worst window"),
    maxDriftShare: Type.Number({ minimum: 0, description: "rise of the median and of p99: 0.2 for a fifth" }),
    maxBreakerTrips: count(),
    maxCrashes: count("of engine processes, and of the soak itself"),
    trendAfterMs: ms("growth, slope and drift of a shorter run are not judged"),
  },
  record,
);
export type SoakLimits = Static<typeof limits>;

export const configuration = Type.Object(
  {
    load,
    durationMs: ms("measured, all processes of the soak together"),
    warmup: extent,
    summaryEveryMs: ms("the length of a window"),
    timeoutMs: ms("longest wait for one prediction"),
    instances: nullable(Type.Union([count(), Type.Literal("auto")])),
    isolation: oneOf(["worker", "process"]),
    threads: nullable(count()),
    requestedDevice: oneOf(["auto", "cpu", "gpu", "ane", "all"]),
    requestedEngine: text(),
    precision: Type.Optional(precision),
    inputsPerModel: count("different ones, random, from the seed"),
    seed: count(),
    tolerance: nullable(
      Type.Number({
        minimum: 0,
        description:
          "how far an answer may be from its reference, as a share of the largest value; null: by the model",
      }),
    ),
    faults: Type.Array(oneOf(faultKinds)),
    faultShare: Type.Number({ minimum: 0, maximum: 1, description: "of all calls, while there are faults" }),
    limits,
  },
  record,
);
export type SoakConfiguration = Static<typeof configuration>;

const modelFigures = Type.Object(
  {
    completed: count(),
    failed: count(),
    wrong: count("of the completed ones"),
    p50Ms: nullable(ms()),
    p99Ms: nullable(ms()),
    maxMs: nullable(ms()),
  },
  record,
);
export type ModelFigures = Static<typeof modelFigures>;

const span = {
  fromMs: ms("measured time since the start"),
  toMs: ms(),
  process: count("which of the soak's processes, from 0"),
  isVoid: Type.Boolean({ description: "the machine slept, or its clock was set: not judged" }),
  residentBytes: nullable(count("median of the samples; null: none was taken")),
  models: Type.Array(modelFigures, { description: "in the order of the result's models" }),
};

export const block = Type.Object(span, record);
export type SoakBlock = Static<typeof block>;

export const window = Type.Object(
  {
    ...span,
    thermalState: nullable(oneOf(["nominal", "fair", "serious", "critical"])),
    powerSource: nullable(oneOf(["ac", "battery", "ups"])),
    powerWatts: nullable(Type.Number({ description: "null: not measured" })),
  },
  record,
);
export type SoakWindow = Static<typeof window>;

export const processes = Type.Array(
  Type.Object(
    {
      startedAt: text("ISO 8601, UTC"),
      fromMs: ms(),
      toMs: ms("for one that was lost: of its last checkpoint"),
      end: oneOf(["running", "finished", "interrupted", "lost"], "lost: it ended without saying so"),
    },
    record,
  ),
);

export const failures = Type.Array(
  Type.Object({ code: text(), count: count(), message: text("of the first") }, record),
);

export const notes = Type.Array(
  Type.Object(
    { model: text(), atMs: ms(), input: count("which of the model's inputs, from 0"), difference: text() },
    record,
  ),
  { description: "the first of them" },
);

export const faults = Type.Array(
  Type.Object(
    {
      kind: oneOf(faultKinds),
      calls: count(),
      odd: count("that ended as they should not"),
      endings: Type.Record(Type.String(), count()),
    },
    record,
  ),
);

export const poolCounts = Type.Object(
  {
    breakerTrips: count(),
    crashes: count("of the processes of instances"),
    replaced: count("instances, for hanging or breaking"),
    recycled: count(),
    refused: count("calls that found the queue full, or their turn did not come in time"),
  },
  record,
);
export type PoolCounts = Static<typeof poolCounts>;

const trend = nullable(
  Type.Object(
    {
      points: count(),
      change: Type.Number({ description: "from the start to the end, as a share of the median" }),
      pValue: Type.Number({ minimum: 0, maximum: 1, description: "of Mann and Kendall's test" }),
    },
    record,
  ),
);

const model = Type.Object(
  {
    name: text(),
    path: text(),
    digest: text("SHA-256 over the model's files"),
    kind: text(),
    function: text(),
    engine: Type.Object({ name: text(), version: text(), device: text("what really ran") }, record),
    comparison: Type.Object(
      {
        mode: oneOf(["bits", "tolerance"]),
        tolerance: Type.Number({ minimum: 0, description: "0: every bit" }),
        inputs: count(),
        digest: text("SHA-256 over the reference answers"),
      },
      record,
    ),
    completed: count(),
    failed: count(),
    wrong: count("answers, those of the warm-up included"),
    failures,
    latency: nullable(latency),
    medianDrift: trend,
    p99Drift: trend,
    pool: nullable(poolCounts),
  },
  record,
);
export type SoakModelResult = Static<typeof model>;

const criterion = Type.Object(
  {
    name: text(),
    model: nullable(text("null: of the whole soak")),
    status: oneOf(["pass", "fail", "not measured"]),
    value: nullable(Type.Number()),
    limit: Type.Number(),
    unit: text(),
    detail: text(),
  },
  record,
);
export type SoakCriterion = Static<typeof criterion>;

const verdict = Type.Object(
  {
    outcome: oneOf(
      ["pass", "fail", "throttled", "interrupted"],
      "throttled: only latency failed, and the machine was hot; interrupted: it can go on",
    ),
    criteria: Type.Array(criterion),
  },
  record,
);
export type SoakVerdict = Static<typeof verdict>;

export const soakResult = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("soak"),
    startedAt: text("ISO 8601, UTC"),
    endedAt: text("ISO 8601, UTC"),
    environment,
    configuration,
    processes,
    elapsedMs: ms("measured"),
    unsent: count("calls of an open load that were due and not made"),
    models: Type.Array(model),
    faults,
    oddFaults: notes,
    wrongAnswers: notes,
    memory: Type.Object(
      {
        startBytes: nullable(count()),
        endBytes: nullable(count()),
        peakBytes: count(),
        growthBytes: signedBytes("null: too few blocks, or engines in processes of their own"),
        slope: nullable(Type.Object({ ...interval.properties, unit: Type.Literal("bytes/hour") }, record)),
        neuralEngineBytes: signedBytes("null: not measured"),
      },
      { ...record, description: "resident memory of the soak's process" },
    ),
    windows: Type.Array(window),
    blocks: Type.Array(block, { description: "the same in finer steps, which trends are taken from" }),
    verdict,
    isInterrupted: Type.Boolean(),
    warnings: Type.Array(Type.String()),
  },
  { ...record, title: "Result of coremlx soak" },
);
export type SoakResult = Static<typeof soakResult>;
