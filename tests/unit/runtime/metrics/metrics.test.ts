// What a session counts, in Prometheus' text, in its snapshot, and under hostile names.

import { describe, expect, test } from "bun:test";
import { durationBucketsSeconds, meterTable } from "../../../../src/core/meter-names.ts";
import { CoremlxError } from "../../../../src/core/errors.ts";
import { SessionMetrics, type SessionMetricsOptions } from "../../../../src/runtime/metrics/metrics.ts";
import { ModelMeter } from "../../../../src/runtime/metrics/model-meter.ts";
import { type MetricFamily, parseExposition, type Sample } from "../../../support/exposition.ts";

const labels = { model: "resnet", version: "1" };
const requestSeconds = "coremlx_inference_request_duration_seconds";

function make(options: SessionMetricsOptions = {}) {
  return new SessionMetrics({ readResidentBytes: () => 5_000_000, now: () => 0, ...options });
}

async function scrape(metrics: SessionMetrics): Promise<Map<string, MetricFamily>> {
  return parseExposition(await metrics.text());
}

async function samples(metrics: SessionMetrics, name: string): Promise<readonly Sample[]> {
  return (await scrape(metrics)).get(name)?.samples ?? [];
}

function sample(name: string, value: number, extra: Readonly<Record<string, string>> = {}): Sample {
  return { name, labels: { ...labels, ...extra }, value };
}

describe("Prometheus' text", () => {
  test("declares every metric with its kind and help, also before anything happened", async () => {
    const families = await scrape(make());
    const expected = new Map(
      Object.entries(meterTable).map(([name, { kind, help }]) => [name, `${kind}: ${help}`]),
    );
    expected.set("coremlx_device_info", "gauge: The machine and what runs on it; always 1");
    expect(new Map([...families].map(([name, { type, help }]) => [name, `${type}: ${help}`]))).toEqual(
      expected,
    );
  });

  test("shows what was counted, set and observed", async () => {
    const metrics = make();
    metrics.counter("coremlx_inference_success_total", labels).add();
    metrics.counter("coremlx_inference_success_total", labels).add(2);
    metrics.counter("coremlx_inference_failure_total", { ...labels, reason: "deadline" }).add();
    metrics.gauge("coremlx_inference_pending_requests", labels).set(7);
    for (const seconds of [0.000_01, 0.004, 0.005, 0.3, 100])
      metrics.histogram(requestSeconds, labels).observe(seconds);
    const families = await scrape(metrics);
    const of = (name: string) => families.get(name)?.samples ?? [];

    expect(of("coremlx_inference_success_total")).toEqual([sample("coremlx_inference_success_total", 3)]);
    expect(of("coremlx_inference_failure_total")).toEqual([
      sample("coremlx_inference_failure_total", 1, { reason: "deadline" }),
    ]);
    expect(of("coremlx_inference_pending_requests")).toEqual([
      sample("coremlx_inference_pending_requests", 7),
    ]);
    // A value on a bound counts below it.
    const cumulative = (bound: number) =>
      [0.000_01, 0.004, 0.005, 0.3].filter((value) => value <= bound).length;
    expect(of(requestSeconds)).toEqual([
      ...durationBucketsSeconds.map((le) =>
        sample(`${requestSeconds}_bucket`, cumulative(le), { le: String(le) }),
      ),
      sample(`${requestSeconds}_bucket`, 5, { le: "+Inf" }),
      sample(`${requestSeconds}_sum`, 100.309_01),
      sample(`${requestSeconds}_count`, 5),
    ]);
  });

  test("is the same when read twice", async () => {
    const metrics = make();
    metrics.counter("coremlx_inference_success_total", labels).add(5);
    metrics.histogram(requestSeconds, labels).observe(1);
    const first = await metrics.text();
    expect(await metrics.text()).toBe(first);
    expect(metrics.contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
  });

  test("leaves out gauges that nobody set, or set to no number", async () => {
    const metrics = make();
    metrics.gauge("coremlx_load_seconds", labels).set(Number.NaN);
    expect(await samples(metrics, "coremlx_load_seconds")).toEqual([]);
    expect(await samples(metrics, "coremlx_thermal_state")).toEqual([]);
  });

  test("names the machine", async () => {
    const metrics = make();
    metrics.setDevice({ chip: 'M3 "Max"\n', os: "macOS 15.1" });
    metrics.setDevice({ chip: "M3 Max", os: "macOS 15.1", arch: "arm64" });
    expect(await samples(metrics, "coremlx_device_info")).toEqual([
      { name: "coremlx_device_info", labels: { chip: "M3 Max", os: "macOS 15.1", arch: "arm64" }, value: 1 },
    ]);
  });

  test("asks for what others keep before it is read", async () => {
    const metrics = make();
    let pending = 1;
    const stop = metrics.onCollect(() => metrics.gauge("coremlx_instances_busy", labels).set(pending++));
    const read = async () => (await samples(metrics, "coremlx_instances_busy")).map(({ value }) => value);
    expect([await read(), await read()]).toEqual([[1], [2]]);
    stop();
    expect(await read()).toEqual([2]);
  });

  test("belongs to one session only", async () => {
    const [one, other] = [make(), make()];
    one.counter("coremlx_inference_success_total", labels).add();
    expect(await samples(other, "coremlx_inference_success_total")).toEqual([]);
  });
});

describe("meters", () => {
  test("are the same for the same name and labels", () => {
    const metrics = make();
    const meter = metrics.histogram(requestSeconds, labels);
    expect(metrics.histogram(requestSeconds, { ...labels })).toBe(meter);
    expect(metrics.histogram(requestSeconds, { model: "resnet" })).not.toBe(meter);
    expect(metrics.histogram("coremlx_inference_queue_duration_seconds", labels)).not.toBe(meter);
  });

  test("never count down, nor what is no number", () => {
    const metrics = make();
    const counter = metrics.counter("coremlx_breaker_trips_total", labels);
    counter.raiseTo(5);
    counter.raiseTo(3);
    counter.raiseTo(Number.NaN);
    counter.add(-2);
    counter.add(Number.POSITIVE_INFINITY);
    const histogram = metrics.histogram(requestSeconds, labels);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1]) histogram.observe(value);
    expect(metrics.snapshot()).toMatchObject({
      coremlx_breaker_trips_total: [{ labels, value: 5 }],
      [requestSeconds]: [{ labels, value: { count: 1, sum: 0 } }],
    });
  });

  test("know no names but those of the table", () => {
    const metrics = make();
    // @ts-expect-error: not in the table
    expect(() => metrics.counter("coremlx_secrets_total")).toThrow("no such meter");
    // @ts-expect-error: a gauge
    expect(() => metrics.counter("coremlx_thermal_state")).toThrow("no such meter");
  });
});

describe("labels", () => {
  const successes = "coremlx_inference_success_total";

  test("of hostile names are harmless, and different names stay apart", async () => {
    const metrics = make();
    const names = [
      'a"} 1\ncoremlx_inference_success_total{model="b',
      "a\\",
      "a\n",
      "a_",
      "a,version:1",
      "",
      "\u001b[31mred",
      "модель/7",
      "\ud800",
      "x".repeat(1_000_000),
      "other",
      "__proto__",
    ];
    names.forEach((model, index) => metrics.counter(successes, { model, version: "1" }).add(index + 1));
    const found = await samples(metrics, successes);
    expect(found.map(({ labels: { model }, value }) => [model, value])).toEqual([
      ["a__ 1_coremlx_inference_success_total_model__b", 1],
      ["a_", 2],
      ["a_~2", 3],
      ["a_~3", 4],
      ["a_version_1", 5],
      ["_", 6],
      ["__31mred", 7],
      ["модель/7", 8],
      ["_~2", 9],
      ["x".repeat(128), 10],
      ["other", 11],
      ["__proto__", 12],
    ]);
  });

  test("are as few as set; the rest is counted together, with one warning", async () => {
    const warnings: unknown[] = [];
    const metrics = make({
      maxModels: 2,
      telemetry: { log: (level, message, fields) => void warnings.push([level, message, fields]) },
    });
    for (let index = 0; index < 1_000; index++) {
      const each = { model: `model-${index}`, version: String(index) };
      metrics.counter(successes, each).add();
      metrics.counter("coremlx_breaker_trips_total", each).raiseTo(100);
      metrics.gauge("coremlx_instances_idle", each).set(1);
      metrics.histogram(requestSeconds, each).observe(1);
    }
    const shown = metrics.snapshot();
    expect(shown[successes]).toEqual([
      { labels: { model: "model-0", version: "0" }, value: 1 },
      { labels: { model: "model-1", version: "1" }, value: 1 },
      { labels: { model: "other" }, value: 998 },
    ]);
    expect(shown[requestSeconds]?.at(-1)).toEqual({
      labels: { model: "other" },
      value: { count: 998, sum: 998 },
    });
    // Neither a gauge nor another's total can be added up.
    expect(shown["coremlx_instances_idle"]).toHaveLength(2);
    expect(shown["coremlx_breaker_trips_total"]?.at(-1)).toEqual({ labels: { model: "other" }, value: 0 });
    expect(warnings).toEqual([["warn", "too many models for metrics of their own", { maxModels: 2 }]]);
    await scrape(metrics);
  });

  test("of a model that is gone disappear and make room", () => {
    const metrics = make({ maxModels: 1 });
    const kept = metrics.counter(successes, { model: "one" });
    kept.add();
    metrics.histogram(requestSeconds, { model: "one" }).observe(1);
    metrics.forgetModel({ model: "one" });
    metrics.forgetModel({ model: "never seen" });
    kept.add(); // a late answer harms nobody
    metrics.counter(successes, { model: "two" }).add();
    const shown = metrics.snapshot();
    expect([shown[successes], shown[requestSeconds]]).toEqual([
      [{ labels: { model: "two" }, value: 1 }],
      undefined,
    ]);
  });

  test("take no reason but those of the list", () => {
    const metrics = make();
    const failures = "coremlx_inference_failure_total";
    // @ts-expect-error: not in the list
    metrics.counter(failures, { ...labels, reason: "user 4711" }).add();
    // @ts-expect-error: without a reason
    metrics.counter(failures, labels).add();
    expect(metrics.snapshot()[failures]).toEqual([{ labels: { ...labels, reason: "other" }, value: 2 }]);
  });
});

describe("the process", () => {
  test("shows its memory and how fast that grows", async () => {
    let nowMs = 0;
    let bytes = 1_000_000;
    const metrics = make({ now: () => nowMs, readResidentBytes: () => bytes });
    expect(await samples(metrics, "coremlx_process_memory_slope_bytes_per_second")).toEqual([]);
    for (let second = 1; second <= 600; second++) {
      nowMs += 1_000;
      bytes += second <= 300 ? 100_000 : 2_048;
      metrics.sampleProcess();
    }
    const shown = metrics.snapshot();
    expect(shown["coremlx_process_resident_memory_bytes"]).toEqual([{ labels: {}, value: 31_614_400 }]);
    // Five minutes are kept: the first five are forgotten.
    expect(metrics.memorySlopeBytesPerSecond).toBeCloseTo(2_048, 6);
  });

  test("shows the thermal state where somebody knows it", () => {
    const shown = make({ readThermalState: () => "serious" }).snapshot();
    expect(shown["coremlx_thermal_state"]).toEqual([{ labels: {}, value: 2 }]);
  });

  test("is this one when nothing else is said", () => {
    const value = new SessionMetrics().snapshot()["coremlx_process_resident_memory_bytes"]?.[0]?.value;
    expect(value).toBeGreaterThan(1_000_000);
  });
});

describe("a model's meter", () => {
  const times = { request: 20, queue: 2, input: 1, infer: 15, output: 0.5 };

  test("splits answered requests into phases, in the metrics and in the statistics", () => {
    const metrics = make();
    const meter = new ModelMeter(labels, { meters: metrics, epochNow: () => 1_700_000_000_000 });
    meter.succeeded(times);
    meter.succeeded({ ...times, request: 30 });
    const { snapshot, requests } = { snapshot: metrics.snapshot(), requests: meter.requests };
    const sumOf = (phase: string) => {
      const [series] =
        Object.entries(snapshot).find(([name]) => name.includes(`_${phase}_duration`))?.[1] ?? [];
      return series?.value;
    };
    expect(["request", "queue", "compute_input", "compute_infer", "compute_output"].map(sumOf)).toEqual([
      { count: 2, sum: 0.05 },
      { count: 2, sum: 0.004 },
      { count: 2, sum: 0.002 },
      { count: 2, sum: 0.03 },
      { count: 2, sum: 0.001 },
    ]);
    expect(requests).toEqual({
      succeeded: 2,
      failed: 0,
      failedTotalMs: 0,
      failuresByReason: {},
      lastEpochMs: 1_700_000_000_000,
      phases: {
        request: { count: 2, totalMs: 50 },
        queue: { count: 2, totalMs: 4 },
        input: { count: 2, totalMs: 2 },
        infer: { count: 2, totalMs: 30 },
        output: { count: 2, totalMs: 1 },
      },
    });
  });

  test("counts failures by reason", () => {
    const metrics = make();
    const meter = new ModelMeter(labels, { meters: metrics });
    meter.failed(new CoremlxError("DEADLINE", "late"), 5_000);
    meter.failed(new CoremlxError("OVERLOADED", "full"), 1);
    meter.failed(new CoremlxError("OVERLOADED", "full"), 1);
    meter.failed(new TypeError("oops"), 2);
    const { succeeded, failed, failedTotalMs, failuresByReason } = meter.requests;
    expect({ succeeded, failed, failedTotalMs, failuresByReason }).toEqual({
      succeeded: 0,
      failed: 4,
      failedTotalMs: 5_004,
      failuresByReason: { deadline: 1, rejected: 2, internal: 1 },
    });
    const shown = metrics.snapshot()["coremlx_inference_failure_total"] ?? [];
    expect(shown.flatMap(({ labels: { reason }, value }) => (value === 0 ? [] : [[reason, value]]))).toEqual([
      ["rejected", 2],
      ["deadline", 1],
      ["internal", 1],
    ]);
  });

  test("knows quantiles within 1 %, without anybody to tell", () => {
    const meter = new ModelMeter(labels);
    for (let request = 1; request <= 1_000; request++) meter.succeeded({ ...times, request });
    const { p50Ms, p90Ms, p99Ms, ...exact } = meter.latency;
    expect(exact).toEqual({ count: 1_000, meanMs: 500.5, minMs: 1, maxMs: 1_000 });
    const errors = [p50Ms / 500, p90Ms / 900, p99Ms / 990].map((ratio) => Math.abs(ratio - 1));
    expect(Math.max(...errors)).toBeLessThan(0.01);
  });

  test("has seen nothing at first", () => {
    const { latency, requests } = new ModelMeter(labels);
    expect({ latency, last: requests.lastEpochMs }).toEqual({
      latency: { count: 0, meanMs: 0, minMs: 0, p50Ms: 0, p90Ms: 0, p99Ms: 0, maxMs: 0 },
      last: undefined,
    });
  });
});

test.each([
  ["an unended line", "# TYPE a gauge\na 1"],
  ["a sample before its type", "a 1\n"],
  ["a sample of another metric", "# TYPE a gauge\nb 1\n"],
  ["a raw quote in a label", '# TYPE a gauge\na{x="1"2"} 1\n'],
  ["a label twice", '# TYPE a gauge\na{x="1",x="2"} 1\n'],
  ["a series twice", '# TYPE a gauge\na{x="1",y="2"} 1\na{y="2",x="1"} 1\n'],
  ["a metric in two places", "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# HELP a x\n"],
  ["no number", "# TYPE a gauge\na one\n"],
  ["a name with a dash", "# TYPE a-b gauge\n"],
  ["a negative counter", "# TYPE a counter\na -1\n"],
  [
    "buckets that go down",
    '# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
  ],
  ["a count unlike the last bucket", '# TYPE a histogram\na_bucket{le="+Inf"} 1\na_sum 1\na_count 2\n'],
  ["a type twice", "# TYPE a gauge\n# TYPE a gauge\n"],
  ["a help twice", "# HELP a x\n# HELP a x\n"],
])("the judge of these tests refuses %s", (_, text) => {
  expect(() => parseExposition(text)).toThrow();
});
