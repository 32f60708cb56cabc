// A model made for one question: where do large results lie? sum[i, j] = x[i] + y[j] is beyond 10 MB, difference[i] = x[i] - x[i] is not.

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { join } from "node:path";
import { ArrayFeatureType_ArrayDataType as ArrayDataType } from "../../formats/gen/FeatureTypes_pb.ts";
import { DataType, type OperationSchema, type ValueTypeSchema } from "../../formats/gen/MIL_pb.ts";
import { ModelSchema } from "../../formats/gen/Model_pb.ts";
import { makeFolder, writeFileWhole } from "../../native/write-file.ts";

export const side = 2_048;
const opset = "CoreML6";
const shapes = { x: [side, 1], y: [1, side], sum: [side, side], difference: [side, 1] } as const;
type Name = keyof typeof shapes;

/** Writes a package into the folder; gives its path. */
export function writeLargeModel(folder: string): string {
  const path = join(folder, "LargeOutput.mlpackage");
  const item = { path: "com.apple.CoreML/model.mlmodel", name: "model.mlmodel", author: "com.apple.CoreML" };
  const manifest = {
    fileFormatVersion: "1.0.0",
    itemInfoEntries: { model: { ...item, description: "CoreML Model Specification" } },
    rootModelIdentifier: "model",
  };
  makeFolder(join(path, "Data/com.apple.CoreML"));
  writeFileWhole(join(path, "Manifest.json"), new TextEncoder().encode(JSON.stringify(manifest)));
  writeFileWhole(join(path, "Data/com.apple.CoreML/model.mlmodel"), modelBytes());
  return path;
}

function modelBytes(): Uint8Array {
  const model = create(ModelSchema, {
    specificationVersion: 7,
    description: {
      input: (["x", "y"] as const).map(feature),
      output: (["sum", "difference"] as const).map(feature),
    },
    Type: {
      case: "mlProgram",
      value: {
        version: 1n,
        functions: {
          main: {
            inputs: (["x", "y"] as const).map((name) => ({ name, type: typeOf(name) })),
            opset,
            blockSpecializations: {
              [opset]: {
                operations: [
                  operation("add", { x: "x", y: "y" }, "sum"),
                  operation("sub", { x: "x", y: "x" }, "difference"),
                ],
                outputs: ["sum", "difference"],
              },
            },
          },
        },
      },
    },
  });
  return toBinary(ModelSchema, model);
}

function feature(name: Name) {
  const shape = shapes[name].map(BigInt);
  const value = { shape, dataType: ArrayDataType.FLOAT32 };
  return { name, type: { Type: { case: "multiArrayType" as const, value } } };
}

function typeOf(name: Name): MessageInitShape<typeof ValueTypeSchema> {
  const dimensions = shapes[name].map((size) => ({
    dimension: { case: "constant" as const, value: { size: BigInt(size) } },
  }));
  const value = { dataType: DataType.FLOAT32, rank: BigInt(dimensions.length), dimensions };
  return { type: { case: "tensorType", value } };
}

function operation(
  type: string,
  inputs: Readonly<Record<string, Name>>,
  output: Name,
): MessageInitShape<typeof OperationSchema> {
  const named = Object.entries(inputs).map(([parameter, name]) => [
    parameter,
    { arguments: [{ binding: { case: "name" as const, value: name } }] },
  ]);
  const text = { dataType: DataType.STRING, rank: 0n, dimensions: [] };
  return {
    type,
    inputs: Object.fromEntries(named),
    outputs: [{ name: output, type: typeOf(output) }],
    attributes: {
      name: {
        type: { type: { case: "tensorType", value: text } },
        value: {
          case: "immediateValue",
          value: {
            value: { case: "tensor", value: { value: { case: "strings", value: { values: [output] } } } },
          },
        },
      },
    },
  };
}
