// parity: how far two ways to run a model are apart, over many inputs, and whether that is within what is allowed.

import { CoremlxError } from "../core/errors.ts";
import type { FeatureValue, FeatureValues } from "../core/tensor.ts";
import { describeEnvironment } from "./machine.ts";
import { comparePair, type Figures, summarizeFigures } from "./parity/compare.ts";
import { type Judged, judgeOutput, limitsFrom } from "./parity/limits.ts";
import type {
  ParityBisection,
  ParityLimits,
  ParityOutput,
  ParityResult,
  ParitySideFacts,
} from "./parity/schema.ts";
import { type Pair, pairValues } from "./parity/values.ts";

export interface ParityInput {
  /** Where the values come from. */
  readonly name: string;
  readonly values: FeatureValues;
}

/** One of the two: an engine with a model, or answers that were saved. */
export interface ParitySide {
  readonly facts: ParitySideFacts;
  answer(input: ParityInput, index: number): Promise<FeatureValues>;
}

export interface ParityOptions {
  readonly subject: ParitySide;
  readonly reference: ParitySide;
  /** Against which both are held. */
  readonly truth?: ParitySide | undefined;
  readonly inputs: readonly ParityInput[];
  /** How many of the best scores are compared. */
  readonly topK: number;
  /** For an output, which may be words. */
  readonly limits: (output: { readonly name: string; readonly areWords: boolean }) => ParityLimits;
  /** Where those come from. */
  readonly tolerances: string;
  /** Looks for the operation where the two part, given the input they differ most on. */
  readonly bisect?: ((input: ParityInput) => Promise<ParityBisection>) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
}

/** Throws what the sides throw, BAD_INPUT where their answers cannot be compared, INTERRUPTED. */
export async function runParity(options: ParityOptions): Promise<ParityResult> {
  const { subject, reference, truth, inputs, signal, topK } = options;
  const startedAt = new Date().toISOString();
  const environment = describeEnvironment();
  const outputs = new Map<string, OutputRecord>();
  for (const [index, input] of inputs.entries()) {
    if (signal?.aborted) throw new CoremlxError("INTERRUPTED", "Interrupted");
    const answer = await subject.answer(input, index);
    const wanted = await reference.answer(input, index);
    const exact = await truth?.answer(input, index);
    for (const name of sharedNames(answer, wanted, input)) {
      const values = { answer: take(answer, name), wanted: take(wanted, name), exact: exact?.get(name) };
      addInput(outputs, name, { ...values, topK });
    }
    options.onProgress?.({ done: index + 1, total: inputs.length });
  }
  const judged = [...outputs].map(([name, output]) => ({ name, kind: output.kind, ...judgedOf(output) }));
  const criteria = judged.flatMap((output) =>
    judgeOutput(
      output.name,
      output,
      options.limits({ name: output.name, areWords: output.kind === "words" }),
    ),
  );
  const worst = inputs[worstOf(judged)];
  return {
    schemaVersion: 1,
    kind: "parity",
    startedAt,
    environment,
    subject: subject.facts,
    reference: reference.facts,
    truth: truth?.facts ?? null,
    configuration: { inputs: inputs.map(({ name }) => name), topK, tolerances: options.tolerances },
    outputs: judged,
    bisection: options.bisect && worst ? await options.bisect(worst) : null,
    verdict: { outcome: outcomeOf(criteria), criteria },
    warnings: warningsAbout(subject.facts, reference.facts),
  };
}

/** What a result allows the next time, by output. */
export function limitsOf(result: ParityResult): Record<string, ParityLimits> {
  return Object.fromEntries(
    result.outputs.map((output) => [output.name, limitsFrom(output, output.kind === "words")]),
  );
}

/** What two sides are called together: what tolerances are kept under. */
export function nameOfPair(subject: ParitySideFacts, reference: ParitySideFacts): string {
  return `${nameOfSide(subject)} against ${nameOfSide(reference)}`;
}

export function nameOfSide(facts: ParitySideFacts): string {
  if (facts.kind === "saved") return "saved answers";
  const { engine, device, precision } = facts;
  return [engine, device, ...(precision === null ? [] : [precision])].join(" ");
}

interface OutputRecord {
  readonly kind: Pair["kind"];
  readonly figures: Figures[];
  /** For each input with a truth. */
  readonly isNoWorse: boolean[];
}

function addInput(
  outputs: Map<string, OutputRecord>,
  name: string,
  given: {
    readonly answer: FeatureValue;
    readonly wanted: FeatureValue;
    readonly exact: FeatureValue | undefined;
    readonly topK: number;
  },
): void {
  const { answer, wanted, exact, topK } = given;
  const pair = pairValues(name, answer, wanted);
  const output = outputs.get(name) ?? { kind: pair.kind, figures: [], isNoWorse: [] };
  outputs.set(name, output);
  output.figures.push(comparePair(pair, topK));
  if (exact === undefined) return;
  const [mine, theirs] = [answer, wanted].map((value) => comparePair(pairValues(name, value, exact), topK));
  if (mine && theirs) output.isNoWorse.push(isNoWorse(mine, theirs));
}

function isNoWorse(mine: Figures, theirs: Figures): boolean {
  if (mine.isEqual) return true;
  return !theirs.isEqual && mine.odd <= theirs.odd && mine.meanAbs <= theirs.meanAbs;
}

function judgedOf({ figures, isNoWorse: judgements }: OutputRecord): Judged {
  const share = judgements.filter(Boolean).length / judgements.length;
  return { ...summarizeFigures(figures), noWorse: judgements.length > 0 ? share : null };
}

/** Outputs of both. Saved answers may be some of them. */
function sharedNames(answer: FeatureValues, wanted: FeatureValues, input: ParityInput): readonly string[] {
  const names = [...answer.keys()].filter((name) => wanted.has(name));
  if (names.length > 0) return names;
  throw new CoremlxError(
    "BAD_INPUT",
    `Cannot compare the answers to ${input.name}: they have no output in common`,
    { hint: `One side has ${list(answer)}, the other ${list(wanted)}` },
  );
}

function list(values: FeatureValues): string {
  return values.size === 0 ? "none" : [...values.keys()].slice(0, 10).join(", ");
}

function take(values: FeatureValues, name: string): FeatureValue {
  const value = values.get(name);
  if (value !== undefined) return value;
  throw new CoremlxError("INTERNAL", `Output "${name}" is missing`);
}

function outcomeOf(criteria: ParityResult["verdict"]["criteria"]): ParityResult["verdict"]["outcome"] {
  if (criteria.some(({ status }) => status === "fail")) return "fail";
  return criteria.some(({ status }) => status === "not measured") ? "incomplete" : "pass";
}

/** The input to look at more closely. */
function worstOf(outputs: readonly ParityOutput[]): number {
  const badness = ({ odd, ofRange }: ParityOutput) => (odd > 0 ? Number.POSITIVE_INFINITY : ofRange);
  const worst = outputs.toSorted((a, b) => badness(b) - badness(a))[0];
  return worst?.worstInput ?? 0;
}

function warningsAbout(subject: ParitySideFacts, reference: ParitySideFacts): string[] {
  if (subject.kind === "saved" || reference.kind === "saved") return [];
  const warnings: string[] = [];
  if (Bun.deepEquals(subject, reference)) {
    warnings.push(`Both sides are the same: ${nameOfSide(subject)}`);
  }
  for (const { engine, device } of [subject, reference]) {
    if (engine === "tape") warnings.push(`Not measured here: ${device}`);
  }
  return warnings;
}
