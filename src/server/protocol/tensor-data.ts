// What one input carries, as a tensor or as strings. Binary data stay where they are in the body.

import { checkElementCount } from "../../codecs/allocate.ts";
import { storeInto } from "../../codecs/cast.ts";
import { byteSize, isFloat } from "../../core/dtype.ts";
import { elementsOf, type NumericArray, type Tensor, zeros } from "../../core/tensor.ts";
import { type Datatype, dtypeOf } from "../../codecs/datatypes.ts";
import { bad, type InputTensor } from "./request.ts";

type NumericDatatype = Exclude<Datatype, "BYTES">;

/** A tensor of the datatype that the client said. Throws BAD_INPUT where shape and data disagree. */
export function readTensor(input: InputTensor, datatype: NumericDatatype): Tensor {
  const { name, shape, content } = input;
  const dtype = dtypeOf(datatype);
  const count = countElements(input, datatype);
  if (content.kind === "json") return readNumbers(input, { datatype, count });
  const { bytes } = content;
  const expected = count * byteSize(dtype);
  if (bytes.length !== expected) {
    throw bad(
      `input "${name}" of ${datatype} [${shape.join(", ")}] takes ${expected} bytes, got ${bytes.length}`,
    );
  }
  if (dtype === "bool") for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) bytes[i] = 1;
  return { dtype, shape, bytes };
}

/** The elements of a BYTES tensor, unframed. Views where they came in binary. */
export function readElements(input: InputTensor): readonly Uint8Array<ArrayBuffer>[] {
  const { name, content } = input;
  const count = countElements(input, "UINT8");
  if (content.kind === "element") return [content.bytes];
  const elements =
    content.kind === "binary" ? splitFrames(name, content.bytes) : textElements(name, content.data, input);
  if (elements.length === count) return elements;
  throw bad(
    `input "${name}" of BYTES [${input.shape.join(", ")}] has ${count} elements, got ${elements.length}`,
  );
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The elements of a BYTES tensor as text. */
export function readStrings(input: InputTensor): readonly string[] {
  return readElements(input).map((bytes, index) => {
    try {
      return utf8.decode(bytes);
    } catch {
      throw bad(`element ${index} of input "${input.name}" is not UTF-8 text`);
    }
  });
}

function countElements({ name, shape }: InputTensor, datatype: NumericDatatype): number {
  return checkElementCount(shape, dtypeOf(datatype), { subject: `Cannot read input "${name}"` });
}

function splitFrames(name: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const elements: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 4)
      throw bad(`input "${name}" ends within the length of element ${elements.length}`);
    const length = view.getUint32(at, true);
    at += 4;
    if (length > bytes.length - at) {
      const left = bytes.length - at;
      throw bad(`element ${elements.length} of input "${name}" has ${length} bytes, but ${left} are left`);
    }
    elements.push(bytes.subarray(at, at + length));
    at += length;
  }
  return elements;
}

const encoder = new TextEncoder();

function textElements(name: string, data: unknown, { shape }: InputTensor): Uint8Array<ArrayBuffer>[] {
  const elements: Uint8Array<ArrayBuffer>[] = [];
  visit(data, Math.max(shape.length, 1), (item) => {
    if (typeof item !== "string") throw bad(`element ${elements.length} of input "${name}" is no string`);
    elements.push(encoder.encode(item));
  });
  return elements;
}

function readNumbers(
  input: InputTensor,
  { datatype, count }: { readonly datatype: NumericDatatype; readonly count: number },
): Tensor {
  const { name, shape, content } = input;
  if (content.kind !== "json") throw bad(`input "${name}" is not JSON`);
  const dtype = dtypeOf(datatype);
  const depth = Math.max(shape.length, 1);
  const { data } = content;
  const isFlat = isList(data) && data.length === count && !Array.isArray(data[0]);
  // Nobody gets memory for a shape that the data do not fill.
  const given = isFlat ? count : countItems(data, depth);
  if (given !== count) throw wrongCount(input, count, given);
  const tensor = { ...zeros(dtype, [count]), shape };
  if (isFlat && dtype !== "bool" && fillPlain(elementsOf(tensor), data, isFloat(dtype))) return tensor;
  // Nested, or with something in it that needs a closer look: booleans, "NaN", long integers, mistakes.
  const isWide = byteSize(dtype) === 8 && !isFloat(dtype);
  const store = storeInto(tensor);
  let index = 0;
  visit(isWide ? content.readExactly() : data, depth, (item) => {
    const number = numberFrom(item, datatype);
    const problem = number === undefined ? "no number" : store(index, number);
    if (problem !== undefined) {
      throw bad(`element ${index} of input "${name}" is ${shownItem(item)}, ${problem} for ${datatype}`);
    }
    index++;
  });
  return tensor;
}

function countItems(data: unknown, depth: number): number {
  let items = 0;
  visit(data, depth, () => items++);
  return items;
}

function wrongCount({ name, datatype, shape }: InputTensor, count: number, got: number) {
  return bad(`input "${name}" of ${datatype} [${shape.join(", ")}] has ${count} elements, got ${got}`);
}

/** A flat list of numbers that the type holds. False: look closer. */
function fillPlain(elements: NumericArray, data: ArrayLike<unknown>, isFloatType: boolean): boolean {
  if (data.length !== elements.length) return false;
  if (elements instanceof BigInt64Array || elements instanceof BigUint64Array) {
    for (let i = 0; i < data.length; i++) {
      const value = data[i];
      if (typeof value !== "number" || !Number.isSafeInteger(value)) return false;
      elements[i] = BigInt(value);
      if (elements[i] !== BigInt(value)) return false;
    }
    return true;
  }
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (typeof value !== "number") return false;
    elements[i] = value;
    // Integers must come out as they went in; floats are rounded, and must not become infinite.
    if (isFloatType ? !Number.isFinite(elements[i]) : elements[i] !== value) return false;
  }
  return true;
}

/** As JSON.parse makes it, or of numbers alone. */
function isList(data: unknown): data is readonly unknown[] | Float64Array {
  return Array.isArray(data) || data instanceof Float64Array;
}

/** All items of nested lists, in order, no deeper than `depth`. */
function visit(data: unknown, depth: number, take: (item: unknown) => void): void {
  if (!isList(data)) {
    take(data);
    return;
  }
  if (depth === 0) throw bad("its data are nested deeper than their shape");
  for (const item of data) visit(item, depth - 1, take);
}

function numberFrom(item: unknown, datatype: NumericDatatype): number | bigint | undefined {
  if (typeof item === "number" || typeof item === "bigint") return item;
  if (typeof item === "boolean") return datatype === "BOOL" ? Number(item) : undefined;
  const isSpecial = item === "NaN" || item === "Infinity" || item === "-Infinity";
  return isSpecial && isFloat(dtypeOf(datatype)) ? Number(item) : undefined;
}

function shownItem(item: unknown): string {
  if (typeof item === "object") return item === null ? "null" : "a list or an object";
  return typeof item === "bigint" ? String(item) : JSON.stringify(item).slice(0, 40);
}
