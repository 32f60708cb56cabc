// The page of a gate: what a release manager sees first, and that nothing from a file becomes markup.

import { describe, expect, test } from "bun:test";
import { renderMarkdown } from "../../../src/report/markdown.ts";
import { describeGate } from "../../../src/report/pages/gate-page.ts";
import { readReport, renderReport } from "../../../src/report/report.ts";
import type { GateLine } from "../../../src/suites/gate/result-schema.ts";
import { gateLine, gateResultOf } from "../../support/gate-result.ts";
import { attack } from "../../support/hostile-model.ts";

const waiver = { criterion: "w", name: "Ann", reason: "known", expires: "2026-12-01" };
const failed: GateLine = { ...gateLine, id: "f@mac", place: "mac", status: "fail", value: 60e6 };
const missing: GateLine = { ...gateLine, id: "n@m1", place: "m1", status: "not measured", value: null };
const waived: GateLine = { ...failed, id: "w@mac", waiver };

describe("the page of a gate", () => {
  test("begins with the verdict, waivers, and what is not green", () => {
    const result = gateResultOf(
      [gateLine, failed, missing, { ...missing, id: "n@m2", place: "m2" }, waived],
      {
        signedOffBy: "R. Manager",
        waivers: [{ ...waiver, state: "in force" }],
      },
    );
    const report = describeGate(result);
    expect(report.title).toBe("Gate D: ready to deploy?");
    expect(report.subtitles[0]).toBe("Signed off by R. Manager · 24 November 2026, 12:00 UTC");
    expect(report.verdict).toMatchObject({ tone: "bad", word: "FAIL" });
    expect(report.warnings).toEqual(["Waived: w, by Ann, until 2026-12-01 (in force): known"]);
    expect(report.sections.map(({ title }) => title)).toEqual([
      "At a glance",
      "Failed (1)",
      "Waived (1)",
      "Not measured (2)",
      "Pass (1)",
      "Evidence",
      "Sign-off",
    ]);
    const [facts, bad, excused, open, good] = report.sections.map(({ blocks }) => blocks[0]);
    expect(facts).toMatchObject({
      items: [
        { name: "Pass", value: "1 of 5 lines" },
        { name: "Fail", value: "1 lines", tone: "bad" },
        { name: "Not measured", value: "2 lines", tone: "doubt" },
        { name: "Waived", value: "1 lines", tone: "doubt" },
        { name: "Evidence", value: "0 files" },
      ],
    });
    const row = (tone: string, text: string, place: string) => [
      gateLine.title,
      place,
      { text, tone },
      "< 50.0 MB",
      "fine",
    ];
    expect([bad, excused, good]).toMatchObject([
      { rows: [row("bad", "60.0 MB", "Mac")] },
      { rows: [row("bad", "60.0 MB", "Mac")] },
      { rows: [row("good", "10.0 MB", "Linux")] },
    ]);
    expect(open).toMatchObject({
      rows: [[gateLine.title, { text: "M1, M2", tone: "doubt" }, "< 50.0 MB", "fine"]],
    });
  });

  test("says what was not required, and what was made up", () => {
    const evidence = {
      file: "a",
      name: "soak",
      source: "soak" as const,
      places: ["linux" as const],
      binary: "ab".repeat(32),
      commit: null,
      endedAt: "2026-11-24T09:00:00.000Z",
      exitCode: 0,
      machine: "Example CPU",
      origin: "added",
      isSynthetic: true,
      rawSha256: "cd".repeat(32),
    };
    const report = describeGate(
      gateResultOf([gateLine, { ...missing, isRequired: false }], {
        required: "linux",
        evidence: [evidence],
      }),
    );
    expect(report.verdict).toMatchObject({ tone: "good", word: "PASS" });
    expect(report.sections.map(({ title }) => title)).toContain("Not measured, and not required (1)");
    expect(report.warnings).toEqual([
      "Only what Linux can measure was required: this is no verdict about a Mac",
      "1 of the evidence files were made up for a test",
    ]);
    expect(report.sections.find(({ title }) => title === "Evidence")?.blocks[0]).toMatchObject({
      rows: [["a (added)", "Example CPU", "2026-11-24 09:00", "abababababab", "from source", "cdcdcdcdcdcd"]],
    });
  });

  test("lets no text of a file become markup", async () => {
    const line = { ...failed, title: attack, detail: attack, group: attack };
    const result = gateResultOf([{ ...line, status: "pass" }, line], {
      signedOffBy: attack,
      waivers: [{ ...waiver, name: attack, reason: attack, state: "expired" }],
      refused: [{ file: attack, reason: attack, isSynthetic: false }],
    });
    const { report, kind } = readReport(new TextEncoder().encode(JSON.stringify(result)), "a.json");
    expect(kind).toBe("gate");
    expect(await renderReport(report)).not.toContain("<img");
    expect(renderMarkdown(report)).not.toContain("<");
  });
});
