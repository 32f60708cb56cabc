// A comparison as a person reads it: the finding first, then what it rests on.

import { formatCount, formatLatency, formatRate } from "../core/quantity.ts";
import type { BenchComparison, ComparedFinding } from "../suites/compare-schema.ts";
import { type Paint, plainLine, table } from "./output.ts";

export function formatComparison(result: BenchComparison, paint: Paint): string {
  const { a, b, rounds, findings, configuration, environment } = result;
  const callers = configuration.load.mode === "closed" ? configuration.load.concurrency : 0;
  const rows = (["A", "B"] as const).map((name) => {
    const { label, engine, latency, throughputPerSecond, failed } = name === "A" ? a : b;
    return [
      name,
      plainLine(label),
      plainLine(`${engine.version}, ${engine.device}`),
      ...(latency === null ? ["", ""] : [formatLatency(latency.p50Ms), formatLatency(latency.p99Ms)]),
      `${formatRate(throughputPerSecond)}/s`,
      failed === 0 ? "none" : formatCount(failed),
    ];
  });
  return [
    ...findings.map((finding) => describeFinding(finding, result, paint)),
    "",
    table([["", "", "", "p50", "p99", "throughput", "failed"], ...rows], { right: [3, 4, 5, 6] }),
    "",
    paint(
      "dim",
      `${rounds.length} rounds of A, B, B, A, ${formatLatency(configuration.blockMs)} each · ${callers} ${callers === 1 ? "caller" : "callers"} · ${plainLine(environment.cpu.model)}, ${environment.cpu.cores} cores`,
    ),
    ...(result.isInterrupted ? ["interrupted"] : []),
  ].join("\n");
}

function describeFinding(
  { figure, ratio, noiseShare, better }: ComparedFinding,
  { a, b }: BenchComparison,
  paint: Paint,
): string {
  const head = `${figure}:`.padEnd(16);
  if (ratio === null || noiseShare === null) return `${head}too few rounds to tell`;
  const percent = (value: number) => `${value > 1 ? "+" : ""}${((value - 1) * 100).toFixed(1)} %`;
  const noise = `noise ${(noiseShare * 100).toFixed(1)} %`;
  const measured = `B ${percent(ratio.estimate)} against A (95 %: ${percent(ratio.low)} to ${percent(ratio.high)}), ${noise}`;
  if (better === null) return `${head}${paint("yellow", "no difference above the noise")} · ${measured}`;
  const { label } = better === "A" ? a : b;
  return `${head}${paint("green", `${better} is better (${plainLine(label)})`)} · ${measured}`;
}
