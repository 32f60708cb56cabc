// The verdict of a gate as a person reads it: the answer, waivers on top, what failed, what is missing, then everything.

import { describeLimit, formatFigure } from "../suites/gate/figures.ts";
import type { GateLine, GateResult } from "../suites/gate/result-schema.ts";
import { type Paint, plainLine, table } from "./output.ts";

export const outcomes = { pass: "PASS", fail: "FAIL", incomplete: "INCOMPLETE" } as const;
const colors = { pass: "green", fail: "red", incomplete: "yellow" } as const;

export function formatGate(result: GateResult, paint: Paint): string {
  const { verdict, profile, waivers, lines, refused, environment, binaries } = result;
  const { outcome } = verdict;
  const { tool, os, device, cpu } = environment;
  const build = `coremlx ${tool.version}${tool.commit === null ? "" : ` (${tool.commit.slice(0, 12)})`}`;
  return [
    `${paint("bold", plainLine(profile.title))}  ${paint(colors[outcome], outcomes[outcome])}`,
    `${verdict.passed} of ${verdict.lines} lines pass${tail(verdict.reasons)}`,
    ...waivers.map((one) =>
      paint(
        "yellow",
        plainLine(
          `waived ${one.criterion}${one.place === undefined ? "" : ` at ${one.place}`} by ${one.name} until ${one.expires} (${one.state}): ${one.reason}`,
        ),
      ),
    ),
    "",
    ...formatGroups(lines, paint),
    ...(refused.length === 0
      ? []
      : ["", "refused", ...refused.map(({ file, reason }) => plainLine(`  ${file}: ${reason}`))]),
    "",
    paint("dim", `judged by ${build} on ${device.chip ?? cpu.model}, ${os.platform}, ${result.judgedAt}`),
    paint("dim", `of ${binaries.map((sha256) => sha256.slice(0, 12)).join(", ")}`),
  ].join("\n");
}

function tail(reasons: readonly string[]): string {
  return reasons.length === 0 ? "" : ` · ${plainLine(reasons.join(" · "))}`;
}

function formatGroups(lines: readonly GateLine[], paint: Paint): string[] {
  const groups = [...new Set(lines.map(({ group }) => group))];
  const rows = lines.map((line) => [
    statusOf(line, paint),
    line.place,
    plainLine(line.title),
    line.value === null ? "" : plainLine(formatFigure(line.value, line.unit)),
    plainLine(describeLimit(line)),
    paint("dim", plainLine(line.detail)),
  ]);
  const text = table(rows, { right: [3] }).split("\n");
  return groups.flatMap((group, index) => [
    ...(index === 0 ? [] : [""]),
    paint("bold", plainLine(group)),
    ...text.filter((_, at) => lines[at]?.group === group),
  ]);
}

function statusOf({ status, waiver }: GateLine, paint: Paint): string {
  if (waiver !== null) return paint("yellow", "waived");
  if (status === "pass") return paint("green", "pass");
  return status === "fail" ? paint("red", "fail") : paint("yellow", "not measured");
}
