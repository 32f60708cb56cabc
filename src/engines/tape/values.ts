// Feature values as plain rows and bytes: what a tape stores, and what its inputs are recognised by.

import { checkElementCount } from "../../codecs/allocate.ts";
import { byteSize, type DType } from "../../core/dtype.ts";
import { CoremlxError } from "../../core/errors.ts";
import { type FeatureValue, type FeatureValues, isTensor, tensorOf } from "../../core/tensor.ts";

export interface ValueForm {
  readonly kind: "tensor" | "double" | "int64" | "string" | "sequence" | "dictionary";
  /** Of a tensor. */
  readonly dtype?: DType | undefined;
  /** Of the elements of a sequence and the keys of a dictionary. */
  readonly element?: "string" | "int64" | undefined;
  /** A sequence's and a dictionary's length; empty for single values. */
  readonly shape: readonly number[];
}

export interface EncodedValue extends ValueForm {
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export function encodeValue(value: FeatureValue): EncodedValue {
  if (typeof value === "number")
    return { kind: "double", shape: [], bytes: tensorOf("float64", [value]).bytes };
  if (typeof value === "bigint") return { kind: "int64", shape: [], bytes: tensorOf("int64", [value]).bytes };
  if (typeof value === "string") return { kind: "string", shape: [], bytes: encodeText(value) };
  if (isTensor(value)) return { kind: "tensor", dtype: value.dtype, shape: value.shape, bytes: value.bytes };
  const keys: readonly (string | bigint)[] =
    value instanceof Map ? [...value.keys()] : [...value.values()].map(asItem);
  const element = typeof keys[0] === "bigint" ? "int64" : "string";
  const items =
    element === "int64" ? tensorOf("int64", keys.map(BigInt)).bytes : encodeText(JSON.stringify(keys));
  if (!(value instanceof Map)) return { kind: "sequence", element, shape: [keys.length], bytes: items };
  const numbers = tensorOf("float64", [...value.values()].map(Number)).bytes;
  return { kind: "dictionary", element, shape: [keys.length], bytes: joinBytes([numbers, items]) };
}

/** An array borrows its bytes. Throws BAD_INPUT where form and bytes disagree. */
export function decodeValue(form: ValueForm, bytes: Uint8Array<ArrayBuffer>): FeatureValue {
  if (form.kind === "tensor") {
    const { dtype = "float32", shape } = form;
    const subject = "Cannot use a value of the tape";
    requireLength(bytes, checkElementCount(shape, dtype, { subject }) * byteSize(dtype));
    return { dtype, shape, bytes };
  }
  const own = joinBytes([bytes]);
  const view = new DataView(own.buffer);
  switch (form.kind) {
    case "double":
      requireLength(own, 8);
      return view.getFloat64(0, true);
    case "int64":
      requireLength(own, 8);
      return view.getBigInt64(0, true);
    case "string":
      return decodeText(own);
    case "sequence":
      return decodeItems(form, own);
    case "dictionary": {
      const [count = 0] = form.shape;
      if (own.byteLength < count * 8) throw disagree();
      const keys = decodeItems(form, own.slice(count * 8));
      if (new Set<string | bigint>(keys).size !== keys.length) throw disagree();
      return new Map(keys.map((key, i) => [key, view.getFloat64(i * 8, true)])) as FeatureValue; // keys of one kind
    }
  }
}

/** SHA-256 over names, forms and bytes: equal for equal inputs, whatever order they came in. */
export function digestValues(...groups: readonly FeatureValues[]): string {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const values of groups) {
    hasher.update(`${values.size} values;`);
    for (const [name, value] of [...values].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
      const { bytes, ...form } = encodeValue(value);
      // Lengths first: no two lists of values give the same stream.
      hasher.update(
        JSON.stringify([name, form.kind, form.dtype, form.element, form.shape, bytes.byteLength]),
      );
      hasher.update(bytes);
    }
  }
  return hasher.digest("hex");
}

function asItem(item: unknown): string | bigint {
  return typeof item === "bigint" ? item : String(item);
}

function decodeItems({ element, shape }: ValueForm, bytes: Uint8Array<ArrayBuffer>): string[] | bigint[] {
  const [count = 0] = shape;
  if (element === "int64") {
    requireLength(bytes, count * 8);
    return [...new BigInt64Array(bytes.buffer, bytes.byteOffset, count)];
  }
  const items = parseItems(decodeText(bytes));
  if (items?.length !== count) throw disagree();
  return items;
}

function parseItems(text: string): string[] | undefined {
  try {
    const items: unknown = JSON.parse(text);
    return Array.isArray(items) && items.every((item) => typeof item === "string") ? items : undefined;
  } catch {
    return undefined; // damaged: the caller says so
  }
}

function encodeText(text: string): Uint8Array<ArrayBuffer> {
  return joinBytes([new TextEncoder().encode(text)]);
}

function decodeText(bytes: Uint8Array<ArrayBuffer>): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw disagree();
  }
}

export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(new ArrayBuffer(parts.reduce((sum, part) => sum + part.byteLength, 0)));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.byteLength;
  }
  return joined;
}

function requireLength(bytes: Uint8Array, length: number): void {
  if (bytes.byteLength !== length) throw disagree();
}

function disagree(): CoremlxError {
  return new CoremlxError("BAD_INPUT", "Cannot use a value of the tape: its form and its bytes disagree");
}
