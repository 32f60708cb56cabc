// The report of a bench: latency and throughput first, how the latency is spread and holds, then what it cost.

import { basename } from "node:path";
import {
  formatBytes,
  formatCount,
  formatLatency,
  formatMs,
  formatRate,
  formatShare,
  formatSignedBytes,
} from "../../core/quantity.ts";
import type { BenchResult, LatencySummary, SteadyResult } from "../../suites/schemas.ts";
import type { BarChart, Block, Fact, HistogramChart, Report, Section, Table } from "../document.ts";
import { describeMachine, formatMoment, machineFacts } from "../environment.ts";
import { latencyUnit, timeAxis } from "../time-axis.ts";

export function describeBench(result: BenchResult): Report {
  const { model, engine, environment, startedAt, steady, warnings, isInterrupted } = result;
  return {
    title: `Bench of ${basename(model.path)}`,
    subtitles: [
      `${formatMoment(startedAt)} · ${describeLoad(result)}`,
      `${model.kind}, ${engine.version} on ${engine.device}`,
      ...describeMachine(environment),
    ],
    warnings: [...(isInterrupted ? ["Interrupted: these are the figures up to then"] : []), ...warnings],
    sections: [
      ...(steady === null
        ? []
        : [
            { title: "At a glance", blocks: [{ kind: "facts" as const, items: keyFacts(steady) }] },
            { title: "Latency", blocks: latencyBlocks(steady) },
            ...failureSections(steady),
          ]),
      { title: "Cold start", blocks: [coldChart(result), ...coldText(result)] },
      ...planSections(result),
      ...(steady === null ? [] : [{ title: "Memory", blocks: memoryBlocks(steady, result) }]),
      { title: "Machine", blocks: [{ kind: "facts", items: machineFacts(environment) }] },
      { title: "What was measured", blocks: [configurationTable(result)] },
    ],
  };
}

function describeLoad({ configuration: { load, instances, threads } }: BenchResult): string {
  const callers =
    load.mode === "closed"
      ? `${load.concurrency} ${load.concurrency === 1 ? "caller" : "callers"}`
      : `${load.ratePerSecond} calls a second, ${load.arrivals === "fixed" ? "evenly spaced" : "Poisson"}`;
  return `${callers}, instances ${instances ?? "by the machine"}, threads ${threads ?? "by the engine"}`;
}

function keyFacts({
  latency,
  median,
  throughputPerSecond,
  completed,
  failed,
  cpu,
}: SteadyResult): readonly Fact[] {
  return [
    {
      name: "Median",
      value: latency === null ? "not measured" : formatLatency(latency.p50Ms),
      ...(median !== null && {
        note: `95 %: ${formatLatency(median.low)} to ${formatLatency(median.high)}`,
      }),
    },
    { name: "p99", value: latency === null ? "not measured" : formatLatency(latency.p99Ms) },
    { name: "Throughput", value: `${formatRate(throughputPerSecond)} predictions/s` },
    { name: "Predictions", value: formatCount(completed) },
    { name: "Failed", value: `${formatCount(failed)} calls`, tone: failed === 0 ? "good" : "bad" },
    {
      name: "Processor time",
      value: cpu.perPredictionMs === null ? "not measured" : formatLatency(cpu.perPredictionMs),
      note: "for each prediction",
    },
    { name: "Busy cores", value: cpu.usedCores.toFixed(2), note: "of this process" },
    {
      name: "Busy for others",
      value: cpu.otherCores === null ? "not measured" : `${cpu.otherCores.toFixed(2)} cores`,
    },
  ];
}

function latencyBlocks(steady: SteadyResult): readonly Block[] {
  const { latency, run, queue, sendDelay, windows } = steady;
  const rows: readonly (readonly [string, LatencySummary | null])[] = [
    ["Latency, as the caller sees it", latency],
    ["of it in the engine", run],
    ["of it waiting for an instance", queue],
    ["of it sent late", sendDelay],
  ];
  const table: Table = {
    kind: "table",
    columns: [
      { title: "" },
      ...["p50", "p90", "p99", "p99.9", "Max", "Mean", "Min"].map((title) => ({ title, isNumber: true })),
    ],
    rows: rows.flatMap(([name, summary]) => {
      if (summary === null) return [];
      const { p50Ms, p90Ms, p99Ms, p999Ms, maxMs, meanMs, minMs } = summary;
      return [[name, ...[p50Ms, p90Ms, p99Ms, p999Ms, maxMs, meanMs, minMs].map(formatLatency)]];
    }),
  };
  if (latency === null) return [table];
  const { unit, scale } = latencyUnit(latency.p99Ms);
  const full = windows.filter(({ completed }) => completed > 0);
  const line = (key: "p50Ms" | "p99Ms") => full.map((window) => window[key] * scale);
  return [
    table,
    spread(steady.histogram, latency),
    ...(full.length < 2
      ? []
      : [
          {
            kind: "lines" as const,
            id: "latency",
            title: "Latency over time",
            x: timeAxis(full.map(({ toMs }) => toMs)),
            y: { label: "latency", unit },
            isFromZero: true,
            series: [
              { name: "p50", values: line("p50Ms") },
              { name: "p99", values: line("p99Ms") },
            ],
          },
        ]),
  ];
}

const histogramBars = 60;

/** Up to p99: the few beyond would press the rest into one bar. The table has their largest. */
function spread(histogram: SteadyResult["histogram"], latency: LatencySummary): HistogramChart {
  const { unit, scale } = latencyUnit(latency.p99Ms);
  const [least, most] = [latency.minMs, Math.max(latency.p99Ms, latency.minMs * 1.001)];
  const step = (most - least) / histogramBars;
  const counts = Array<number>(histogramBars).fill(0);
  for (const [fromMs, toMs, count] of histogram) {
    const middle = (fromMs + toMs) / 2;
    if (middle > most) continue;
    const bar = Math.min(histogramBars - 1, Math.max(0, Math.floor((middle - least) / step)));
    counts[bar] = (counts[bar] ?? 0) + count;
  }
  return {
    kind: "histogram",
    id: "spread",
    title: "How the latency is spread, up to p99",
    value: { label: "latency", unit },
    buckets: counts.map((count, bar) => [
      (least + bar * step) * scale,
      (least + (bar + 1) * step) * scale,
      count,
    ]),
    marks: [
      { at: latency.p50Ms * scale, label: `p50 ${formatLatency(latency.p50Ms)}` },
      { at: latency.p90Ms * scale, label: `p90 ${formatLatency(latency.p90Ms)}` },
    ],
  };
}

function failureSections({ failures, unsent }: SteadyResult): readonly Section[] {
  if (failures.length === 0 && unsent === 0) return [];
  const table: Table = {
    kind: "table",
    columns: [
      { title: "Code" },
      { title: "Calls", isNumber: true },
      { title: "After (median)", isNumber: true },
      { title: "The first" },
    ],
    rows: failures.map(({ code, count, message, latency }) => [
      code,
      formatCount(count),
      formatLatency(latency.p50Ms),
      message,
    ]),
  };
  const text = `${formatCount(unsent)} calls were due and not made.`;
  return [
    {
      title: "Failures",
      blocks: [table, ...(unsent === 0 ? [] : [{ kind: "text" as const, text, tone: "bad" as const }])],
    },
  ];
}

function coldChart({ cold }: BenchResult): BarChart {
  const steps = [
    ["open: reading the files", cold.openMs],
    ["compile for the engine", cold.compileMs],
    ["load into the engine", cold.loadMs],
    ["first prediction", cold.first?.latencyMs ?? null],
  ] as const;
  const { unit, scale } = latencyUnit(Math.max(...steps.map(([, ms]) => ms ?? 0)));
  return {
    kind: "bars",
    id: "cold-start",
    title: "From nothing to the first answer",
    value: { label: "time", unit },
    bars: steps.map(([name, ms]) => ({
      name,
      value: ms === null ? null : ms * scale,
      text: ms === null ? "not reached" : formatMs(ms),
    })),
  };
}

function coldText({ cold: { cache } }: BenchResult): readonly Block[] {
  if (cache === null) return [];
  const text =
    cache === "warm"
      ? "The compile cache had this model: nothing was compiled."
      : "The compile cache did not have this model.";
  return [{ kind: "text", text }];
}

function planSections({ plan }: BenchResult): readonly Section[] {
  if (plan === undefined) return [];
  if (plan.dispatch !== "planned") {
    return [{ title: "Planned placement", blocks: [{ kind: "text", text: plan.dispatch, tone: "doubt" }] }];
  }
  const table: Table = {
    kind: "table",
    caption: `Core ML's forecast for ${formatCount(plan.operations)} operations; nothing of it was measured`,
    columns: [
      { title: "Device" },
      { title: "Preferred", isNumber: true },
      { title: "Share of the cost", isNumber: true },
      { title: "Possible", isNumber: true },
    ],
    rows: plan.devices.map(({ device, preferredShare, costShare, supportedShare }) => [
      device,
      formatShare(preferredShare),
      costShare === null ? "not known" : formatShare(costShare),
      formatShare(supportedShare),
    ]),
  };
  return [{ title: "Planned placement", blocks: [table] }];
}

function memoryBlocks({ memory }: SteadyResult, result: BenchResult): readonly Block[] {
  const { samples, slope } = memory;
  const sizes = [
    ["Before loading", result.memory.beforeLoadBytes],
    ["Loaded", result.memory.afterLoadBytes],
    ["After the first prediction", result.memory.afterFirstBytes],
    ["At the end", memory.endBytes],
    ["At the most", memory.peakBytes],
  ] as const;
  const facts: Fact[] = sizes.map(([name, bytes]) => ({
    name,
    value: bytes === null ? "not reached" : formatBytes(bytes),
  }));
  if (slope !== null) {
    const [estimate, low, high] = [slope.estimate, slope.low, slope.high].map(formatSignedBytes);
    facts.push({ name: "Slope", value: `${estimate}/s`, note: `95 %: ${low} to ${high}` });
  }
  return [
    { kind: "facts", items: facts },
    ...(samples.length < 2
      ? []
      : [
          {
            kind: "lines" as const,
            id: "memory",
            title: "Resident memory of this process",
            x: timeAxis(samples.map(([atMs]) => atMs)),
            y: { label: "memory", unit: "MB" },
            series: [{ name: "resident", values: samples.map(([, bytes]) => bytes / 1e6) }],
          },
        ]),
  ];
}

function configurationTable({ configuration, model, pool }: BenchResult): Table {
  const { warmup, measure, timeoutMs, isolation, requestedDevice, inputs } = configuration;
  const extent = ({ count, durationMs }: typeof warmup) =>
    [
      ...(count === null ? [] : [`${formatCount(count)} calls`]),
      ...(durationMs === null ? [] : [formatLatency(durationMs)]),
    ].join(" or ") || "none";
  const rows: [string, string][] = [
    ["Model", model.path],
    ["Digest (SHA-256)", model.digest],
    ["Function", model.function],
    ["Inputs", inputs],
    ["Device asked for", requestedDevice],
    ["Warm-up", extent(warmup)],
    ["Measured", extent(measure)],
    ["Longest wait for one prediction", formatLatency(timeoutMs)],
    ["Engine runs in", isolation === "process" ? "a process of its own" : "a thread of this process"],
  ];
  if (pool !== null) {
    rows.push([
      "Instances at the end",
      `${formatCount(pool.instances)} of at most ${formatCount(pool.most)}`,
    ]);
    rows.push(["Breaker trips", formatCount(pool.breakerTrips)]);
  }
  if (pool?.buffers) {
    const { acquired, hitRatio, heldBytes } = pool.buffers;
    const hits = hitRatio === null ? "" : `, ${formatShare(hitRatio)} of them used again`;
    rows.push(["Buffers", `${formatCount(acquired)} lent${hits}, ${formatBytes(heldBytes)} held`]);
  }
  return { kind: "table", columns: [{ title: "What" }, { title: "Value" }], rows };
}
