// The report of a gate, for whoever signs it: the verdict, who answers for what is waived, what is not green, then every line with
// its evidence.

import { formatCount } from "../../core/quantity.ts";
import { describeLimit, formatFigure } from "../../suites/gate/figures.ts";
import type { AcceptedEvidence, GateLine, GateResult } from "../../suites/gate/result-schema.ts";
import type { Cell, Report, Section, Table, Tone } from "../document.ts";
import { describeMachine, formatMoment } from "../environment.ts";

const verdicts = {
  pass: { tone: "good", word: "PASS", reason: "Every line holds" },
  fail: { tone: "bad", word: "FAIL", reason: "Do not deploy" },
  incomplete: { tone: "doubt", word: "INCOMPLETE", reason: "Not shown yet" },
} as const;

export function describeGate(result: GateResult): Report {
  const { profile, judgedAt, binaries, verdict, environment, signedOffBy } = result;
  const { tone, word, reason } = verdicts[verdict.outcome];
  const { lines } = result;
  const open = lines.filter(({ status, waiver }) => status === "not measured" && waiver === null);
  const signed = signedOffBy === null ? "Not signed off" : `Signed off by ${signedOffBy}`;
  return {
    title: profile.title,
    subtitles: [
      `${signed} · ${formatMoment(judgedAt)}`,
      `Executables judged: ${binaries.map((sha256) => sha256.slice(0, 12)).join(", ")}`,
      ...describeMachine(environment).map((line, index) => (index === 0 ? `Judged on ${line}` : line)),
    ],
    verdict: { tone, word, reason: [reason, ...verdict.reasons].join(" · ") },
    warnings: findWarnings(result),
    sections: [
      { title: "At a glance", blocks: [{ kind: "facts", items: countLines(result) }] },
      ...section(
        "Failed",
        measuredTable,
        lines.filter(({ status, waiver }) => status === "fail" && waiver === null),
      ),
      ...section(
        "Waived",
        measuredTable,
        lines.filter(({ waiver }) => waiver !== null),
      ),
      ...section(
        "Not measured",
        openTable,
        open.filter(({ isRequired }) => isRequired),
      ),
      ...section("Pass", measuredTable, lines.filter(isGreen)),
      ...section(
        "Not measured, and not required",
        openTable,
        open.filter(({ isRequired }) => !isRequired),
      ),
      evidenceSection(result.evidence),
      ...(result.refused.length === 0 ? [] : [refusedSection(result)]),
      { title: "Sign-off", blocks: [{ kind: "facts", items: signOff(result) }] },
    ],
  };
}

function isGreen({ status, waiver }: GateLine): boolean {
  return status === "pass" && waiver === null;
}

function findWarnings({ waivers, required, evidence }: GateResult): string[] {
  const synthetic = evidence.filter(({ isSynthetic }) => isSynthetic).length;
  return [
    ...waivers.map(({ criterion, place, name, expires, state, reason }) => {
      const where = place === undefined ? "" : ` at ${place}`;
      return `Waived: ${criterion}${where}, by ${name}, until ${expires} (${state}): ${reason}`;
    }),
    ...(required === "all"
      ? []
      : ["Only what Linux can measure was required: this is no verdict about a Mac"]),
    ...(synthetic === 0 ? [] : [`${synthetic} of the evidence files were made up for a test`]),
  ];
}

function countLines({ lines, evidence }: GateResult) {
  const count = (keep: (line: GateLine) => boolean) => lines.filter(keep).length;
  const failed = count(({ status, waiver }) => status === "fail" && waiver === null);
  const open = count(({ status, waiver }) => status === "not measured" && waiver === null);
  const waived = count(({ waiver }) => waiver !== null);
  const tone = (number: number, bad: Tone) => (number === 0 ? {} : { tone: bad });
  return [
    { name: "Pass", value: `${count(isGreen)} of ${lines.length} lines`, tone: "good" as const },
    { name: "Fail", value: `${failed} lines`, ...tone(failed, "bad") },
    { name: "Not measured", value: `${open} lines`, ...tone(open, "doubt") },
    { name: "Waived", value: `${waived} lines`, ...tone(waived, "doubt") },
    { name: "Evidence", value: `${formatCount(evidence.length)} files` },
  ];
}

function section(
  title: string,
  draw: (lines: readonly GateLine[]) => Table,
  lines: readonly GateLine[],
): readonly Section[] {
  return lines.length === 0 ? [] : [{ title: `${title} (${lines.length})`, blocks: [draw(lines)] }];
}

function measuredTable(lines: readonly GateLine[]): Table {
  return {
    kind: "table",
    columns: [
      { title: "What" },
      { title: "Where" },
      { title: "Measured", isNumber: true },
      { title: "Must be", isNumber: true },
      { title: "How" },
    ],
    rows: lines.map((line) => [
      titleOf(line),
      placeText(line.place),
      {
        text: line.value === null ? line.status : formatFigure(line.value, line.unit),
        tone: tones[line.status],
      },
      describeLimit(line),
      line.detail,
    ]),
  };
}

const tones = { pass: "good", fail: "bad", "not measured": "doubt" } as const;

/** A criterion is one row, wherever it is missing: a reader wants to know what has still to be done. */
function openTable(lines: readonly GateLine[]): Table {
  const criteria = [...new Set(lines.map(({ criterion }) => criterion))];
  return {
    kind: "table",
    columns: [{ title: "What" }, { title: "Where" }, { title: "Must be", isNumber: true }, { title: "Why" }],
    rows: criteria.flatMap((id) => {
      const own = lines.filter(({ criterion }) => criterion === id);
      const [first] = own;
      if (first === undefined) return [];
      const where: Cell = { text: own.map(({ place }) => placeText(place)).join(", "), tone: "doubt" };
      return [
        [
          titleOf(first),
          where,
          describeLimit(first),
          [...new Set(own.map(({ detail }) => detail))].join("; "),
        ],
      ];
    }),
  };
}

function titleOf({ title, model }: GateLine): string {
  return model === null ? title : `${title} (${model.title})`;
}

function placeText(place: GateLine["place"]): string {
  const names: Readonly<Record<GateLine["place"], string>> = {
    any: "anywhere",
    linux: "Linux",
    mac: "Mac",
    m1: "M1",
    m2: "M2",
    m3: "M3",
    m4: "M4",
    m5: "M5",
  };
  return names[place];
}

function evidenceSection(evidence: readonly AcceptedEvidence[]): Section {
  if (evidence.length === 0) {
    return { title: "Evidence", blocks: [{ kind: "text", text: "There is none.", tone: "doubt" }] };
  }
  const table: Table = {
    kind: "table",
    columns: ["File", "Measured on", "Ended, UTC", "Executable", "Commit", "Raw data"].map((title) => ({
      title,
    })),
    rows: evidence.map(({ file, machine, endedAt, binary, commit, rawSha256, origin }) => [
      `${file}${origin === "added" ? " (added)" : ""}`,
      machine,
      endedAt.slice(0, 16).replace("T", " "),
      binary.slice(0, 12),
      commit?.slice(0, 12) ?? "from source",
      rawSha256.slice(0, 12),
    ]),
  };
  return { title: "Evidence", blocks: [table] };
}

function refusedSection({ refused }: GateResult): Section {
  const table: Table = {
    kind: "table",
    columns: [{ title: "File" }, { title: "Why" }],
    rows: refused.map(({ file, reason }) => [file, { text: reason, tone: "doubt" }]),
  };
  return { title: "Refused evidence", blocks: [table] };
}

function signOff({ signedOffBy, judgedAt, profile, maxAgeMs, required }: GateResult) {
  return [
    {
      name: "Signed off by",
      value: signedOffBy ?? "nobody",
      ...(signedOffBy === null && { tone: "doubt" as const }),
    },
    { name: "On", value: formatMoment(judgedAt) },
    { name: "Profile", value: profile.name, note: profile.sha256.slice(0, 12) },
    { name: "Lines required", value: required === "all" ? "all" : "those of Linux" },
    { name: "Oldest evidence", value: `${Number((maxAgeMs / 86_400_000).toPrecision(3))} days` },
  ];
}
