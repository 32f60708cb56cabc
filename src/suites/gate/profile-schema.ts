// The form of a profile: what must hold before a release, as data. Profiles of users come from TOML and have the same form.

import { type Static, Type } from "@sinclair/typebox";
import { record } from "../schema-parts.ts";

const text = (description?: string) =>
  Type.String({ minLength: 1, maxLength: 1_000, ...(description === undefined ? {} : { description }) });

const oneOf = <const T extends string>(words: readonly T[], description?: string) =>
  Type.Union(
    words.map((word) => Type.Literal(word)),
    description === undefined ? {} : { description },
  );

export const sourceNames = [
  "bench",
  "outputs",
  "soak",
  "matrix",
  "parity",
  "tests",
  "coverage",
  "sanitizers",
  "handles",
  "crash-reports",
] as const;
export const sourceName = oneOf(sourceNames, "what made the raw data");
export type SourceName = Static<typeof sourceName>;

/** `any`: whatever machine it is, by an engine of its own. `mac`: a Mac of any chip; a virtual one is none. */
export const placeNames = ["any", "linux", "mac", "m1", "m2", "m3", "m4", "m5"] as const;
export const placeName = oneOf(placeNames, "where it must be measured");
export type PlaceName = Static<typeof placeName>;

export const comparisons = ["<", "<=", "==", ">=", ">"] as const;
export type Comparison = (typeof comparisons)[number];

export const sha256 = Type.String({ pattern: "^[0-9a-f]{64}$", description: "SHA-256, in hexadecimal" });
/** Also the stem of a file name. */
export const identifier = Type.String({ pattern: "^[a-z0-9][a-z0-9-]{0,63}$" });

const criterion = Type.Object(
  {
    id: identifier,
    group: Type.Optional(text("criteria of one group stand together")),
    title: text(),
    source: sourceName,
    metric: identifier,
    model: Type.Optional(text("a name in models; without it any model will do")),
    chips: Type.Optional(
      Type.Array(text(), {
        description: "families, such as M3: what was measured on another cannot be compared",
        minItems: 1,
        maxItems: 100,
      }),
    ),
    comparison: oneOf(comparisons),
    limit: Type.Number(),
    unit: text(),
    evidence: Type.Optional(
      Type.Array(identifier, {
        description: "names of the evidence files that may show it; without it any of that source",
        minItems: 1,
        maxItems: 100,
      }),
    ),
    places: Type.Array(placeName, { minItems: 1, maxItems: 10, uniqueItems: true }),
    minimumMs: Type.Optional(Type.Number({ minimum: 0, description: "a shorter measurement shows nothing" })),
    isPerformance: Type.Optional(
      Type.Boolean({
        description: "counts only from a machine on mains power, cool, not in low-power mode, not virtual",
      }),
    ),
  },
  record,
);
export type Criterion = Static<typeof criterion>;

export const gateProfile = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    name: identifier,
    title: text(),
    models: Type.Optional(
      Type.Record(identifier, Type.Object({ title: text(), digest: Type.Optional(sha256) }, record), {
        description: "models that criteria are bound to; nothing fits one whose digest is not known",
      }),
    ),
    criteria: Type.Array(criterion, { minItems: 1, maxItems: 1_000 }),
  },
  { ...record, title: "Profile of coremlx gate" },
);
export type GateProfile = Static<typeof gateProfile>;
