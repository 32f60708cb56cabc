// What result files have in common: numbers with units, the machine, the load.

import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { deviceSchema } from "./device-schema.ts";

export const count = (description?: string) =>
  Type.Integer({ minimum: 0, ...(description === undefined ? {} : { description }) });
export const ms = (description?: string) =>
  Type.Number({ minimum: 0, ...(description === undefined ? {} : { description }) });
export const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
export const record = { additionalProperties: false };

export const latency = Type.Object(
  {
    count: count(),
    minMs: ms(),
    meanMs: ms(),
    p50Ms: ms(),
    p90Ms: ms(),
    p99Ms: ms(),
    p999Ms: ms("99.9 % of the values are no greater"),
    maxMs: ms(),
  },
  record,
);

export const precision = Type.Union([Type.Literal("float32"), Type.Literal("model")], {
  description: "of the portable engine, where it was asked for",
});
export type Precision = Static<typeof precision>;

export const interval = Type.Object(
  {
    estimate: Type.Number(),
    low: Type.Number(),
    high: Type.Number(),
    confidence: Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }),
  },
  record,
);

export const extent = Type.Object(
  { count: nullable(count()), durationMs: nullable(ms()) },
  { ...record, description: "over at whichever comes first" },
);

export const environment = Type.Object(
  {
    tool: Type.Object(
      { version: Type.String(), commit: nullable(Type.String()), bun: Type.String() },
      record,
    ),
    os: Type.Object({ platform: Type.String(), kernel: Type.String(), arch: Type.String() }, record),
    cpu: Type.Object({ model: Type.String(), cores: count() }, record),
    memoryBytes: count(),
    loadAverage: Type.Number({ description: "programs that ran or wanted to, in the minute before" }),
    device: deviceSchema,
  },
  record,
);

export const load = Type.Union([
  Type.Object({ mode: Type.Literal("closed"), concurrency: count() }, record),
  Type.Object(
    {
      mode: Type.Literal("open"),
      ratePerSecond: Type.Number({ exclusiveMinimum: 0 }),
      arrivals: Type.Union([Type.Literal("fixed"), Type.Literal("poisson")]),
      seed: count(),
    },
    record,
  ),
]);
