import { describe, expect, test } from "bun:test";
import { generate, type Filling } from "../../../src/codecs/generate.ts";
import { convertFeature } from "../../../src/codecs/convert.ts";
import type { FeatureType, ImageType } from "../../../src/core/model.ts";
import { f32, isTensor, numbersOf, tensorOf, type FeatureValue } from "../../../src/core/tensor.ts";
import { allDTypes, arrayType, errorOf, feature } from "../../support/codec-fixtures.ts";

function make(type: FeatureType, filling: Filling, seed?: number): FeatureValue {
  return generate(feature(type), filling, { seed });
}

const image: ImageType = {
  kind: "image",
  width: 2,
  height: 1,
  colorSpace: "RGB",
  constraint: { kind: "fixed" },
};

// Expected values: the documented generator, written down independently in Python.
describe("random values are those of the documented generator", () => {
  test("floats are U[0, 1) in their own precision", () => {
    expect(make(arrayType("float32", [2, 2]), "random")).toEqual(
      f32([0.5649451017379761, 0.08943384885787964, 0.1396881341934204, 0.8505676984786987], [2, 2]),
    );
    expect(make(arrayType("float16", [3]), "random", 7)).toEqual(
      tensorOf("float16", [0.6787109375, 0.46484375, 0.6240234375]),
    );
    expect(make({ kind: "double" }, "random", 7)).toBe(0.6790521030512126);
  });

  test("integers are 0 or 1, pictures 0 to 255, strings words", () => {
    expect(make(arrayType("int32", [12]), "random", 7)).toEqual(
      tensorOf("int32", [1, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1]),
    );
    expect(make(image, "random", 7)).toEqual(tensorOf("uint8", [173, 119, 159, 125, 8, 79], [1, 2, 3]));
    expect(make({ kind: "string" }, "random", 7)).toBe("jtsxh");
    expect(make({ kind: "int64" }, "random", 7)).toBe(1n);
    const ids = { kind: "sequence", element: "int64", size: { lower: 3, upper: 9 } } as const;
    expect(make(ids, "random", 7)).toEqual([1n, 0n, 1n]);
  });
});

test("the same seed and name give the same value, another name or seed another", () => {
  const type = arrayType("float32", [8]);
  const one = generate(feature(type, "a"), "random", { seed: 1 });
  expect(generate(feature(type, "a"), "random", { seed: 1 })).toEqual(one);
  expect(generate(feature(type, "b"), "random", { seed: 1 })).not.toEqual(one);
  expect(generate(feature(type, "a"), "random", { seed: 2 })).not.toEqual(one);
});

test("random floats of every width stay below 1 and spread evenly", () => {
  for (const dtype of ["float16", "bfloat16", "float32", "float64"] as const) {
    const value = make(arrayType(dtype, [20_000]), "random");
    if (typeof value !== "object" || !isTensor(value)) throw new Error("expected an array");
    const numbers = numbersOf(value);
    expect(Math.max(...numbers)).toBeLessThan(1);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
    const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.01); // five standard errors, and bfloat16's half step
  }
});

test("zeros and ones", () => {
  for (const dtype of allDTypes) {
    expect(make(arrayType(dtype, [2]), "zeros")).toEqual(tensorOf(dtype, [0, 0]));
    expect(make(arrayType(dtype, [2]), "ones")).toEqual(tensorOf(dtype, [1, 1]));
  }
  expect(make({ ...image, colorSpace: "GRAYSCALE" }, "ones")).toEqual(tensorOf("uint8", [1, 1], [1, 2]));
  expect(make({ ...image, colorSpace: "GRAYSCALE_FLOAT16" }, "ones")).toEqual(
    tensorOf("float16", [1, 1], [1, 2]),
  );
  expect([make({ kind: "int64" }, "ones"), make({ kind: "int64" }, "zeros")]).toEqual([1n, 0n]);
  expect([make({ kind: "double" }, "ones"), make({ kind: "double" }, "zeros")]).toEqual([1, 0]);
  expect([make({ kind: "string" }, "ones"), make({ kind: "string" }, "zeros")]).toEqual(["1", ""]);
});

test("every kind of input gets a value that it accepts", () => {
  const types: readonly FeatureType[] = [
    arrayType("float32", [1, 8], {
      kind: "range",
      axes: [
        { lower: 1, upper: 1 },
        { lower: 1, upper: undefined },
      ],
    }),
    image,
    { kind: "int64" },
    { kind: "double" },
    { kind: "string" },
    { kind: "dictionary", key: "string" },
    { kind: "dictionary", key: "int64" },
    { kind: "sequence", element: "int64", size: { lower: 2, upper: 2 } },
    { kind: "sequence", element: "string", size: { lower: 1, upper: 2 } },
    { kind: "state", array: arrayType("float16", [2]) },
  ];
  for (const type of types)
    for (const filling of ["random", "zeros", "ones"] as const) {
      const value = make(type, filling);
      expect(convertFeature(value, feature(type))).toEqual(value);
    }
});

test("a default shape beyond memory is refused", () => {
  expect(errorOf(() => make(arrayType("float32", [1 << 20, 1 << 20]), "zeros")).message).toBe(
    'Cannot fill input "x": shape [1048576, 1048576] of float32 takes 4398046511104 bytes, more than the limit of 4294967296',
  );
});
