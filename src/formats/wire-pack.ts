// Bulk numbers that a writer left unpacked or in pieces, put into the one packed piece that the decoder expects.

import type { DescMessage } from "@bufbuild/protobuf";
import {
  fixed32,
  fixed64,
  lengthDelimited,
  tableOf,
  varint,
  varintAt,
  type WireMessage,
} from "./wire-schema.ts";

/**
 * The same message with every bulk field in one packed piece. Costs a copy; only odd writers make it necessary. The
 * bytes must have passed `checkWire`, which also bounds the recursion.
 */
export function packBulkFields(schema: DescMessage, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return join(pack(tableOf(schema), bytes));
}

/** Bytes in pieces: joining them once at the end keeps weights from being copied at every level. */
interface Rope {
  readonly pieces: Uint8Array[];
  byteLength: number;
}

function append(rope: Rope, piece: Uint8Array): void {
  rope.pieces.push(piece);
  rope.byteLength += piece.byteLength;
}

function join(rope: Rope): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(rope.byteLength));
  let position = 0;
  for (const piece of rope.pieces) {
    bytes.set(piece, position);
    position += piece.byteLength;
  }
  return bytes;
}

function appendField(rope: Rope, number: number, content: Rope): void {
  append(rope, encodeVarint(number * 8 + lengthDelimited));
  append(rope, encodeVarint(content.byteLength));
  for (const piece of content.pieces) append(rope, piece);
}

/** Singular messages and bulk fields are gathered, and written once, after the rest: order is free between fields. */
function pack(message: WireMessage, bytes: Uint8Array): Rope {
  const out: Rope = { pieces: [], byteLength: 0 };
  const gathered = new Map<number, Rope>();
  /** The last member seen of each oneof: an earlier one counts as absent, whatever it held. */
  const chosen = new Map<string, number>();
  let position = 0;
  const readVarint = (): number => {
    const [value, end] = varintAt(bytes, position);
    position = end;
    return value;
  };
  while (position < bytes.byteLength) {
    const start = position;
    const tag = readVarint();
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    let content = position;
    if (wireType === varint) readVarint();
    else if (wireType === fixed64) position += 8;
    else if (wireType === fixed32) position += 4;
    else {
      const length = readVarint();
      content = position;
      position += length;
    }
    const field = message.fields.get(number);
    if (field?.oneof !== undefined) {
      const previous = chosen.get(field.oneof);
      if (previous !== undefined && previous !== number) gathered.delete(previous);
      chosen.set(field.oneof, number);
    }
    if (field?.isBulk === true || (field?.message !== undefined && !field.isRepeated)) {
      const rope = gathered.get(number) ?? { pieces: [], byteLength: 0 };
      append(rope, bytes.subarray(content, position)); // two encodings of a message, one after the other, are their merge
      gathered.set(number, rope);
    } else if (field?.message !== undefined) {
      appendField(out, number, pack(field.message, bytes.subarray(content, position)));
    } else {
      append(out, bytes.subarray(start, position));
    }
  }
  for (const [number, rope] of gathered) {
    const child = message.fields.get(number)?.message;
    const whole = rope.pieces.length === 1 ? rope.pieces[0] : undefined;
    appendField(out, number, child === undefined ? rope : pack(child, whole ?? join(rope)));
  }
  return out;
}

function encodeVarint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
