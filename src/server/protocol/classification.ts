// The classification extension: the greatest values of an output as "value:index:label" texts, best first.

import { type FeatureValue, isTensor, numbersOf } from "../../core/tensor.ts";
import { bad } from "./request.ts";

/** Throws BAD_INPUT for an output that is no list of numbers. */
export function classify(
  name: string,
  value: FeatureValue,
  { count, labels }: { readonly count: number; readonly labels: readonly (string | bigint)[] | undefined },
): readonly string[] {
  const { numbers, names } = scoresOf(name, value, labels);
  const order = Array.from(numbers.keys()).sort((a, b) => compare(numbers[a] ?? 0, numbers[b] ?? 0) || a - b);
  return order.slice(0, count).map((index) => {
    const label = names?.[index];
    return `${numbers[index]}:${index}${label === undefined ? "" : `:${label}`}`;
  });
}

function scoresOf(
  name: string,
  value: FeatureValue,
  labels: readonly (string | bigint)[] | undefined,
): { readonly numbers: Float64Array; readonly names: readonly (string | bigint)[] | undefined } {
  if (value instanceof Map) {
    return { numbers: new Float64Array(value.values()), names: [...value.keys()] };
  }
  if (typeof value === "object" && isTensor(value)) {
    const numbers = numbersOf(value);
    return { numbers, names: labels?.length === numbers.length ? labels : undefined };
  }
  throw bad(`output "${name}" cannot be classified: it is no list of numbers`);
}

/** Greatest first; NaN last. */
function compare(a: number, b: number): number {
  if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : 1;
  if (Number.isNaN(b)) return -1;
  return b - a;
}
