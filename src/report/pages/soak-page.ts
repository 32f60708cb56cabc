// The report of a soak: the verdict with its reasons, then latency and memory over the whole time, then the details.

import {
  formatBytes,
  formatCount,
  formatLatency,
  formatRate,
  formatShare,
  formatSignedBytes,
  formatTime,
} from "../../core/quantity.ts";
import type { SoakCriterion, SoakResult, SoakWindow } from "../../suites/soak/schema.ts";
import type { Block, Cell, Chart, Fact, LineChart, Report, Section, Table, Tone } from "../document.ts";
import { describeMachine, formatMoment, machineFacts } from "../environment.ts";
import { greatestOf, latencyUnit, timeAxis } from "../time-axis.ts";

const words = {
  pass: { word: "PASSED", tone: "good" },
  fail: { word: "FAILED", tone: "bad" },
  throttled: { word: "THROTTLED", tone: "doubt" },
  interrupted: { word: "INTERRUPTED", tone: "doubt" },
} as const;

export function describeSoak(result: SoakResult): Report {
  const { models, environment, startedAt, elapsedMs, verdict } = result;
  const { word, tone } = words[verdict.outcome];
  return {
    title: `Soak of ${models.map(({ name }) => name).join(", ")}`,
    subtitles: [
      `${formatTime(elapsedMs)} from ${formatMoment(startedAt)}, ${describeLoad(result)}`,
      ...describeMachine(environment),
      models.map(({ name, engine }) => `${name}: ${engine.version}, ${engine.device}`).join(" · "),
    ],
    verdict: { tone, word, reason: reasonOf(result) },
    warnings: result.warnings,
    sections: [
      { title: "At a glance", blocks: [{ kind: "facts", items: keyFacts(result) }] },
      { title: "Criteria", blocks: [criteriaTable(verdict.criteria)] },
      { title: "Latency over time", blocks: models.map((_, index) => latencyChart(result, index)) },
      { title: "Memory over time", blocks: memoryBlocks(result) },
      ...troubleSections(result),
      { title: "Models", blocks: [modelTable(result), ...windowBlocks(result)] },
      { title: "Machine", blocks: [{ kind: "facts", items: machineFacts(environment) }] },
    ],
  };
}

function reasonOf({ verdict: { criteria, outcome } }: SoakResult): string {
  const failed = criteria.filter(({ status }) => status === "fail").map(nameOf);
  const open = criteria.filter(({ status }) => status === "not measured").length;
  const judged = criteria.length - open;
  const parts = [
    failed.length > 0
      ? `for ${failed.join(", ")}`
      : `${judged} of ${criteria.length} criteria judged, none failed`,
    ...(open > 0 ? [`${open} not measured`] : []),
    ...(outcome === "throttled" ? ["the machine was hot, so this is no regression"] : []),
    ...(outcome === "interrupted" ? ["it can go on"] : []),
  ];
  return parts.join("; ");
}

function describeLoad({ configuration: { load, instances, isolation } }: SoakResult): string {
  const callers =
    load.mode === "closed"
      ? `${load.concurrency} ${load.concurrency === 1 ? "caller" : "callers"}`
      : `${load.ratePerSecond} calls a second`;
  const where = isolation === "process" ? " in processes of their own" : "";
  return `${callers}, instances ${instances ?? "by the machine"}${where}`;
}

function keyFacts(result: SoakResult): readonly Fact[] {
  const { models, memory, elapsedMs, unsent } = result;
  const completed = sum(models.map((model) => model.completed));
  const failed = sum(models.map((model) => model.failed)) + unsent;
  const wrong = sum(models.map((model) => model.wrong));
  const trips = models.map(({ pool }) => pool?.breakerTrips);
  const worst = models.flatMap(({ latency }) => latency?.p99Ms ?? []);
  return [
    { name: "Answers", value: formatCount(completed) },
    { name: "Rate", value: `${formatRate((completed / elapsedMs) * 1_000)} answers/s` },
    { name: "Failed", value: `${formatCount(failed)} calls`, ...toned(failed === 0) },
    { name: "Wrong", value: `${formatCount(wrong)} answers`, ...toned(wrong === 0) },
    {
      name: "p99",
      value: worst.length === 0 ? "not measured" : formatLatency(greatestOf(worst)),
      ...(models.length > 1 && { note: "of the slowest model" }),
    },
    {
      name: "Memory growth",
      value: memory.growthBytes === null ? "not measured" : formatSignedBytes(memory.growthBytes),
      ...(memory.slope !== null && {
        note: `slope ${formatSignedBytes(memory.slope.estimate)}/h, 95 %: ${formatSignedBytes(memory.slope.low)} to ${formatSignedBytes(memory.slope.high)}`,
      }),
    },
    {
      name: "Breaker trips",
      value: trips.includes(undefined) ? "not measured" : formatCount(sum(trips.map((count) => count ?? 0))),
    },
    { name: "Processes", value: formatCount(result.processes.length) },
  ];
}

function toned(isGood: boolean): { readonly tone: Tone } {
  return { tone: isGood ? "good" : "bad" };
}

const statusTones = { pass: "good", fail: "bad", "not measured": "doubt" } as const;

function criteriaTable(criteria: readonly SoakCriterion[]): Table {
  return {
    kind: "table",
    columns: [
      { title: "Criterion" },
      { title: "Result" },
      { title: "Value", isNumber: true },
      { title: "Limit", isNumber: true },
      { title: "Detail" },
    ],
    rows: criteria.map((criterion) => [
      nameOf(criterion),
      { text: criterion.status, tone: statusTones[criterion.status] },
      criterion.value === null ? "not measured" : formatValue(criterion, criterion.value),
      formatValue(criterion, criterion.limit),
      criterion.detail,
    ]),
  };
}

function nameOf({ name, model }: SoakCriterion): string {
  return model === null ? name : `${name} of ${model}`;
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
      return `${formatCount(value)} ${unit}`;
  }
}

/** In blocks, finer than the windows the limit is for. */
function latencyChart({ blocks, models, configuration: { limits } }: SoakResult, index: number): Chart {
  const name = models[index]?.name ?? "";
  const figures = blocks.map((block) => (block.isVoid ? undefined : block.models[index]));
  const { unit, scale } = latencyUnit(greatestOf(figures.map((figure) => figure?.p99Ms)));
  const line = (key: "p50Ms" | "p99Ms") =>
    figures.map((figure) => {
      const ms = figure?.[key] ?? null;
      return ms === null ? null : ms * scale;
    });
  const chart: LineChart = {
    kind: "lines",
    id: `latency-${index}`,
    title: `Latency of ${name}`,
    x: timeAxis(
      blocks.map(({ toMs }) => toMs),
      "measured time",
    ),
    y: { label: "latency", unit },
    isFromZero: true,
    series: [
      { name: "p50", values: line("p50Ms") },
      { name: "p99", values: line("p99Ms") },
    ],
  };
  const highest = greatestOf(line("p99Ms"));
  const limit = limits.maxP99Ms * scale;
  // A limit far above would press the lines to the floor; the table says it too.
  if (limit > highest * 4) return chart;
  return { ...chart, limit: { at: limit, label: `limit of p99 in a window` } };
}

function memoryBlocks({ blocks, memory, configuration }: SoakResult): readonly Block[] {
  const values = blocks.map(({ residentBytes }) => (residentBytes === null ? null : residentBytes / 1e6));
  if (values.every((value) => value === null)) {
    return [{ kind: "text", text: "Memory was not measured.", tone: "doubt" }];
  }
  const isElsewhere = configuration.isolation === "process";
  return [
    {
      kind: "lines",
      id: "memory",
      title: "Resident memory of the soak's process",
      x: timeAxis(
        blocks.map(({ toMs }) => toMs),
        "measured time",
      ),
      y: { label: "memory", unit: "MB" },
      series: [{ name: "resident", values }],
    },
    {
      kind: "text",
      text: [
        memory.startBytes === null ? "" : `${formatBytes(memory.startBytes)} at the start, `,
        memory.endBytes === null ? "" : `${formatBytes(memory.endBytes)} at the end, `,
        `${formatBytes(memory.peakBytes)} at the most.`,
        isElsewhere ? " The engines ran in processes of their own, whose memory is not in it." : "",
      ].join(""),
    },
    {
      kind: "text",
      text: `Memory of the Neural Engine: ${memory.neuralEngineBytes === null ? "not measured" : formatBytes(memory.neuralEngineBytes)}. Power: not measured.`,
    },
  ];
}

function troubleSections(result: SoakResult): readonly Section[] {
  const { models, wrongAnswers, oddFaults, faults } = result;
  const blocks: Block[] = [];
  const failures = models.flatMap((model) => model.failures.map((failure) => ({ ...failure, model })));
  if (failures.length > 0) {
    blocks.push({
      kind: "table",
      caption: "Failed calls",
      columns: [
        { title: "Model" },
        { title: "Code" },
        { title: "Calls", isNumber: true },
        { title: "The first" },
      ],
      rows: failures.map(({ model, code, count, message }) => [
        model.name,
        code,
        formatCount(count),
        message,
      ]),
    });
  }
  const notes = [
    ...wrongAnswers.map((note) => ["wrong answer", note] as const),
    ...oddFaults.map((note) => ["fault", note] as const),
  ];
  if (notes.length > 0) {
    blocks.push({
      kind: "table",
      caption: "What was wrong, the first of it",
      columns: [
        { title: "What" },
        { title: "Model" },
        { title: "After", isNumber: true },
        { title: "Input", isNumber: true },
        { title: "Difference" },
      ],
      rows: notes.map(([what, { model, atMs, input, difference }]) => [
        what,
        model,
        formatTime(atMs),
        formatCount(input),
        difference,
      ]),
    });
  }
  if (faults.length > 0) {
    blocks.push({
      kind: "table",
      caption: "Faults on request",
      columns: [
        { title: "Kind" },
        { title: "Calls", isNumber: true },
        { title: "Ended as they should not", isNumber: true },
        { title: "Endings" },
      ],
      rows: faults.map(({ kind, calls, odd, endings }) => [
        kind,
        formatCount(calls),
        { text: formatCount(odd), ...toned(odd === 0) },
        Object.entries(endings)
          .map(([ending, count]) => `${ending} ${formatCount(count)}`)
          .join(", "),
      ]),
    });
  }
  return blocks.length === 0 ? [] : [{ title: "Trouble", blocks }];
}

function modelTable({ models }: SoakResult): Table {
  return {
    kind: "table",
    caption: "Over the whole time",
    columns: [
      { title: "Model" },
      ...["Answers", "Failed", "Wrong", "p50", "p99", "p99.9", "Max"].map((title) => ({
        title,
        isNumber: true,
      })),
      { title: "Compared" },
      { title: "Digest" },
    ],
    rows: models.map(({ name, completed, failed, wrong, latency, comparison, digest }) => [
      name,
      ...[completed, failed, wrong].map(formatCount),
      ...[latency?.p50Ms, latency?.p99Ms, latency?.p999Ms, latency?.maxMs].map(formatMaybe),
      comparison.mode === "bits" ? "every bit" : `within ${comparison.tolerance} of the largest value`,
      digest.slice(0, 12),
    ]),
  };
}

function windowBlocks({ windows, models }: SoakResult): readonly Table[] {
  if (windows.length < 2) return [];
  const hasHeat = windows.some(({ thermalState }) => thermalState !== null);
  return [
    {
      kind: "table",
      caption: "Windows",
      columns: [
        { title: "Until", isNumber: true },
        ...models.flatMap(({ name }) =>
          [`${name}: answers`, "p50", "p99", "max"].map((title) => ({ title, isNumber: true })),
        ),
        { title: "Memory", isNumber: true },
        ...(hasHeat ? [{ title: "Heat" }] : []),
        { title: "" },
      ],
      rows: windows.map((window) => windowRow(window, hasHeat)),
    },
  ];
}

function windowRow(window: SoakWindow, hasHeat: boolean): readonly Cell[] {
  const { toMs, models, residentBytes, thermalState, isVoid } = window;
  return [
    formatTime(toMs),
    ...models.flatMap(({ completed, p50Ms, p99Ms, maxMs }) => [
      formatCount(completed),
      ...[p50Ms, p99Ms, maxMs].map(formatMaybe),
    ]),
    residentBytes === null ? "not measured" : formatBytes(residentBytes),
    ...(hasHeat ? [thermalState ?? "not measured"] : []),
    isVoid ? { text: "not judged", tone: "doubt" } : "",
  ];
}

function formatMaybe(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? "–" : formatLatency(ms);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
