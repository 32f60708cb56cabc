// The form of a parity result, and of the file that tolerances are kept in.

import { type Static, Type } from "@sinclair/typebox";
import { count, environment, nullable, precision, record } from "../schema-parts.ts";

const text = (description?: string) => Type.String(description === undefined ? {} : { description });
const figure = (description?: string) =>
  Type.Number({ minimum: 0, ...(description === undefined ? {} : { description }) });
const share = (description?: string) =>
  Type.Number({ minimum: 0, maximum: 1, ...(description === undefined ? {} : { description }) });
const anyNumber = (description: string) => Type.Number({ description });

export const limits = Type.Object(
  {
    abs: Type.Optional(figure("greatest absolute error")),
    rel: Type.Optional(figure("greatest relative error")),
    range: Type.Optional(figure("greatest error as a share of the reference's greatest magnitude")),
    ulp16: Type.Optional(figure("float16 steps")),
    ulp32: Type.Optional(figure("float32 steps")),
    odd: Type.Optional(figure("elements with a NaN or infinity on one side only")),
    cosine: Type.Optional(anyNumber("at least")),
    psnr: Type.Optional(anyNumber("dB, at least")),
    top1: Type.Optional(share("of the inputs, at least")),
    topk: Type.Optional(share("at least")),
    equal: Type.Optional(share("of the inputs, at least")),
    noworse: Type.Optional(share("of the inputs, at least")),
  },
  record,
);
export type ParityLimits = Static<typeof limits>;

const figureName = Type.Union(
  Object.keys(limits.properties).map((name) => Type.Literal(name as keyof ParityLimits)),
);

const side = Type.Union([
  Type.Object(
    {
      kind: Type.Literal("engine"),
      engine: text(),
      engineVersion: text(),
      device: text(),
      requestedDevice: text(),
      precision: nullable(precision),
      model: Type.Object({ path: text(), digest: nullable(text()), function: text() }, record),
    },
    record,
  ),
  Type.Object({ kind: Type.Literal("saved"), source: text("file or folder") }, record),
]);
export type ParitySideFacts = Static<typeof side>;

const ulpRows = Type.Array(Type.Tuple([count(), count()]), {
  description: "up to so many floats of that width apart (and more than the row before), how many elements",
});

const outputSummary = Type.Object(
  {
    name: text(),
    kind: Type.Union([Type.Literal("numbers"), Type.Literal("words")]),
    inputs: count(),
    equalInputs: count("with equal answers"),
    count: count("elements compared, over all inputs"),
    odd: count("NaN or infinity on one side only; in no other figure"),
    maxAbs: figure(),
    meanAbs: figure(),
    maxRel: figure("of elements whose reference is at least a thousandth of the greatest"),
    ofRange: figure("maxAbs as a share of the reference's greatest magnitude"),
    cosine: nullable(anyNumber("the least of all inputs")),
    psnrDb: nullable(anyNumber("against the reference's span; the least; null: no error, or no span")),
    topSame: nullable(share("inputs with the same greatest score; null: no row of scores")),
    topShared: nullable(share("of the k greatest, on average")),
    ulp32: ulpRows,
    ulp16: ulpRows,
    worstInput: count("its place"),
    noWorse: nullable(share("inputs where the subject is no further from the truth; null: no truth given")),
  },
  { ...record, description: "the worst of all inputs where not said otherwise" },
);
export type ParityOutput = Static<typeof outputSummary>;

const criterion = Type.Object(
  {
    output: text(),
    figure: figureName,
    value: nullable(Type.Number()),
    limit: Type.Number(),
    status: Type.Union([Type.Literal("pass"), Type.Literal("fail"), Type.Literal("not measured")]),
  },
  record,
);
export type ParityCriterion = Static<typeof criterion>;

const operation = Type.Object(
  {
    function: text(),
    index: count("among all operations of the function, constants too, from 0"),
    of: count("how many there are"),
    type: text("of the MIL operation"),
    name: text("of its first result"),
    value: text("the result that differs"),
    maxAbs: figure(),
    ofRange: figure(),
    odd: count(),
    inputOfRange: figure("the greatest of the values that go in"),
    inputs: Type.Array(text()),
  },
  record,
);
export type ParityOperation = Static<typeof operation>;

export const bisection = Type.Object(
  {
    input: text("which of the inputs"),
    threshold: figure("share of the range from which on two values have parted"),
    operations: count("whose results were compared"),
    runs: count("of each side"),
    uncompared: count("operations whose results only one side has, or that are constant"),
    firstBeyond: nullable(operation),
    firstDifferent: nullable(operation),
    greatest: Type.Array(operation, {
      description: "that add the most: their error minus that of what goes in, greatest first",
    }),
  },
  record,
);
export type ParityBisection = Static<typeof bisection>;

export const parityResult = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("parity"),
    startedAt: text("ISO 8601, UTC"),
    environment,
    subject: side,
    reference: side,
    truth: nullable(side),
    configuration: Type.Object(
      {
        inputs: Type.Array(text(), { description: "where each came from" }),
        topK: count(),
        tolerances: text("usual, given, or a file"),
      },
      record,
    ),
    outputs: Type.Array(outputSummary),
    bisection: nullable(bisection),
    verdict: Type.Object(
      {
        outcome: Type.Union([Type.Literal("pass"), Type.Literal("fail"), Type.Literal("incomplete")]),
        criteria: Type.Array(criterion),
      },
      record,
    ),
    warnings: Type.Array(text()),
  },
  { ...record, title: "Result of coremlx parity" },
);
export type ParityResult = Static<typeof parityResult>;

export const toleranceFile = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    kind: Type.Literal("parity-tolerances"),
    models: Type.Record(
      Type.String(),
      Type.Object(
        {
          path: text("of the model, when it was saved"),
          pairs: Type.Record(
            Type.String(),
            Type.Object(
              {
                savedAt: text(),
                inputs: count(),
                outputs: Type.Record(Type.String(), limits),
              },
              record,
            ),
            { description: "by what was compared" },
          ),
        },
        record,
      ),
      { description: "by digest" },
    ),
  },
  record,
);
export type ToleranceFile = Static<typeof toleranceFile>;
