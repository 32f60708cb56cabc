// Small ML programs with an interface of choice, written as packages: for tests that drive the whole program.

import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ArrayFeatureType_ArrayDataType as ArrayDataType,
  ImageFeatureType_ColorSpace as ColorSpace,
} from "../../src/formats/gen/FeatureTypes_pb.ts";
import type { FeatureDescriptionSchema } from "../../src/formats/gen/Model_pb.ts";
import { DataType } from "../../src/formats/gen/MIL_pb.ts";
import { modelBytes, type OperationInit, stringValue, tensorType, writePackage } from "./model-files.ts";

type FeatureInit = MessageInitShape<typeof FeatureDescriptionSchema>;

const elements = {
  float32: { array: ArrayDataType.FLOAT32, mil: DataType.FLOAT32 },
  float16: { array: ArrayDataType.FLOAT16, mil: DataType.FLOAT16 },
  int32: { array: ArrayDataType.INT32, mil: DataType.INT32 },
} as const;

export interface Port {
  readonly name: string;
  readonly dtype: keyof typeof elements;
  readonly shape: readonly number[];
  /** The interface calls it a picture; its shape is [1, 1 or 3, height, width]. */
  readonly isPicture?: boolean;
}

/** A package whose program is these operations. Gives its path. */
export function writeProgram(
  path: string,
  program: {
    readonly inputs: readonly Port[];
    readonly outputs: readonly Port[];
    readonly operations: readonly OperationInit[];
    readonly specificationVersion?: number;
    readonly metadata?: {
      readonly shortDescription: string;
      readonly author: string;
      readonly license: string;
    };
  },
): string {
  const opset = "CoreML6";
  const { inputs, outputs, operations } = program;
  return writePackage(path, {
    "Data/com.apple.CoreML/model.mlmodel": modelBytes({
      specificationVersion: program.specificationVersion ?? 7,
      description: {
        input: inputs.map(feature),
        output: outputs.map(feature),
        ...(program.metadata && { metadata: program.metadata }),
      },
      Type: {
        case: "mlProgram",
        value: {
          version: 1n,
          functions: {
            main: {
              inputs: inputs.map(({ name, dtype, shape }) => ({
                name,
                type: tensorType(elements[dtype].mil, shape),
              })),
              opset,
              blockSpecializations: {
                [opset]: { operations: [...operations], outputs: outputs.map(({ name }) => name) },
              },
            },
          },
        },
      },
    }),
  });
}

/** `type`(arguments…) -> output. */
export function operation(
  type: string,
  inputs: Readonly<Record<string, string>>,
  output: Port,
): OperationInit {
  return {
    type,
    inputs: Object.fromEntries(
      Object.entries(inputs).map(([parameter, name]) => [
        parameter,
        { arguments: [{ binding: { case: "name", value: name } as const }] },
      ]),
    ),
    outputs: [{ name: output.name, type: tensorType(elements[output.dtype].mil, output.shape) }],
    attributes: { name: stringValue(output.name) },
  };
}

/** y = x + x over int32. */
export function writeIntegerModel(path: string, shape: readonly number[] = [4]): string {
  const [x, y] = [port("x", "int32", shape), port("y", "int32", shape)];
  return writeProgram(path, {
    inputs: [x],
    outputs: [y],
    operations: [operation("add", { x: "x", y: "x" }, y)],
  });
}

/** sum = left + right over float32 [2, 3]. */
export function writeSumModel(path: string): string {
  const shape = [2, 3];
  const sum = port("sum", "float32", shape);
  return writeProgram(path, {
    inputs: [port("left", "float32", shape), port("right", "float32", shape)],
    outputs: [sum],
    operations: [operation("add", { x: "left", y: "right" }, sum)],
  });
}

/** y = x, float16 [4]: no number of it may become infinite. */
export function writeHalfModel(path: string): string {
  const [x, y] = [port("x", "float16", [4]), port("y", "float16", [4])];
  return writeProgram(path, { inputs: [x], outputs: [y], operations: [operation("relu", { x: "x" }, y)] });
}

/** A colour picture of 4 x 3 (width x height), as it came in. */
export function writePictureModel(path: string): string {
  const shape = [1, 3, 3, 4];
  const copy = { ...port("copy", "float32", shape), isPicture: true };
  return writeProgram(path, {
    inputs: [{ ...port("picture", "float32", shape), isPicture: true }],
    outputs: [copy],
    operations: [operation("relu", { x: "picture" }, copy)],
  });
}

/** A prediction that takes many seconds on any machine: matrices of 2048, multiplied `count` times. */
export function writeSlowModel(path: string, count = 60): string {
  const shape = [2048, 2048];
  const names = ["x", ...Array.from({ length: count }, (_, i) => (i === count - 1 ? "y" : `m${i}`))];
  const operations = names.slice(1).map((name, i) => {
    return operation("matmul", { x: names[i] ?? "", y: "x" }, port(name, "float32", shape));
  });
  return writeProgram(path, {
    inputs: [port("x", "float32", shape)],
    outputs: [port("y", "float32", shape)],
    operations,
  });
}

export function port(name: string, dtype: Port["dtype"], shape: readonly number[]): Port {
  return { name, dtype, shape };
}

function feature({ name, dtype, shape, isPicture }: Port): FeatureInit {
  const [, channels, height = 0, width = 0] = shape;
  if (isPicture) {
    const colorSpace = channels === 3 ? ColorSpace.RGB : ColorSpace.GRAYSCALE;
    const value = { width: BigInt(width), height: BigInt(height), colorSpace };
    return { name, type: { Type: { case: "imageType", value } } };
  }
  const value = { shape: shape.map(BigInt), dataType: elements[dtype].array };
  return { name, type: { Type: { case: "multiArrayType", value } } };
}
