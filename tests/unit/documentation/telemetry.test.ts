// docs/telemetry.md against the names in the code, and the names against their use.

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Glob } from "bun";
import { type EventDefinition, eventTable } from "../../../src/core/event-names.ts";
import { type MeterDefinition, meterTable } from "../../../src/core/meter-names.ts";

const root = resolve(import.meta.dir, "../../..");
const page = readFileSync(join(root, "docs/telemetry.md"), "utf8");

/** The rows of the table under a heading, without its head. */
function rowsUnder(heading: string): readonly string[] {
  const [, rest = ""] = page.split(`## ${heading}\n`);
  const [section = ""] = rest.split("\n## ");
  return section
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.slice(2, -2));
}

test("the page lists every event with its fields", () => {
  const rows = Object.entries<EventDefinition>(eventTable).map(([name, { help, fields }]) => {
    const list = Object.entries(fields).map(([field, meaning]) => `\`${field}\` ${meaning}`);
    return `\`${name}\` | ${help} | ${list.join("; ")}`;
  });
  expect(rowsUnder("Events")).toEqual(rows);
});

test("the page lists every metric with its kind and labels", () => {
  const rows = Object.entries<MeterDefinition>(meterTable).map(([name, { kind, scope, reasons, help }]) => {
    const labels = scope === "model" ? ["`model`", "`version`"] : [];
    const reason = reasons === undefined ? [] : [`\`reason\`: ${reasons.join(", ")}`];
    return `\`${name}\` | ${kind} | ${[...labels, ...reason].join(", ") || "none"} | ${help}`;
  });
  expect(rowsUnder("Metrics")).toEqual(rows);
});

test("every event is logged somewhere", async () => {
  const sources: string[] = [];
  for await (const file of new Glob("src/**/*.ts").scan(root)) {
    if (!file.endsWith("event-names.ts")) sources.push(readFileSync(join(root, file), "utf8"));
  }
  const code = sources
    .join("\n")
    .replaceAll("`quarantine ${change}`", '"quarantine entered" "quarantine released"');
  expect(Object.keys(eventTable).filter((name) => !code.includes(`"${name}"`))).toEqual([]);
});

test("fields that are amounts carry their unit or count what they name", () => {
  const plain = new Set([
    "kind",
    "model",
    "engine",
    "device",
    "isolation",
    "cache",
    "path",
    "reason",
    "code",
    "state",
    "share",
    "method",
    "status",
    "requestId",
    "traceparent",
  ]);
  const named =
    /(Ms|Bytes|Count|Threads|Code)$|^(ms|bytes|bytesPerPrediction|pid|signal|error|output|pool|key)$/;
  const counted = /^(instances|failures|predictions|folders|maxModels|library|acquiredAt)$/;
  const fields = Object.values<EventDefinition>(eventTable).flatMap((event) => Object.keys(event.fields));
  expect(fields.filter((field) => !plain.has(field) && !named.test(field) && !counted.test(field))).toEqual(
    [],
  );
});
