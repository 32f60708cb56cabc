// What becomes of result files: whole pages, Markdown, charts, and words for what is no result.

import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chartsOf, type Report } from "../../../src/report/document.ts";
import { renderMarkdown } from "../../../src/report/markdown.ts";
import { readReport, renderReport } from "../../../src/report/report.ts";
import { drawFile } from "../../../src/report/svg.ts";
import { benchResult } from "../../support/bench-result.ts";
import { errorOf } from "../../support/codec-fixtures.ts";
import { attack } from "../../support/hostile-model.ts";
import { parityResult } from "../../support/parity-result.ts";
import { soakResult } from "../../support/soak-result.ts";

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const reportOf = (value: unknown): Report => readReport(encode(value), "a.json").report;
const results = { bench: benchResult, soak: soakResult, parity: parityResult };

/** A copy in which every text is the attack, where the schema lets texts be free. */
function poison(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(poison);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const isFree = ["name", "path", "model", "system", "message", "detail", "version", "digest"].includes(
        key,
      );
      return [key, isFree && typeof inner === "string" ? `${attack}${key}` : poison(inner)];
    }),
  );
}

describe.each(Object.entries(results))("a %s", (kind, result) => {
  test("becomes a page that needs no network and lets nothing run but its own script", async () => {
    const report = reportOf(result);
    const page = await renderReport(report);
    expect(page).toStartWith("<!doctype html>");
    expect(page.match(/\b(?:src|href|action)="(?!data:|#)[^"]*"/g)).toBeNull();
    const script = [...page.matchAll(/<script>([^]*?)<\/script>/g)].map(([, text = ""]) => text);
    const style = [...page.matchAll(/<style>([^]*?)<\/style>/g)].map(([, text = ""]) => text);
    const hash = (text: string) => `&#39;sha256-${createHash("sha256").update(text).digest("base64")}&#39;`;
    const hasLines = chartsOf(report).some((chart) => chart.kind === "lines");
    expect(script).toHaveLength(hasLines ? 1 : 0); // the other charts are drawn already
    const policy = page.match(/Content-Security-Policy" content="([^"]*)"/)?.[1] ?? "";
    expect(policy.split("; ").slice(0, 3)).toEqual([
      "default-src &#39;none&#39;",
      `style-src ${hash(style[0] ?? "")}`,
      `script-src ${hasLines ? hash(script[0] ?? "") : "&#39;none&#39;"}`,
    ]);
  });

  test("cannot put markup into the page, the Markdown or a chart", async () => {
    const report = reportOf(poison(result));
    const page = (await renderReport(report)).replaceAll(/<script[^]*?<\/script>/g, "");
    expect(page).not.toMatch(/<img|onerror=["']/);
    expect(renderMarkdown(report)).not.toContain("<");
    for (const chart of chartsOf(report)) expect(drawFile(chart)).not.toContain("<img");
  });

  test("has charts that are XML, with a name each, and every number is one", () => {
    const charts = chartsOf(reportOf(result));
    expect(new Set(charts.map(({ id }) => id)).size).toBe(charts.length);
    for (const chart of charts) {
      expect(chart.id).toMatch(/^[a-z0-9-]+$/);
      const svg = drawFile(chart);
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
      expect(unclosedTags(svg)).toEqual([]);
    }
  });

  test("of another form is refused with the place", () => {
    const error = errorOf(() => reportOf({ ...result, startedAt: 4 }));
    expect(error).toMatchObject({ code: "BAD_INPUT", details: { path: "/startedAt" } });
    expect(error.message).toStartWith(`Cannot read "a.json" as a ${kind} result: /startedAt: `);
  });
});

test("a soak's verdict, figures and limits are said with their units", () => {
  const text = renderMarkdown(reportOf(soakResult));
  for (const line of [
    "# Soak of Digits",
    "**PASSED** · 1 of 2 criteria judged, none failed; 1 not measured",
    "> The machine ran on its battery",
    "- Rate: **1.67 answers/s**",
    "- Memory growth: **+9.0 MB** (slope +60.0 MB/h, 95 %: -1.0 MB to +121 MB)",
    "| memory growth | pass | +9.0 MB | +50.0 MB | median of the last tenth |",
    "| p99 of the worst window of Digits | not measured | not measured | 25 ms |  |",
    "| 5 min 00 s | 100 | 10 ms | 20 ms | 30 ms | 100 MB |  |",
  ]) {
    expect(text.split("\n")).toContain(line);
  }
});

test("a void block of a soak is a gap in the line", () => {
  const chart = chartsOf(reportOf(soakResult)).find(({ id }) => id === "latency-0");
  if (chart?.kind !== "lines") throw new Error("no line chart");
  expect(chart.x).toEqual({ label: "measured time", unit: "min", values: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] });
  expect(chart.series[1]?.values).toEqual([20, 21, null, 23, 24, 25, 26, 27, 28, 29]);
  expect(chart.limit?.at).toBe(25);
});

test("a soak that failed says for what, and shows what was wrong", () => {
  const note = { model: "Digits", atMs: 1_500, input: 3, difference: "one bit" };
  const text = renderMarkdown(
    reportOf({
      ...soakResult,
      wrongAnswers: [note],
      verdict: {
        outcome: "fail",
        criteria: soakResult.verdict.criteria.map((row) => ({ ...row, status: "fail" })),
      },
    }),
  );
  expect(text).toContain("**FAILED** · for memory growth, p99 of the worst window of Digits");
  expect(text).toContain("| wrong answer | Digits | 1.5 s | 3 | one bit |");
});

test("a bench that was interrupted before it measured still has its cold start", async () => {
  const report = reportOf({ ...benchResult, steady: null, isInterrupted: true });
  expect(report.warnings).toEqual(["Interrupted: these are the figures up to then"]);
  expect(report.sections.map(({ title }) => title)).toEqual(["Cold start", "Machine", "What was measured"]);
  const page = await renderReport(report);
  expect(page).toContain("script-src &#39;none&#39;");
});

test.each([
  ["", "it is empty"],
  ["{", "it is not JSON: "],
  ["\u00ff", "it is not JSON: "],
  ["[1]", "it is a list"],
  ["4", "it is 4"],
  ["{}", 'it has no "kind"'],
  ['{"kind":"toString"}', 'its kind is "toString"'],
  ['{"error":{"code":"USAGE"}}', "it is the error of a command that failed"],
  ["[".repeat(250_000), "it is not JSON: "],
])("%.20p is no result, and the message says why", (text, why) => {
  const bytes = text === "\u00ff" ? new Uint8Array([0xff]) : new TextEncoder().encode(text);
  const error = errorOf(() => readReport(bytes, "a.json"));
  expect(error.code).toBe("BAD_INPUT");
  expect(error.message).toStartWith(`Cannot make a report of "a.json": ${why}`);
  expect(error.hint).toContain("print with --json");
});

/** Names of elements that are opened and not closed, or closed and not opened. */
function unclosedTags(xml: string): string[] {
  const open: string[] = [];
  for (const [, end, name = "", self] of xml.matchAll(/<(\/?)([a-z]+)(?:\s[^>]*?)?(\/?)>/g)) {
    if (self === "/") continue;
    if (end === "") open.push(name);
    else if (open.pop() !== name) return [name];
  }
  return open;
}

test("a comparison says what is too far apart, and where the two part", () => {
  const { verdict, sections } = reportOf(parityResult);
  expect(verdict).toEqual({
    tone: "bad",
    word: "FAIL",
    reason: "logits: error as a share of the range 0.046, at most 0.02 allowed",
  });
  const texts = sections.flatMap(({ blocks }) =>
    blocks.flatMap((block) => (block.kind === "text" ? [block.text] : [])),
  );
  expect(texts).toContain(
    'They part at conv "out_17" (main, operation 137 of 462): 0.0118 of its range, 0.0098 before it.',
  );
});
