// What the answers of a soak are held against: the first answers of the same engine and device to the same inputs, bit by
// bit; where those are not the same each time, within a tolerance.

import { createHash } from "node:crypto";
import { generate } from "../../codecs/generate.ts";
import { CoremlxError } from "../../core/errors.ts";
import type { FeatureDescription } from "../../core/model.ts";
import {
  type FeatureValue,
  type FeatureValues,
  isSameShape,
  isTensor,
  numbersOf,
  type Tensor,
} from "../../core/tensor.ts";

/** Inputs of one model with the answers they must have. */
export interface References {
  readonly inputs: readonly FeatureValues[];
  readonly answers: readonly FeatureValues[];
  readonly mode: "bits" | "tolerance";
  /** 0 where every bit counts. */
  readonly tolerance: number;
  /** SHA-256 over the answers. */
  readonly digest: string;
}

/** For float results that differ from run to run: a share of the largest value of the output. */
const usualTolerance = { half: 1e-2, other: 1e-3 };

/** Random values for each input that is required; different for each index, the same for the same seed. */
export function makeInputs(
  descriptions: readonly FeatureDescription[],
  options: { readonly count: number; readonly seed: number },
): FeatureValues[] {
  const needed = descriptions.filter((input) => !input.isOptional);
  return Array.from({ length: options.count }, (_, index) => {
    const seed = options.seed * 1_000_003 + index;
    return new Map(needed.map((input) => [input.name, generate(input, "random", { seed })]));
  });
}

/**
 * `predict` is asked several times for each input, at once where instances allow, to learn whether its answers are the
 * same to the bit. `tolerance`: given by the user. Throws CRITERIA_FAILED where they are not even close.
 */
export async function takeReferences(options: {
  readonly model: string;
  readonly inputs: readonly FeatureValues[];
  readonly repeats: number;
  readonly tolerance: number | null;
  predict(inputs: FeatureValues): Promise<FeatureValues>;
}): Promise<References> {
  const { model, inputs, repeats } = options;
  const answers: FeatureValues[] = [];
  let mode: References["mode"] = options.tolerance === null || options.tolerance === 0 ? "bits" : "tolerance";
  let tolerance = options.tolerance ?? 0;
  for (const [index, values] of inputs.entries()) {
    const first = await options.predict(values);
    const others = await Promise.all(Array.from({ length: repeats }, () => options.predict(values)));
    answers.push(first);
    const isSame = others.every((other) => findDifference(other, first, 0) === undefined);
    if (!isSame && options.tolerance === null) {
      mode = "tolerance";
      tolerance = Math.max(tolerance, toleranceOf(first));
    }
    for (const other of others) {
      const difference = findDifference(other, first, tolerance);
      if (difference === undefined) continue;
      throw new CoremlxError(
        "CRITERIA_FAILED",
        `Cannot soak "${model}": its answers to input ${index} are not the same each time: ${difference}`,
        {
          hint: "Give --tolerance where the model's answers vary by design",
          details: { model, input: index },
        },
      );
    }
  }
  return { inputs, answers, mode, tolerance, digest: digestOf(answers) };
}

function toleranceOf(outputs: FeatureValues): number {
  const isHalf = [...outputs.values()].some((value) => isTensor(value) && /^b?float16$/.test(value.dtype));
  return isHalf ? usualTolerance.half : usualTolerance.other;
}

/** The first place where an answer is not its reference, in words; `undefined`: it is. Tolerance 0: every bit. */
export function findDifference(
  answer: FeatureValues,
  reference: FeatureValues,
  tolerance: number,
): string | undefined {
  for (const [name, expected] of reference) {
    const actual = answer.get(name);
    if (actual === undefined) return `output "${name}" is missing`;
    const difference = differenceOf(actual, expected, tolerance);
    if (difference !== undefined) return `output "${name}": ${difference}`;
  }
  if (answer.size === reference.size) return undefined;
  return `outputs ${[...answer.keys()].join(", ")} where ${[...reference.keys()].join(", ")} were expected`;
}

function differenceOf(actual: FeatureValue, expected: FeatureValue, tolerance: number): string | undefined {
  if (isTensor(expected)) {
    if (!isTensor(actual)) return "no array";
    return arrayDifference(actual, expected, tolerance);
  }
  if (typeof expected === "number" && typeof actual === "number") {
    const isClose =
      Object.is(actual, expected) || Math.abs(actual - expected) <= tolerance * Math.abs(expected);
    return isClose ? undefined : `${actual} where ${expected} was expected`;
  }
  if (expected instanceof Map && actual instanceof Map) {
    for (const [key, value] of expected) {
      const other: unknown = actual.get(key);
      const found = typeof other === "number" ? differenceOf(other, value, tolerance) : "is missing";
      if (found !== undefined) return `key ${String(key)}: ${found}`;
    }
    return actual.size === expected.size ? undefined : `${actual.size} keys, not ${expected.size}`;
  }
  return Bun.deepEquals(actual, expected, true) ? undefined : "another value";
}

function arrayDifference(actual: Tensor, expected: Tensor, tolerance: number): string | undefined {
  if (actual.dtype !== expected.dtype) return `${actual.dtype}, not ${expected.dtype}`;
  if (!isSameShape(actual.shape, expected.shape)) {
    return `shape [${actual.shape.join(", ")}], not [${expected.shape.join(", ")}]`;
  }
  if (Buffer.compare(actual.bytes, expected.bytes) === 0) return undefined;
  const [found, wanted] = [numbersOf(actual), numbersOf(expected)];
  const finite = wanted.filter(Number.isFinite).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const allowed = tolerance * finite;
  const isOff = (value: number, index: number): boolean => {
    const target = wanted[index] ?? Number.NaN;
    if (tolerance === 0 || Object.is(value, target)) return !Object.is(value, target);
    return !(Math.abs(value - target) <= allowed);
  };
  const count = found.filter(isOff).length;
  const at = found.findIndex(isOff);
  // Numbers that are the same and bits that are not: another NaN, or digits beyond 2^53.
  if (count === 0) return tolerance === 0 ? "other bits" : undefined;
  const more = count > 1 ? `, and ${count - 1} more of ${found.length} elements differ` : "";
  return `element ${at} is ${show(found[at])} where ${show(wanted[at])} was expected${more}`;
}

/** With the sign of a zero. */
function show(value: number | undefined): string {
  return Object.is(value, -0) ? "-0" : String(value);
}

function digestOf(answers: readonly FeatureValues[]): string {
  const hash = createHash("sha256");
  for (const answer of answers) {
    for (const [name, value] of [...answer].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if (isTensor(value)) {
        hash.update(JSON.stringify([name, value.dtype, value.shape]));
        hash.update(value.bytes);
      } else {
        const plain = value instanceof Map ? [...value] : value;
        hash.update(
          JSON.stringify([name, plain], (_, part) => (typeof part === "bigint" ? `${part}n` : part)),
        );
      }
    }
  }
  return hash.digest("hex");
}
