// Figures of a device matrix. Read by the fields a gate needs; what else a matrix holds is its own affair.

import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { CoremlxError } from "../../../core/errors.ts";
import { environment, nullable } from "../../schema-parts.ts";
import type { Findings, Measure, Reading } from "../findings.ts";

const text = Type.String({ maxLength: 10_000 });
const figure = nullable(Type.Number());

const row = Type.Object({
  model: Type.Object({ name: text, digest: text }),
  engine: Type.Object({ name: text, version: text, device: text }),
  device: Type.String({ description: "as requested: cpu, gpu, ane, all" }),
  status: Type.Union([Type.Literal("pass"), Type.Literal("fail"), Type.Literal("not measured")]),
  speedUp: Type.Optional(figure),
  plannedShare: Type.Optional(figure),
  neuralEngineSignal: Type.Optional(figure),
  p99Ms: Type.Optional(figure),
  growthBytes: Type.Optional(figure),
});

const matrixForm = Type.Object({
  schemaVersion: Type.Literal(1),
  kind: Type.Literal("matrix"),
  environment,
  rows: Type.Array(row, { maxItems: 10_000 }),
});
type Row = Static<typeof row>;

const checker = TypeCompiler.Compile(matrixForm);

export const matrixMetrics = {
  failed: "cells",
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
  return describe(value.environment, value.rows);
}

function describe(where: Static<typeof environment>, rows: readonly Row[]): Findings {
  const models = new Map(rows.map(({ model }) => [model.digest, model]));
  const figures = (read: (row: Row) => number | null | undefined): Measure => {
    return (digest) => {
      const own = rows.filter(
        ({ model, device }) => device === "ane" && (digest ?? model.digest) === model.digest,
      );
      if (own.length === 0) return "the matrix has no such model on the Neural Engine";
      const found = own.flatMap((one) => read(one) ?? []);
      if (found.length < own.length) return "not measured in the matrix";
      return { value: Math.min(...found), detail: own.map(({ model }) => model.name).join(", ") };
    };
  };
  return {
    environment: where,
    models: [...models.values()].map(({ name, digest }) => ({ name, digest })),
    engines: rows.map(({ engine: { name, version, device } }) => ({ name, version, device })),
    measures: {
      failed: () => countFailed(rows),
      "speed-up": figures(({ speedUp }) => speedUp),
      "dispatch-share": figures(({ plannedShare, neuralEngineSignal }) =>
        (neuralEngineSignal ?? 0) > 0 ? plannedShare : undefined,
      ),
      "p99-ms": figures(({ p99Ms }) => p99Ms),
      "growth-bytes": figures(({ growthBytes }) => growthBytes),
    },
  };
}

function countFailed(rows: readonly Row[]): Reading | string {
  const measured = rows.filter(({ status }) => status !== "not measured");
  if (measured.length === 0) return "no cell was measured";
  const failed = measured.filter(({ status }) => status === "fail").length;
  return { value: failed, detail: `${measured.length} of ${rows.length} cells measured` };
}
