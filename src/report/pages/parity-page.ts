// The report of a comparison: how far apart, on which figure too far, and where in the program the two part.

import { formatCount, formatShare } from "../../core/quantity.ts";
import { nameOfSide } from "../../suites/parity.ts";
import { describeOperation, formatCosine, formatError } from "../../suites/parity/figures.ts";
import { limitRules } from "../../suites/parity/limits.ts";
import type {
  ParityBisection,
  ParityCriterion,
  ParityOutput,
  ParityResult,
  ParitySideFacts,
} from "../../suites/parity/schema.ts";
import type { Block, Report, Section, Table } from "../document.ts";
import { describeMachine, formatMoment, machineFacts } from "../environment.ts";

const verdicts = {
  pass: { tone: "good", word: "PASS", reason: "Within the tolerances" },
  fail: { tone: "bad", word: "FAIL", reason: "Further apart than is allowed" },
  incomplete: { tone: "doubt", word: "INCOMPLETE", reason: "Not everything could be measured" },
} as const;

export function describeParity(result: ParityResult): Report {
  const { subject, reference, truth, startedAt, environment, verdict, outputs, bisection } = result;
  const failed = verdict.criteria.filter(({ status }) => status !== "pass").map(describeCriterion);
  const { tone, word, reason } = verdicts[verdict.outcome];
  return {
    title: "Parity",
    subtitles: [
      `${describeSide(subject)}, against ${describeSide(reference)}`,
      ...(truth === null ? [] : [`Both against ${describeSide(truth)}`]),
      formatMoment(startedAt),
      ...describeMachine(environment),
    ],
    verdict: { tone, word, reason: failed.length === 0 ? reason : failed.join(" · ") },
    warnings: result.warnings,
    sections: [
      { title: "Outputs", blocks: [outputTable(outputs)] },
      ...outputs.flatMap(stepSection),
      ...(bisection === null ? [] : [bisectionSection(bisection)]),
      { title: "Tolerances", blocks: [criteriaTable(result)] },
      { title: "Inputs", blocks: [{ kind: "text", text: result.configuration.inputs.join(" · ") }] },
      { title: "Machine", blocks: [{ kind: "facts", items: machineFacts(environment) }] },
    ],
  };
}

function describeSide(side: ParitySideFacts): string {
  if (side.kind === "saved") return `saved answers in ${side.source}`;
  return `${side.model.path} on ${nameOfSide(side)} (${side.engineVersion})`;
}

function describeCriterion({ output, figure, value, limit }: ParityCriterion): string {
  const { description, isLeast } = limitRules[figure];
  if (value === null) return `${output}: ${description} not measured`;
  return `${output}: ${description} ${formatError(value)}, ${isLeast ? "at least" : "at most"} ${formatError(limit)} allowed`;
}

function outputTable(outputs: readonly ParityOutput[]): Table {
  const number = (title: string) => ({ title, isNumber: true });
  return {
    kind: "table",
    columns: [
      { title: "Output" },
      number("Greatest error"),
      number("Mean error"),
      number("Of range"),
      number("Cosine"),
      number("PSNR"),
      number("Odd"),
      number("Same best class"),
      number("Equal inputs"),
      number("No worse"),
    ],
    rows: outputs.map((output) => {
      const { name, kind, cosine, psnrDb, odd, topSame, equalInputs, inputs, noWorse } = output;
      const figures = [output.maxAbs, output.meanAbs, output.ofRange].map(formatError);
      return [
        name,
        ...(kind === "words" ? ["", "", ""] : figures),
        cosine === null ? "" : formatCosine(cosine),
        psnrDb === null ? "" : `${psnrDb.toFixed(1)} dB`,
        kind === "words" ? "" : formatCount(odd),
        topSame === null ? "" : formatShare(topSame),
        `${equalInputs} of ${inputs}`,
        noWorse === null ? "" : formatShare(noWorse),
      ];
    }),
  };
}

function stepSection({ name, ulp16, count }: ParityOutput, index: number): Section[] {
  if (ulp16.length === 0) return [];
  const bars = ulp16.map(([upTo, found]) => ({
    name: upTo > 2 ? `up to ${formatCount(upTo)}` : formatCount(upTo),
    value: (found / count) * 100,
    text: `${Number(((found / count) * 100).toPrecision(3))} %`,
  }));
  const id = `steps-${index}`;
  const value = { label: "elements", unit: "%" };
  return [
    {
      title: `${name}: float16 steps apart`,
      blocks: [{ kind: "bars", id, title: "Elements by how many float16 numbers lie between", value, bars }],
    },
  ];
}

function bisectionSection(bisection: ParityBisection): Section {
  const { firstBeyond, firstDifferent, greatest, operations, threshold, input, runs, uncompared } = bisection;
  const say = (text: string): Block => ({ kind: "text", text });
  const parts = firstDifferent === null ? "All values are equal." : undefined;
  const compared = `${operations} operations compared for ${input} in ${runs} runs of each side; ${uncompared} could not be.`;
  return {
    title: "Where the two part",
    blocks: [
      say(compared),
      say(
        parts ??
          (firstBeyond === null
            ? `No value is off by more than ${formatError(threshold)} of its range.`
            : `They part at ${describeOperation(firstBeyond)}.`),
      ),
      ...(firstDifferent === null
        ? []
        : [say(`The first difference is at ${describeOperation(firstDifferent)}.`)]),
      ...(greatest.length === 0 ? [] : [addedChart(greatest)]),
    ],
  };
}

function addedChart(greatest: ParityBisection["greatest"]): Block {
  return {
    kind: "bars",
    id: "added",
    title: "Operations that add the most error",
    value: { label: "of the range", unit: "%" },
    bars: greatest.map(({ type, name, ofRange, inputOfRange }) => ({
      name: `${type} ${name}`,
      value: (ofRange - inputOfRange) * 100,
      text: `${formatError(inputOfRange)} → ${formatError(ofRange)}`,
    })),
  };
}

const tones = { pass: "good", fail: "bad", "not measured": "doubt" } as const;

function criteriaTable({ verdict, configuration }: ParityResult): Table {
  return {
    kind: "table",
    caption: `Tolerances: ${configuration.tolerances}`,
    columns: [
      { title: "" },
      { title: "Output" },
      { title: "Figure" },
      { title: "Measured", isNumber: true },
      { title: "Must be", isNumber: true },
    ],
    rows: verdict.criteria.map(({ output, figure, value, limit, status }) => [
      { text: status, tone: tones[status] },
      output,
      limitRules[figure].description,
      value === null ? "" : formatError(value),
      `${limitRules[figure].isLeast ? "≥" : "≤"} ${formatError(limit)}`,
    ]),
  };
}
