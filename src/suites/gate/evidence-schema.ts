// The form of an evidence file: what ran, where, when and how it ended, and the digest of the raw data beside it. Figures are
// taken from the raw data each time, never from here.

import { type Static, Type } from "@sinclair/typebox";
import { environment, nullable, record } from "../schema-parts.ts";
import { identifier, sha256, sourceName } from "./profile-schema.ts";

const text = Type.String({ maxLength: 10_000 });
const time = Type.String({
  maxLength: 40,
  pattern: "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?Z$",
  description: "ISO 8601, UTC",
});

export const evidenceSchema = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("evidence"),
    name: identifier,
    source: sourceName,
    binary: Type.Object(
      { sha256, version: text, commit: nullable(text) },
      { ...record, description: "the executable that ran, or that was built from what was tested" },
    ),
    profile: Type.String({ maxLength: 64, description: "of the gate it was collected for" }),
    command: Type.Array(text, { maxItems: 1_000 }),
    startedAt: time,
    endedAt: time,
    exitCode: Type.Integer({ minimum: -1, maximum: 255 }),
    environment,
    models: Type.Array(Type.Object({ name: text, digest: Type.String({ maxLength: 128 }) }, record), {
      maxItems: 1_000,
    }),
    engines: Type.Array(Type.Object({ name: text, version: text, device: text }, record), {
      maxItems: 1_000,
      description: "that answered; none where nothing was predicted",
    }),
    origin: Type.Union([Type.Literal("run"), Type.Literal("added")], {
      description: "run: by the gate itself; added: a file of somebody who says how it came about",
    }),
    isSynthetic: Type.Boolean({ description: "made up for a test: never counts" }),
    raw: Type.Object(
      {
        file: Type.String({
          maxLength: 255,
          pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$",
          description: "beside this file",
        }),
        sha256,
      },
      record,
    ),
  },
  { ...record, title: "Evidence for coremlx gate" },
);
export type EvidenceFile = Static<typeof evidenceSchema>;
