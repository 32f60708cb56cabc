// The form of a gate's result: a verdict, the lines behind it, and the evidence behind each line.

import { type Static, Type } from "@sinclair/typebox";
import { count, environment, ms, nullable, record } from "../schema-parts.ts";
import { comparisons, placeName, sha256, sourceName } from "./profile-schema.ts";
import { waiver } from "./waivers.ts";

const text = (description?: string) => Type.String(description === undefined ? {} : { description });
const oneOf = <const T extends string>(words: readonly T[], description?: string) =>
  Type.Union(
    words.map((word) => Type.Literal(word)),
    description === undefined ? {} : { description },
  );

export const lineStatuses = ["pass", "fail", "not measured"] as const;
export type LineStatus = (typeof lineStatuses)[number];

const line = Type.Object(
  {
    id: text("criterion@place"),
    criterion: text(),
    group: text(),
    title: text(),
    place: placeName,
    source: sourceName,
    model: nullable(Type.Object({ title: text(), digest: nullable(text()) }, record)),
    comparison: oneOf(comparisons),
    limit: Type.Number(),
    unit: text(),
    isRequired: Type.Boolean({ description: "missing, it makes the verdict incomplete" }),
    status: oneOf(lineStatuses),
    value: nullable(Type.Number({ description: "the worst of its evidence" })),
    detail: text(),
    evidence: Type.Array(text(), { description: "files that counted, the deciding one first" }),
    waiver: nullable(waiver),
  },
  record,
);
export type GateLine = Static<typeof line>;

const accepted = Type.Object(
  {
    file: text(),
    name: text(),
    source: sourceName,
    places: Type.Array(placeName),
    binary: sha256,
    commit: nullable(text()),
    endedAt: text(),
    exitCode: Type.Integer(),
    machine: text(),
    origin: text(),
    isSynthetic: Type.Boolean(),
    rawSha256: sha256,
  },
  record,
);
export type AcceptedEvidence = Static<typeof accepted>;

export const gateVerdict = Type.Object(
  {
    outcome: oneOf(["pass", "fail", "incomplete"]),
    reasons: Type.Array(text()),
    failed: Type.Array(text("a line's id")),
    incomplete: Type.Array(text("a line's id")),
    waived: Type.Array(text("a line's id")),
    passed: count(),
    lines: count(),
  },
  record,
);
export type GateVerdict = Static<typeof gateVerdict>;

export const gateResult = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("gate"),
    judgedAt: text("ISO 8601, UTC"),
    environment: Type.Object(environment.properties, {
      ...record,
      description: "of the machine that judged",
    }),
    profile: Type.Object({ name: text(), title: text(), sha256 }, record),
    binaries: Type.Array(sha256),
    required: oneOf(["all", "linux"]),
    maxAgeMs: ms(),
    signedOffBy: nullable(text()),
    verdict: gateVerdict,
    waivers: Type.Array(
      Type.Object({ ...waiver.properties, state: oneOf(["in force", "expired", "not needed"]) }, record),
    ),
    lines: Type.Array(line),
    evidence: Type.Array(accepted),
    refused: Type.Array(Type.Object({ file: text(), reason: text(), isSynthetic: Type.Boolean() }, record)),
  },
  { ...record, title: "Result of coremlx gate" },
);
export type GateResult = Static<typeof gateResult>;
