// Figures of a device matrix of one machine, read by the fields a gate needs. The Neural Engine's cells are those that count.

import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { CoremlxError } from "../../../core/errors.ts";
import { environment, nullable } from "../../schema-parts.ts";
import type { Findings, Measure, Reading } from "../findings.ts";

const text = Type.String({ maxLength: 10_000 });

const cell = Type.Object({
  device: text,
  reason: nullable(text),
  failed: Type.Integer({ minimum: 0 }),
  p99Ms: nullable(Type.Number()),
  speedUp: nullable(Type.Object({ estimate: Type.Number(), low: Type.Number(), high: Type.Number() })),
  plannedDispatch: nullable(Type.Object({ count: Type.Number(), cost: nullable(Type.Number()) })),
  measuredDispatch: nullable(Type.Number()),
});
type Cell = Static<typeof cell>;

const model = Type.Object({
  id: text,
  title: text,
  origin: text,
  digest: text,
  memory: nullable(Type.Object({ growthBytes: Type.Number() })),
  cells: Type.Array(cell, { maxItems: 100 }),
});
type Model = Static<typeof model>;

const matrixForm = Type.Object({
  schemaVersion: Type.Literal(1),
  kind: Type.Literal("matrix"),
  machines: Type.Array(
    Type.Object({
      source: Type.Object({ kind: text, name: text }),
      environment,
      engine: Type.Object({ name: text, version: text }),
      models: Type.Array(model, { maxItems: 1_000 }),
    }),
    { minItems: 1, maxItems: 1_000 },
  ),
  comparisons: Type.Array(
    Type.Object({ against: text, file: text, regressions: Type.Integer({ minimum: 0 }) }),
    {
      maxItems: 1_000,
    },
  ),
  isInterrupted: Type.Boolean(),
});
type Matrix = Static<typeof matrixForm>;
const checker = TypeCompiler.Compile(matrixForm);

export const matrixMetrics = {
  failed: "cells",
  regressions: "figures",
  "speed-up": "times",
  "dispatch-share": "share",
  "p99-ms": "ms",
  "growth-bytes": "bytes",
} as const;

export function readMatrix(value: unknown, file: string): Findings {
  if (!checker.Check(value)) {
    const first = checker.Errors(value).First();
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot read ${file} as a matrix result: ${first?.path}: ${first?.message}`,
    );
  }
  const [machine, ...others] = value.machines;
  if (machine === undefined || others.length > 0)
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot read ${file} as evidence: it is of ${value.machines.length} machines`,
    );
  const { engine, source, models } = machine;
  const isMeasured = source.kind === "measured";
  return {
    environment: machine.environment,
    models: models.map(({ title, digest }) => ({ name: title, digest })),
    // What a tape says keeps saying whose it is.
    engines: [
      {
        ...engine,
        name: isMeasured ? engine.name : "tape",
        device: isMeasured ? "all of this machine" : source.name,
      },
    ],
    measures: {
      failed: () => unlessInterrupted(value, () => countFailed(models, engine.name)),
      regressions: () => unlessInterrupted(value, () => countRegressions(value)),
      "speed-up": ofNeuralEngine(value, models, (one) => one.speedUp?.estimate),
      "dispatch-share": ofNeuralEngine(value, models, readDispatch),
      "p99-ms": ofNeuralEngine(value, models, (one) => one.p99Ms ?? undefined),
      "growth-bytes": ofNeuralEngine(value, models, (_, of) => of.memory?.growthBytes),
    },
  };
}

function unlessInterrupted({ isInterrupted }: Matrix, read: () => Reading | string): Reading | string {
  return isInterrupted ? "the matrix was interrupted" : read();
}

/** Of one model; without a digest of the only one there is. */
function ofNeuralEngine(
  matrix: Matrix,
  models: readonly Model[],
  read: (cell: Cell, model: Model) => number | string | undefined,
): Measure {
  return (digest) => {
    const own = models.filter((one) => digest === undefined || one.digest === digest);
    const [found, ...others] = own;
    if (found === undefined) return "the matrix has no such model";
    if (others.length > 0) return "the matrix has several models, and the criterion names none";
    const ane = found.cells.find(({ device }) => device === "ane");
    if (ane === undefined || ane.reason !== null)
      return `not measured in the matrix: ${ane?.reason ?? "no such device"}`;
    return unlessInterrupted(matrix, () => {
      const value = read(ane, found) ?? "not measured in the matrix";
      return typeof value === "string" ? value : { value, detail: `${found.title}, ${found.origin}` };
    });
  };
}

/** Planned, and believed only where the Neural Engine was seen at work. */
function readDispatch({ plannedDispatch, measuredDispatch }: Cell): number | string | undefined {
  if (plannedDispatch === null) return undefined;
  const isAlive = measuredDispatch !== null && measuredDispatch > 0;
  if (isAlive) return plannedDispatch.count;
  return `${(plannedDispatch.count * 100).toFixed(1)} % are planned, and nothing showed that the Neural Engine worked`;
}

/** Predictions fail in them. On Core ML every device must be there; elsewhere there is only the processor. */
function countFailed(models: readonly Model[], engine: string): Reading | string {
  const cells = models.flatMap(({ title, cells: own }) => own.map((one) => ({ ...one, title })));
  const measured = cells.filter(({ reason }) => reason === null);
  const missing = cells.find(({ reason }) => reason !== null);
  if (measured.length === 0) return "no cell was measured";
  if (engine === "coreml" && missing !== undefined)
    return `${missing.title} on ${missing.device}: ${missing.reason}`;
  const failed = measured.filter((one) => one.failed > 0).length;
  return {
    value: failed,
    detail: `${measured.length} of ${cells.length} cells measured, of ${models.length} models`,
  };
}

function countRegressions({ comparisons }: Matrix): Reading | string {
  const judged = comparisons.filter(({ against }) => against === "baseline");
  if (judged.length === 0) return "there is no baseline of this chip, system and engine";
  const value = judged.reduce((sum, { regressions }) => sum + regressions, 0);
  return { value, detail: `against ${judged.map(({ file }) => file).join(", ")}` };
}
