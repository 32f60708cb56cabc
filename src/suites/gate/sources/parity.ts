// Figures of a parity comparison: how many of its limits were not kept. Read by the fields a gate needs.

import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { CoremlxError } from "../../../core/errors.ts";
import { environment, nullable } from "../../schema-parts.ts";
import type { Findings, Reading } from "../findings.ts";

const text = Type.String({ maxLength: 10_000 });

const side = Type.Union([
  Type.Object({
    kind: Type.Literal("engine"),
    engine: text,
    engineVersion: text,
    device: text,
    model: Type.Object({ path: text, digest: nullable(text) }),
  }),
  Type.Object({ kind: Type.Literal("saved"), source: text }),
]);

const parityForm = Type.Object({
  schemaVersion: Type.Literal(1),
  kind: Type.Literal("parity"),
  environment,
  subject: side,
  reference: side,
  verdict: Type.Object({
    criteria: Type.Array(
      Type.Object({
        output: text,
        figure: text,
        status: Type.Union([Type.Literal("pass"), Type.Literal("fail"), Type.Literal("not measured")]),
      }),
      { maxItems: 100_000 },
    ),
  }),
});
type Parity = Static<typeof parityForm>;

const checker = TypeCompiler.Compile(parityForm);

export const parityMetrics = { failed: "limits" } as const;

export function readParity(value: unknown, file: string): Findings {
  if (!checker.Check(value)) {
    const first = checker.Errors(value).First();
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot read ${file} as a parity result: ${first?.path}: ${first?.message}`,
    );
  }
  const sides = [value.subject, value.reference].flatMap((one) => (one.kind === "engine" ? [one] : []));
  const models = new Map(sides.map(({ model }) => [model.digest ?? "", model.path]));
  return {
    environment: value.environment,
    models: [...models].map(([digest, name]) => ({ name, digest })),
    engines: sides.map(({ engine, engineVersion, device }) => ({
      name: engine,
      version: engineVersion,
      device,
    })),
    measures: {
      failed: (digest) => {
        if (digest !== undefined && !models.has(digest)) return "the comparison is of another model";
        return countFailed(value);
      },
    },
  };
}

function countFailed({ verdict: { criteria }, subject, reference }: Parity): Reading | string {
  if (subject.kind === "saved") return "nothing was predicted";
  const open = criteria.find(({ status }) => status === "not measured");
  if (criteria.length === 0) return "nothing was compared";
  if (open !== undefined) return `${open.figure} of ${open.output} was not measured`;
  const failed = criteria.filter(({ status }) => status === "fail");
  const against = reference.kind === "saved" ? "saved outputs" : `${reference.engine} ${reference.device}`;
  const names = failed.slice(0, 3).map(({ output, figure }) => `${figure} of ${output}`);
  const detail = `${criteria.length} limits against ${against}`;
  return { value: failed.length, detail: [detail, ...names].join("; ") };
}
