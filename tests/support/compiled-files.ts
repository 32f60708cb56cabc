// Compiled models for tests of their reader, laid out byte by byte as compilers do.

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ArrayFeatureType_ArrayDataType as ArrayDataType } from "../../src/formats/gen/FeatureTypes_pb.ts";
import { type FeatureDescriptionSchema, ModelDescriptionSchema } from "../../src/formats/gen/Model_pb.ts";

export type DescriptionInit = MessageInitShape<typeof ModelDescriptionSchema>;
export type FeatureInit = MessageInitShape<typeof FeatureDescriptionSchema>;

/** A float32 multi array. */
export function arrayFeature(name: string, shape: readonly number[]): FeatureInit {
  const value = { shape: shape.map(BigInt), dataType: ArrayDataType.FLOAT32 };
  return { name, type: { Type: { case: "multiArrayType", value } } };
}

export const description: DescriptionInit = {
  input: [arrayFeature("x", [4])],
  output: [arrayFeature("y", [4])],
  metadata: { shortDescription: "from coremldata.bin" },
};

/** The text of a program x -> relu(x) over float32 [4]. */
export const reluText = `program(1.3)
{
    func main<ios17>(tensor<fp32, [4]> x) {
            tensor<fp32, [4]> y = relu(x = x)[name = string("y")];
        } -> (y);
}
`;

export function coreMlData(
  init: DescriptionInit = description,
  options: {
    readonly type?: number;
    readonly version?: number;
    readonly target?: string;
    /** Bytes put before the description's length, where no compiler puts any. */
    readonly extra?: number;
  } = {},
): Uint8Array<ArrayBuffer> {
  const target = new TextEncoder().encode(options.target ?? "generic");
  const message = toBinary(ModelDescriptionSchema, create(ModelDescriptionSchema, init));
  const lengthAt = 28 + 8 + target.length + 32 + (options.extra ?? 0);
  const bytes = new Uint8Array(new ArrayBuffer(lengthAt + 8 + message.length + 16));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, options.type ?? 502, true);
  view.setUint32(4, 5, true);
  view.setBigUint64(28, BigInt(target.length), true);
  bytes.set(target, 36);
  view.setBigUint64(lengthAt - 32, BigInt(options.version ?? 8), true);
  view.setBigUint64(lengthAt, BigInt(message.length), true);
  bytes.set(message, lengthAt + 8);
  view.setUint32(lengthAt + 8 + message.length, options.type ?? 502, true);
  return bytes;
}

export function stageNames(...names: readonly string[]): Uint8Array<ArrayBuffer> {
  const encoded = names.map((name) => new TextEncoder().encode(name));
  const bytes = new Uint8Array(new ArrayBuffer(8 + encoded.reduce((sum, name) => sum + 8 + name.length, 0)));
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(names.length), true);
  let at = 8;
  for (const name of encoded) {
    view.setBigUint64(at, BigInt(name.length), true);
    bytes.set(name, at + 8);
    at += 8 + name.length;
  }
  return bytes;
}

/** metadata.json with the interface of `reluText`. */
export function metadata(fields: Readonly<Record<string, unknown>> = {}): unknown {
  const array = {
    type: "MultiArray",
    dataType: "Float32",
    shape: "[4]",
    isOptional: "0",
    hasShapeFlexibility: "0",
  };
  return [
    {
      metadataOutputVersion: "3.0",
      specificationVersion: 8,
      modelType: { name: "MLModelType_mlProgram" },
      shortDescription: "from metadata.json",
      inputSchema: [{ ...array, name: "x" }],
      outputSchema: [{ ...array, name: "y" }],
      stateSchema: [],
      isUpdatable: "0",
      ...fields,
    },
  ];
}
