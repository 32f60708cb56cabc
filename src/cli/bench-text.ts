// The result of a bench as a person reads it: what ran where, the cold start, the steady state, the cost.

import { basename } from "node:path";
import { formatBytes, formatCount, formatLatency, formatMs, formatRate } from "../core/quantity.ts";
import type { BenchProgress } from "../suites/bench.ts";
import type { BenchResult, LatencySummary, PlanSummary, SteadyResult } from "../suites/schemas.ts";
import { type Paint, plainLine, table } from "./output.ts";

export interface BenchStyle {
  readonly paint: Paint;
  readonly hasBars: boolean;
}

export function formatBench(result: BenchResult, { paint, hasBars }: BenchStyle): string {
  const { model, engine, environment, cold, memory, steady } = result;
  const { tool, os, cpu } = environment;
  const first = cold.first === null ? "not reached" : formatLatency(cold.first.latencyMs);
  const isWarm = cold.cache === "warm";
  const load = `${isWarm ? "" : `compile ${formatMs(cold.compileMs)} · `}load ${formatMs(cold.loadMs)}`;
  const version = `coremlx ${tool.version}${tool.commit === null ? "" : ` (${tool.commit.slice(0, 12)})`}`;
  const head = [
    paint("bold", plainLine(basename(model.path))),
    paint("dim", [model.kind, engine.version, engine.device].join(" · ")),
    paint(
      "dim",
      `${cpu.model}, ${cpu.cores} cores · ${os.platform} ${os.kernel} · ${version} · Bun ${tool.bun}`,
    ),
    paint("dim", describeLoad(result)),
    ...(result.plan ? [paint("dim", describePlanned(result.plan))] : []),
    "",
    `cold start  open ${formatMs(cold.openMs)} · ${load}${isWarm ? " (from the cache)" : ""} · first prediction ${first}`,
  ];
  if (steady === null) return [...head, "", "interrupted before the measurement began"].join("\n");
  const rows = latencyRows(steady);
  return [
    ...head,
    `steady      ${describeCounts(steady)}${result.isInterrupted ? ", interrupted" : ""}`,
    "",
    table(rows, { right: [1, 2, 3, 4, 5, 6, 7] }),
    ...describeConcurrency(result),
    ...(hasBars && steady.latency ? ["", ...bars(steady, steady.latency)] : []),
    "",
    ...describeFailures(steady),
    ...(steady.median
      ? [
          `median      ${formatLatency(steady.median.estimate)}, with 95 % confidence ${formatLatency(steady.median.low)} to ${formatLatency(steady.median.high)}`,
        ]
      : []),
    `processors  ${describeCpu(steady)}`,
    `memory      ${describeMemory(steady, memory)}`,
    `energy      ${describeEnergy(steady)}`,
    ...(result.pool?.buffers ? [`buffers     ${describeBuffers(result.pool.buffers)}`] : []),
  ].join("\n");
}

/** One line for a terminal while it runs; `undefined`: nothing to say yet. */
export function formatProgress(progress: BenchProgress): string {
  switch (progress.phase) {
    case "load":
      return "loading …";
    case "first":
      return "first prediction …";
    case "warm-up":
      return "warming up …";
    case "measured": {
      const { share, completed, failed, elapsedMs, p50Ms, p99Ms } = progress;
      const rate = elapsedMs > 0 ? (completed / elapsedMs) * 1_000 : 0;
      return [
        `${Math.round(share * 100)} %`,
        `${formatCount(completed)} predictions`,
        `${formatRate(rate)}/s`,
        ...(completed > 0 ? [`p50 ${formatLatency(p50Ms)}`, `p99 ${formatLatency(p99Ms)}`] : []),
        ...(failed > 0 ? [`${formatCount(failed)} failed`] : []),
      ].join(" · ");
    }
  }
}

function describePlanned({ dispatch, operations, devices }: PlanSummary): string {
  if (dispatch !== "planned") return `planned: ${dispatch}`;
  const shares = devices
    .filter(({ preferredShare }) => preferredShare > 0)
    .map(({ device, preferredShare, costShare }) => {
      const cost = costShare === null ? "" : `, ${percent(costShare)} of the cost`;
      return `${device} ${percent(preferredShare)}${cost}`;
    });
  return `planned for ${operations} operations: ${shares.join(" · ")}`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function describeLoad({ configuration, pool }: BenchResult): string {
  const { load, warmup, measure, instances, isolation, threads, inputs } = configuration;
  const callers =
    load.mode === "closed"
      ? `${load.concurrency} ${load.concurrency === 1 ? "caller" : "callers"}`
      : `${load.ratePerSecond} calls a second, ${load.arrivals === "fixed" ? "evenly spaced" : "Poisson"}`;
  const isInline = pool?.isInline ? " (in the caller's thread)" : "";
  const where = isolation === "process" ? " (in processes of their own)" : isInline;
  return [
    callers,
    `instances ${describeInstances(instances, pool)}${where}`,
    `threads ${threads ?? "auto"}`,
    `inputs ${plainLine(inputs)}`,
    `warm-up ${describeExtent(warmup)}`,
    `measured ${describeExtent(measure)}`,
  ].join(" · ");
}

/** What was asked for, and what came of it. */
function describeInstances(
  asked: BenchResult["configuration"]["instances"],
  pool: BenchResult["pool"],
): string {
  if (asked === "auto") return pool === null ? "auto" : `auto: ${pool.allowed} of up to ${pool.most}`;
  if (asked === null) return pool === null ? "by the machine" : `up to ${pool.most}`;
  return `${asked}`;
}

function describeExtent({ count, durationMs }: BenchResult["configuration"]["measure"]): string {
  const parts = [
    ...(count === null ? [] : [`${formatCount(count)} calls`]),
    ...(durationMs === null ? [] : [formatLatency(durationMs)]),
  ];
  return parts.length === 0 ? "none" : parts.join(" or ");
}

function describeCounts({ completed, failed, unsent, elapsedMs, throughputPerSecond }: SteadyResult): string {
  const parts = [
    `${formatCount(completed)} predictions in ${formatLatency(elapsedMs)}`,
    `${formatRate(throughputPerSecond)}/s`,
    failed === 0 ? "none failed" : `${formatCount(failed)} failed`,
  ];
  if (unsent > 0) parts.push(`${formatCount(unsent)} not sent`);
  return parts.join(" · ");
}

function latencyRows({ latency, run, queue, sendDelay }: SteadyResult): string[][] {
  const rows: (readonly [string, LatencySummary | null])[] = [
    ["latency", latency],
    ["in the engine", run],
    ["waiting", queue],
    ["sent late", sendDelay],
  ];
  return [
    ["", "p50", "p90", "p99", "p99.9", "max", "mean", "min"],
    ...rows.flatMap(([name, summary]) => {
      if (summary === null) return [];
      const { p50Ms, p90Ms, p99Ms, p999Ms, maxMs, meanMs, minMs } = summary;
      return [[name, ...[p50Ms, p90Ms, p99Ms, p999Ms, maxMs, meanMs, minMs].map(formatLatency)]];
    }),
  ];
}

function describeConcurrency({ concurrency }: BenchResult): string[] {
  if (concurrency === undefined) return [];
  const one = concurrency[0]?.throughputPerSecond ?? 0;
  const rows = concurrency.map(({ callers, throughputPerSecond, p50Ms, p99Ms, failed }) => [
    `${callers}`,
    `${formatRate(throughputPerSecond)}/s`,
    one > 0 ? `${(throughputPerSecond / one).toFixed(2)}×` : "",
    p50Ms === null ? "" : formatLatency(p50Ms),
    p99Ms === null ? "" : formatLatency(p99Ms),
    formatCount(failed),
  ]);
  return [
    "",
    table([["callers", "throughput", "", "p50", "p99", "failed"], ...rows], { right: [0, 1, 2, 3, 4, 5] }),
  ];
}

const barRows = 10;
const barWidth = 40;

/** Ten even steps from the smallest latency to p99, and one row for what lies beyond. */
function bars({ histogram }: SteadyResult, { minMs, p99Ms }: LatencySummary): string[] {
  const step = (p99Ms - minMs) / barRows;
  const counts = Array<number>(barRows + 1).fill(0);
  for (const [fromMs, toMs, count] of histogram) {
    const row = step > 0 ? Math.floor(((fromMs + toMs) / 2 - minMs) / step) : 0;
    const index = Math.min(barRows, Math.max(0, row));
    counts[index] = (counts[index] ?? 0) + count;
  }
  const most = Math.max(...counts);
  const rows = counts.map((count, row) => [
    row === barRows ? "beyond p99" : formatLatency(minMs + row * step),
    "▇".repeat(Math.ceil((count / most) * barWidth)),
    formatCount(count),
  ]);
  return table(rows, { right: [0] }).split("\n");
}

function describeFailures({ failures }: SteadyResult): string[] {
  return failures.map(
    ({ code, count, message, latency }) =>
      `failed      ${formatCount(count)} ${code} after ${formatLatency(latency.p50Ms)} (p99 ${formatLatency(latency.p99Ms)}): ${plainLine(message)}`,
  );
}

function describeCpu({ cpu }: SteadyResult): string {
  const parts = [`${cpu.usedCores.toFixed(2)} busy`];
  if (cpu.perPredictionMs !== null) parts.push(`${formatLatency(cpu.perPredictionMs)} for each prediction`);
  if (cpu.otherCores !== null) parts.push(`${cpu.otherCores.toFixed(2)} busy for others`);
  return parts.join(" · ");
}

function describeMemory(
  { memory }: SteadyResult,
  { beforeLoadBytes, afterLoadBytes }: BenchResult["memory"],
): string {
  const parts = [
    `${formatBytes(beforeLoadBytes)} before loading`,
    `${formatBytes(afterLoadBytes)} loaded`,
    `${formatBytes(memory.startBytes)} at the start`,
    `${formatBytes(memory.endBytes)} at the end`,
    `peak ${formatBytes(memory.peakBytes)}`,
  ];
  const { slope } = memory;
  if (slope !== null) {
    const [estimate, low, high] = [slope.estimate, slope.low, slope.high].map(formatSlope);
    parts.push(`slope ${estimate}/s (95 %: ${low} to ${high})`);
  }
  return parts.join(" · ");
}

function describeEnergy({ energy }: SteadyResult): string {
  if (!energy) return "not measured";
  const { joules, watts, perPredictionJoules, source } = energy;
  const each =
    perPredictionJoules === null ? "" : ` · ${formatJoules(perPredictionJoules)} for each prediction`;
  return `${formatJoules(joules)} · ${watts.toPrecision(3)} W${each} (${plainLine(source)}, all programs together)`;
}

function formatJoules(joules: number): string {
  return joules >= 1 ? `${joules.toPrecision(3)} J` : `${(joules * 1_000).toPrecision(3)} mJ`;
}

type Buffers = NonNullable<NonNullable<BenchResult["pool"]>["buffers"]>;

function describeBuffers({ acquired, hitRatio, allocatedBytes, heldBytes }: Buffers): string {
  const parts = [`${formatBytes(heldBytes)} held`];
  if (hitRatio !== null)
    parts.unshift(`${formatCount(acquired)} lent, ${(hitRatio * 100).toFixed(2)} % hits`);
  return [...parts, `${formatBytes(allocatedBytes)} allocated since the first prediction`].join(" · ");
}

function formatSlope(bytesPerSecond: number): string {
  const sign = bytesPerSecond < 0 ? "-" : "+";
  return `${sign}${formatBytes(Math.abs(bytesPerSecond))}`;
}
