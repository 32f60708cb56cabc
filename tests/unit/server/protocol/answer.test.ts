// Answers byte by byte.

import { describe, expect, test } from "bun:test";
import { type DType } from "../../../../src/core/dtype.ts";
import { f32, tensorOf } from "../../../../src/core/tensor.ts";
import { encodeAnswer } from "../../../../src/server/protocol/answer.ts";
import { classify } from "../../../../src/server/protocol/classification.ts";
import type { OutputTensor } from "../../../../src/server/protocol/outputs.ts";

const head = { modelName: "m", modelVersion: "2", id: undefined, parameters: undefined };

function jsonOf(tensor: Pick<OutputTensor, "shape" | "content">): unknown {
  const { json, frames } = encodeAnswer(head, [{ name: "y", isBinary: false, isConstant: false, ...tensor }]);
  expect(frames).toEqual([]);
  return JSON.parse(json).outputs[0];
}

describe("JSON", () => {
  test("has numbers as they are, and strings for those it has no words for", () => {
    const numbers = [0.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0];
    expect(jsonOf({ shape: [5], content: f32(numbers) })).toEqual({
      name: "y",
      datatype: "FP32",
      shape: [5],
      data: [0.5, "NaN", "Infinity", "-Infinity", 0],
    });
  });

  const types: readonly (readonly [DType, readonly (number | bigint)[], string, string])[] = [
    ["bool", [1, 0], "BOOL", "[true,false]"],
    ["int8", [-128, 127], "INT8", "[-128,127]"],
    ["uint16", [65_535, 0], "UINT16", "[65535,0]"],
    ["int64", [9_007_199_254_740_993n, -1n], "INT64", "[9007199254740993,-1]"],
    ["uint64", [18_446_744_073_709_551_615n, 0n], "UINT64", "[18446744073709551615,0]"],
    ["float16", [0.5, 65_504], "FP32", "[0.5,65504]"],
    ["float64", [0.1, 1e300], "FP64", "[0.1,1e+300]"],
  ];
  test.each(types)("of %s %p is %s %s", (dtype, values, datatype, data) => {
    const { json } = encodeAnswer(head, [
      { name: "y", shape: [2], content: tensorOf(dtype, values), isBinary: false, isConstant: false },
    ]);
    expect(json).toBe(
      `{"model_name":"m","model_version":"2","outputs":[{"name":"y","datatype":"${datatype}","shape":[2],"data":${data}}]}`,
    );
  });

  test("has names, ids and strings with their quotes escaped", () => {
    const { json } = encodeAnswer({ ...head, modelName: 'a"b', id: '\n"' }, [
      { name: "\\", shape: [1], content: ['"\u2028'], isBinary: false, isConstant: false },
    ]);
    expect(JSON.parse(json)).toEqual({
      model_name: 'a"b',
      model_version: "2",
      id: '\n"',
      outputs: [{ name: "\\", datatype: "BYTES", shape: [1], data: ['"\u2028'] }],
    });
  });

  test("of nothing is an empty list", () => {
    expect(jsonOf({ shape: [0, 3], content: f32([], [0, 3]) })).toMatchObject({ shape: [0, 3], data: [] });
  });
});

test("binary tensors follow the JSON in order, each as long as it says", () => {
  const { json, frames } = encodeAnswer(head, [
    { name: "a", shape: [2], content: tensorOf("int16", [1, -1]), isBinary: true, isConstant: false },
    { name: "b", shape: [1], content: f32([1]), isBinary: false, isConstant: false },
    { name: "c", shape: [2], content: ["é", ""], isBinary: true, isConstant: false },
  ]);
  expect(JSON.parse(json).outputs).toEqual([
    { name: "a", datatype: "INT16", shape: [2], parameters: { binary_data_size: 4 } },
    { name: "b", datatype: "FP32", shape: [1], data: [1] },
    { name: "c", datatype: "BYTES", shape: [2], parameters: { binary_data_size: 10 } },
  ]);
  expect(frames.map((frame) => [...frame])).toEqual([
    [1, 0, 255, 255],
    [2, 0, 0, 0, 0xc3, 0xa9, 0, 0, 0, 0],
  ]);
});

test("a list that is the same for each answer is written the same each time", () => {
  const tensor = { name: "c", shape: [2], content: ["é", ""], isConstant: true };
  const answers = [true, true, false, false].map((isBinary) => encodeAnswer(head, [{ ...tensor, isBinary }]));
  const [binary, again, json, jsonAgain] = answers;
  expect(again?.frames).toEqual(binary?.frames ?? []);
  expect(binary?.frames).toEqual([new Uint8Array([2, 0, 0, 0, 0xc3, 0xa9, 0, 0, 0, 0])]);
  expect(jsonAgain?.json).toBe(json?.json ?? "");
  expect(JSON.parse(json?.json ?? "").outputs[0].data).toEqual(["é", ""]);
});

describe("classification", () => {
  const labels = ["cat", "dog", "fox"];

  test("gives values, indices and labels from the greatest down, equals by index, NaN last", () => {
    const options = { count: 4, labels: undefined };
    expect(classify("y", f32([0.25, Number.NaN, 0.5, 0.25]), options)).toEqual([
      "0.5:2",
      "0.25:0",
      "0.25:3",
      "NaN:1",
    ]);
  });

  test("has labels where there is one for each value", () => {
    expect(classify("y", f32([1, 3, 2]), { count: 2, labels })).toEqual(["3:1:dog", "2:2:fox"]);
    expect(classify("y", f32([1, 3]), { count: 1, labels })).toEqual(["3:1"]);
    expect(
      classify(
        "y",
        new Map([
          ["a", 1],
          ["b", 2],
        ]),
        { count: 9, labels },
      ),
    ).toEqual(["2:1:b", "1:0:a"]);
  });

  test("is refused for what is no list of numbers", () => {
    expect(() => classify("y", "cat", { count: 1, labels })).toThrow('output "y" cannot be classified');
  });
});
