// The verdict for machines that show test results: JUnit XML, and the summary of a job on GitHub.

import { describeLimit, formatFigure } from "../suites/gate/figures.ts";
import type { GateLine, GateResult } from "../suites/gate/result-schema.ts";
import { outcomes } from "./gate-text.ts";
import { plainLine } from "./output.ts";

/** A line is a test case: one that was not measured is skipped, unless it is required. */
export function formatJunit(result: GateResult): string {
  const { lines, profile, judgedAt, verdict } = result;
  const failures = lines.filter((line) => endOf(line) === "failure").length;
  const skipped = lines.filter((line) => endOf(line) === "skipped").length;
  const cases = lines.map((line) => {
    const head = `    <testcase classname="${xml(`${profile.name}.${line.place}`)}" name="${xml(line.title)}" time="0">`;
    const text = xml(`${measuredText(line)}${line.detail}`);
    const body = {
      passed: `      <system-out>${text}</system-out>`,
      failure: `      <failure message="${text}"/>`,
      skipped: `      <skipped message="${text}"/>`,
    }[endOf(line)];
    return [head, body, "    </testcase>"].join("\n");
  });
  const counts = `tests="${lines.length}" failures="${failures}" errors="0" skipped="${skipped}" time="0"`;
  const title = `${profile.title} ${outcomes[verdict.outcome]}`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="coremlx gate" ${counts}>`,
    `  <testsuite name="${xml(title)}" timestamp="${xml(judgedAt)}" ${counts}>`,
    ...cases,
    "  </testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}

function endOf({ status, waiver, isRequired }: GateLine): "passed" | "failure" | "skipped" {
  if (waiver !== null) return "skipped";
  if (status === "pass") return "passed";
  return status === "fail" || isRequired ? "failure" : "skipped";
}

function measuredText(line: GateLine): string {
  const waiver =
    line.waiver === null
      ? ""
      : `waived by ${line.waiver.name} until ${line.waiver.expires}: ${line.waiver.reason}; `;
  const value = line.value === null ? line.status : formatFigure(line.value, line.unit);
  return `${waiver}${value}, must be ${describeLimit(line)}: `;
}

/** Characters that XML forbids altogether go too. */
function xml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&apos;",
  };
  return text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "?")
    .replaceAll(/[&<>"']/g, (mark) => entities[mark] ?? "");
}

const icons = { pass: "✅", fail: "❌", incomplete: "⚠️" } as const;

/** GitHub's Markdown: the verdict, what is not green, and the rest folded away. */
export function formatMarkdown(result: GateResult): string {
  const { verdict, profile, lines, waivers, refused } = result;
  const isGreen = ({ status, waiver }: GateLine) => status === "pass" && waiver === null;
  const open = lines.filter((line) => !isGreen(line));
  const green = lines.filter(isGreen);
  return [
    `## ${icons[verdict.outcome]} ${cell(profile.title)} ${outcomes[verdict.outcome]}`,
    "",
    `${verdict.passed} of ${verdict.lines} lines pass${verdict.reasons.map((reason) => ` · ${cell(reason)}`).join("")}`,
    "",
    ...waivers.map(
      (one) =>
        `> **Waived** ${cell(one.criterion)}${one.place === undefined ? "" : ` at ${one.place}`} by ${cell(one.name)} until ${one.expires} (${one.state}): ${cell(one.reason)}\n`,
    ),
    ...(open.length === 0 ? [] : [...rows(open), ""]),
    ...(green.length === 0
      ? []
      : [`<details><summary>${green.length} lines pass</summary>`, "", ...rows(green), "", "</details>", ""]),
    ...(refused.length === 0
      ? []
      : [
          "Refused evidence:",
          "",
          ...refused.map(({ file, reason }) => `- ${cell(file)}: ${cell(reason)}`),
          "",
        ]),
  ].join("\n");
}

function rows(lines: readonly GateLine[]): string[] {
  return [
    "| | where | what | measured | must be | |",
    "|---|---|---|---:|---|---|",
    ...lines.map((line) => {
      const status = line.waiver === null ? line.status : "waived";
      const value = line.value === null ? "" : formatFigure(line.value, line.unit);
      return `| ${[status, line.place, line.title, value, describeLimit(line), line.detail].map(cell).join(" | ")} |`;
    }),
  ];
}

/** Text of files, that must not become markup or end its cell. */
function cell(text: string): string {
  return plainLine(text)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(/[|\\`*_[\]]/g, (mark) => `\\${mark}`);
}
