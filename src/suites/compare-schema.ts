// The form of a comparison of two configurations.

import { type Static, Type } from "@sinclair/typebox";
import { count, environment, interval, latency, load, ms, nullable, record } from "./schema-parts.ts";

const text = (description?: string) => Type.String(description === undefined ? {} : { description });

const side = Type.Object(
  {
    label: text("what sets it apart"),
    model: Type.Object({ path: text(), digest: text(), kind: text(), function: text() }, record),
    engine: Type.Object({ name: text(), version: text(), device: text("what really ran") }, record),
    latency: nullable(latency),
    throughputPerSecond: Type.Number({ minimum: 0 }),
    failed: count(),
  },
  record,
);
export type ComparedSide = Static<typeof side>;

const round = Type.Object(
  {
    p50Ms: Type.Tuple([ms(), ms(), ms(), ms()], {
      description: "of the blocks A, B, B, A, in order of time",
    }),
    throughputPerSecond: Type.Tuple([ms(), ms(), ms(), ms()]),
  },
  record,
);
export type ComparedRound = Static<typeof round>;

const finding = Type.Object(
  {
    figure: Type.Union([Type.Literal("median latency"), Type.Literal("throughput")]),
    ratio: nullable(
      Type.Object(
        { ...interval.properties },
        { ...record, description: "of B to A: the median over the rounds; null: too few rounds" },
      ),
    ),
    noiseShare: nullable(
      Type.Number({ minimum: 0, description: "how far apart blocks of the same configuration were found" }),
    ),
    better: nullable(
      Type.Union([Type.Literal("A"), Type.Literal("B")], {
        description: "null: no difference that can be told from noise",
      }),
    ),
  },
  record,
);
export type ComparedFinding = Static<typeof finding>;

export const benchComparison = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("bench-comparison"),
    startedAt: text("ISO 8601, UTC"),
    environment,
    configuration: Type.Object(
      { load, blockMs: ms(), rounds: count("asked for"), timeoutMs: ms(), inputs: text() },
      record,
    ),
    a: side,
    b: side,
    rounds: Type.Array(round),
    findings: Type.Array(finding),
    isInterrupted: Type.Boolean(),
    warnings: Type.Array(Type.String()),
  },
  { ...record, title: "Result of coremlx bench --compare" },
);
export type BenchComparison = Static<typeof benchComparison>;
