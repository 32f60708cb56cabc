// What the gate measures by itself: what is chosen, and what it makes.

import { describe, expect, test } from "bun:test";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSession } from "../../../../src/runtime/session.ts";
import { judgeGate } from "../../../../src/suites/gate/judge.ts";
import { measureOutputs } from "../../../../src/suites/gate/measure-outputs.ts";
import { chooseRecipes, findCrashReports } from "../../../../src/suites/gate/recipes.ts";
import { readOutputs } from "../../../../src/suites/gate/sources/counts.ts";
import { admitAll, boundGateD, caseOf, greenEvidence } from "../../../support/gate-case.ts";
import { tempFolder } from "../../../support/temp.ts";

describe("what is measured", () => {
  const chosen = (evidence: Parameters<typeof caseOf>[0], places: readonly string[]) =>
    chooseRecipes(judgeGate(caseOf(evidence)).lines, boundGateD.criteria, ({ place }) =>
      places.includes(place),
    );

  test("is what is missing at this place, each once", () => {
    expect(chosen([], ["linux"])).toEqual(["bench", "bench-concurrent", "outputs", "soak", "parity"]);
    expect(chosen([], ["mac", "m2"])).toEqual([
      "bench",
      "bench-concurrent",
      "outputs",
      "soak",
      "parity",
      "crash-reports",
    ]);
    expect(chosen([], [])).toEqual([]);
  });

  test("is nothing that is there", () => {
    const green = admitAll(greenEvidence());
    expect(chosen(green, ["linux", "mac"])).toEqual([]);
    const noSoak = green.filter(({ envelope }) => envelope.source !== "soak");
    expect(chosen(noSoak, ["linux"])).toEqual(["soak"]);
  });
});

test("outputs beyond 10 MB are mapped and right, smaller ones travel inline", async () => {
  using folder = tempFolder();
  await using session = await openSession({
    engine: "portable",
    outputDir: join(folder.path, "outputs"),
    cache: false,
  });
  const raw = await measureOutputs(session, { folder: folder.path, device: "auto" });
  expect(raw.outputs).toHaveLength(16);
  expect(
    new Set(raw.outputs.map(({ byteLength, isMapped, isRight }) => `${byteLength} ${isMapped} ${isRight}`)),
  ).toEqual(new Set(["16777216 true true", "8192 false true"]));
  expect(readOutputs(raw, "a").measures["mapped-share"]?.(undefined)).toMatchObject({ value: 1 });
});

test("outputs that the session does not map are seen", async () => {
  using folder = tempFolder();
  const options = { engine: "portable", outputDir: join(folder.path, "outputs"), cache: false };
  await using session = await openSession({ ...options, maxInlineBytes: 100e6 });
  const raw = await measureOutputs(session, { folder: folder.path, device: "auto" });
  expect(readOutputs(raw, "a").measures["mapped-share"]?.(undefined)).toMatchObject({ value: 0 });
});

test("crash reports are those of coremlx, since it was built", () => {
  using folder = tempFolder();
  const reports = join(folder.path, "reports");
  mkdirSync(reports);
  for (const name of [
    "coremlx-2026-11-24-1.ips",
    "coremlx_2.crash",
    "coremlxtra.ips",
    "other.ips",
    "coremlx-old.ips",
  ])
    writeFileSync(join(reports, name), "{}");
  utimesSync(join(reports, "coremlx-old.ips"), 1_000, 1_000);
  const found = findCrashReports(1_000_001, [reports, join(folder.path, "missing")]);
  expect(found).toMatchObject({
    folders: [reports],
    since: "1970-01-01T00:16:40.001Z",
    reports: ["coremlx-2026-11-24-1.ips", "coremlx_2.crash"],
  });
});
