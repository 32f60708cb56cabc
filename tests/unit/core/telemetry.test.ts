// The interface that everybody speaks through: what listens, and what does not.

import { expect, test } from "bun:test";
import { durationBucketsSeconds, failureReasonOf, meterTable } from "../../../src/core/meter-names.ts";
import { metersOf, noMeters, silent, type Telemetry, withMeters } from "../../../src/core/telemetry.ts";

test("a telemetry with nothing but a log is enough", () => {
  const events: unknown[][] = [];
  const telemetry: Telemetry = { log: (...event) => void events.push(event) };
  telemetry.log("warn", "instance made", { model: "m", instances: 3 });
  metersOf(telemetry).counter("coremlx_inference_success_total", { model: "m" }).add();
  expect(events).toEqual([["warn", "instance made", { model: "m", instances: 3 }]]);
});

test("the meters of nobody take everything and keep nothing", () => {
  const meters = metersOf(undefined);
  meters.counter("coremlx_inference_failure_total", { model: "m", reason: "engine" }).add(2);
  meters.counter("coremlx_compile_cache_hits_total").raiseTo(5);
  meters.gauge("coremlx_thermal_state").set(1);
  meters.histogram("coremlx_inference_queue_duration_seconds", { model: "m" }).observe(1);
  silent.log("info", "model closed");
  expect(meters).toBe(noMeters);
});

test("a log and meters join into one telemetry", () => {
  const events: string[] = [];
  const joined = withMeters({ log: (level, message) => void events.push(`${level} ${message}`) }, noMeters);
  joined.log("info", "model closed");
  expect({ events, meters: joined.meters }).toEqual({ events: ["info model closed"], meters: noMeters });
});

test("names carry the prefix, and the base unit or _total where they have one", () => {
  const rows = Object.entries(meterTable);
  const wrong = rows.filter(([name, { kind }]) => {
    if (!/^coremlx_[a-z_]+$/.test(name)) return true;
    if (kind === "counter") return !name.endsWith("_total");
    if (kind === "histogram") return !name.endsWith("_seconds");
    return name.endsWith("_total") || /_(ms|us|kb|mb|percent)$/.test(name);
  });
  expect(wrong).toEqual([]);
});

test("duration buckets ascend", () => {
  expect([...durationBucketsSeconds].sort((left, right) => left - right)).toEqual([
    ...durationBucketsSeconds,
  ]);
});

test("errors fall into few reasons", () => {
  expect(
    (
      [
        "BAD_INPUT",
        "OVERLOADED",
        "UNAVAILABLE",
        "DEADLINE",
        "INTERRUPTED",
        "NATIVE",
        "INTERNAL",
        "IO",
      ] as const
    ).map((code) => failureReasonOf(code)),
  ).toEqual(["input", "rejected", "unavailable", "deadline", "cancelled", "engine", "internal", "other"]);
});
