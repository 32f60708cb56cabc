// A soak as a person reads it: one line while it runs, one for each window, and the verdict with its reasons.

import { basename } from "node:path";
import {
  formatBytes,
  formatCount,
  formatLatency,
  formatRate,
  formatShare,
  formatSignedBytes,
  formatTime,
} from "../core/quantity.ts";
import type { SoakProgress } from "../suites/soak.ts";
import type { SoakCriterion, SoakResult, SoakWindow } from "../suites/soak/schema.ts";
import { type Paint, plainLine, table } from "./output.ts";

/** For a terminal, while it runs. */
export function formatSoakProgress(progress: SoakProgress): string {
  switch (progress.phase) {
    case "load":
      return `loading ${plainLine(progress.model ?? "")} …`;
    case "references":
      return `taking the reference answers of ${plainLine(progress.model ?? "")} …`;
    case "warm-up":
      return "warming up …";
    case "measured": {
      const { share, elapsedMs, completed, failed, wrong, ratePerSecond, slopeBytesPerHour } = progress;
      const slope = slopeBytesPerHour === undefined ? "" : ` (${formatSignedBytes(slopeBytesPerHour)}/h)`;
      const busy = progress.pools.reduce((sum, pool) => sum + pool.busy, 0);
      const alive = progress.pools.reduce((sum, pool) => sum + pool.alive, 0);
      const broken = progress.pools.filter(({ breaker }) => breaker !== "closed");
      return [
        `${Math.floor(share * 100)} %`,
        formatTime(elapsedMs),
        `${formatCount(completed)} answers`,
        `${formatRate(ratePerSecond)}/s`,
        ...(completed > 0
          ? [`p50 ${formatLatency(progress.p50Ms)}`, `p99 ${formatLatency(progress.p99Ms)}`]
          : []),
        `${formatBytes(progress.residentBytes)}${slope}`,
        ...(alive > 0 ? [`${busy} of ${alive} busy`] : []),
        broken.length === 0
          ? "breaker closed"
          : broken.map(({ model, breaker }) => `breaker of ${plainLine(model)} ${breaker}`).join(", "),
        ...(failed > 0 ? [`${formatCount(failed)} failed`] : []),
        ...(wrong > 0 ? [`${formatCount(wrong)} wrong`] : []),
      ].join(" · ");
    }
  }
}

/** The summary of a window. */
export function formatSoakWindow(window: SoakWindow, names: readonly string[]): string {
  const models = window.models.map(({ completed, failed, wrong, p50Ms, p99Ms }, index) => {
    const parts = [
      `${plainLine(names[index] ?? "")} ${formatCount(completed)} answers`,
      ...(p50Ms === null || p99Ms === null
        ? []
        : [`p50 ${formatLatency(p50Ms)}`, `p99 ${formatLatency(p99Ms)}`]),
      ...(failed > 0 ? [`${formatCount(failed)} failed`] : []),
      ...(wrong > 0 ? [`${formatCount(wrong)} wrong`] : []),
    ];
    return parts.join(", ");
  });
  const memory = window.residentBytes === null ? [] : [formatBytes(window.residentBytes)];
  const heat = window.thermalState === null ? [] : [window.thermalState];
  const isVoid = window.isVoid ? ["not judged"] : [];
  return [formatTime(window.toMs), ...models, ...memory, ...heat, ...isVoid].join(" · ");
}

const outcomes = { pass: "green", fail: "red", throttled: "yellow", interrupted: "yellow" } as const;
const verdicts = {
  pass: "PASSED",
  fail: "FAILED",
  throttled: "THROTTLED",
  interrupted: "INTERRUPTED",
} as const;

export function formatSoak(result: SoakResult, paint: Paint): string {
  const { environment, models, verdict, elapsedMs, configuration, memory } = result;
  const { tool, os, cpu } = environment;
  const version = `coremlx ${tool.version}${tool.commit === null ? "" : ` (${tool.commit.slice(0, 12)})`}`;
  const failed = verdict.criteria.filter(({ status }) => status === "fail");
  const open = verdict.criteria.filter(({ status }) => status === "not measured");
  const tail = [
    ...(failed.length > 0 ? [`for ${failed.map(nameOf).join(", ")}`] : []),
    ...(open.length > 0 ? [`${open.length} of ${verdict.criteria.length} criteria not measured`] : []),
  ];
  return [
    ...models.map(({ name, path, kind, engine }) =>
      [
        paint("bold", plainLine(models.length === 1 ? basename(path) : name)),
        paint("dim", [kind, engine.version, engine.device].join(" · ")),
      ].join("  "),
    ),
    paint(
      "dim",
      `${cpu.model}, ${cpu.cores} cores · ${os.platform} ${os.kernel} · ${version} · Bun ${tool.bun}`,
    ),
    paint("dim", describeLoad(result)),
    "",
    `measured ${formatTime(elapsedMs)} of ${formatTime(configuration.durationMs)} in ${result.processes.length} process${
      result.processes.length === 1 ? "" : "es"
    }`,
    "",
    table(modelRows(result), { right: [1, 2, 3, 4, 5, 6] }),
    "",
    ...(result.windows.length > 1 ? [table(windowRows(result), { right: [1, 2, 3, 4] }), ""] : []),
    `memory  ${describeMemory(memory)}`,
    "power   not measured",
    "",
    table(
      verdict.criteria.map((criterion) => [
        mark(criterion, paint),
        nameOf(criterion),
        criterion.value === null ? "" : formatValue(criterion, criterion.value),
        `limit ${formatValue(criterion, criterion.limit)}`,
        paint("dim", plainLine(criterion.detail)),
      ]),
      { right: [2] },
    ),
    "",
    ...result.wrongAnswers.map(
      ({ model, atMs, input, difference }) =>
        `wrong   ${plainLine(model)} after ${formatTime(atMs)}, input ${input}: ${plainLine(difference)}`,
    ),
    ...result.oddFaults.map(
      ({ model, atMs, difference }) =>
        `fault   ${plainLine(model)} after ${formatTime(atMs)}: ${plainLine(difference)}`,
    ),
    ...models.flatMap(({ name, failures }) =>
      failures.map(
        ({ code, count, message }) =>
          `failed  ${plainLine(name)}: ${formatCount(count)} ${code}, the first: ${plainLine(message)}`,
      ),
    ),
    paint(outcomes[verdict.outcome], [verdicts[verdict.outcome], ...tail].join(" · ")),
  ].join("\n");
}

function describeLoad({ configuration }: SoakResult): string {
  const { load, instances, isolation, threads, inputsPerModel, seed, faults, faultShare } = configuration;
  const callers =
    load.mode === "closed"
      ? `${load.concurrency} ${load.concurrency === 1 ? "caller" : "callers"}`
      : `${load.ratePerSecond} calls a second, ${load.arrivals === "fixed" ? "evenly spaced" : "Poisson"}`;
  return [
    callers,
    `instances ${instances ?? "by the machine"}${isolation === "process" ? " (in processes of their own)" : ""}`,
    `threads ${threads ?? "auto"}`,
    `${inputsPerModel} random inputs for each model, seed ${seed}`,
    ...(faults.length > 0 ? [`faults ${faults.join(", ")} in ${formatShare(faultShare)} of the calls`] : []),
  ].join(" · ");
}

function modelRows({ models }: SoakResult): string[][] {
  return [
    ["model", "answers", "failed", "wrong", "p50", "p99", "max", "compared"],
    ...models.map(({ name, completed, failed, wrong, latency, comparison }) => [
      plainLine(name),
      ...[completed, failed, wrong].map(formatCount),
      ...[latency?.p50Ms, latency?.p99Ms, latency?.maxMs].map((ms) =>
        ms === undefined ? "" : formatLatency(ms),
      ),
      comparison.mode === "bits" ? "every bit" : `within ${comparison.tolerance}`,
    ]),
  ];
}

/** Of each window the model with the highest p99. */
function windowRows({ windows, models }: SoakResult): string[][] {
  const shown = windows.slice(-12);
  const rows = shown.map((window) => {
    const completed = window.models.reduce((sum, model) => sum + model.completed, 0);
    const slowest = window.models
      .map((figures, index) => ({ figures, name: models[index]?.name ?? "" }))
      .toSorted((a, b) => (b.figures.p99Ms ?? 0) - (a.figures.p99Ms ?? 0))[0];
    const p99Ms = slowest?.figures.p99Ms;
    return [
      `until ${formatTime(window.toMs)}`,
      formatCount(completed),
      typeof p99Ms === "number" ? formatLatency(p99Ms) : "",
      window.residentBytes === null ? "" : formatBytes(window.residentBytes),
      window.thermalState ?? "not measured",
      models.length > 1 ? plainLine(slowest?.name ?? "") : "",
    ];
  });
  const left = windows.length - shown.length;
  return [
    ["window", "answers", "worst p99", "memory", "heat", ""],
    ...(left > 0 ? [[`${left} before`, "", "", "", "", ""]] : []),
    ...rows,
  ];
}

function describeMemory({
  startBytes,
  endBytes,
  peakBytes,
  growthBytes,
  slope,
}: SoakResult["memory"]): string {
  return [
    ...(startBytes === null ? [] : [`${formatBytes(startBytes)} at the start`]),
    ...(endBytes === null ? [] : [`${formatBytes(endBytes)} at the end`]),
    `peak ${formatBytes(peakBytes)}`,
    growthBytes === null ? "growth not measured" : `growth ${formatSignedBytes(growthBytes)}`,
    slope === null
      ? "slope not measured"
      : `slope ${formatSignedBytes(slope.estimate)}/h (95 %: ${formatSignedBytes(slope.low)} to ${formatSignedBytes(slope.high)})`,
  ].join(" · ");
}

function mark({ status }: SoakCriterion, paint: Paint): string {
  const colors = { pass: "green", fail: "red", "not measured": "yellow" } as const;
  return paint(colors[status], status);
}

function nameOf({ name, model }: SoakCriterion): string {
  return model === null ? name : `${name} of ${plainLine(model)}`;
}

function formatValue({ unit }: SoakCriterion, value: number): string {
  switch (unit) {
    case "ms":
      return formatLatency(value);
    case "bytes":
      return formatSignedBytes(value);
    case "bytes/hour":
      return `${formatSignedBytes(value)}/h`;
    case "share":
      return formatShare(value);
    default:
      return formatCount(value);
  }
}
