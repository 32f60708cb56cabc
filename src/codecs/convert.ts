// A given value made into what the model declares: element type, shape, kind. The rules are those of the command line.

import {
  type FeatureDescription,
  type FeatureType,
  type ImageType,
  type MultiArrayType,
  isColor,
  pictureDType,
} from "../core/model.ts";
import { CoremlxError } from "../core/errors.ts";
import {
  elementsOf,
  isTensor,
  tensorOf,
  zeros,
  type FeatureValue,
  type Sequence,
  type Tensor,
} from "../core/tensor.ts";
import { formatShape } from "./allocate.ts";
import { castTensor, storeInto } from "./cast.ts";
import { allowsShape, checkShape, describeShapes, fitShape } from "./shape.ts";
import { checkTensorBytes } from "./tensor-bytes.ts";

/** How a given value becomes an input's. Default: convertFeature. Sequences look at shapes later, and pass values on as they are. */
export type ConvertFeature = (value: FeatureValue, description: FeatureDescription) => FeatureValue;

/** What messages call it: input "x", or state "x". */
export function nameOf({ name, type }: FeatureDescription): string {
  return `${type.kind === "state" ? "state" : "input"} "${name}"`;
}

/**
 * The value as the model's type wants it. Arrays: see castTensor for elements and fitShape for shapes; a number may stand for
 * an array of one element, and such an array for a number. Pictures must have an allowed size already (fitPicture resizes
 * files). Shares memory with `value` where nothing changes. Throws BAD_INPUT.
 */
export function convertFeature(value: FeatureValue, description: FeatureDescription): FeatureValue {
  const subject = nameOf(description);
  const { type } = description;
  switch (type.kind) {
    case "multiArray":
      return convertArray(value, type, subject);
    case "state":
      return convertArray(value, type.array, subject);
    case "image":
      return convertImage(value, type, subject);
    case "int64":
    case "double":
      return convertScalar(value, type.kind, subject);
    case "string":
      if (typeof value !== "string") throw wrongKind(value, type, subject);
      return value;
    case "dictionary":
      return convertDictionary(value, type, subject);
    case "sequence":
      return convertSequence(value, type, subject);
  }
}

/** "float32 array [1, 3]", "string", … : what a type or value is, for messages. */
export function describeType(type: FeatureType): string {
  switch (type.kind) {
    case "multiArray":
      return `a ${type.dtype} array ${describeShapes(type)}`;
    case "state":
      return describeType(type.array);
    case "image":
      return `a picture ${describeShapes(type)} in ${type.colorSpace}`;
    case "int64":
      return "a whole number";
    case "double":
      return "a number";
    case "string":
      return "a string";
    case "dictionary":
      return `a dictionary of ${type.key === "int64" ? "whole numbers" : "strings"} to numbers`;
    case "sequence":
      return `a sequence of ${type.element === "int64" ? "whole numbers" : "strings"}`;
  }
}

function describeValue(value: FeatureValue): string {
  if (typeof value === "number") return `the number ${value}`;
  if (typeof value === "bigint") return `the number ${value}`;
  if (typeof value === "string") return `the string ${JSON.stringify(value.slice(0, 40))}`;
  if (isTensor(value)) return `a ${value.dtype} array ${formatShape(value.shape)}`;
  return value instanceof Map ? "a dictionary" : "a sequence";
}

function wrongKind(value: FeatureValue, type: FeatureType, subject: string): CoremlxError {
  return new CoremlxError(
    "BAD_INPUT",
    `Cannot use ${subject}: the model wants ${describeType(type)}, got ${describeValue(value)}`,
    { details: { expected: describeType(type), actual: describeValue(value) } },
  );
}

function convertArray(value: FeatureValue, type: MultiArrayType, subject: string): Tensor {
  const tensor = arrayFrom(value, type, subject);
  const shape = fitShape(tensor.shape, type);
  if (shape === undefined) checkShape(tensor.shape, type, subject);
  const cast = castTensor(tensor, type.dtype, subject);
  return shape === undefined || shape === cast.shape ? cast : { ...cast, shape };
}

function arrayFrom(value: FeatureValue, type: MultiArrayType, subject: string): Tensor {
  if (typeof value === "number") return tensorOf("float64", [value], []);
  if (typeof value === "bigint") {
    // Straight into the declared type: a whole number may be wider than int64.
    const tensor = zeros(type.dtype, []);
    const problem = storeInto(tensor)(0, value);
    if (problem !== undefined)
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot convert ${subject} to ${type.dtype}: it is ${value}, ${problem}`,
      );
    return tensor;
  }
  if (typeof value === "object" && isTensor(value)) {
    checkTensorBytes(value, subject);
    return value;
  }
  throw wrongKind(value, type, subject);
}

function convertImage(value: FeatureValue, type: ImageType, subject: string): Tensor {
  if (typeof value !== "object" || !isTensor(value)) throw wrongKind(value, type, subject);
  const wantsColor = isColor(type);
  const [height = 0, width = 0, channels] = value.shape;
  if (value.shape.length !== (wantsColor ? 3 : 2) || (wantsColor && channels !== 3))
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot use ${subject}: a picture in ${type.colorSpace} is an array [height, width${wantsColor ? ", 3" : ""}], got ${formatShape(value.shape)}`,
      { details: { expected: wantsColor ? 3 : 2, actual: value.shape } },
    );
  if (!allowsShape([height, width], type)) checkShape([height, width], type, subject);
  checkTensorBytes(value, subject);
  return castTensor(value, pictureDType(type), subject);
}

function convertScalar(value: FeatureValue, kind: "int64" | "double", subject: string): number | bigint {
  const single = scalarFrom(value);
  if (single === undefined) throw wrongKind(value, { kind }, subject);
  if (kind === "double") {
    const number = Number(single);
    if (!Number.isFinite(number) && typeof single === "bigint")
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot convert ${subject} to a number: it is beyond the range of float64`,
      );
    return number;
  }
  const holder = zeros("int64", []);
  const problem = storeInto(holder)(0, single);
  if (problem !== undefined)
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot convert ${subject} to a whole number: it is ${single}, ${problem}`,
    );
  return BigInt(single);
}

function scalarFrom(value: FeatureValue): number | bigint | undefined {
  if (typeof value === "number" || typeof value === "bigint") return value;
  if (typeof value !== "object" || !isTensor(value)) return undefined;
  const isSingle = value.shape.length === 0 || (value.shape.length === 1 && value.shape[0] === 1);
  if (!isSingle) return undefined;
  const wide = value.dtype === "bfloat16" ? castTensor(value, "float32", "value") : value;
  return elementsOf(wide)[0];
}

function convertDictionary(
  value: FeatureValue,
  type: Extract<FeatureType, { kind: "dictionary" }>,
  subject: string,
): FeatureValue {
  if (!(value instanceof Map)) throw wrongKind(value, type, subject);
  const wanted = type.key === "int64" ? "bigint" : "string";
  for (const key of value.keys())
    if (typeof key !== wanted)
      throw new CoremlxError(
        "BAD_INPUT",
        `Cannot use ${subject}: its keys must be ${type.key === "int64" ? "whole numbers" : "strings"}, got ${JSON.stringify(String(key))}`,
      );
  return value;
}

function convertSequence(
  value: FeatureValue,
  type: Extract<FeatureType, { kind: "sequence" }>,
  subject: string,
): Sequence {
  const items = sequenceFrom(value, type, subject);
  const { lower, upper } = type.size;
  if (items.length < lower || (upper !== undefined && items.length > upper))
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot use ${subject}: it must have ${lower}..${upper ?? ""} values, got ${items.length}`,
      { details: { expected: [lower, upper ?? null], actual: items.length } },
    );
  const wanted = type.element === "int64" ? "bigint" : "string";
  const wrong = items.findIndex((item) => typeof item !== wanted);
  if (wrong >= 0)
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot use ${subject}: the model wants ${describeType(type)}, value ${wrong} is ${JSON.stringify(String(items[wrong]))}`,
    );
  return items;
}

function sequenceFrom(
  value: FeatureValue,
  type: Extract<FeatureType, { kind: "sequence" }>,
  subject: string,
): Sequence {
  if (typeof value === "object" && isTensor(value)) {
    if (type.element !== "int64" || value.shape.length !== 1) throw wrongKind(value, type, subject);
    return Array.from(elementsOf(castTensor(value, "int64", subject)), BigInt);
  }
  if (typeof value !== "object" || value instanceof Map || !Array.isArray(value))
    throw wrongKind(value, type, subject);
  return value;
}
