// Values of every kind, there and back through the bytes of the protocol.

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { FeatureDescription, FeatureType } from "../../../../src/core/model.ts";
import { f32, type FeatureValue, tensorOf, zeros } from "../../../../src/core/tensor.ts";
import { fromWire, toWire } from "../../../../src/engines/http/wire.ts";
import { decodeAnswer, encodeRequest } from "../../../../src/engines/http/inference.ts";

function described(name: string, type: FeatureType, isOptional = false): FeatureDescription {
  return { name, description: "", type, isOptional };
}

const array = (dtype: "float16" | "float32" | "int32"): FeatureType => ({
  kind: "multiArray",
  dtype,
  shape: [2],
  constraint: { kind: "fixed" },
  defaultValue: undefined,
});

const descriptions = [
  described("array", array("float32")),
  described("half", array("float16")),
  described("picture", {
    kind: "image",
    width: 3,
    height: 2,
    colorSpace: "RGB",
    constraint: { kind: "fixed" },
  }),
  described("number", { kind: "double" }),
  described("whole", { kind: "int64" }),
  described("text", { kind: "string" }),
  described("texts", { kind: "sequence", element: "string", size: { lower: 0, upper: undefined } }),
  described("wholes", { kind: "sequence", element: "int64", size: { lower: 0, upper: undefined } }),
  described("named", { kind: "dictionary", key: "string" }),
  described("named_keys", { kind: "string" }),
  described("numbered", { kind: "dictionary", key: "int64" }),
];

const someValues = fc.record({
  array: fc.array(fc.float(), { minLength: 2, maxLength: 2 }).map((numbers) => f32(numbers)),
  half: fc.constant(tensorOf("float16", [1.5, Number.NaN])),
  picture: fc.constant(zeros("uint8", [2, 3, 3])),
  number: fc.double(),
  whole: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  text: fc.string({ unit: "binary" }),
  texts: fc.array(fc.string({ unit: "grapheme" })),
  wholes: fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { minLength: 1 }),
  named: fc.dictionary(fc.string(), fc.double()).map((entries) => new Map(Object.entries(entries))),
  named_keys: fc.constant("taken"),
  numbered: fc
    .array(fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 40n }), fc.double()), { minLength: 1 })
    .map((entries) => new Map(entries)),
});

test("values come back as they went, whatever they are", () => {
  fc.assert(
    fc.property(someValues, (given) => {
      const values = new Map<string, FeatureValue>(Object.entries(given));
      const { body, jsonLength } = encodeRequest(toWire(values, descriptions), {});
      // A request's head has its inputs where an answer's has its outputs.
      const text = new TextDecoder().decode(body.subarray(0, jsonLength)).replace('"inputs"', '"outputs"');
      const head = new TextEncoder().encode(text);
      const bytes = new Uint8Array(Buffer.concat([head, body.subarray(jsonLength)]));
      const answer = decodeAnswer({ bytes, jsonLength: head.length }, "run it");
      expect(fromWire(answer, descriptions, "run it")).toEqual(values);
    }),
    { seed: 5, numRuns: 200 },
  );
});

test("an optional input may be left out, another may not", () => {
  const optional = [described("a", array("float32"), true)];
  expect(toWire(new Map(), optional)).toEqual([]);
  expect(() => toWire(new Map(), [described("a", array("float32"))])).toThrow('input "a" is missing');
});

test("a value of another kind is refused by its name", () => {
  expect(() =>
    toWire(new Map([["named", 1]]), [described("named", { kind: "dictionary", key: "string" })]),
  ).toThrow('Cannot pass "named": the model takes a dictionary there');
});
