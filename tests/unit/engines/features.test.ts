import { describe, expect, test } from "bun:test";
import type { FeatureDescription, FeatureType, ImageType, MultiArrayType } from "../../../src/core/model.ts";
import { elementsOf, f32, numbersOf, tensorOf, zeros } from "../../../src/core/tensor.ts";
import {
  convertElements,
  decodeFeature,
  defaultFeature,
  encodeFeature,
} from "../../../src/engines/features.ts";

const fixed = { kind: "fixed" } as const;
const port = { dtype: "float32", shape: undefined } as const;

function feature(type: FeatureType, isOptional = false): FeatureDescription {
  return { name: "x", description: "", type, isOptional };
}
function array(shape: readonly number[], defaultValue?: number): MultiArrayType {
  return { kind: "multiArray", dtype: "float32", shape, constraint: fixed, defaultValue };
}
function image(colorSpace: ImageType["colorSpace"], constraint: ImageType["constraint"] = fixed): ImageType {
  return { kind: "image", width: 2, height: 1, colorSpace, constraint };
}

// One row of two pixels: (1, 2, 3) and (4, 5, 6).
const picture = tensorOf("uint8", [1, 2, 3, 4, 5, 6], [1, 2, 3]);

describe("inputs", () => {
  test("a picture becomes planes in the model's channel order", () => {
    const planes = (space: ImageType["colorSpace"]) => encodeFeature(feature(image(space)), picture, port);
    expect(planes("RGB")).toEqual(f32([1, 4, 2, 5, 3, 6], [1, 3, 1, 2]));
    expect(planes("BGR")).toEqual(f32([3, 6, 2, 5, 1, 4], [1, 3, 1, 2]));
  });

  test("gray pictures keep their values, half-float ones included", () => {
    const gray = encodeFeature(feature(image("GRAYSCALE")), tensorOf("uint8", [7, 255], [1, 2]), port);
    expect(gray).toEqual(f32([7, 255], [1, 1, 1, 2]));
    const halves = tensorOf("float16", [0.25, 1], [1, 2]);
    expect(encodeFeature(feature(image("GRAYSCALE_FLOAT16")), halves, port)).toEqual(
      f32([0.25, 1], [1, 1, 1, 2]),
    );
  });

  test.each([
    [image("RGB"), tensorOf("uint8", [1, 2], [1, 2]), "RGB picture is uint8 [H, W, 3], got uint8 [1, 2]"],
    [image("GRAYSCALE"), picture, "GRAYSCALE picture is uint8 [H, W], got uint8 [1, 2, 3]"],
    [image("RGB"), { ...picture, dtype: "int8" as const }, "got int8"],
    [image("RGB"), zeros("uint8", [2, 2, 3]), "takes pictures of 2x1, got 2x2"],
    [image("RGB"), "text", "takes an array there"],
    [array([2]), f32([1, 2, 3]), "[2]"],
    [{ kind: "double" } as const, f32([1]), "takes a number there"],
    [{ kind: "string" } as const, "text", "takes no string input"],
  ])("%o refuses what does not fit", (type, value, message) => {
    expect(() => encodeFeature(feature(type), value, port)).toThrow(message);
  });

  test("a flexible picture size is accepted within its bounds", () => {
    const ranged = image("RGB", {
      kind: "range",
      axes: [
        { lower: 1, upper: 4 },
        { lower: 1, upper: undefined },
      ],
    });
    expect(encodeFeature(feature(ranged), zeros("uint8", [4, 9, 3]), port).shape).toEqual([1, 3, 4, 9]);
    expect(() => encodeFeature(feature(ranged), zeros("uint8", [5, 9, 3]), port)).toThrow("got 9x5");
  });

  test("numbers become arrays of the rank the graph wants", () => {
    expect(encodeFeature(feature({ kind: "double" }), 1.5, { dtype: "float32", shape: [] })).toEqual(
      f32([1.5], []),
    );
    expect(encodeFeature(feature({ kind: "int64" }), 7n, { dtype: "int32", shape: [1] })).toEqual(
      tensorOf("int32", [7]),
    );
  });

  test("a missing optional array has its default shape and value", () => {
    expect(defaultFeature(feature(array([2])), port)).toEqual(f32([0, 0]));
    expect(defaultFeature(feature(array([2], 2.5)), { ...port, dtype: "float16" })).toEqual(
      tensorOf("float16", [2.5, 2.5]),
    );
    expect(defaultFeature(feature({ kind: "string" }), port)).toBeUndefined();
  });
});

describe("outputs", () => {
  test("planes become a picture: saturated, to nearest, in RGB order", () => {
    const planes = f32([-5, 300, 1.4, 2.6, 3, 4], [1, 3, 1, 2]);
    expect(decodeFeature("y", image("RGB"), planes)).toEqual(
      tensorOf("uint8", [0, 1, 3, 255, 3, 4], [1, 2, 3]),
    );
    expect(decodeFeature("y", image("BGR"), planes)).toEqual(
      tensorOf("uint8", [3, 1, 0, 4, 3, 255], [1, 2, 3]),
    );
    expect(decodeFeature("y", image("GRAYSCALE"), f32([9, 10.6], [1, 1, 1, 2]))).toEqual(
      tensorOf("uint8", [9, 11], [1, 2]),
    );
    expect(decodeFeature("y", image("GRAYSCALE_FLOAT16"), f32([0.5, 2], [1, 1, 1, 2]))).toEqual(
      tensorOf("float16", [0.5, 2], [1, 2]),
    );
  });

  test("planes of another count are the model's mistake", () => {
    expect(() => decodeFeature("y", image("RGB"), f32([1, 2], [1, 1, 1, 2]))).toThrow(
      "3 planes are declared",
    );
    expect(() => decodeFeature("y", image("RGB"), f32([1], [1]))).toThrow("3 planes are declared");
  });

  test("arrays get the declared type, scalars their value", () => {
    expect(decodeFeature("y", { ...array([1]), dtype: "float16" }, f32([0.1]))).toEqual(
      tensorOf("float16", [0.1]),
    );
    expect(decodeFeature("y", { kind: "double" }, f32([0.5]))).toBe(0.5);
    expect(decodeFeature("y", { kind: "int64" }, f32([3.7]))).toBe(3n);
    expect(() => decodeFeature("y", { kind: "double" }, f32([], [0]))).toThrow("no element");
    expect(() => decodeFeature("y", { kind: "string" }, f32([1]))).toThrow("a string is declared");
  });

  test("64-bit integers convert without a detour through doubles", () => {
    const tensor = tensorOf("int64", [2n ** 60n + 1n]);
    expect(elementsOf(convertElements(tensor, "uint64"))).toEqual(new BigUint64Array([2n ** 60n + 1n]));
    expect(numbersOf(convertElements(f32([1.9]), "int32"))).toEqual(new Float64Array([1]));
  });
});
