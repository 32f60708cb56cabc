// A soak result with round figures, for what prints and draws such results.

import type { SoakBlock, SoakResult } from "../../src/suites/soak/schema.ts";
import { benchResult, latencyOfTen } from "./bench-result.ts";

function block(index: number): SoakBlock {
  const figures = { completed: 100, failed: 0, wrong: 0, p50Ms: 10, p99Ms: 20 + index, maxMs: 30 };
  return {
    fromMs: index * 60_000,
    toMs: (index + 1) * 60_000,
    process: 0,
    isVoid: index === 2,
    residentBytes: 100e6 + index * 1e6,
    models: [figures],
  };
}

const blocks = Array.from({ length: 10 }, (_, index) => block(index));

export const soakResult: SoakResult = {
  schemaVersion: 1,
  kind: "soak",
  startedAt: "2026-11-24T08:00:00.000Z",
  endedAt: "2026-11-24T08:10:00.000Z",
  environment: benchResult.environment,
  configuration: {
    load: { mode: "closed", concurrency: 2 },
    durationMs: 600_000,
    warmup: { count: null, durationMs: 60_000 },
    summaryEveryMs: 300_000,
    timeoutMs: 5_000,
    instances: 2,
    isolation: "worker",
    threads: null,
    requestedDevice: "auto",
    requestedEngine: "auto",
    inputsPerModel: 8,
    seed: 0,
    tolerance: null,
    faults: [],
    faultShare: 0,
    limits: {
      maxFailures: 0,
      minSuccessShare: 0.99,
      maxGrowthBytes: 50e6,
      maxSlopeBytesPerHour: 50e6,
      maxP99Ms: 25,
      maxDriftShare: 0.2,
      maxBreakerTrips: 0,
      maxCrashes: 0,
      trendAfterMs: 600_000,
    },
  },
  processes: [{ startedAt: "2026-11-24T08:00:00.000Z", fromMs: 0, toMs: 600_000, end: "finished" }],
  elapsedMs: 600_000,
  unsent: 0,
  models: [
    {
      name: "Digits",
      path: "models/Digits.mlpackage",
      digest: "ab12cd34ef56ab12",
      kind: "mlProgram",
      function: "main",
      engine: { name: "portable", version: "ONNX Runtime 1.27.0", device: "cpu" },
      comparison: { mode: "bits", tolerance: 0, inputs: 8, digest: "00ff" },
      completed: 1_000,
      failed: 0,
      wrong: 0,
      failures: [],
      latency: latencyOfTen,
      medianDrift: null,
      p99Drift: null,
      pool: { breakerTrips: 0, crashes: 0, replaced: 0, recycled: 0, refused: 0 },
    },
  ],
  faults: [],
  oddFaults: [],
  wrongAnswers: [],
  memory: {
    startBytes: 100e6,
    endBytes: 109e6,
    peakBytes: 110e6,
    growthBytes: 9e6,
    slope: { estimate: 60e6, low: -1e6, high: 121e6, confidence: 0.95, unit: "bytes/hour" },
    neuralEngineBytes: null,
  },
  windows: [0, 5].map((first) => ({
    ...block(first),
    toMs: (first + 5) * 60_000,
    thermalState: null,
    powerSource: null,
    powerWatts: null,
  })),
  blocks,
  verdict: {
    outcome: "pass",
    criteria: [
      {
        name: "memory growth",
        model: null,
        status: "pass",
        value: 9e6,
        limit: 50e6,
        unit: "bytes",
        detail: "median of the last tenth",
      },
      {
        name: "p99 of the worst window",
        model: "Digits",
        status: "not measured",
        value: null,
        limit: 25,
        unit: "ms",
        detail: "",
      },
    ],
  },
  isInterrupted: false,
  warnings: ["The machine ran on its battery"],
};
