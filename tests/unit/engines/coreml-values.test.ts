// Values on their way to Core ML and back, in the JSON form of coremlx.h.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { CoremlxError } from "../../../src/core/errors.ts";
import type { FeatureType } from "../../../src/core/model.ts";
import type { FeatureValue } from "../../../src/core/tensor.ts";
import { readValues, writeValues } from "../../../src/engines/coreml-values.ts";

const sizes = { lower: 0, upper: undefined };
const strings = { kind: "dictionary", key: "string" } as const satisfies FeatureType;
const integers = { kind: "dictionary", key: "int64" } as const satisfies FeatureType;
const texts = { kind: "sequence", element: "string", size: sizes } as const satisfies FeatureType;
const numbers = { kind: "sequence", element: "int64", size: sizes } as const satisfies FeatureType;

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
// JSON has no -0, and Core ML makes nothing of it.
const double = fc.double().map((value) => (Object.is(value, -0) ? 0 : value));

const cases = fc.oneof(
  int64.map((value): [FeatureType, FeatureValue] => [{ kind: "int64" }, value]),
  double.map((value): [FeatureType, FeatureValue] => [{ kind: "double" }, value]),
  fc.string({ unit: "grapheme" }).map((value): [FeatureType, FeatureValue] => [{ kind: "string" }, value]),
  fc
    .array(fc.tuple(fc.string(), double))
    .map((entries): [FeatureType, FeatureValue] => [strings, new Map(entries)]),
  fc
    .array(fc.tuple(int64, double))
    .map((entries): [FeatureType, FeatureValue] => [integers, new Map(entries)]),
  fc.array(fc.string()).map((value): [FeatureType, FeatureValue] => [texts, value]),
  fc.array(int64).map((value): [FeatureType, FeatureValue] => [numbers, value]),
);

test("every value comes back as it was", () => {
  fc.assert(
    fc.property(cases, ([type, value]) => {
      expect(readValues(writeValues([["x", type, value]]))).toEqual(new Map([["x", value]]));
    }),
  );
});

test("the form is that of the header", () => {
  const json = writeValues([
    ["i", { kind: "int64" }, -(2n ** 63n)],
    ["d", { kind: "double" }, Number.NaN],
    ["m", strings, new Map([["cat", Number.NEGATIVE_INFINITY]])],
    ["n", numbers, [1n]],
  ]);
  expect(JSON.parse(json)).toEqual({
    i: { type: "int64", value: "-9223372036854775808" },
    d: { type: "double", value: "nan" },
    m: { type: "dictionary", key: "string", entries: [["cat", "-inf"]] },
    n: { type: "sequence", element: "int64", values: ["1"] },
  });
});

test("whole numbers pass for integers, and no others", () => {
  expect(JSON.parse(writeValues([["i", { kind: "int64" }, 7]]))).toEqual({
    i: { type: "int64", value: "7" },
  });
  expect(() => writeValues([["i", { kind: "int64" }, 7.5]])).toThrow(
    new CoremlxError("BAD_INPUT", 'Cannot pass "i": the model takes an integer there'),
  );
});

test("a value of another kind is refused by name, with what is wanted", () => {
  const refused: readonly (readonly [FeatureType, FeatureValue, string])[] = [
    [{ kind: "int64" }, "1", "an integer"],
    [{ kind: "double" }, "1", "a number"],
    [{ kind: "string" }, 1, "text"],
    [strings, new Map([[1n, 1]]), "a dictionary with string keys"],
    [integers, new Map([["1", 1]]), "a dictionary with int64 keys"],
    [texts, [1n], "a sequence of string"],
    [numbers, ["1"], "a sequence of int64"],
  ];
  for (const [type, value, wanted] of refused)
    expect(() => writeValues([["x", type, value]])).toThrow(
      `Cannot pass "x": the model takes ${wanted} there`,
    );
});

test("nothing is no values", () => {
  expect(readValues("")).toEqual(new Map());
});
