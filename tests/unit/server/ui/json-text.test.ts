// JSON as text: flattened without a change to any value, and read without loss.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { countValues, flattenJson, parseWholly, shapeOfNested } from "../../../../src/server/ui/json-text.ts";

const leaf = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string(),
  fc.boolean(),
);
const nested = fc.letrec((tie) => ({
  list: fc.array(fc.oneof({ maxDepth: 4 }, leaf, tie("list")), { maxLength: 4 }),
})).list;

test("nested lists become flat, whatever is in them and however they are laid out", () => {
  fc.assert(
    fc.property(nested, fc.constantFrom(0, 2), (value, indent) => {
      const flat = (value as unknown[]).flat(Number.POSITIVE_INFINITY);
      const again: unknown = JSON.parse(flattenJson(JSON.stringify(value, null, indent)));
      expect(again).toEqual(JSON.parse(JSON.stringify(flat)));
      expect(countValues(value)).toBe(flat.length);
    }),
  );
});

test("the sizes of nested lists are known where they are even", () => {
  expect([5, [], [1, 2], [[1, 2, 3]], [[1], [2, 3]], [1, [2]], [[], []]].map(shapeOfNested)).toEqual([
    [],
    [0],
    [2],
    [1, 3],
    undefined,
    undefined,
    [2, 0],
  ]);
});

test("long whole numbers come back whole", () => {
  expect(parseWholly('[9007199254740993, -9223372036854775808, 3, 1.5, 1e300, "9007199254740993"]')).toEqual([
    9007199254740993n,
    -9223372036854775808n,
    3,
    1.5,
    1e300,
    "9007199254740993",
  ]);
});
