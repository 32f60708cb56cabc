// Two answers of one output as lists of numbers, or as words: what can be compared, and what is no answer to the same question.

import { isFloat } from "../../core/dtype.ts";
import { CoremlxError } from "../../core/errors.ts";
import { type FeatureValue, isSameShape, isTensor, numbersOf } from "../../core/tensor.ts";

export type Pair =
  | {
      readonly kind: "numbers";
      readonly subject: Float64Array<ArrayBuffer>;
      readonly reference: Float64Array<ArrayBuffer>;
      /** Of floats: rounding is to be expected. */
      readonly isFloat: boolean;
      /** Scores of alternatives in one row: their order says something. */
      readonly areScores: boolean;
    }
  | { readonly kind: "words"; readonly isEqual: boolean };

/**
 * Saved arrays stand for dictionaries too (in the order of the labels) and for numbers. Throws BAD_INPUT for two values
 * that no comparison makes sense of: other shapes, other labels, an array and a word.
 */
export function pairValues(name: string, subject: FeatureValue, reference: FeatureValue): Pair {
  const [left, right] = [numbersIn(subject), numbersIn(reference)];
  if (left === undefined || right === undefined) {
    if (left !== undefined || right !== undefined) throw notComparable(name, subject, reference);
    return { kind: "words", isEqual: Bun.deepEquals(subject, reference, true) };
  }
  if (subject instanceof Map && reference instanceof Map) {
    return pairDictionaries(name, subject, reference);
  }
  if (isTensor(subject) && isTensor(reference) && !hasSameAxes(subject.shape, reference.shape)) {
    throw notComparable(name, subject, reference);
  }
  if (left.length !== right.length) throw notComparable(name, subject, reference);
  return {
    kind: "numbers",
    subject: left,
    reference: right,
    isFloat: isOfFloats(subject) && isOfFloats(reference),
    areScores: isRow(subject) && isRow(reference),
  };
}

type Key = string | bigint;

function pairDictionaries(
  name: string,
  subject: ReadonlyMap<Key, number>,
  reference: ReadonlyMap<Key, number>,
): Pair {
  const missing = [...reference.keys()].find((key) => !subject.has(key));
  if (missing !== undefined || subject.size !== reference.size) {
    const what = missing === undefined ? `${subject.size} and ${reference.size} keys` : `no "${missing}"`;
    throw new CoremlxError("BAD_INPUT", `Cannot compare output "${name}": other keys on one side: ${what}`, {
      details: { output: name },
    });
  }
  const ordered = [...reference.keys()].map((key) => subject.get(key) ?? Number.NaN);
  return {
    kind: "numbers",
    subject: Float64Array.from(ordered),
    reference: Float64Array.from(reference.values()),
    isFloat: true,
    areScores: reference.size > 1,
  };
}

function numbersIn(value: FeatureValue): Float64Array<ArrayBuffer> | undefined {
  if (typeof value === "number" || typeof value === "bigint") return Float64Array.of(Number(value));
  if (typeof value === "string") return undefined;
  if (isTensor(value)) return numbersOf(value);
  return value instanceof Map ? Float64Array.from(value.values()) : undefined;
}

function isOfFloats(value: FeatureValue): boolean {
  return isTensor(value) ? isFloat(value.dtype) : typeof value === "number" || value instanceof Map;
}

function isRow(value: FeatureValue): boolean {
  if (value instanceof Map) return value.size > 1;
  return isTensor(value) && isFloat(value.dtype) && value.shape.filter((axis) => axis !== 1).length === 1;
}

/** The same sizes beside those of 1, which files and engines add and drop. */
function hasSameAxes(left: readonly number[], right: readonly number[]): boolean {
  const [a, b] = [left, right].map((shape) => shape.filter((axis) => axis !== 1));
  return isSameShape(a ?? [], b ?? []);
}

function notComparable(name: string, subject: FeatureValue, reference: FeatureValue): CoremlxError {
  return new CoremlxError(
    "BAD_INPUT",
    `Cannot compare output "${name}": ${describe(subject)} with ${describe(reference)}`,
    { hint: "Both sides must answer with the same kind and size", details: { output: name } },
  );
}

function describe(value: FeatureValue): string {
  if (isTensor(value)) return `${value.dtype} [${value.shape.join(", ")}]`;
  if (value instanceof Map) return `a dictionary of ${value.size}`;
  return typeof value === "object" ? "a sequence" : `a ${typeof value}`;
}
