// The protobuf wire format, checked before anything is built from it. The decoder trusts lengths and wire types, makes
// an object of every two bytes, and knows nothing of bulk fields; here a file is refused with a position, or repaired.

import type { DescMessage } from "@bufbuild/protobuf";
import { badModel } from "./bad-model.ts";
import type { FormatLimits } from "./limits.ts";
import {
  fixed32,
  fixed64,
  lengthDelimited,
  tableOf,
  varint,
  varintAt,
  type WireField,
  type WireMessage,
} from "./wire-schema.ts";

export type WireVerdict =
  /** The decoder reads it as it is. */
  | "plain"
  /** Bulk numbers are unpacked or in several pieces: `packBulkFields` first. */
  | "scattered";

/** Throws BAD_MODEL, with a position, unless `bytes` is a well-formed `schema` message within the limits. */
export function checkWire(schema: DescMessage, bytes: Uint8Array, limits: FormatLimits): WireVerdict {
  return new WireChecker(bytes, limits).check(tableOf(schema));
}

/** Numbers of the top-level fields and the values of their varints, as far as they can be read: for error messages. */
export function peekFields(bytes: Uint8Array): ReadonlyMap<number, number> {
  const fields = new Map<number, number>();
  for (let position = 0; position < bytes.byteLength && fields.size < 100; ) {
    const [tag, content] = varintAt(bytes, position);
    const [value, end] = varintAt(bytes, content);
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (number === 0 || (wireType !== varint && wireType !== lengthDelimited)) break;
    if (!fields.has(number)) fields.set(number, value);
    position = wireType === varint ? end : end + value;
  }
  return fields;
}

/** Walks the bytes once. Invariant: `position` never passes the end of the innermost message. */
class WireChecker {
  #position = 0;
  #items = 0;
  #verdict: WireVerdict = "plain";
  readonly #bytes: Uint8Array;
  readonly #limits: FormatLimits;
  readonly #maxItems: number;

  constructor(bytes: Uint8Array, limits: FormatLimits) {
    this.#bytes = bytes;
    this.#limits = limits;
    const affordable = Math.max(
      limits.minDecodedItems,
      Math.floor(bytes.byteLength / limits.minBytesPerItem),
    );
    this.#maxItems = Math.min(limits.maxDecodedItems, affordable);
  }

  check(message: WireMessage): WireVerdict {
    this.#message(message, this.#bytes.byteLength, 1);
    return this.#verdict;
  }

  #message(message: WireMessage, end: number, depth: number): void {
    if (depth > this.#limits.maxNesting) {
      throw this.#malformed(`messages are nested more than ${this.#limits.maxNesting} deep`);
    }
    let met: number[] | undefined;
    while (this.#position < end) {
      const start = this.#position;
      const tag = this.#varint(end, message);
      const number = Math.floor(tag / 8);
      const wireType = tag % 8;
      if (number === 0 || tag > 0xffffffff)
        throw this.#malformed(`${message.name} has a field with the number ${number}`, start);
      const field = message.fields.get(number);
      if (field === undefined) {
        this.#skip(wireType, end, message, number);
        continue;
      }
      if (wireType === lengthDelimited && (field.isPackable || field.wireType === lengthDelimited)) {
        this.#delimited(field, end, message, depth);
      } else if (wireType === field.wireType) {
        if (field.isBulk) this.#verdict = "scattered";
        if (field.isPackable && wireType === varint) this.#count(1);
        this.#skip(wireType, end, message, number);
      } else {
        throw this.#malformed(
          `${message.name}.${field.name} has wire type ${wireType}, expected ${field.wireType}`,
          start,
        );
      }
      // A second piece of a bulk field, or of a message that may hold one.
      if (field.isBulk || (field.message !== undefined && !field.isRepeated)) {
        met ??= [];
        if (met.includes(number)) this.#verdict = "scattered";
        else met.push(number);
      }
    }
  }

  #delimited(field: WireField, end: number, message: WireMessage, depth: number): void {
    const length = this.#length(end, message, field.name);
    const inner = this.#position + length;
    if (field.message !== undefined) {
      this.#count(1);
      this.#message(field.message, inner, depth + 1);
    } else if (field.isPackable) {
      this.#packed(field, inner, message);
    } else {
      this.#count(1);
      this.#position = inner;
    }
  }

  #packed(field: WireField, end: number, message: WireMessage): void {
    if (field.wireType === varint) {
      const start = this.#position;
      let elements = 0;
      while (this.#position < end) {
        this.#skip(varint, end, message, 0);
        elements++;
      }
      if (!field.isBulk) this.#count(elements);
      if (start === end) return;
    } else {
      const size = field.wireType === fixed64 ? 8 : 4;
      const length = end - this.#position;
      if (length % size !== 0) {
        throw this.#malformed(`${message.name}.${field.name} has ${length} bytes, not a multiple of ${size}`);
      }
      this.#position = end;
    }
  }

  #skip(wireType: number, end: number, message: WireMessage, number: number): void {
    switch (wireType) {
      case varint:
        this.#varint(end, message);
        return;
      case fixed64:
      case fixed32:
        this.#advance(wireType === fixed64 ? 8 : 4, end, message);
        return;
      case lengthDelimited: {
        const length = this.#length(end, message, `field ${number}`);
        this.#count(1); // the decoder keeps unknown fields
        this.#position += length;
        return;
      }
      default:
        throw this.#malformed(
          `${message.name} has a field ${number} of wire type ${wireType}, which does not exist`,
        );
    }
  }

  #advance(count: number, end: number, message: WireMessage): void {
    if (this.#position + count > end) throw this.#cut(message, end);
    this.#position += count;
  }

  #length(end: number, message: WireMessage, name: string): number {
    const length = this.#varint(end, message);
    const left = end - this.#position;
    if (length <= left) return length;
    if (end === this.#bytes.byteLength) {
      throw this.#truncated(
        `in the middle of ${message.name}.${name}: ${length} bytes announced, ${left} there`,
      );
    }
    throw this.#malformed(`${message.name}.${name} announces ${length} bytes where ${left} are left`);
  }

  /** A varint as a number; beyond 2^53 it is only roughly right, which no length or tag may reach. */
  #varint(end: number, message: WireMessage): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count++) {
      if (this.#position >= end) throw this.#cut(message, end);
      const byte = this.#bytes[this.#position++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw this.#malformed(`${message.name} has a number of more than ten bytes`);
  }

  #count(items: number): void {
    this.#items += items;
    if (this.#items > this.#maxItems) {
      throw badModel(
        `it holds more than ${this.#maxItems} messages, strings and numbers in ${this.#bytes.byteLength} bytes`,
        { details: { limit: this.#maxItems } },
      );
    }
  }

  #cut(message: WireMessage, end: number): Error {
    if (end === this.#bytes.byteLength) return this.#truncated(`in the middle of ${message.name}`);
    return this.#malformed(`${message.name} ends in the middle of a field`);
  }

  #truncated(where: string): Error {
    return badModel(`the file ends after ${this.#bytes.byteLength} bytes ${where}`, {
      hint: "The file is cut off or is no Core ML model: compare its size with the original, fetch it again",
      details: { byteLength: this.#bytes.byteLength },
    });
  }

  #malformed(what: string, position = this.#position): Error {
    return badModel(`it is no well-formed protobuf: ${what} (at byte ${position})`, {
      details: { position },
    });
  }
}
