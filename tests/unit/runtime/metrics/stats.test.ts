// Statistics are plain JSON, and the metrics show the same numbers.

import { expect, test } from "bun:test";
import { BlockPoolCounters } from "../../../../src/runtime/buffers/block-pool-stats.ts";
import { ModelBreaker } from "../../../../src/runtime/breaker/breaker.ts";
import { SessionMetrics } from "../../../../src/runtime/metrics/metrics.ts";
import { ModelMeter } from "../../../../src/runtime/metrics/model-meter.ts";
import { Quarantine } from "../../../../src/runtime/buffers/quarantine.ts";
import {
  type ModelStats,
  publishSessionStats,
  type SessionStats,
} from "../../../../src/runtime/metrics/stats.ts";
import { parseExposition } from "../../../support/exposition.ts";

function bufferPool() {
  const counters = new BlockPoolCounters();
  counters.allocated(4_096);
  for (const served of ["new", "key", "key", "size"] as const) {
    counters.lent(served, 4_096, 4_000);
    counters.ended(4_096, 4_000);
  }
  counters.becameIdle(4_096);
  return counters.snapshot(new Quarantine({ limitBytes: 1, limitCount: 1 }).stats, 65_536);
}

function modelStats(extra: Partial<ModelStats> = {}): ModelStats {
  const breaker = new ModelBreaker({ model: "resnet" });
  breaker.trip("by hand");
  const meter = new ModelMeter({ model: "resnet", version: "1" });
  return {
    model: "resnet",
    version: "1",
    engine: "portable",
    device: "cpu",
    requests: meter.requests,
    latency: meter.latency,
    queue: { pending: 3, highWater: 9, limit: 64, rejected: 2, timedOut: 1 },
    instances: {
      idle: 1,
      busy: 2,
      poisoned: 1,
      parked: 0,
      limit: 4,
      allowed: 3,
      replaced: 5,
      recycled: 2,
      byReason: { poisoned: 4, crashed: 1, memory: 2 },
      abandonedThreads: 1,
    },
    breaker: breaker.stats,
    quarantine: new Quarantine({ limitBytes: 10, limitCount: 1 }).stats,
    load: { openMs: 100, compileMs: 400, loadMs: 1_000, firstInferenceMs: 40, cache: "cold" },
    ...extra,
  };
}

test("the metrics show a session's statistics, and again without counting twice", async () => {
  const stats: SessionStats = {
    schemaVersion: 1,
    startedEpochMs: 1_700_000_000_000,
    models: [modelStats()],
    bufferPool: bufferPool(),
    outputs: { files: 2, bytes: 200_000_000 },
    compileCache: { hits: 3, misses: 1 },
    process: { residentBytes: 1_000 },
  };
  const metrics = new SessionMetrics();
  metrics.onCollect(() => publishSessionStats(metrics, stats));
  await metrics.text();
  const families = parseExposition(await metrics.text());
  const shown = [...families].flatMap(([name, { type, samples }]) =>
    type === "histogram" || name.includes("process")
      ? []
      : samples.flatMap(({ labels: { model = "", reason = "" }, value }) =>
          value === 0 ? [] : [`${[name.replace("coremlx_", ""), model, reason].join(" ").trim()}: ${value}`],
        ),
  );
  expect(shown.sort()).toEqual([
    "breaker_state resnet: 1",
    "breaker_trips_total resnet: 1",
    "buffer_pool_bytes: 4096",
    "buffer_pool_high_water_bytes: 4096",
    "buffer_pool_hits_total: 2",
    "buffer_pool_misses_total: 2",
    "compile_cache_hits_total: 3",
    "compile_cache_misses_total: 1",
    "first_inference_seconds resnet: 0.04",
    "inference_pending_requests resnet: 3",
    "instances_allowed resnet: 3",
    "instances_busy resnet: 2",
    "instances_idle resnet: 1",
    "instances_poisoned resnet: 1",
    "instances_recycled_total resnet crashed: 1",
    "instances_recycled_total resnet memory: 2",
    "instances_recycled_total resnet poisoned: 4",
    "load_seconds resnet: 1.5",
    "mapped_outputs_bytes: 200000000",
    "mapped_outputs_files: 2",
  ]);
});

test("a model with pools of its own shows them under its name", () => {
  const metrics = new SessionMetrics();
  const own = modelStats({ bufferPool: bufferPool(), outputs: { files: 1, bytes: 10 } });
  publishSessionStats(metrics, {
    schemaVersion: 1,
    startedEpochMs: 0,
    models: [own],
    process: { residentBytes: 1_000 },
  });
  const labels = { model: "resnet", version: "1" };
  expect(metrics.snapshot()).toMatchObject({
    coremlx_buffer_pool_hits_total: [{ labels, value: 2 }],
    coremlx_mapped_outputs_files: [{ labels, value: 1 }],
  });
});

test("what has not happened yet is absent", () => {
  const metrics = new SessionMetrics();
  publishSessionStats(metrics, {
    schemaVersion: 1,
    startedEpochMs: 0,
    models: [modelStats({ load: { openMs: 1, compileMs: 0, loadMs: 2, cache: "warm" } })],
    process: { residentBytes: 1_000 },
  });
  expect(metrics.snapshot()["coremlx_first_inference_seconds"]).toBeUndefined();
});

test("statistics survive JSON", () => {
  const stats = modelStats({ bufferPool: bufferPool() });
  expect(JSON.parse(JSON.stringify(stats))).toEqual(stats);
});
