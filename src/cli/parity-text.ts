// A comparison as a person reads it: what was compared, how far apart, where, and the verdict.

import { formatCount, formatShare } from "../core/quantity.ts";
import { nameOfSide } from "../suites/parity.ts";
import { describeOperation, formatCosine, formatError } from "../suites/parity/figures.ts";
import { limitRules } from "../suites/parity/limits.ts";
import type {
  ParityBisection,
  ParityCriterion,
  ParityOperation,
  ParityOutput,
  ParityResult,
  ParitySideFacts,
} from "../suites/parity/schema.ts";
import { type Paint, plainLine, table } from "./output.ts";

const outcomes = { pass: "green", fail: "red", incomplete: "yellow" } as const;
const verdicts = { pass: "PASSED", fail: "FAILED", incomplete: "INCOMPLETE" } as const;

export function formatParity(result: ParityResult, paint: Paint): string {
  const { subject, reference, truth, configuration, outputs, bisection, verdict } = result;
  const inputs = configuration.inputs.length;
  const numbers = outputs.filter(({ kind }) => kind === "numbers");
  const words = outputs.filter(({ kind }) => kind === "words");
  return [
    paint("bold", describeSide(subject)),
    `against  ${describeSide(reference)}`,
    ...(truth === null ? [] : [`truth    ${describeSide(truth)}`]),
    paint(
      "dim",
      `${inputs} ${inputs === 1 ? "input" : "inputs"} · tolerances: ${plainLine(configuration.tolerances)}`,
    ),
    "",
    ...(numbers.length > 0 ? [table(numberRows(numbers), { right: [1, 2, 3, 4, 5, 6, 7] })] : []),
    ...words.map(
      ({ name, equalInputs }) => `${plainLine(name)}: equal for ${equalInputs} of ${inputs} inputs`,
    ),
    ...numbers.flatMap((output) => moreAbout(output, configuration.topK)),
    ...(bisection === null ? [] : ["", ...describeBisection(bisection)]),
    "",
    [
      paint(outcomes[verdict.outcome], verdicts[verdict.outcome]),
      ...verdict.criteria.filter(({ status }) => status !== "pass").map(describeCriterion),
    ].join(" · "),
  ].join("\n");
}

function describeSide(side: ParitySideFacts): string {
  if (side.kind === "saved") return `saved answers in ${plainLine(side.source)}`;
  return plainLine(`${side.model.path} on ${nameOfSide(side)} · ${side.engineVersion}`);
}

function numberRows(outputs: readonly ParityOutput[]): string[][] {
  return [
    ["output", "max abs", "mean abs", "max rel", "of range", "cosine", "PSNR", "odd"],
    ...outputs.map((output) => [
      plainLine(output.name),
      formatError(output.maxAbs),
      formatError(output.meanAbs),
      formatError(output.maxRel),
      formatError(output.ofRange),
      output.cosine === null ? "-" : formatCosine(output.cosine),
      output.psnrDb === null ? "-" : `${output.psnrDb.toFixed(1)} dB`,
      formatCount(output.odd),
    ]),
  ];
}

function moreAbout(output: ParityOutput, topK: number): string[] {
  const name = plainLine(output.name);
  const { topSame, topShared, noWorse, ulp16, count, equalInputs, inputs } = output;
  return [
    ...(equalInputs === inputs ? [`${name}: equal for every input`] : []),
    ...(topSame === null || topShared === null
      ? []
      : [
          `${name}: best class the same for ${formatShare(topSame)} of the inputs, ${formatShare(topShared)} of the best ${topK} in both`,
        ]),
    ...(ulp16.length === 0 ? [] : [`${name}: ${describeSteps(output, count)}`]),
    ...(noWorse === null
      ? []
      : [`${name}: no further from the truth than the reference for ${formatShare(noWorse)} of the inputs`]),
  ];
}

/** "float16 steps apart: 0 62 %, 1 33 %, 2 5 %, up to 8 0.1 %" */
function describeSteps({ ulp16 }: ParityOutput, count: number): string {
  const rows = ulp16.map(([upTo, found]) => {
    const share = `${Number(((found / count) * 100).toPrecision(2))} %`;
    return `${upTo > 2 ? "up to " : ""}${formatCount(upTo)}: ${share}`;
  });
  return `float16 steps apart: ${rows.join(", ")}`;
}

function describeBisection({ firstBeyond, firstDifferent, greatest, ...about }: ParityBisection): string[] {
  const { operations, threshold, input, runs } = about;
  const head = `${operations} operations compared for ${plainLine(input)}, in ${runs} ${runs === 1 ? "run" : "runs"}`;
  if (firstDifferent === null) return [`${head}: all equal`];
  return [
    `${head}:`,
    firstBeyond === null
      ? `  no value is off by more than ${formatError(threshold)} of its range`
      : `  the two part at ${operationLine(firstBeyond)}`,
    ...(firstDifferent.index === firstBeyond?.index
      ? []
      : [`  the first difference is at ${operationLine(firstDifferent)}`]),
    ...(greatest.length === 0 ? [] : ["  most is added by"]),
    ...greatest.slice(0, 5).map((op) => `    ${operationLine(op)}`),
  ];
}

function describeCriterion({ output, figure, value, limit, status }: ParityCriterion): string {
  const { description, isLeast } = limitRules[figure];
  const name = `${output}: ${description}`;
  if (status === "not measured" || value === null) return plainLine(`${name} not measured`);
  return plainLine(
    `${name} ${formatError(value)}, ${isLeast ? "at least" : "at most"} ${formatError(limit)} allowed`,
  );
}

function operationLine(op: ParityOperation): string {
  return plainLine(describeOperation(op));
}
