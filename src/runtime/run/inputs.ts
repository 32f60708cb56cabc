// The values a caller gives against the inputs a model has.

import { convertFeature } from "../../codecs/convert.ts";
import { CoremlxError } from "../../core/errors.ts";
import type { FeatureDescription } from "../../core/model.ts";
import { suggest } from "../../core/suggest.ts";
import type { FeatureValue, FeatureValues } from "../../core/tensor.ts";

/** Each value as its input takes it. Throws BAD_INPUT: unknown, missing, or not to be converted. */
export function convertInputs(values: FeatureValues, inputs: readonly FeatureDescription[]): FeatureValues {
  refuseUnknown(values, inputs);
  const converted = new Map<string, FeatureValue>();
  const missing: string[] = [];
  for (const input of inputs) {
    const value = values.get(input.name);
    if (value !== undefined) converted.set(input.name, convertFeature(value, input));
    else if (!input.isOptional) missing.push(input.name);
  }
  refuseMissing(missing, "predict");
  return converted;
}

/** Throws BAD_INPUT for a name that no input has. */
export function refuseUnknown(values: FeatureValues, inputs: readonly FeatureDescription[]): void {
  for (const name of values.keys()) {
    if (inputs.some((input) => input.name === name)) continue;
    const names = inputs.map((input) => input.name);
    throw new CoremlxError("BAD_INPUT", `Unknown input "${name}"`, {
      hint: suggest(name, names, "The inputs are"),
      details: { name, inputs: names },
    });
  }
}

/** Throws BAD_INPUT where there are any. */
export function refuseMissing(missing: readonly string[], action: string): void {
  if (missing.length === 0) return;
  const list = missing.map((name) => `"${name}"`).join(", ");
  throw new CoremlxError("BAD_INPUT", `Cannot ${action}: input ${list} is missing`, {
    hint: `Give it with --input ${missing[0]}=VALUE`,
    details: { missing },
  });
}
