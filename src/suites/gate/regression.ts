// What an earlier phase measured, as criteria: each figure with its direction and tolerance, on its own model and chips.
// Elsewhere it cannot be compared, and is never passed.

import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { CoremlxError } from "../../core/errors.ts";
import { formatShare } from "../../core/quantity.ts";
import { record } from "../schema-parts.ts";
import { formatFigure } from "./figures.ts";
import { type Criterion, identifier } from "./profile-schema.ts";

const text = Type.String({ minLength: 1, maxLength: 1_000 });

const baselineSchema = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("regression-baseline"),
    name: identifier,
    title: text,
    origin: text,
    model: Type.Object({ id: identifier, title: text }, record),
    chips: Type.Array(text, { minItems: 1, maxItems: 100 }),
    figures: Type.Array(
      Type.Object(
        {
          id: identifier,
          title: text,
          value: Type.Number({ exclusiveMinimum: 0 }),
          unit: text,
          better: Type.Union([Type.Literal("higher"), Type.Literal("lower")]),
          toleranceShare: Type.Number({ minimum: 0, maximum: 1 }),
        },
        record,
      ),
      { minItems: 1, maxItems: 100 },
    ),
  },
  record,
);
export type RegressionBaseline = Static<typeof baselineSchema>;

export function parseRegressionBaseline(value: unknown, source: string): RegressionBaseline {
  const checker = TypeCompiler.Compile(baselineSchema);
  if (checker.Check(value)) return value;
  const first = checker.Errors(value).First();
  throw new CoremlxError(
    "BAD_INPUT",
    `Cannot read ${source} as a baseline: ${first?.path}: ${first?.message}`,
  );
}

/** Lines of a gate whose evidence is a matrix. */
export function regressionCriteria(baseline: RegressionBaseline): Criterion[] {
  const { name, title, model, chips, figures } = baseline;
  return figures.map((figure) => {
    const isHigherBetter = figure.better === "higher";
    const factor = isHigherBetter ? 1 - figure.toleranceShare : 1 + figure.toleranceShare;
    return {
      id: `${name}-${figure.id}`,
      group: "No regression",
      title: `${figure.title}, against ${title}: ${formatFigure(figure.value, figure.unit)}, tolerance ${formatShare(figure.toleranceShare)}`,
      source: "matrix",
      metric: figure.id,
      model: model.id,
      chips,
      comparison: isHigherBetter ? ">=" : "<=",
      limit: Number((figure.value * factor).toPrecision(12)),
      unit: figure.unit,
      places: ["mac"],
      isPerformance: true,
    };
  });
}
