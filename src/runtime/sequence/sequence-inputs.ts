// The inputs of a sequence: which of them have a value for each step, and what each step is given.

import { castTensor } from "../../codecs/cast.ts";
import { convertFeature, describeType } from "../../codecs/convert.ts";
import { formatShape } from "../../codecs/allocate.ts";
import { allowsShape, fitShape } from "../../codecs/shape.ts";
import { byteSize, type DType } from "../../core/dtype.ts";
import { CoremlxError } from "../../core/errors.ts";
import { type FeatureDescription, type FeatureType, isColor, pictureDType } from "../../core/model.ts";
import { elementCount, elementsOf, type FeatureValue, isTensor, type Tensor } from "../../core/tensor.ts";

/** One input over all steps. */
export interface StepInput {
  /** It has a value of its own for each step. */
  readonly isStepped: boolean;
  /** What a step is given, in the declared type; memory of its own where the steps differ. */
  at(step: number): FeatureValue;
}

/**
 * An array with a leading axis of `steps` in front of what the model takes is one value for each step; what the model takes
 * is the same at every step. Elements are converted here, so that nothing is found wrong in the middle of a run. Throws
 * BAD_INPUT for what is neither, and for what could be both.
 */
export function readStepInput(
  value: FeatureValue,
  description: FeatureDescription,
  steps: number,
): StepInput {
  const { type } = description;
  const dtype = elementTypeOf(type);
  if (!isTensor(value) || dtype === undefined) return constant(convertFeature(value, description));
  const each = value.shape[0] === steps ? stepShape(value, type) : undefined;
  const whole = fitValue(value.shape, type);
  if (each !== undefined && whole !== undefined) {
    const isSame = steps === 1 && each.join() === whole.join();
    if (!isSame) throw ambiguous(value, description, { each, whole, steps });
  }
  if (each !== undefined) {
    return sliced(castTensor(value, dtype, `input "${description.name}"`), each, type);
  }
  if (whole !== undefined) return constant(convertFeature(value, description));
  throw misfit(value, description, steps);
}

/**
 * The first value of an input that an output is carried into. Throws BAD_INPUT, also for an array with a value for each step:
 * from the second on there would be two.
 */
export function readStartValue(
  value: FeatureValue,
  description: FeatureDescription,
  from: string,
): FeatureValue {
  const { name, type } = description;
  const isStepped =
    isTensor(value) && fitValue(value.shape, type) === undefined && stepShape(value, type) !== undefined;
  if (!isStepped) return convertFeature(value, description);
  throw new CoremlxError(
    "BAD_INPUT",
    `Cannot carry output "${from}" into input "${name}": the input has a value for each of ${value.shape[0]} steps already`,
    { hint: "Give its value for the first step only", details: { name, actual: value.shape } },
  );
}

/**
 * The shape under which one value of the type takes an array of this shape. undefined: it does not. Pictures are [H, W, 3] or
 * [H, W], numbers [] or [1], sequences of whole numbers have one axis.
 */
export function fitValue(shape: readonly number[], type: FeatureType): readonly number[] | undefined {
  switch (type.kind) {
    case "multiArray":
      return fitShape(shape, type);
    case "image": {
      const hasAxes = isColor(type) ? shape.length === 3 && shape[2] === 3 : shape.length === 2;
      return hasAxes && allowsShape(shape.slice(0, 2), type) ? shape : undefined;
    }
    case "int64":
    case "double":
      return shape.length === 0 || (shape.length === 1 && shape[0] === 1) ? [] : undefined;
    case "sequence": {
      const [length, second] = shape;
      const { lower, upper } = type.size;
      if (type.element !== "int64" || length === undefined || second !== undefined) return undefined;
      return length >= lower && (upper === undefined || length <= upper) ? shape : undefined;
    }
    default:
      return undefined;
  }
}

function stepShape(value: Tensor, type: FeatureType): readonly number[] | undefined {
  return value.shape.length === 0 ? undefined : fitValue(value.shape.slice(1), type);
}

/** Of an array that can hold a value for each step; undefined where none can. */
function elementTypeOf(type: FeatureType): DType | undefined {
  switch (type.kind) {
    case "multiArray":
      return type.dtype;
    case "image":
      return pictureDType(type);
    case "int64":
      return "int64";
    case "double":
      return "float64";
    case "sequence":
      return type.element === "int64" ? "int64" : undefined;
    default:
      return undefined;
  }
}

function constant(value: FeatureValue): StepInput {
  return { isStepped: false, at: () => value };
}

function sliced(all: Tensor, shape: readonly number[], type: FeatureType): StepInput {
  const { dtype } = all;
  const byteLength = elementCount(shape) * byteSize(dtype);
  return {
    isStepped: true,
    at(step) {
      // A copy: what crosses threads takes the whole buffer beneath a view along.
      const bytes = new Uint8Array(new ArrayBuffer(byteLength));
      bytes.set(all.bytes.subarray(step * byteLength, (step + 1) * byteLength));
      const tensor: Tensor = { dtype, shape, bytes };
      if (type.kind === "sequence") return Array.from(elementsOf(tensor), BigInt);
      return type.kind === "int64" || type.kind === "double" ? (elementsOf(tensor)[0] ?? 0) : tensor;
    },
  };
}

function ambiguous(
  value: Tensor,
  { name }: FeatureDescription,
  readings: { readonly each: readonly number[]; readonly whole: readonly number[]; readonly steps: number },
): CoremlxError {
  const { each, whole, steps } = readings;
  return new CoremlxError(
    "BAD_INPUT",
    `Cannot tell what input "${name}" is in a sequence of ${steps} steps: shape ${formatShape(value.shape)} can be ${formatShape(whole)} at every step, or ${formatShape(each)} at each of ${steps} steps`,
    {
      hint: `Give it the shape ${formatShape([steps, ...each])} for a value for each step; repeat it as ${formatShape([steps, ...whole])} for the same at every step`,
      details: { name, actual: value.shape, each, whole },
    },
  );
}

function misfit(value: Tensor, { name, type }: FeatureDescription, steps: number): CoremlxError {
  const actual = value.shape;
  if (stepShape(value, type) !== undefined) {
    return new CoremlxError(
      "BAD_INPUT",
      `Cannot use input "${name}": it has values for ${actual[0]} steps, the sequence has ${steps}`,
      { details: { name, expected: steps, actual: actual[0] } },
    );
  }
  return new CoremlxError(
    "BAD_INPUT",
    `Cannot use input "${name}" in a sequence of ${steps} steps: it must be ${describeType(type)} (the same at every step), or have a leading axis of ${steps} before that (a value for each), got ${formatShape(actual)}`,
    { details: { name, expected: describeType(type), actual } },
  );
}
