// Feature values that are no arrays and no pictures, in the JSON form of coremlx.h.

import { CoremlxError } from "../core/errors.ts";
import type { FeatureType } from "../core/model.ts";
import type { Dictionary, FeatureValue, Sequence } from "../core/tensor.ts";

type NumberText = number | "nan" | "inf" | "-inf";

type WireValue =
  | { readonly type: "int64"; readonly value: string }
  | { readonly type: "double"; readonly value: NumberText }
  | { readonly type: "string"; readonly value: string }
  | {
      readonly type: "dictionary";
      readonly key: "string" | "int64";
      readonly entries: readonly (readonly [string, NumberText])[];
    }
  | { readonly type: "sequence"; readonly element: "string" | "int64"; readonly values: readonly string[] };

/** The object that `cmlx_prediction.values` takes. Throws BAD_INPUT naming a value of another kind than declared. */
export function writeValues(
  values: readonly (readonly [name: string, type: FeatureType, value: FeatureValue])[],
): string {
  const members = values.map(([name, type, value]): [string, WireValue] => {
    const written = writeValue(type, value);
    if (written !== undefined) return [name, written];
    throw new CoremlxError("BAD_INPUT", `Cannot pass "${name}": the model takes ${wantedOf(type)} there`, {
      details: { name },
    });
  });
  return JSON.stringify(Object.fromEntries(members));
}

function writeValue(type: FeatureType, value: FeatureValue): WireValue | undefined {
  switch (type.kind) {
    case "int64":
      return isInteger(value) ? { type: "int64", value: String(value) } : undefined;
    case "double":
      return typeof value === "number" || typeof value === "bigint"
        ? { type: "double", value: writeNumber(Number(value)) }
        : undefined;
    case "string":
      return typeof value === "string" ? { type: "string", value } : undefined;
    case "dictionary":
      return value instanceof Map ? writeDictionary(value, type.key) : undefined;
    case "sequence":
      return Array.isArray(value) ? writeSequence(value, type.element) : undefined;
    default:
      return undefined;
  }
}

function isInteger(value: FeatureValue): value is number | bigint {
  return typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value));
}

function writeNumber(value: number): NumberText {
  if (Number.isNaN(value)) return "nan";
  if (Number.isFinite(value)) return value;
  return value > 0 ? "inf" : "-inf";
}

function writeDictionary(value: Dictionary, key: "string" | "int64"): WireValue | undefined {
  const entries: [string, NumberText][] = [];
  for (const [name, number] of value) {
    if (typeof name !== (key === "string" ? "string" : "bigint") || typeof number !== "number")
      return undefined;
    entries.push([String(name), writeNumber(number)]);
  }
  return { type: "dictionary", key, entries };
}

function writeSequence(value: Sequence, element: "string" | "int64"): WireValue | undefined {
  const wanted = element === "string" ? "string" : "bigint";
  if (value.some((each) => typeof each !== wanted)) return undefined;
  return { type: "sequence", element, values: value.map(String) };
}

function wantedOf(type: FeatureType): string {
  switch (type.kind) {
    case "int64":
      return "an integer";
    case "double":
      return "a number";
    case "string":
      return "text";
    case "dictionary":
      return `a dictionary with ${type.key} keys`;
    case "sequence":
      return `a sequence of ${type.element}`;
    default:
      return "an array";
  }
}

/** What Core ML gave beside arrays and pictures, by name. */
export function readValues(json: string): Map<string, FeatureValue> {
  if (json === "") return new Map();
  const members = JSON.parse(json) as Readonly<Record<string, WireValue>>; // our own library wrote it
  return new Map(Object.entries(members).map(([name, value]) => [name, readValue(value)]));
}

function readValue(value: WireValue): FeatureValue {
  switch (value.type) {
    case "int64":
      return BigInt(value.value);
    case "double":
      return readNumber(value.value);
    case "string":
      return value.value;
    case "dictionary":
      return value.key === "string"
        ? new Map(value.entries.map(([key, number]) => [key, readNumber(number)]))
        : new Map(value.entries.map(([key, number]) => [BigInt(key), readNumber(number)]));
    case "sequence":
      return value.element === "string" ? value.values : value.values.map(BigInt);
  }
}

function readNumber(value: NumberText): number {
  if (typeof value === "number") return value;
  if (value === "nan") return Number.NaN;
  return value === "inf" ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
}
