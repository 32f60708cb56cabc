// Model files for tests of the readers: built field by field, so that each can be wrong in just one place.

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CoremlxError } from "../../src/core/errors.ts";
import {
  ArrayFeatureType_ArrayDataType as ArrayDataType,
  type FeatureTypeSchema,
} from "../../src/formats/gen/FeatureTypes_pb.ts";
import {
  DataType,
  type DimensionSchema,
  type OperationSchema,
  type TensorValueSchema,
  type ValueSchema,
  type ValueTypeSchema,
} from "../../src/formats/gen/MIL_pb.ts";
import { ModelSchema } from "../../src/formats/gen/Model_pb.ts";
import { defaultLimits, type FormatLimits } from "../../src/formats/limits.ts";
import { type ModelContents, readModel } from "../../src/formats/mlmodel.ts";
import { WeightFiles } from "../../src/formats/weight-files.ts";

export type ModelInit = MessageInitShape<typeof ModelSchema>;
export type OperationInit = MessageInitShape<typeof OperationSchema>;
export type ValueInit = MessageInitShape<typeof ValueSchema>;
export type TypeInit = MessageInitShape<typeof ValueTypeSchema>;

export function modelBytes(init: ModelInit): Uint8Array<ArrayBuffer> {
  const bytes = toBinary(ModelSchema, create(ModelSchema, init));
  return new Uint8Array(bytes); // over memory of its own
}

/** The type of a tensor of this shape; a dimension below zero is unknown. */
export function tensorType(dataType: DataType, shape: readonly number[]): TypeInit {
  const dimensions = shape.map((size): MessageInitShape<typeof DimensionSchema> => {
    if (size < 0) return { dimension: { case: "unknown", value: {} } };
    return { dimension: { case: "constant", value: { size: BigInt(size) } } };
  });
  return { type: { case: "tensorType", value: { dataType, rank: BigInt(shape.length), dimensions } } };
}

type TensorInit = NonNullable<MessageInitShape<typeof TensorValueSchema>["value"]>;

export function immediate(type: TypeInit, value: TensorInit): ValueInit {
  return { type, value: { case: "immediateValue", value: { value: { case: "tensor", value: { value } } } } };
}

export function stringValue(text: string): ValueInit {
  return immediate(tensorType(DataType.STRING, []), { case: "strings", value: { values: [text] } });
}

export function blob(type: TypeInit, fileName: string, offset: number): ValueInit {
  return { type, value: { case: "blobFileValue", value: { fileName, offset: BigInt(offset) } } };
}

const float4 = tensorType(DataType.FLOAT32, [4]);

export function constant(name: string, value: ValueInit): OperationInit {
  return {
    type: "const",
    outputs: [{ name, ...(value.type === undefined ? {} : { type: value.type }) }],
    attributes: { name: stringValue(name), val: value },
  };
}

/** `type`(x = input) -> output, all float32 [4]. */
export function unary(type: string, input: string, output: string) {
  return {
    type,
    inputs: { x: { arguments: [{ binding: { case: "name", value: input } as const }] } },
    outputs: [{ name: output, type: float4 }],
    attributes: { name: stringValue(output) },
  } satisfies OperationInit;
}

/** A program x -> y over float32 [4], made of these operations; the default one is relu. */
export function programModel(
  operations: readonly OperationInit[] = [unary("relu", "x", "y")],
  options: { readonly opset?: string; readonly outputs?: readonly string[]; readonly version?: number } = {},
): ModelInit {
  const opset = options.opset ?? "CoreML5";
  const array: MessageInitShape<typeof FeatureTypeSchema> = {
    Type: { case: "multiArrayType", value: { shape: [4n], dataType: ArrayDataType.FLOAT32 } },
  };
  return {
    specificationVersion: options.version ?? 6,
    description: { input: [{ name: "x", type: array }], output: [{ name: "y", type: array }] },
    Type: {
      case: "mlProgram",
      value: {
        version: 1n,
        functions: {
          main: {
            inputs: [{ name: "x", type: float4 }],
            opset,
            blockSpecializations: {
              [opset]: { operations: [...operations], outputs: [...(options.outputs ?? ["y"])] },
            },
          },
        },
      },
    },
  };
}

/** Reads model bytes whose weights, if any, lie in `folder`. The weight files stay open until the test ends. */
export function readBytes(
  bytes: Uint8Array,
  options: { readonly folder?: string; readonly limits?: Partial<FormatLimits> } = {},
): ModelContents {
  const limits = { ...defaultLimits, ...options.limits };
  const enclosure = { root: options.folder ?? "/nonexistent", limits, allowOutsideLinks: false };
  return readModel(bytes, { limits, weights: new WeightFiles({ enclosure, modelFolder: "." }) });
}

export function readInit(init: ModelInit, options: Parameters<typeof readBytes>[1] = {}): ModelContents {
  return readBytes(modelBytes(init), options);
}

export const modelItem = {
  path: "com.apple.CoreML/model.mlmodel",
  name: "model.mlmodel",
  author: "com.apple.CoreML",
  description: "CoreML Model Specification",
};
export const weightsItem = {
  path: "com.apple.CoreML/weights",
  name: "weights",
  author: "com.apple.CoreML",
  description: "CoreML Model Weights",
};

export function manifest(
  items: Readonly<Record<string, unknown>> = { A: modelItem },
  root: unknown = "A",
): unknown {
  return { fileFormatVersion: "1.0.0", itemInfoEntries: items, rootModelIdentifier: root };
}

/** Writes files below `folder`; an object becomes JSON. Returns the folder. */
export function writeFiles(folder: string, files: Readonly<Record<string, unknown>>): string {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    const isRaw = typeof content === "string" || content instanceof Uint8Array;
    writeFileSync(path, isRaw ? content : JSON.stringify(content));
  }
  return folder;
}

/** A small package that opens. */
export function writePackage(folder: string, files: Readonly<Record<string, unknown>> = {}): string {
  return writeFiles(folder, {
    "Manifest.json": manifest(),
    "Data/com.apple.CoreML/model.mlmodel": modelBytes(programModel()),
    ...files,
  });
}

/** A blob file of one blob at 64, its data at 128. */
export function blobFile(
  data: Uint8Array,
  fields: {
    readonly type?: number;
    readonly byteLength?: bigint;
    readonly offset?: bigint;
    readonly padding?: bigint;
    readonly sentinel?: number;
    readonly version?: number;
  } = {},
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(128 + data.byteLength));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, fields.version ?? 2, true);
  view.setUint32(64, fields.sentinel ?? 0xdeadbeef, true);
  view.setUint32(68, fields.type ?? 2, true);
  view.setBigUint64(72, fields.byteLength ?? BigInt(data.byteLength), true);
  view.setBigUint64(80, fields.offset ?? 128n, true);
  view.setBigUint64(88, fields.padding ?? 0n, true);
  bytes.set(data, 128);
  return bytes;
}

/** What `action` throws, which must be a CoremlxError: its code, message and hint. */
export async function failureOf(action: () => unknown): Promise<CoremlxError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof CoremlxError) return error;
    throw error;
  }
  throw new Error("Expected an error, got none");
}

export function floats(...values: readonly number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Float32Array(values).buffer);
}
