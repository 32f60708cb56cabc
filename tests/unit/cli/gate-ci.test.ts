// A verdict for people and for machines: text, JUnit XML, Markdown. What comes from files stays text in each of them.

import { describe, expect, test } from "bun:test";
import { formatJunit, formatMarkdown } from "../../../src/cli/gate-ci.ts";
import { formatGate } from "../../../src/cli/gate-text.ts";
import type { GateLine, GateResult } from "../../../src/suites/gate/result-schema.ts";
import { parseGateResult } from "../../../src/suites/schemas.ts";
import { readTests } from "../../../src/suites/gate/sources/tests.ts";
import { gateLine, gateResultOf } from "../../support/gate-result.ts";

const unpainted = (_: string, text: string) => text;
const nasty = `</testcase><script>alert("1")</script> | **bold** \u001b[31m \u0000 & 'x'`;
const lines: readonly GateLine[] = [
  gateLine,
  { ...gateLine, id: "b@mac", place: "mac", status: "fail", value: 60e6, detail: nasty, title: nasty },
  { ...gateLine, id: "c@mac", place: "mac", status: "not measured", value: null, detail: "no evidence" },
  {
    ...gateLine,
    id: "d@mac",
    place: "mac",
    status: "not measured",
    value: null,
    detail: "left out",
    isRequired: false,
  },
];
const result: GateResult = gateResultOf(lines);

test("a result of this form can be read again", () => {
  expect(parseGateResult(JSON.parse(JSON.stringify(result)), "a")).toEqual(result);
});

describe("JUnit XML", () => {
  test("has a case for every line: what is required and missing fails, what is not required is skipped", () => {
    const xml = formatJunit(result);
    expect(xml).toContain(
      '<testsuites name="coremlx gate" tests="4" failures="2" errors="0" skipped="1" time="0">',
    );
    expect(readTests(xml, "a").measures["failed"]?.(undefined)).toEqual({
      value: 2,
      detail: "1 passed, 2 failed, 1 skipped",
    });
  });

  test("escapes what comes from files", () => {
    const xml = formatJunit(result);
    expect(xml).toContain("&lt;/testcase&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;");
    expect(xml).not.toContain("<script>");
    expect(xml).not.toMatch(/\p{Cc}(?<!\n)/u);
  });
});

describe("Markdown", () => {
  test("begins with the verdict, then what is not green", () => {
    const text = formatMarkdown(result);
    expect(text.split("\n").slice(0, 3)).toEqual([
      "## ❌ Gate D: ready to deploy? FAIL",
      "",
      "1 of 4 lines pass · 1 line failed · 1 line not measured",
    ]);
    expect(text).toContain(
      "| not measured | mac | Memory grows by less than 50 MB |  | &lt; 50.0 MB | no evidence |",
    );
    expect(text).toContain("<details><summary>1 lines pass</summary>");
  });

  test("keeps what comes from files in its cell", () => {
    const text = formatMarkdown(result);
    expect(text).not.toContain("<script>");
    expect(text).not.toContain("**bold**");
    expect(text).not.toMatch(/\p{Cc}(?<!\n)/u);
    expect(text).toContain("\\| \\*\\*bold\\*\\*");
    const waived = gateResultOf(lines, {
      waivers: [{ criterion: "b", name: nasty, reason: nasty, expires: "2026-12-01", state: "in force" }],
    });
    expect(formatMarkdown(waived)).not.toContain("<script>");
  });
});

describe("the text", () => {
  test("says the verdict, then waivers, then every line with figure and limit", () => {
    const waivers = [
      { criterion: "b", name: "Ann", reason: "known", expires: "2026-12-01", state: "in force" as const },
    ];
    const refused = [{ file: "x.json", reason: "of another binary", isSynthetic: false }];
    const text = formatGate(gateResultOf(lines, { waivers, refused }), unpainted).split("\n");
    expect(text.slice(0, 6)).toEqual([
      "Gate D: ready to deploy?  FAIL",
      "1 of 4 lines pass · 1 line failed · 1 line not measured",
      "waived b by Ann until 2026-12-01 (in force): known",
      "",
      "One hour",
      expect.stringMatching(/^pass +linux +Memory grows by less than 50 MB +10\.0 MB +< 50\.0 MB +fine$/),
    ]);
    expect(text).toContain("  x.json: of another binary");
  });

  test("has no control characters from files", () => {
    expect(formatGate(result, unpainted)).not.toContain("\u001b");
  });
});
