// Made-up values fit the type and the shape that they are for.

import { expect, test } from "bun:test";
import { sampleValues } from "../../../../src/server/ui/sample-values.ts";

test.each<[Parameters<typeof sampleValues>[0], string, readonly number[], string]>([
  ["zeros", "FP32", [2, 2], "[0,0,0,0]"],
  ["ramp", "FP32", [3], "[0,0.5,1]"],
  ["ramp", "UINT8", [3], "[0,128,255]"],
  ["ramp", "INT64", [3], "[0,50,100]"],
  ["ramp", "BOOL", [3], "[false,true,true]"],
  ["ramp", "FP16", [1], "[0]"],
  ["random", "INT32", [2], "[25,25]"],
  ["random", "FP64", [2], "[0.25,0.25]"],
  ["zeros", "BYTES", [2], '["text","text"]'],
  ["zeros", "FP32", [0], "[]"],
])("%s of %s %p", (kind, datatype, shape, expected) => {
  expect(sampleValues(kind, { datatype, shape }, () => 0.25)).toBe(expected);
});
