// What a soak keeps so that it can go on after an interruption: everything counted so far, as JSON.

import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { CoremlxError } from "../../core/errors.ts";
import { count, ms, nullable, record } from "../schema-parts.ts";
import { block, configuration, failures, faults, notes, poolCounts, processes, window } from "./schema.ts";

const modelState = Type.Object(
  {
    path: Type.String(),
    name: Type.String(),
    digest: Type.String(),
    engineVersion: Type.String(),
    device: Type.String(),
    referenceDigest: Type.String({ description: "of answers that are the same to the bit; else empty" }),
    completed: count(),
    failed: count(),
    wrong: count(),
    failures,
    /** A QuantileHistogram's, which checks itself. */
    latency: Type.Unknown(),
    pool: nullable(poolCounts),
  },
  record,
);

/** A week of windows of a minute. */
const mostSpans = 20_000;

const checkpoint = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("soak-checkpoint"),
    startedAt: Type.String(),
    configuration,
    elapsedMs: ms(),
    unsent: count(),
    peakBytes: count(),
    processes,
    models: Type.Array(modelState, { minItems: 1 }),
    faults,
    oddFaults: notes,
    wrongAnswers: notes,
    windows: Type.Array(window, { maxItems: mostSpans }),
    blocks: Type.Array(block, { maxItems: mostSpans }),
  },
  record,
);
export type SoakCheckpoint = Static<typeof checkpoint>;

/** Throws BAD_INPUT for anything no soak has written. */
export function parseCheckpoint(text: string, source: string): SoakCheckpoint {
  const value = parseJson(text, source);
  const checker = TypeCompiler.Compile(checkpoint);
  if (!checker.Check(value)) {
    const first = checker.Errors(value).First();
    throw bad(source, `${first?.path || "the document"}: ${first?.message}`);
  }
  const odd = [...value.windows, ...value.blocks].find(({ models }) => models.length !== value.models.length);
  if (odd !== undefined)
    throw bad(source, `${odd.models.length} models where there are ${value.models.length}`);
  return value;
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw bad(source, error instanceof Error ? error.message : String(error));
  }
}

function bad(source: string, why: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `Cannot continue the soak of "${source}": ${why}`, {
    hint: "Begin a new soak",
    details: { source },
  });
}
