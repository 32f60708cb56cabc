// A bench result with round figures, for what prints and reads such results.

import type { BenchResult, LatencySummary, SteadyResult } from "../../src/suites/schemas.ts";

export const latencyOfTen: LatencySummary = {
  count: 1_000,
  minMs: 9.5,
  meanMs: 10.25,
  p50Ms: 10,
  p90Ms: 12.5,
  p99Ms: 19.5,
  p999Ms: 105.25,
  maxMs: 1_250,
};

export const steadyResult: SteadyResult = {
  elapsedMs: 10_000,
  completed: 1_000,
  failed: 0,
  unsent: 0,
  throughputPerSecond: 100,
  latency: latencyOfTen,
  median: { estimate: 10, low: 9.9, high: 10.1, confidence: 0.95 },
  run: { ...latencyOfTen, p50Ms: 0.0651 },
  queue: null,
  sendDelay: null,
  failures: [],
  cpu: { userMs: 4_000, systemMs: 1_000, usedCores: 0.5, perPredictionMs: 5, otherCores: 0.05 },
  memory: {
    startBytes: 120e6,
    endBytes: 121e6,
    peakBytes: 122e6,
    slope: { estimate: 100e3, low: -50e3, high: 250e3, confidence: 0.95, unit: "bytes/s" },
    samples: [
      [0, 120e6],
      [10_000, 121e6],
    ],
  },
  windows: [{ fromMs: 0, toMs: 10_000, completed: 1_000, p50Ms: 10, p99Ms: 19.5, maxMs: 1_250 }],
  histogram: [
    [9.5, 9.52, 400],
    [10.6, 10.62, 200],
    [11.49, 11.51, 390],
    [1_249, 1_251, 10],
  ],
};

export const benchResult: BenchResult = {
  schemaVersion: 1,
  kind: "bench",
  startedAt: "2026-11-24T08:00:00.000Z",
  environment: {
    tool: { version: "0.1.0", commit: "0123456789abcdef0123456789abcdef01234567", bun: "1.4.5" },
    os: { platform: "linux", kernel: "6.18.0", arch: "x64" },
    cpu: { model: "Example CPU", cores: 2 },
    memoryBytes: 8e9,
    loadAverage: 0.1,
  },
  model: { path: "models/Digits.mlpackage", digest: "ab12", kind: "mlProgram", function: "main" },
  engine: { name: "portable", version: "ONNX Runtime 1.27.0", device: "cpu" },
  configuration: {
    load: { mode: "closed", concurrency: 4 },
    warmup: { count: null, durationMs: 1_000 },
    measure: { count: 1_000, durationMs: null },
    timeoutMs: 5_000,
    instances: 2,
    inline: "never",
    isolation: "worker",
    threads: null,
    requestedDevice: "auto",
    inputs: "random, seed 0",
  },
  cold: { openMs: 12, compileMs: 145, loadMs: 200, cache: "cold", first: { latencyMs: 20.5, runMs: 18 } },
  memory: { beforeLoadBytes: 40e6, afterLoadBytes: 110e6, afterFirstBytes: 111e6 },
  steady: steadyResult,
  pool: {
    instances: 2,
    most: 2,
    allowed: 2,
    isInline: false,
    replaced: 0,
    recycled: 0,
    mostWaiting: 2,
    refused: 0,
    breakerTrips: 0,
    buffers: {
      acquired: 2_000,
      hitRatio: 0.9995,
      avoidedRatio: 1,
      allocatedBytes: 8_192,
      heldBytes: 16_384,
      highWaterBytes: 16_384,
    },
  },
  isInterrupted: false,
  warnings: [],
};
