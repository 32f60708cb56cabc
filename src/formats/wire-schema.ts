// What the wire shows of a schema: field numbers, wire types, and which numbers come in bulk.

import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";

export const varint = 0;
export const fixed64 = 1;
export const lengthDelimited = 2;
export const fixed32 = 5;

/**
 * Repeated numbers that our .proto files declare as `bytes`, so that packed ones decode as a view; with the wire type
 * that one element has when it is written unpacked.
 */
const bulkFields: Readonly<Record<string, number>> = {
  "CoreML.Specification.WeightParams.floatValue": fixed32,
  "CoreML.Specification.NeuralNetworkMeanImage.meanImage": fixed32,
  "CoreML.Specification.MILSpec.TensorValue.RepeatedFloats.values": fixed32,
  "CoreML.Specification.MILSpec.TensorValue.RepeatedDoubles.values": fixed64,
  "CoreML.Specification.MILSpec.TensorValue.RepeatedInts.values": varint,
  "CoreML.Specification.MILSpec.TensorValue.RepeatedLongInts.values": varint,
  "CoreML.Specification.MILSpec.TensorValue.RepeatedBools.values": varint,
};

/** One field as the wire shows it. */
export interface WireField {
  readonly name: string;
  /** The wire type of the field, or of one element of it. */
  readonly wireType: number;
  /** May also come as one length-delimited run of elements. */
  readonly isPackable: boolean;
  /** Declared `bytes`, meant as packed numbers. */
  readonly isBulk: boolean;
  readonly isRepeated: boolean;
  readonly oneof: string | undefined;
  readonly message: WireMessage | undefined;
}

export interface WireMessage {
  readonly name: string;
  readonly fields: ReadonlyMap<number, WireField>;
}

const tables = new WeakMap<DescMessage, WireMessage>();

export function tableOf(schema: DescMessage): WireMessage {
  const known = tables.get(schema);
  if (known !== undefined) return known;
  const fields = new Map<number, WireField>();
  const table = { name: schema.typeName.replace(/^CoreML\.Specification\./, ""), fields };
  tables.set(schema, table); // before the fields: messages contain themselves
  for (const field of schema.fields) fields.set(field.number, fieldOf(schema, field));
  return table;
}

function fieldOf(schema: DescMessage, field: DescField): WireField {
  const bulk = bulkFields[`${schema.typeName}.${field.name}`];
  const common = { name: field.name, isBulk: bulk !== undefined, oneof: field.oneof?.name };
  const message = field.fieldKind === "message" ? field.message : undefined;
  if (field.fieldKind === "map") {
    const value = field.mapKind === "message" ? tableOf(field.message) : undefined;
    const entry: WireMessage = {
      name: `${schema.name}.${field.name}`,
      fields: new Map([
        [1, scalarField("key", wireTypeOf(field.mapKey))],
        [2, { ...scalarField("value", wireTypeOf(field.scalar)), message: value }],
      ]),
    };
    return { ...common, wireType: lengthDelimited, isPackable: false, isRepeated: true, message: entry };
  }
  if (field.fieldKind === "list") {
    const wireType = field.listKind === "enum" ? varint : wireTypeOf(field.scalar);
    const element = field.listKind === "message" ? tableOf(field.message) : undefined;
    const isPackable = wireType !== lengthDelimited;
    return { ...common, wireType, isPackable, isRepeated: true, message: element };
  }
  const wireType = bulk ?? (field.fieldKind === "enum" ? varint : wireTypeOf(field.scalar));
  const child = message === undefined ? undefined : tableOf(message);
  return {
    ...common,
    wireType,
    isPackable: bulk !== undefined,
    isRepeated: bulk !== undefined,
    message: child,
  };
}

function scalarField(name: string, wireType: number): WireField {
  return {
    name,
    wireType,
    isPackable: false,
    isBulk: false,
    isRepeated: false,
    oneof: undefined,
    message: undefined,
  };
}

/** `undefined` is a message. */
function wireTypeOf(scalar: ScalarType | undefined): number {
  switch (scalar) {
    case undefined:
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return lengthDelimited;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return fixed64;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return fixed32;
    default:
      return varint;
  }
}

/** The number and the position after it; ends at ten bytes or at the end of `bytes`, whatever comes first. */
export function varintAt(bytes: Uint8Array, start: number): [value: number, end: number] {
  let value = 0;
  let position = start;
  for (let scale = 1; position < start + 10; scale *= 128) {
    const byte = bytes[position++] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
  }
  return [value, position];
}
