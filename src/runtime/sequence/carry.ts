// Outputs fed into inputs of the next step: which of them can be, known before anything runs.

import { describeType } from "../../codecs/convert.ts";
import { CoremlxError } from "../../core/errors.ts";
import { type FeatureDescription, type FeatureType, isColor } from "../../core/model.ts";
import { suggest } from "../../core/suggest.ts";
import { fitValue } from "./sequence-inputs.ts";

export interface Carry {
  readonly output: string;
  readonly input: string;
}

interface Interface {
  readonly inputs: readonly FeatureDescription[];
  readonly outputs: readonly FeatureDescription[];
}

/**
 * Throws BAD_INPUT for names that the model does not have, for two outputs into one input, and for an output of a kind or
 * shape that the input does not take. Element types may differ: values are converted like any input's.
 */
export function checkCarries(carries: readonly Carry[], { inputs, outputs }: Interface): void {
  const taken = new Map<string, string>();
  for (const carry of carries) {
    const output = outputs.find(({ name }) => name === carry.output);
    const input = inputs.find(({ name }) => name === carry.input);
    if (output === undefined) throw unknown("output", carry.output, outputs);
    if (input === undefined) throw unknown("input", carry.input, inputs);
    const other = taken.get(carry.input);
    if (other !== undefined) {
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot carry output "${carry.output}" into input "${carry.input}": output "${other}" is carried into it`,
      );
    }
    taken.set(carry.input, carry.output);
    if (canCarry(output.type, input.type)) continue;
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot carry output "${carry.output}" into input "${carry.input}": the output is ${describeType(output.type)}, the input takes ${describeType(input.type)}`,
      { details: { expected: describeType(input.type), actual: describeType(output.type) } },
    );
  }
}

function unknown(
  what: "output" | "input",
  name: string,
  descriptions: readonly FeatureDescription[],
): CoremlxError {
  const names = descriptions.map((description) => description.name);
  return new CoremlxError("BAD_INPUT", `Cannot carry: the model has no ${what} "${name}"`, {
    hint: suggest(name, names, `The ${what}s are`),
    details: { name, known: names },
  });
}

/** False where it never can; an output whose shape only a run tells is let through, and checked at every step. */
function canCarry(output: FeatureType, input: FeatureType): boolean {
  switch (output.kind) {
    case "multiArray":
      if (!takesArrays(input)) return false;
      if (output.constraint.kind !== "fixed" || output.shape.length === 0) return true;
      return fitValue(output.shape, input) !== undefined;
    case "image": {
      if (!takesArrays(input)) return false;
      const size = [output.height, output.width, ...(isColor(output) ? [3] : [])];
      return output.constraint.kind !== "fixed" || fitValue(size, input) !== undefined;
    }
    case "int64":
    case "double":
      return fitValue([], input) !== undefined;
    case "string":
      return input.kind === "string";
    case "dictionary":
      return input.kind === "dictionary" && input.key === output.key;
    case "sequence":
      return input.kind === "sequence" && input.element === output.element;
    case "state":
      return false;
  }
}

function takesArrays(type: FeatureType): boolean {
  if (type.kind === "sequence") return type.element === "int64";
  return (
    type.kind === "multiArray" || type.kind === "image" || type.kind === "int64" || type.kind === "double"
  );
}
