// Parsed JSON to feature values, by the model's interface. The other direction is in json-output.ts.

import type { DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import { type FeatureDescription, type FeatureType, pictureDType } from "../core/model.ts";
import { zeros, type FeatureValue, type FeatureValues, type Tensor } from "../core/tensor.ts";
import { checkElementCount, formatShape, makeTensor } from "./allocate.ts";
import { formatNumber, storeInto } from "./cast.ts";
import { type ConvertFeature, convertFeature, describeType, nameOf } from "./convert.ts";
import { isJsonObject, parseJson, type JsonNode } from "./json-text.ts";
import type { CodecLimits } from "./limits.ts";

/**
 * One input from parsed JSON: nested lists, or what `toJsonValue` writes, for arrays; an object for a dictionary; numbers may be
 * strings ("NaN", "Infinity", "-Infinity", whole numbers). Throws BAD_INPUT with the place inside the value.
 */
export function fromJson(
  node: JsonNode,
  description: FeatureDescription,
  { limits, convert = convertFeature }: FromJsonOptions = {},
): FeatureValue {
  const { type } = description;
  const context = { subject: `Cannot read ${nameOf(description)}`, limits };
  return convert(readFeature(node, type, context), description);
}

export interface FromJsonOptions {
  readonly limits?: CodecLimits | undefined;
  readonly convert?: ConvertFeature | undefined;
}

/** All inputs that `node` names. Throws BAD_INPUT for a name that the model does not have. */
export function featuresFromJson(
  node: JsonNode,
  descriptions: readonly FeatureDescription[],
  options: FromJsonOptions = {},
): FeatureValues {
  const known = descriptions.map(({ name }) => `"${name}"`).join(", ");
  if (!isJsonObject(node))
    throw new CoremlxError("BAD_INPUT", "Cannot read inputs from JSON: it is no object of names and values", {
      hint: `Write {"NAME": VALUE, …} with the names ${known}`,
    });
  const values = new Map<string, FeatureValue>();
  for (const [name, value] of node) {
    const description = descriptions.find((candidate) => candidate.name === name);
    if (description === undefined)
      throw new CoremlxError("BAD_INPUT", `Cannot read inputs from JSON: the model has no input "${name}"`, {
        hint: `It has ${known}`,
        details: { name, known: descriptions.map((candidate) => candidate.name) },
      });
    values.set(name, fromJson(value, description, options));
  }
  return values;
}

/** A value written on the command line: a string as it is; else a number, NaN, Infinity or JSON. Throws BAD_INPUT. */
export function fromLiteral(
  text: string,
  description: FeatureDescription,
  options: FromJsonOptions = {},
): FeatureValue {
  if (description.type.kind === "string") return text;
  if (isSpecialNumber(text)) return fromJson(text, description, options);
  const subject = `Cannot read ${nameOf(description)} from ${JSON.stringify(text.slice(0, 60))}`;
  return fromJson(parseJson(text, { subject, limits: options.limits }), description, options);
}

interface Context {
  readonly subject: string;
  readonly limits: CodecLimits | undefined;
}

function readFeature(node: JsonNode, type: FeatureType, context: Context): FeatureValue {
  switch (type.kind) {
    case "multiArray":
      return readTensor(node, type.dtype, context);
    case "state":
      return readTensor(node, type.array.dtype, context);
    case "image":
      return readTensor(node, pictureDType(type), context);
    case "int64":
    case "double":
      return readScalar(node, type, context);
    case "string":
      if (typeof node !== "string") throw wrongNode(node, type, context);
      return node;
    case "dictionary":
      return readDictionary(node, type, context);
    case "sequence":
      return readSequence(node, type, context);
  }
}

function readScalar(node: JsonNode, type: FeatureType, context: Context): FeatureValue {
  if (Array.isArray(node) || isJsonObject(node)) return readTensor(node, "float64", context);
  const number = numberFrom(node);
  if (number === undefined) throw wrongNode(node, type, context);
  return number;
}

function readDictionary(
  node: JsonNode,
  type: Extract<FeatureType, { kind: "dictionary" }>,
  context: Context,
): FeatureValue {
  if (!isJsonObject(node)) throw wrongNode(node, type, context);
  const entries = Array.from(node, ([key, value]) => {
    const number = numberFrom(value);
    if (number === undefined)
      throw bad(context, `the value of ${JSON.stringify(key)} is ${describeNode(value)}, no number`);
    return [key, Number(number)] as const;
  });
  if (type.key === "string") return new Map(entries);
  return new Map(
    entries.map(([key, value]) => {
      if (!wholeNumber.test(key)) throw bad(context, `the key ${JSON.stringify(key)} is no whole number`);
      return [BigInt(key), value];
    }),
  );
}

function readSequence(
  node: JsonNode,
  type: Extract<FeatureType, { kind: "sequence" }>,
  context: Context,
): FeatureValue {
  if (!Array.isArray(node)) throw wrongNode(node, type, context);
  if (type.element === "string")
    return node.map((item, i) => {
      if (typeof item !== "string") throw bad(context, `value ${i} is ${describeNode(item)}, no string`);
      return item;
    });
  return node.map((item, i) => {
    const number = numberFrom(item);
    if (number === undefined || (typeof number === "number" && !Number.isInteger(number)))
      throw bad(context, `value ${i} is ${describeNode(item)}, no whole number`);
    return BigInt(number);
  });
}

/** Nested lists or one number; or an object with dtype, shape and data. */
function readTensor(node: JsonNode, dtype: DType, context: Context): Tensor {
  if (isJsonObject(node)) return readTensorObject(node, context);
  const shape = measure(node);
  checkElementCount(shape, dtype, context); // before the lists are walked: the rank bounds the recursion
  checkEven(node, shape, { path: "", context });
  return fillTensor(node, dtype, { shape, context });
}

function readTensorObject(node: ReadonlyMap<string, JsonNode>, context: Context): Tensor {
  const { dtype, shape, data } = {
    dtype: node.get("dtype"),
    shape: node.get("shape"),
    data: node.get("data"),
  };
  if (
    typeof dtype !== "string" ||
    !isDType(dtype) ||
    !Array.isArray(shape) ||
    (!Array.isArray(data) && numberFrom(data ?? null) === undefined)
  )
    throw new CoremlxError("BAD_INPUT", `${context.subject}: an object must have a dtype, a shape and data`, {
      hint: "Give nested lists, or the file that holds the array",
    });
  const axes = shape.map((axis) => {
    if (typeof axis !== "number") throw bad(context, `an axis of ${describeNode(axis)} is no size`);
    return axis;
  });
  const count = checkElementCount(axes, dtype, context);
  const measured = measure(data ?? null);
  const isFlat = measured.length === 1 && measured[0] === count;
  if (!isFlat && formatShape(measured) !== formatShape(axes) && count > 0)
    throw bad(context, `the data have the shape ${formatShape(measured)}, not ${formatShape(axes)}`);
  if (count === 0) return zeros(dtype, axes);
  checkEven(data ?? null, measured, { path: "", context });
  return { ...fillTensor(data ?? null, dtype, { shape: measured, context }), shape: axes };
}

/** The shape that the first values at each depth suggest. */
function measure(node: JsonNode): number[] {
  const shape: number[] = [];
  for (let at: JsonNode | undefined = node; Array.isArray(at); at = at[0]) shape.push(at.length);
  return shape;
}

/** Refuses lists of uneven length. Recursion is as deep as the rank, which is bounded. */
function checkEven(
  node: JsonNode,
  [axis, ...rest]: readonly number[],
  { path, context }: { readonly path: string; readonly context: Context },
): void {
  if (axis === undefined) {
    if (Array.isArray(node)) throw bad(context, `${at(path)} is a list where a number is due`);
    return;
  }
  if (!Array.isArray(node))
    throw bad(context, `${at(path)} is ${describeNode(node)} where a list of ${axis} is due`);
  if (node.length !== axis)
    throw bad(context, `${at(path)} is a list of ${node.length} where one of ${axis} is due`);
  if (rest.length === 0) {
    const wrong = node.findIndex((item) => Array.isArray(item));
    if (wrong >= 0) throw bad(context, `${at(`${path}[${wrong}]`)} is a list where a number is due`);
    return;
  }
  for (const [i, item] of node.entries()) checkEven(item, rest, { path: `${path}[${i}]`, context });
}

function fillTensor(
  node: JsonNode,
  dtype: DType,
  { shape, context }: { readonly shape: readonly number[]; readonly context: Context },
): Tensor {
  const tensor = makeTensor(dtype, shape, context);
  const store = storeInto(tensor);
  let index = 0;
  const visit = (item: JsonNode, path: readonly number[]): void => {
    if (Array.isArray(item)) {
      for (const [i, inner] of item.entries()) {
        if (!Array.isArray(inner)) put(inner, path, i);
        else visit(inner, [...path, i]);
      }
    } else put(item, path, undefined);
  };
  const put = (item: JsonNode, path: readonly number[], last: number | undefined): void => {
    const number = typeof item === "number" ? item : numberFrom(item);
    const problem = number === undefined ? "no number" : store(index++, number);
    if (problem === undefined) return;
    const place = at([...path, ...(last === undefined ? [] : [last])].map((i) => `[${i}]`).join(""));
    throw bad(
      context,
      `${place} is ${describeNode(item)}, ${problem}${number === undefined ? "" : `, for ${dtype}`}`,
    );
  };
  visit(node, []);
  return tensor;
}

function at(path: string): string {
  return path === "" ? "the value" : `element ${path}`;
}

const wholeNumber = /^-?[0-9]{1,400}$/;

function isSpecialNumber(text: string): boolean {
  return text === "NaN" || text === "Infinity" || text === "-Infinity";
}

function numberFrom(node: JsonNode): number | bigint | undefined {
  if (typeof node === "number" || typeof node === "bigint") return node;
  if (typeof node === "boolean") return node ? 1 : 0;
  if (typeof node !== "string") return undefined;
  if (isSpecialNumber(node)) return Number(node);
  return wholeNumber.test(node) ? BigInt(node) : undefined;
}

function describeNode(node: JsonNode): string {
  if (Array.isArray(node)) return "a list";
  if (isJsonObject(node)) return "an object";
  if (typeof node === "string") return `the string ${JSON.stringify(node.slice(0, 40))}`;
  return typeof node === "number" || typeof node === "bigint" ? formatNumber(node) : String(node);
}

function wrongNode(node: JsonNode, type: FeatureType, context: Context): CoremlxError {
  return bad(context, `the model wants ${describeType(type)}, got ${describeNode(node)}`);
}

function bad(context: Context, reason: string): CoremlxError {
  return new CoremlxError("BAD_INPUT", `${context.subject}: ${reason}`);
}

const dtypes: Readonly<Record<DType, true>> = {
  bool: true,
  int8: true,
  int16: true,
  int32: true,
  int64: true,
  uint8: true,
  uint16: true,
  uint32: true,
  uint64: true,
  float16: true,
  bfloat16: true,
  float32: true,
  float64: true,
};

function isDType(text: string): text is DType {
  return Object.hasOwn(dtypes, text);
}
