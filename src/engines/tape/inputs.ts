// Inputs as a tape knows them: arrays in their declared element type, everything else as it is. Equal inputs are the same
// inputs, whichever way they came.

import { CoremlxError } from "../../core/errors.ts";
import { type FunctionDescription, pictureDType } from "../../core/model.ts";
import { type FeatureValue, type FeatureValues, zeros } from "../../core/tensor.ts";
import { encodeFeature, isOfKind } from "../features.ts";

/** Throws BAD_INPUT for what the function does not take, and for what it takes and does not get. */
export function normalizeInputs({ inputs }: FunctionDescription, given: FeatureValues): FeatureValues {
  const values = new Map<string, FeatureValue>();
  for (const description of inputs) {
    const { name, type, isOptional } = description;
    const value = given.get(name);
    if (value === undefined) {
      if (isOptional) continue;
      throw new CoremlxError("BAD_INPUT", `Cannot predict: input "${name}" is missing`, {
        details: { name },
      });
    }
    if (type.kind === "multiArray")
      values.set(name, encodeFeature(description, value, { dtype: type.dtype, shape: undefined }));
    else if (type.kind === "image")
      values.set(
        name,
        encodeFeature(description, value, { dtype: pictureDType(type), shape: undefined, isWhole: true }),
      );
    else if (isOfKind(value, type)) values.set(name, value);
    else throw new CoremlxError("BAD_INPUT", `Cannot pass "${name}": the model takes a ${type.kind} there`);
  }
  return values;
}

/** What a sequence begins with. */
export function zeroStates({ states }: FunctionDescription): FeatureValues {
  return new Map(
    states.flatMap(({ name, type }) =>
      type.kind === "state" ? [[name, zeros(type.array.dtype, type.array.shape)] as const] : [],
    ),
  );
}
