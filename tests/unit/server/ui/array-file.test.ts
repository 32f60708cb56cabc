// A chosen file is JSON, or one of numpy's arrays.

import { expect, test } from "bun:test";
import { encodeNpy } from "../../../../src/codecs/npy.ts";
import { type Tensor, tensorOf } from "../../../../src/core/tensor.ts";
import { readArrayFile } from "../../../../src/server/ui/array-file.ts";

test.each<[string, Tensor, string, string]>([
  ["float32", tensorOf("float32", [1.5, Number.NaN, -Infinity], [3, 1]), "FP32", '[1.5,"NaN","-Infinity"]'],
  ["float16", tensorOf("float16", [0.5, 2]), "FP32", "[0.5,2]"],
  ["int64", tensorOf("int64", [9007199254740993n]), "INT64", "[9007199254740993]"],
  ["uint8", tensorOf("uint8", [0, 255]), "UINT8", "[0,255]"],
  ["bool", tensorOf("bool", [1, 0]), "BOOL", "[true,false]"],
])("an array of %s keeps its shape and every digit", (_dtype, tensor, datatype, data) => {
  const value = readArrayFile("a.npy", encodeNpy(tensor));
  expect(value).toEqual({ kind: "tensor", datatype, shape: tensor.shape, data });
});

test("anything else is taken for JSON", () => {
  expect(readArrayFile("a.json", new TextEncoder().encode("[1, 2]"))).toEqual({
    kind: "json",
    text: "[1, 2]",
  });
});

test("a damaged array says what is wrong with it", () => {
  const bytes = encodeNpy(tensorOf("float32", [1, 2]));
  expect(() => readArrayFile("a.npy", bytes.slice(0, -1))).toThrow(
    'Cannot read npy "a.npy": shape [2] of float32 takes 8 bytes, the file has 7',
  );
});
