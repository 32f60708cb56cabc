// The form of result files, version by version: what `coremlx schema NAME` prints, and what reads such files again.

import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import { CoremlxError } from "../core/errors.ts";
import {
  count,
  environment,
  extent,
  interval,
  latency,
  load,
  ms,
  nullable,
  precision,
  record,
} from "./schema-parts.ts";
import { benchComparison } from "./compare-schema.ts";
import { evidenceSchema } from "./gate/evidence-schema.ts";
import { gateProfile } from "./gate/profile-schema.ts";
import { type GateResult, gateResult } from "./gate/result-schema.ts";
import { type ParityResult, parityResult, type ToleranceFile, toleranceFile } from "./parity/schema.ts";
import { type SoakResult, soakResult } from "./soak/schema.ts";

const configuration = Type.Object(
  {
    load,
    warmup: extent,
    measure: extent,
    timeoutMs: ms("longest wait for one prediction"),
    instances: nullable(
      Type.Union([count(), Type.Literal("auto")], { description: "at most; null: by the machine" }),
    ),
    inline: Type.Union([Type.Literal("auto"), Type.Literal("never")], {
      description: "whether a small model may run in the caller's thread",
    }),
    isolation: Type.Union([Type.Literal("worker"), Type.Literal("process")], {
      description: "process: memory and processor time of the engine are not in this result",
    }),
    threads: nullable(count("for one prediction; null: the engine's choice")),
    requestedDevice: Type.String(),
    precision: Type.Optional(precision),
    inputs: Type.String({ description: "where the values came from" }),
  },
  record,
);

const cold = Type.Object(
  {
    openMs: ms("reading and checking the model's files"),
    compileMs: ms("translating it for the engine; 0 when warm"),
    loadMs: ms("loading into the engine"),
    cache: nullable(
      Type.Union([Type.Literal("cold"), Type.Literal("warm")], {
        description: "warm: the compile cache had it; null: not known",
      }),
    ),
    first: nullable(
      Type.Object(
        { latencyMs: ms("as the caller saw it"), runMs: ms("inside the engine") },
        { ...record, description: "the first prediction; null: interrupted before" },
      ),
    ),
  },
  record,
);

const failures = Type.Array(
  Type.Object(
    {
      code: Type.String(),
      count: count(),
      message: Type.String({ description: "of the first" }),
      latency,
    },
    record,
  ),
);

const steadyMemory = Type.Object(
  {
    startBytes: count(),
    endBytes: count(),
    peakBytes: count("the greatest of the samples"),
    slope: nullable(
      Type.Object(
        { ...interval.properties, unit: Type.Literal("bytes/s") },
        { ...record, description: "of the line through the samples; null: too few" },
      ),
    ),
    samples: Type.Array(
      Type.Tuple([ms(), count()], { description: "milliseconds since the start, resident bytes" }),
    ),
  },
  record,
);

const steady = Type.Object(
  {
    elapsedMs: ms("from the first measured call to the end of the last"),
    completed: count("predictions answered"),
    failed: count(),
    unsent: count("calls of an open load that were due and not made, too many being under way"),
    throughputPerSecond: Type.Number({ minimum: 0 }),
    latency: nullable(latency),
    median: nullable(interval),
    run: nullable(latency),
    queue: nullable(latency),
    sendDelay: nullable(latency),
    failures,
    cpu: Type.Object(
      {
        userMs: ms(),
        systemMs: ms(),
        usedCores: Type.Number({ minimum: 0, description: "processors this process kept busy on average" }),
        perPredictionMs: nullable(ms()),
        otherCores: nullable(
          Type.Number({
            minimum: 0,
            description: "processors that other programs kept busy; null: not known",
          }),
        ),
      },
      record,
    ),
    memory: steadyMemory,
    energy: Type.Optional(
      nullable(
        Type.Object(
          {
            source: Type.String(),
            joules: Type.Number({ minimum: 0 }),
            watts: Type.Number({ minimum: 0 }),
            perPredictionJoules: nullable(Type.Number({ minimum: 0 })),
          },
          {
            ...record,
            description: "of the processor packages, whoever computed on them; null: not measured",
          },
        ),
      ),
    ),
    windows: Type.Array(
      Type.Object(
        { fromMs: ms(), toMs: ms(), completed: count(), p50Ms: ms(), p99Ms: ms(), maxMs: ms() },
        record,
      ),
      { description: "the same latencies in order of time" },
    ),
    histogram: Type.Array(Type.Tuple([ms(), ms(), count()]), {
      description: "of the latency: at least, less than (milliseconds), how many",
    }),
  },
  {
    ...record,
    description:
      "latency: from when a call was due to its answer. run: inside the engine. queue: waiting for an instance. " +
      "sendDelay: how late the calls of an open load were sent, a part of the latency",
  },
);

const share = nullable(Type.Number({ minimum: 0, maximum: 1 }));

const pool = Type.Object(
  {
    instances: count("alive at the end"),
    most: count("that there may be"),
    allowed: count(
      "that could be in use at the end: with instances auto, as many as were found worth having",
    ),
    isInline: Type.Boolean({ description: "so small that it runs in the caller's thread" }),
    replaced: count("for hanging or breaking"),
    recycled: count(),
    mostWaiting: count("calls that waited for an instance at once"),
    refused: count("calls that found the queue full"),
    breakerTrips: count(),
    buffers: nullable(
      Type.Object(
        {
          acquired: count(),
          hitRatio: share,
          avoidedRatio: share,
          allocatedBytes: count(),
          heldBytes: count("at the end"),
          highWaterBytes: count(),
        },
        { ...record, description: "tensor memory, since the first prediction; ratios of what was acquired" },
      ),
    ),
  },
  record,
);

const plan = Type.Object(
  {
    dispatch: Type.String({ description: 'planned; "not measured" where more than 5 % are unknown' }),
    operations: count("constants not counted"),
    unknown: count("of which Core ML says nothing"),
    devices: Type.Array(
      Type.Object(
        {
          device: Type.String(),
          preferredShare: Type.Number({ minimum: 0, maximum: 1 }),
          costShare: nullable(Type.Number({ minimum: 0, maximum: 1 })),
          supportedShare: Type.Number({ minimum: 0, maximum: 1 }),
        },
        record,
      ),
    ),
  },
  { ...record, description: "Core ML's forecast of what runs where; nothing of it was measured" },
);

const benchResult = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("bench"),
    startedAt: Type.String({ description: "ISO 8601, UTC" }),
    environment,
    model: Type.Object(
      {
        path: Type.String(),
        digest: Type.String({ description: "SHA-256 over the model's files" }),
        kind: Type.String(),
        function: Type.String(),
      },
      record,
    ),
    engine: Type.Object(
      {
        name: Type.String(),
        version: Type.String(),
        device: Type.String({ description: "what really ran" }),
      },
      record,
    ),
    plan: Type.Optional(plan),
    configuration,
    cold,
    memory: Type.Object(
      {
        beforeLoadBytes: count(),
        afterLoadBytes: count(),
        afterFirstBytes: nullable(count()),
      },
      { ...record, description: "resident memory of the measuring process" },
    ),
    steady: nullable(steady),
    concurrency: Type.Optional(
      Type.Array(
        Type.Object(
          {
            callers: count(),
            completed: count(),
            failed: count(),
            elapsedMs: ms(),
            throughputPerSecond: Type.Number({ minimum: 0 }),
            p50Ms: nullable(ms()),
            p99Ms: nullable(ms()),
          },
          record,
        ),
        { description: "by number of callers; the first is that of steady" },
      ),
    ),
    pool: nullable(pool),
    isInterrupted: Type.Boolean(),
    warnings: Type.Array(Type.String(), { description: "what makes these figures doubtful" }),
  },
  { ...record, title: "Result of coremlx bench" },
);

export type LatencySummary = Static<typeof latency>;
export type PlanSummary = Static<typeof plan>;
export type SteadyResult = Static<typeof steady>;
export type BenchResult = Static<typeof benchResult>;

/** By the name of the command that makes them. */
export const resultSchemas = {
  bench: benchResult,
  "bench-comparison": benchComparison,
  soak: soakResult,
  gate: gateResult,
  parity: parityResult,
} as const;
export type ResultName = keyof typeof resultSchemas;

export function isResultName(name: string): name is ResultName {
  return Object.hasOwn(resultSchemas, name);
}

/** What has a published form: results, and what a gate reads. */
export const schemas = {
  ...resultSchemas,
  evidence: evidenceSchema,
  "gate-profile": gateProfile,
  "parity-tolerances": toleranceFile,
} as const;
export type SchemaName = keyof typeof schemas;

export function isSchemaName(name: string): name is SchemaName {
  return Object.hasOwn(schemas, name);
}

/** A JSON Schema (2020-12) that stands on its own. */
export function jsonSchema(name: SchemaName): Readonly<Record<string, unknown>> {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: `urn:coremlx:schema:${name}:1`,
    ...schemas[name],
  };
}

export type Results = { readonly [Name in ResultName]: Static<(typeof resultSchemas)[Name]> };

/** Throws BAD_INPUT that names the first place where a value is no result of this kind. */
export function parseResult<Name extends ResultName>(
  name: Name,
  value: unknown,
  source: string,
): Results[Name] {
  return parseAs(checkerOf(name), value, { source, name }) as Results[Name]; // as its schema says
}

export function parseBenchResult(value: unknown, source: string): BenchResult {
  return parseResult("bench", value, source);
}

export function parseSoakResult(value: unknown, source: string): SoakResult {
  return parseResult("soak", value, source);
}

/** Compiling a checker takes milliseconds: not before somebody needs it, and not twice. */
const checkers = new Map<SchemaName, TypeCheck<TSchema>>();

function checkerOf(name: SchemaName): TypeCheck<TSchema> {
  const checker = checkers.get(name) ?? TypeCompiler.Compile<TSchema>(schemas[name]);
  checkers.set(name, checker);
  return checker;
}

export function parseGateResult(value: unknown, source: string): GateResult {
  return parseResult("gate", value, source);
}

export function parseParityResult(value: unknown, source: string): ParityResult {
  return parseResult("parity", value, source);
}

/** Throws BAD_INPUT as parseResult does. */
export function parseToleranceFile(value: unknown, source: string): ToleranceFile {
  const name = "parity-tolerances";
  return parseAs(checkerOf(name), value, { source, name }) as ToleranceFile; // as its schema says
}

function parseAs<T extends TSchema>(
  checker: TypeCheck<T>,
  value: unknown,
  { source, name }: { readonly source: string; readonly name: SchemaName },
): Static<T> {
  if (checker.Check(value)) return value;
  const first = checker.Errors(value).First();
  const place = first === undefined || first.path === "" ? "the document" : first.path;
  throw new CoremlxError(
    "BAD_INPUT",
    `Cannot read ${source} as a ${name}${isResultName(name) ? " result" : " file"}: ${place}: ${first?.message}`,
    {
      hint: `coremlx schema ${name} prints what it must look like`,
      details: { source, path: first?.path },
    },
  );
}
