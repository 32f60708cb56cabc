import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "bun:test";
import { TensorValueSchema, ValueSchema } from "../../../src/formats/gen/MIL_pb.ts";
import { ModelSchema } from "../../../src/formats/gen/Model_pb.ts";
import { NeuralNetworkLayerSchema, WeightParamsSchema } from "../../../src/formats/gen/NeuralNetwork_pb.ts";
import { defaultLimits } from "../../../src/formats/limits.ts";
import { packBulkFields } from "../../../src/formats/wire-pack.ts";
import { checkWire, peekFields } from "../../../src/formats/wire.ts";
import { failureOf, floats } from "../../support/model-files.ts";

const { LengthDelimited, Varint, Bit32, Bit64, StartGroup } = WireType;

function packed(...values: readonly number[]): (writer: BinaryWriter) => BinaryWriter {
  return (writer) => writer.tag(1, LengthDelimited).bytes(floats(...values));
}

function unpacked(...values: readonly number[]): (writer: BinaryWriter) => BinaryWriter {
  return (writer) => {
    for (const value of values) writer.tag(1, Bit32).float(value);
    return writer;
  };
}

/** WeightParams with its floats written piece by piece, and isUpdatable in between. */
function weights(...pieces: readonly ((writer: BinaryWriter) => BinaryWriter)[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const piece of pieces) piece(writer).tag(50, Varint).bool(true);
  return writer.finish();
}

function floatsOf(bytes: Uint8Array): number[] {
  const verdict = checkWire(WeightParamsSchema, bytes, defaultLimits);
  const plain = verdict === "plain" ? bytes : packBulkFields(WeightParamsSchema, bytes);
  const message = fromBinary(WeightParamsSchema, plain);
  expect(message.isUpdatable).toBe(true);
  return [...new Float32Array(message.floatValue.slice().buffer)];
}

describe("bulk numbers", () => {
  test("packed ones are read as they are, as a view of the file", () => {
    const bytes = weights(packed(1, 2.5, -3));
    expect(checkWire(WeightParamsSchema, bytes, defaultLimits)).toBe("plain");
    expect(fromBinary(WeightParamsSchema, bytes).floatValue.buffer).toBe(bytes.buffer);
    expect(floatsOf(bytes)).toEqual([1, 2.5, -3]);
  });

  test("unpacked ones are gathered", () => {
    expect(floatsOf(weights(unpacked(1, 2.5, -3)))).toEqual([1, 2.5, -3]);
  });

  test("packed ones in several pieces are joined in order", () => {
    expect(floatsOf(weights(packed(1, 2), packed(), packed(3)))).toEqual([1, 2, 3]);
  });

  test("packed and unpacked ones keep the order of the file", () => {
    expect(floatsOf(weights(unpacked(1), packed(2, 3), unpacked(4), packed(5)))).toEqual([1, 2, 3, 4, 5]);
  });

  test("pieces in two occurrences of the message that holds them are joined", () => {
    // A convolution layer whose field 130 (activation.PReLU.alpha) comes in two halves, as the rules of merging allow.
    const half = (values: Uint8Array): Uint8Array =>
      nested([130, 25, 1], new BinaryWriter().tag(1, LengthDelimited).bytes(values).finish());
    const bytes = Buffer.concat([half(floats(1, 2)), half(floats(3))]);
    expect(checkWire(NeuralNetworkLayerSchema, bytes, defaultLimits)).toBe("scattered");
    const layer = fromBinary(NeuralNetworkLayerSchema, packBulkFields(NeuralNetworkLayerSchema, bytes)).layer;
    const kind = layer.case === "activation" ? layer.value.NonlinearityType : undefined;
    const alpha = kind?.case === "PReLU" ? kind.value.alpha?.floatValue : undefined;
    expect(alpha).toEqual(floats(1, 2, 3));
  });

  test("the last member of a oneof wins, whatever the earlier ones held", () => {
    const member = (number: number, value: number): Uint8Array =>
      nested([number], new BinaryWriter().tag(1, Varint).int32(value).finish());
    // ints, then longInts, then ints again: only the last counts.
    const bytes = Buffer.concat([member(2, 1), member(5, 2), member(2, 3)]);
    expect(checkWire(TensorValueSchema, bytes, defaultLimits)).toBe("scattered");
    const value = fromBinary(TensorValueSchema, packBulkFields(TensorValueSchema, bytes)).value;
    expect(value.case === "ints" ? [...value.value.values] : value.case).toEqual([3]);
    // A scalar member after a message member takes its place.
    const text = create(ValueSchema, { docString: "kept" });
    const again = Buffer.concat([
      toBinary(ValueSchema, text),
      nested([3, 1], member(2, 1)),
      nested([5], new Uint8Array()),
    ]);
    const last = fromBinary(ValueSchema, packBulkFields(ValueSchema, again));
    expect([last.docString, last.value.case]).toEqual(["kept", "blobFileValue"]);
  });

  test("unpacked varints are gathered in their own encoding", () => {
    const ints = new BinaryWriter()
      .tag(1, Varint)
      .int32(-1)
      .tag(1, Varint)
      .int32(300)
      .tag(1, LengthDelimited);
    const bytes = nested([2], ints.bytes(Uint8Array.of(5)).finish());
    const value = fromBinary(TensorValueSchema, packBulkFields(TensorValueSchema, bytes)).value;
    expect(value.case === "ints" ? [...value.value.values] : []).toEqual([
      255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0xac, 2, 5,
    ]);
  });

  test("a repeated field that is no bulk field may be packed or not", () => {
    const quantized = new BinaryWriter()
      .tag(40, LengthDelimited)
      .fork()
      .tag(101, LengthDelimited)
      .fork()
      .tag(1, Bit32)
      .float(2)
      .tag(1, LengthDelimited)
      .bytes(floats(3, 4))
      .join()
      .join()
      .finish();
    expect(checkWire(WeightParamsSchema, quantized, defaultLimits)).toBe("plain");
    const type = fromBinary(WeightParamsSchema, quantized).quantization?.QuantizationType;
    expect(type?.case === "linearQuantization" ? type.value.scale : []).toEqual([2, 3, 4]);
  });

  test("maps survive the gathering", () => {
    const init = { attributes: { a: { docString: "1" }, b: { docString: "2" } } };
    const program = create(ModelSchema, { Type: { case: "mlProgram", value: init } });
    const bytes = packBulkFields(ModelSchema, toBinary(ModelSchema, program));
    expect(fromBinary(ModelSchema, bytes)).toEqual(program);
  });
});

describe("malformed bytes are refused with a position", () => {
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    [
      "a length beyond the file",
      bytesOf(0x12, 0x7f, 0),
      "the file ends after 3 bytes in the middle of Model.description: 127 bytes announced, 1 there",
    ],
    [
      "a length beyond its message",
      bytesOf(0x12, 3, 0x0a, 9, 0, 0x50, 1),
      "ModelDescription.input announces 9 bytes where 1 are left",
    ],
    ["an unknown field beyond the file", bytesOf(0x9a, 1, 0x7f), "in the middle of Model.field 19"],
    [
      "a varint that ends with the file",
      bytesOf(0x08, 0x80),
      "the file ends after 2 bytes in the middle of Model",
    ],
    [
      "a varint that ends with its message",
      bytesOf(0x12, 1, 0x8a, 0),
      "ModelDescription ends in the middle of a field",
    ],
    [
      "a varint of eleven bytes",
      bytesOf(0x08, ...Array.from({ length: 10 }, () => 0x80), 1),
      "a number of more than ten bytes",
    ],
    ["field number 0", bytesOf(0x00, 1), "Model has a field with the number 0 (at byte 0)"],
    ["a group", bytesOf(0x08, 1, 0x9b, 1), "Model has a field 19 of wire type 3"],
    ["a wire type that does not exist", bytesOf(0x9f, 1, 0), "of wire type 7"],
    [
      "a known field of another wire type",
      bytesOf(0x0d, 1, 2, 3, 4),
      "Model.specificationVersion has wire type 5, expected 0 (at byte 0)",
    ],
    ["a fixed64 cut short", bytesOf(0x99, 1, 1, 2, 3), "the file ends after 5 bytes"],
  ];
  for (const [name, bytes, message] of cases) {
    test(name, async () => {
      const failure = await failureOf(() => checkWire(ModelSchema, bytes, defaultLimits));
      expect(failure.code).toBe("BAD_MODEL");
      expect(failure.message).toContain(message);
    });
  }

  test("packed floats that are no whole number of floats", async () => {
    const bytes = new BinaryWriter().tag(1, LengthDelimited).bytes(new Uint8Array(7)).finish();
    const failure = await failureOf(() => checkWire(WeightParamsSchema, bytes, defaultLimits));
    expect(failure.message).toContain("WeightParams.floatValue has 7 bytes, not a multiple of 4");
  });

  test("unknown fields of every wire type are skipped", () => {
    const writer = new BinaryWriter()
      .tag(19, Varint)
      .uint32(1)
      .tag(19, Bit64)
      .double(1)
      .tag(19, Bit32)
      .float(1);
    const bytes = writer.tag(19, LengthDelimited).string("x").tag(1, Varint).int32(7).finish();
    expect(checkWire(ModelSchema, bytes, defaultLimits)).toBe("plain");
    expect(StartGroup).toBe(3); // the one that nobody may use, see above
  });

  test("nesting of 10,000 levels ends at the limit, not in a stack overflow", async () => {
    let bytes: Uint8Array = new Uint8Array();
    // Model.pipeline (202) -> Pipeline.models (1) -> Model …
    for (let level = 0; level < 10_000; level++) bytes = nested([level % 2 === 0 ? 1 : 202], bytes);
    const failure = await failureOf(() => checkWire(ModelSchema, bytes, defaultLimits));
    expect(failure.message).toContain("messages are nested more than 100 deep");
  });

  test("a small file cannot become millions of objects", async () => {
    const limits = { ...defaultLimits, maxDecodedItems: 1000 };
    const empty = (count: number): Uint8Array =>
      nested(
        [2],
        nested(
          [1],
          Uint8Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? 0x12 : 0)),
        ),
      );
    expect(() => checkWire(ModelSchema, empty(10), limits)).not.toThrow();
    const failure = await failureOf(() => checkWire(ModelSchema, empty(1000), limits));
    expect(failure.message).toStartWith("it holds more than 1000 messages, strings and numbers in ");
    const shape = nested([2, 1, 3, 5, 1], new Uint8Array(2000)); // ArrayFeatureType.shape: one byte, one bigint
    expect((await failureOf(() => checkWire(ModelSchema, shape, limits))).message).toContain(
      "more than 1000",
    );
  });
});

test("beyond the first items, each must have its bytes", async () => {
  const limits = { ...defaultLimits, minDecodedItems: 100 };
  const texts = (count: number, length: number): Uint8Array =>
    // Model.mlProgram.docString, again and again
    nested([502], Buffer.concat(Array.from({ length: count }, () => nested([3], new Uint8Array(length)))));
  expect(checkWire(ModelSchema, texts(90, 0), limits)).toBe("plain");
  expect(checkWire(ModelSchema, texts(500, 10), limits)).toBe("plain");
  const failure = await failureOf(() => checkWire(ModelSchema, texts(500, 0), limits));
  expect(failure.message).toBe("it holds more than 251 messages, strings and numbers in 1004 bytes");
});

test("peeking reads what it can of the top level and never throws", () => {
  expect([...peekFields(bytesOf(0x08, 11, 0x12, 2, 1, 2, 0xb2, 0x1f, 1, 0))]).toEqual([
    [1, 11],
    [2, 2],
    [502, 1],
  ]);
  expect([...peekFields(bytesOf(0xff, 0xff, 0xff))]).toEqual([]);
  expect([...peekFields(new Uint8Array())]).toEqual([]);
});

function bytesOf(...bytes: readonly number[]): Uint8Array {
  return Uint8Array.from(bytes);
}

/** `content` inside messages with these field numbers, the outermost first. */
function nested(numbers: readonly number[], content: Uint8Array): Uint8Array {
  return numbers.reduceRight<Uint8Array>(
    (inner, number) => new BinaryWriter().tag(number, LengthDelimited).bytes(inner).finish(),
    content,
  );
}
