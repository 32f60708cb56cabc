// The verdict: each criterion at each of its places against all evidence there is. The worst evidence decides a line, so that
// neither order nor repetition can turn a failure into a pass.

import { type Evidence, familyOf, type Refusal } from "./evidence.ts";
import type { Comparison, Criterion, GateProfile, PlaceName } from "./profile-schema.ts";
import type { GateLine, GateResult, GateVerdict } from "./result-schema.ts";
import { hasExpired, type Waiver } from "./waivers.ts";

export interface Case {
  readonly profile: GateProfile;
  readonly evidence: readonly Evidence[];
  readonly refused: readonly Refusal[];
  readonly waivers: readonly Waiver[];
  /** Whose lines must be there: everybody's, or only what Linux can measure. A failure counts in either case. */
  readonly required: "all" | "linux";
  readonly nowMs: number;
  /** Only tests may: without it nothing passes while there is synthetic evidence. */
  readonly allowSynthetic?: boolean | undefined;
}

export type Judgement = Pick<GateResult, "verdict" | "lines" | "waivers" | "refused">;

export function judgeGate(given: Case): Judgement {
  const { profile, waivers, nowMs, refused } = given;
  const lines = profile.criteria.flatMap((criterion) =>
    criterion.places.map((place) => judgeLine(criterion, place, given)),
  );
  return {
    verdict: reachVerdict(lines, given),
    lines,
    waivers: waivers.map((one) => {
      const isUsed = lines.some((line) => line.waiver === one);
      return { ...one, state: hasExpired(one, nowMs) ? "expired" : isUsed ? "in force" : "not needed" };
    }),
    refused: refused.toSorted((a, b) => compareText(a.file, b.file)),
  };
}

interface Shown {
  readonly evidence: Evidence;
  readonly value: number;
  readonly detail: string;
  readonly isGood: boolean;
}

function judgeLine(criterion: Criterion, place: PlaceName, given: Case): GateLine {
  const { id, group, title, source, comparison, limit, unit } = criterion;
  const { profile, required, waivers, nowMs } = given;
  const bound = criterion.model === undefined ? undefined : profile.models?.[criterion.model];
  const line = {
    id: `${id}@${place}`,
    criterion: id,
    group: group ?? profile.title,
    title,
    place,
    source,
    model: bound === undefined ? null : { title: bound.title, digest: bound.digest ?? null },
    comparison,
    limit,
    unit,
    isRequired: required === "all" || place === required || place === "any",
  };
  const { shown, excuses } = weigh(criterion, place, given);
  const worst = shown[0];
  const status = worst === undefined ? "not measured" : worst.isGood ? "pass" : "fail";
  const waiver = waivers.find(
    (one) =>
      one.criterion === id && (one.place === undefined || one.place === place) && !hasExpired(one, nowMs),
  );
  return {
    ...line,
    status,
    value: worst?.value ?? null,
    detail: worst?.detail ?? (excuses.join("; ") || `no evidence of ${source} at ${place}`),
    evidence: shown.map(({ evidence }) => evidence.file),
    waiver: status === "pass" ? null : (waiver ?? null),
  };
}

/** The worst first. */
function weigh(
  criterion: Criterion,
  place: PlaceName,
  { evidence, profile }: Case,
): { readonly shown: readonly Shown[]; readonly excuses: readonly string[] } {
  const excuses = new Set<string>();
  const bound = criterion.model === undefined ? undefined : profile.models?.[criterion.model];
  if (criterion.model !== undefined && bound?.digest === undefined) {
    const name = bound?.title ?? criterion.model;
    return {
      shown: [],
      excuses: [`the digest of ${name} is not known: bind it with --bind ${criterion.model}=…`],
    };
  }
  const shown = evidence.flatMap((one): Shown[] => {
    const { envelope, findings, places } = one;
    if (envelope.source !== criterion.source) return [];
    if (criterion.evidence && !criterion.evidence.includes(envelope.name)) return [];
    const excuse = places.includes(place) ? excuseOf(one, criterion) : one.excuse;
    const reading = findings.measures[criterion.metric]?.(bound?.digest);
    if (!places.includes(place) || excuse !== undefined) {
      if (excuse !== undefined) excuses.add(`${envelope.name}: ${excuse}`);
      return [];
    }
    if (reading === undefined || typeof reading === "string") {
      excuses.add(`${envelope.name}: ${reading ?? "it has no such figure"}`);
      return [];
    }
    const isGood = holds(reading.value, criterion.comparison, criterion.limit);
    return [{ evidence: one, ...reading, isGood }];
  });
  return {
    shown: shown.toSorted((a, b) => compareShown(a, b, criterion)),
    excuses: [...excuses].toSorted(compareText),
  };
}

function excuseOf({ envelope, findings, doubt }: Evidence, criterion: Criterion): string | undefined {
  const { minimumMs, chips } = criterion;
  const chip = envelope.environment.device.chip ?? "an unknown chip";
  if (chips && !chips.some((family) => familyOf(chip) === family))
    return `not comparable: measured on ${chip}, and the baseline is of ${chips.join(", ")}`;
  if (criterion.isPerformance && doubt !== undefined) return doubt;
  if (minimumMs === undefined) return undefined;
  const lasted = findings.durationMs ?? 0;
  // An hour that a clock calls 3,599.99 s is one.
  if (lasted >= minimumMs * 0.9999) return undefined;
  const minutes = (ms: number) => Number((ms / 60_000).toFixed(1));
  return `it lasted ${minutes(lasted)} minutes, and takes ${minutes(minimumMs)}`;
}

export function holds(value: number, comparison: Comparison, limit: number): boolean {
  const tests: Readonly<Record<Comparison, boolean>> = {
    "<": value < limit,
    "<=": value <= limit,
    "==": value === limit,
    ">=": value >= limit,
    ">": value > limit,
  };
  return tests[comparison];
}

/** Failures first, then the worse value, then by name: the same order whatever order they came in. */
function compareShown(a: Shown, b: Shown, { comparison, limit }: Criterion): number {
  if (a.isGood !== b.isGood) return a.isGood ? 1 : -1;
  const badness = (value: number) => {
    if (comparison === "==") return Math.abs(value - limit);
    return comparison.startsWith("<") ? value : -value;
  };
  const identity = ({ file, envelope }: Evidence) => `${file}/${envelope.raw.sha256}`;
  return badness(b.value) - badness(a.value) || compareText(identity(a.evidence), identity(b.evidence));
}

function reachVerdict(lines: readonly GateLine[], given: Case): GateVerdict {
  const idsOf = (keep: (line: GateLine) => boolean) => lines.filter(keep).map(({ id }) => id);
  const failed = idsOf(({ status, waiver }) => status === "fail" && waiver === null);
  const incomplete = idsOf(
    ({ status, waiver, isRequired }) => status === "not measured" && waiver === null && isRequired,
  );
  const waived = idsOf(({ waiver }) => waiver !== null);
  const passed = lines.filter(({ status }) => status === "pass").length;
  const doubts = findDoubts(given, passed);
  const isComplete = incomplete.length === 0 && doubts.length === 0;
  return {
    outcome: failed.length > 0 ? "fail" : isComplete ? "pass" : "incomplete",
    reasons: [
      ...(failed.length > 0 ? [`${many(failed.length, "line")} failed`] : []),
      ...(incomplete.length > 0 ? [`${many(incomplete.length, "line")} not measured`] : []),
      ...doubts,
      ...(waived.length > 0 ? [`${many(waived.length, "line")} waived`] : []),
      ...describeScope(lines, given),
    ],
    failed,
    incomplete,
    waived,
    passed,
    lines: lines.length,
  };
}

/** What keeps a verdict from being a pass, whatever the lines say. */
function findDoubts({ evidence, refused, allowSynthetic }: Case, passed: number): string[] {
  const synthetic = [...refused, ...evidence.map(({ envelope }) => envelope)].filter(
    ({ isSynthetic }) => isSynthetic,
  ).length;
  const commits = new Set(evidence.map(({ envelope }) => envelope.binary.commit));
  return [
    ...(synthetic > 0 && allowSynthetic !== true
      ? [`${many(synthetic, "evidence file")} made up for a test: nothing passes beside them`]
      : []),
    ...(commits.size > 1 ? [`the evidence is of ${commits.size} different commits`] : []),
    ...(passed === 0 ? ["nothing was shown to hold"] : []),
  ];
}

function describeScope(lines: readonly GateLine[], { required }: Case): string[] {
  if (required === "all") return [];
  const open = lines.filter(({ isRequired, status }) => !isRequired && status === "not measured").length;
  return [`only what Linux can measure was required: ${many(open, "other line")} not measured`];
}

function many(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** By code unit: the same everywhere. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
