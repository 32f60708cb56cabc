// MIL's classify: the graph gives out the probabilities; label and dictionary are made by the host.

import { isFloat } from "../../core/dtype.ts";
import { elementCount, elementsOf } from "../../core/tensor.ts";
import type { MilValue } from "../../formats/mil.ts";
import { asTensor, type Op, type OpTable } from "../op.ts";

export const classify = {
  classify(op) {
    const probabilities = op.value("probabilities");
    const labels = labelsOf(op);
    const shape = op.staticShape(probabilities);
    if (shape && elementCount(shape) !== labels.length) {
      op.bad(`${elementCount(shape)} probabilities for ${labels.length} classes`);
    }
    const [label, dictionary] = op.outputs;
    if (label === undefined) return op.bad("it has no output");
    op.scope.classify({
      probabilities,
      labels,
      labelName: label.name,
      probabilitiesName: dictionary?.name,
    });
    return [];
  },
} satisfies OpTable;

function labelsOf(op: Op): readonly string[] | readonly bigint[] {
  const classes = op.constant("classes") ?? op.bad('input "classes" is missing');
  const flat = flatten(classes);
  if (flat.every((item) => typeof item === "string")) return flat;
  if (flat.every((item) => typeof item === "bigint")) return flat;
  return op.bad('"classes" must be all strings or all integers');
}

function flatten(value: MilValue): readonly (string | bigint | number)[] {
  if (value.kind === "strings") return value.values;
  if (value.kind === "dictionary") return [];
  if (value.kind !== "tensor") return value.values.flatMap(flatten);
  const tensor = asTensor(value);
  // Numbers that are not whole, and packed types, are no labels.
  if (tensor === undefined || isFloat(tensor.dtype)) return [Number.NaN];
  return [...elementsOf(tensor)].map(BigInt);
}
