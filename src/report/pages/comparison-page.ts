// The report of a comparison: what was found, both sides, and how the rounds scatter.

import { formatCount, formatLatency, formatRate, formatShare } from "../../core/quantity.ts";
import type { BenchComparison, ComparedFinding } from "../../suites/compare-schema.ts";
import type { BarChart, Report, Table } from "../document.ts";
import { describeMachine, formatMoment, machineFacts } from "../environment.ts";

export function describeComparison(result: BenchComparison): Report {
  const { a, b, findings, rounds, configuration, environment, startedAt, warnings } = result;
  const best = findings.find(({ better }) => better !== null);
  return {
    title: `${a.label} against ${b.label}`,
    subtitles: [
      `${formatMoment(startedAt)} · ${rounds.length} rounds of A, B, B, A, ${formatLatency(configuration.blockMs)} each`,
      ...describeMachine(environment),
    ],
    verdict:
      best === undefined
        ? { tone: "doubt", word: "NO DIFFERENCE", reason: "None stands out from the noise" }
        : {
            tone: "good",
            word: `${best.better ?? ""} IS BETTER`,
            reason: findings.map(describeFinding).join(" · "),
          },
    warnings: [
      ...(result.isInterrupted ? ["Interrupted: these are the rounds up to then"] : []),
      ...warnings,
    ],
    sections: [
      {
        title: "Findings",
        blocks: [findingTable(findings), ...(rounds.length > 1 ? [ratioChart(result)] : [])],
      },
      { title: "Both sides", blocks: [sideTable(result)] },
      { title: "Machine", blocks: [{ kind: "facts", items: machineFacts(environment) }] },
    ],
  };
}

function describeFinding({ figure, ratio, better }: ComparedFinding): string {
  if (ratio === null) return `${figure}: too few rounds`;
  return `${figure}: B ${percent(ratio.estimate)}${better === null ? ", within the noise" : ""}`;
}

function percent(ratio: number): string {
  return `${ratio > 1 ? "+" : ""}${((ratio - 1) * 100).toFixed(1)} %`;
}

function findingTable(findings: readonly ComparedFinding[]): Table {
  return {
    kind: "table",
    columns: [
      { title: "Figure" },
      { title: "B against A", isNumber: true },
      { title: "95 %", isNumber: true },
      { title: "Noise", isNumber: true },
      { title: "Better" },
    ],
    rows: findings.map(({ figure, ratio, noiseShare, better }) => [
      figure,
      ratio === null ? "too few rounds" : percent(ratio.estimate),
      ratio === null ? "" : `${percent(ratio.low)} to ${percent(ratio.high)}`,
      noiseShare === null ? "" : formatShare(Number(noiseShare.toPrecision(2))),
      better === null
        ? { text: "no difference above the noise", tone: "doubt" }
        : { text: better, tone: "good" },
    ]),
  };
}

function sideTable({ a, b }: BenchComparison): Table {
  return {
    kind: "table",
    columns: [
      { title: "" },
      { title: "Configuration" },
      { title: "Engine" },
      { title: "p50", isNumber: true },
      { title: "p99", isNumber: true },
      { title: "Throughput", isNumber: true },
      { title: "Failed", isNumber: true },
    ],
    rows: [a, b].map(({ label, engine, latency, throughputPerSecond, failed }, index) => [
      index === 0 ? "A" : "B",
      label,
      `${engine.version}, ${engine.device}`,
      latency === null ? "" : formatLatency(latency.p50Ms),
      latency === null ? "" : formatLatency(latency.p99Ms),
      `${formatRate(throughputPerSecond)} predictions/s`,
      formatCount(failed),
    ]),
  };
}

const mostBars = 60;

function ratioChart({ rounds }: BenchComparison): BarChart {
  return {
    kind: "bars",
    id: "rounds",
    title: "Median latency of B against A, round by round",
    value: { label: "share of A's", unit: "%" },
    bars: rounds.slice(0, mostBars).map(({ p50Ms: [a1, b1, b2, a2] }, index) => {
      const value = Math.sqrt((b1 * b2) / (a1 * a2)) * 100;
      return { name: `round ${index + 1}`, value, text: `${value.toFixed(1)} %` };
    }),
    marks: [{ at: 100, label: "the same" }],
  };
}
