// Values of a MIL program: inline ones to little-endian bytes of their own type, the others out of the weight file.

import { bitSize, byteLengthOf, type ElementType, isPacked } from "../core/dtype.ts";
import { CoremlxError, reworded } from "../core/errors.ts";
import { badModel } from "./bad-model.ts";
import type { TensorValue, Value, Value_ImmediateValue as ImmediateValue } from "./gen/MIL_pb.ts";
import type { FormatLimits } from "./limits.ts";
import type { MilTensor, MilType, MilValue } from "./mil.ts";
import { readType } from "./mil-types.ts";
import type { WeightFiles } from "./weight-files.ts";

export interface ValueContext {
  readonly limits: FormatLimits;
  readonly weights: WeightFiles;
}

/** Throws BAD_MODEL with a reason that says what is wrong, not with which value. Depth is bounded by the decoder. */
export function readValue(message: Value, context: ValueContext): MilValue {
  const type = readType(message.type, context.limits);
  const value = message.value;
  switch (value.case) {
    case "immediateValue":
      return readImmediate(type, value.value, context);
    case "blobFileValue": {
      const { dtype, shape } = constantType(type, context.limits);
      if (dtype === "string" || dtype === "bool") throw badModel(`is ${dtype} and lies in a weight file`);
      return context.weights.get(value.value.fileName).read(value.value.offset, dtype, shape);
    }
    case undefined:
      throw badModel("has no value");
  }
}

function readImmediate(type: MilType, message: ImmediateValue, context: ValueContext): MilValue {
  const content = message.value;
  switch (content.case) {
    case "tensor":
      return readTensor(type, content.value, context.limits);
    case "list":
    case "tuple":
      return { kind: content.case, values: content.value.values.map((each) => readValue(each, context)) };
    case "dictionary":
      return {
        kind: "dictionary",
        entries: content.value.values.map(({ key, value }) => {
          if (key === undefined || value === undefined)
            throw badModel("has a dictionary entry without key or value");
          return [readValue(key, context), readValue(value, context)] as const;
        }),
      };
    case undefined:
      // An empty list, tuple or dictionary has no bytes of its own.
      if (type.kind === "list" || type.kind === "tuple") return { kind: type.kind, values: [] };
      if (type.kind === "dictionary") return { kind: "dictionary", entries: [] };
      throw badModel("has no value");
  }
}

/** The element type and the shape, all of whose axes must be known, with few enough elements. */
function constantType(
  type: MilType,
  limits: FormatLimits,
): { dtype: ElementType | "string"; shape: readonly number[] } {
  if (type.kind !== "tensor") throw badModel(`is a ${type.kind} whose value is a tensor`);
  const shape: number[] = [];
  let elements = 1;
  for (const axis of type.shape ?? [undefined]) {
    if (axis === undefined) throw badModel("has a value and a shape that is not fixed");
    shape.push(axis);
    elements *= axis;
  }
  if (elements > limits.maxTensorElements) {
    throw badModel(`has ${elements} elements, more than the limit of ${limits.maxTensorElements}`);
  }
  return { dtype: type.dtype, shape };
}

function readTensor(type: MilType, message: TensorValue, limits: FormatLimits): MilValue {
  const { dtype, shape } = constantType(type, limits);
  const count = shape.reduce((product, axis) => product * axis, 1);
  if (dtype === "string") return readStrings(shape, count, message);
  const bytes = readElements(dtype, count, message);
  const expected = byteLengthOf(dtype, count);
  if (bytes.byteLength !== expected) {
    throw badModel(
      `has ${bytes.byteLength} bytes of ${dtype}, its shape [${shape.join(", ")}] needs ${expected}`,
    );
  }
  return { kind: "tensor", dtype, shape, bytes, source: undefined } satisfies MilTensor;
}

function readStrings(shape: readonly number[], count: number, message: TensorValue): MilValue {
  const content = message.value;
  const values = content.case === "strings" ? content.value.values : [];
  if (content.case !== "strings" && content.case !== undefined)
    throw badModel(`is string and has ${content.case}`);
  if (values.length !== count) {
    throw badModel(`has ${values.length} strings, its shape [${shape.join(", ")}] needs ${count}`);
  }
  return { kind: "strings", shape, values };
}

/**
 * The elements as little-endian bytes of `dtype`. Each type has its proper member; `bytes` is taken for every type, and
 * integers of either width for every integer type. A count that differs is found by the caller, but never allocated.
 */
function readElements(dtype: ElementType, count: number, message: TensorValue): Uint8Array<ArrayBuffer> {
  const content = message.value;
  switch (content.case) {
    case undefined:
      return new Uint8Array(new ArrayBuffer(0));
    case "bytes":
      return ownView(content.value.values);
    case "floats":
      if (dtype === "float32") return ownView(content.value.values);
      break;
    case "doubles":
      if (dtype === "float64") return ownView(content.value.values);
      break;
    case "bools":
      if (dtype === "bool") return readIntegers(dtype, count, content.value.values);
      break;
    case "ints":
    case "longInts":
      if (dtype === "bool" || dtype.includes("int")) return readIntegers(dtype, count, content.value.values);
      break;
    case "strings":
      break;
  }
  throw badModel(`is ${dtype} and has ${content.case}`);
}

/** Protobuf's views are over the ArrayBuffer of the file: the type only does not say so. */
function ownView(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (bytes.buffer instanceof ArrayBuffer)
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  throw new CoremlxError("INTERNAL", "Cannot read a tensor: its bytes are in shared memory");
}

/** Packed varints to integers of `dtype`. */
function readIntegers(dtype: ElementType, count: number, packed: Uint8Array): Uint8Array<ArrayBuffer> {
  const actual = countVarints(packed);
  if (actual !== count) throw badModel(`has ${actual} elements of ${dtype}, its shape needs ${count}`);
  const bits = bitSize[dtype];
  const bytes = new Uint8Array(new ArrayBuffer(byteLengthOf(dtype, count)));
  const view = new DataView(bytes.buffer);
  const range = rangeOf(dtype, bits);
  let position = 0;
  for (let i = 0; i < count; i++) {
    let low = 0;
    let high = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = packed[position++] ?? 0;
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) {
        low |= (byte & 0x7f) << 28;
        high |= (byte & 0x7f) >>> 4;
      } else high |= (byte & 0x7f) << (shift - 32);
      if (byte < 0x80) break;
    }
    // 32 and 64 bits wrap: the members are signed, and this is how unsigned values fit into them.
    if (bits === 64) {
      view.setInt32(i * 8, low, true);
      view.setInt32(i * 8 + 4, high, true);
    } else if (dtype === "bool") {
      bytes[i] = (low | high) === 0 ? 0 : 1;
    } else {
      const value = high * 2 ** 32 + (low >>> 0);
      if (value < range.lower || value > range.upper)
        throw badModel(`has the value ${value}, too large for ${dtype}`);
      if (isPacked(dtype)) writeBits(bytes, i * bits, bits, low);
      else if (bits === 8) view.setUint8(i, low & 0xff);
      else if (bits === 16) view.setUint16(i * 2, low & 0xffff, true);
      else view.setInt32(i * 4, low, true);
    }
  }
  return bytes;
}

function rangeOf(dtype: ElementType, bits: number): { lower: number; upper: number } {
  if (bits === 32) return { lower: -(2 ** 31), upper: dtype === "int32" ? 2 ** 31 - 1 : 2 ** 32 - 1 };
  if (dtype.startsWith("u")) return { lower: 0, upper: 2 ** bits - 1 };
  return { lower: -(2 ** (bits - 1)), upper: 2 ** (bits - 1) - 1 };
}

function countVarints(packed: Uint8Array): number {
  let count = 0;
  for (const byte of packed) if (byte < 0x80) count++;
  return count;
}

/** Element order of core/dtype.ts: the lowest bit of byte 0 comes first. */
function writeBits(bytes: Uint8Array, start: number, bits: number, value: number): void {
  for (let bit = 0; bit < bits; bit++) {
    if (((value >>> bit) & 1) === 0) continue;
    const at = start + bit;
    bytes[at >>> 3] = (bytes[at >>> 3] ?? 0) | (1 << (at & 7));
  }
}

/** The one string of a rank-0 string value, as every op's "name" is; undefined for anything else. */
export function stringOf(value: MilValue | undefined): string | undefined {
  return value?.kind === "strings" && value.values.length === 1 ? value.values[0] : undefined;
}

/** Puts the name of the value before the reason of an error from this file. */
export function about(name: string, error: unknown): unknown {
  if (!(error instanceof CoremlxError) || error.code === "INTERNAL") return error;
  return reworded(error, `${name}: ${error.message}`);
}
