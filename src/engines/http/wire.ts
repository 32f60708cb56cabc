// Feature values as the protocol's binary tensors, and back.

import { checkElementCount } from "../../codecs/allocate.ts";
import { type Datatype, datatypeOf, dtypeOf } from "../../codecs/datatypes.ts";
import { frameStrings } from "../../codecs/string-frames.ts";
import { byteSize } from "../../core/dtype.ts";
import { CoremlxError } from "../../core/errors.ts";
import { type FeatureDescription, pictureDType } from "../../core/model.ts";
import {
  elementsOf,
  type FeatureValue,
  type FeatureValues,
  numbersOf,
  type Tensor,
  tensorOf,
} from "../../core/tensor.ts";
import { convertElements, encodeFeature, isOfKind } from "../features.ts";
import { badAnswer } from "./failure.ts";
import { keysNameOf } from "./description.ts";

export interface WireTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  /** BYTES elements have their length before them. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Throws BAD_INPUT where values and descriptions disagree. */
export function toWire(inputs: FeatureValues, descriptions: readonly FeatureDescription[]): WireTensor[] {
  return descriptions.flatMap((description) => {
    const { name, isOptional } = description;
    const value = inputs.get(name);
    if (value !== undefined) return tensorsOf(description, value, descriptions);
    if (isOptional) return [];
    throw new CoremlxError("BAD_INPUT", `Cannot predict: input "${name}" is missing`, {
      details: { name },
    });
  });
}

function tensorsOf(
  description: FeatureDescription,
  value: FeatureValue,
  all: readonly FeatureDescription[],
): WireTensor[] {
  const { name, type } = description;
  switch (type.kind) {
    case "multiArray":
      return [numeric(name, encodeFeature(description, value, { dtype: type.dtype, shape: undefined }))];
    case "image": {
      const port = { dtype: pictureDType(type), shape: undefined, isWhole: true };
      return [numeric(name, encodeFeature(description, value, port))];
    }
    case "double":
    case "int64": {
      const dtype = type.kind === "double" ? "float64" : "int64";
      return [numeric(name, encodeFeature(description, value, { dtype, shape: undefined }))];
    }
    default:
  }
  if (!isOfKind(value, type))
    throw new CoremlxError("BAD_INPUT", `Cannot pass "${name}": the model takes a ${type.kind} there`);
  if (typeof value === "string") return [list(name, [value])];
  if (value instanceof Map) {
    const keys: readonly (string | bigint)[] = [...value.keys()];
    const numbers = tensorOf("float64", [...value.values()].map(Number));
    return [numeric(name, numbers), list(keysNameOf(name, all), keys)];
  }
  return [list(name, Array.isArray(value) ? (value as readonly (string | bigint)[]) : [])];
}

function numeric(name: string, { dtype, shape, bytes }: Tensor): WireTensor {
  if (dtype !== "bfloat16") return { name, datatype: datatypeOf(dtype), shape, bytes };
  throw new CoremlxError("UNSUPPORTED", `Cannot pass "${name}": the protocol has no bfloat16`);
}

function list(name: string, items: readonly (string | bigint)[]): WireTensor {
  if (typeof items[0] === "bigint") return numeric(name, tensorOf("int64", items.map(BigInt)));
  const bytes = frameStrings(items.map(String));
  return { name, datatype: "BYTES", shape: [items.length], bytes };
}

/** Throws NATIVE for an answer that is not what the model declares. */
export function fromWire(
  tensors: ReadonlyMap<string, WireTensor>,
  descriptions: readonly FeatureDescription[],
  what: string,
): Map<string, FeatureValue> {
  const values = new Map<string, FeatureValue>();
  for (const description of descriptions) {
    const { name, type } = description;
    const given = tensors.get(name);
    if (given === undefined) throw badAnswer(what, `it has no "${name}"`);
    const value = valueOf(description, given, tensors.get(keysNameOf(name, descriptions)), what);
    if (!isOfKind(value, type)) throw badAnswer(what, `"${name}" is ${given.datatype}, not a ${type.kind}`);
    values.set(name, value);
  }
  return values;
}

function valueOf(
  { name, type }: FeatureDescription,
  given: WireTensor,
  keys: WireTensor | undefined,
  what: string,
): FeatureValue {
  switch (type.kind) {
    case "multiArray":
      return convertElements(tensorFrom(given, what), type.dtype);
    case "image":
      return tensorFrom(given, what);
    case "double":
      return only(name, [...numbersOf(tensorFrom(given, what))], what);
    case "int64":
      return only(name, bigintsOf(given, what), what);
    case "string":
      return only(name, splitStrings(given, what), what);
    case "sequence":
      return type.element === "string" ? splitStrings(given, what) : bigintsOf(given, what);
    case "dictionary": {
      if (keys === undefined) throw badAnswer(what, `"${name}" has no keys`);
      const numbers = numbersOf(tensorFrom(given, what));
      const names: readonly (string | bigint)[] =
        type.key === "string" ? splitStrings(keys, what) : bigintsOf(keys, what);
      if (names.length !== numbers.length || new Set(names).size !== names.length)
        throw badAnswer(what, `"${name}" has ${numbers.length} values and other keys`);
      return new Map(names.map((key, i) => [key, numbers[i] ?? 0])) as FeatureValue; // keys of one kind
    }
    case "state":
      throw badAnswer(what, `"${name}" is a state`);
  }
}

function only<T>(name: string, items: readonly T[], what: string): T {
  const [item] = items;
  if (item !== undefined && items.length === 1) return item;
  throw badAnswer(what, `"${name}" has ${items.length} elements where there is one`);
}

function bigintsOf(given: WireTensor, what: string): bigint[] {
  if (given.datatype !== "INT64") throw badAnswer(what, `"${given.name}" is ${given.datatype}, not INT64`);
  return Array.from(elementsOf(tensorFrom(given, what)), BigInt);
}

/** In memory of its own, aligned for its elements. */
function tensorFrom({ name, datatype, shape, bytes }: WireTensor, what: string): Tensor {
  if (datatype === "BYTES") throw badAnswer(what, `"${name}" is a list of strings`);
  const dtype = dtypeOf(datatype);
  const needed =
    checkElementCount(shape, dtype, { subject: `Cannot use output "${name}"` }) * byteSize(dtype);
  if (bytes.byteLength !== needed)
    throw badAnswer(what, `"${name}" has ${bytes.byteLength} bytes, ${needed} are due`);
  const own = new Uint8Array(new ArrayBuffer(needed));
  own.set(bytes);
  return { dtype, shape, bytes: own };
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function splitStrings({ name, datatype, bytes }: WireTensor, what: string): string[] {
  if (datatype !== "BYTES") throw badAnswer(what, `"${name}" is ${datatype}, not BYTES`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const strings: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.length - at < 4 ? Number.POSITIVE_INFINITY : view.getUint32(at, true);
    if (length > bytes.length - at - 4) throw badAnswer(what, `"${name}" ends within a string`);
    try {
      strings.push(utf8.decode(bytes.subarray(at + 4, at + 4 + length)));
    } catch {
      throw badAnswer(what, `"${name}" is not UTF-8 text`);
    }
    at += 4 + length;
  }
  return strings;
}
