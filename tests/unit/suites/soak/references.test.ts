import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  f32,
  type FeatureValue,
  type FeatureValues,
  type Tensor,
  tensorOf,
} from "../../../../src/core/tensor.ts";
import { findDifference, makeInputs, takeReferences } from "../../../../src/suites/soak/references.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";

const values = (entries: Readonly<Record<string, FeatureValue>>): FeatureValues =>
  new Map(Object.entries(entries));

describe("an answer", () => {
  test("with any one bit flipped is found, whatever its type and place", () => {
    const dtypes = ["float16", "float32", "float64", "int32", "int64", "uint8"] as const;
    fc.assert(
      fc.property(
        fc.constantFrom(...dtypes),
        fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 40 }),
        fc.nat(),
        (dtype, numbers, place) => {
          const tensor = tensorOf(dtype, numbers);
          const bytes = tensor.bytes.slice();
          const bit = place % (bytes.length * 8);
          bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          const reference = values({ y: tensor, label: "cat" });
          expect(findDifference(values({ y: { ...tensor, bytes }, label: "cat" }), reference, 0)).toStartWith(
            'output "y": ',
          );
          expect(findDifference(values({ y: { ...tensor }, label: "cat" }), reference, 0)).toBeUndefined();
        },
      ),
    );
  });

  test("that has NaN where its reference has it is right, and -0 is not 0", () => {
    const nan = values({ y: f32([Number.NaN, 1]) });
    expect(findDifference(values({ y: f32([Number.NaN, 1]) }), nan, 0)).toBeUndefined();
    expect(findDifference(values({ y: f32([-0]) }), values({ y: f32([0]) }), 0)).toBe(
      'output "y": element 0 is -0 where 0 was expected',
    );
  });

  test("may differ within the tolerance, of the largest value of its reference", () => {
    const reference = values({ y: f32([100, 1, 0]) });
    const off = (by: number) => values({ y: f32([100, 1 + by, 0]) });
    expect(findDifference(off(0.5), reference, 0.01)).toBeUndefined();
    expect(findDifference(off(2), reference, 0.01)).toBe('output "y": element 1 is 3 where 1 was expected');
    expect(findDifference(values({ y: f32([Number.NaN, 1, 0]) }), reference, 0.01)).toMatch(
      /element 0 is NaN/,
    );
  });

  test.each([
    ["another label", { label: "dog" }, 'output "label": another value'],
    [
      "another probability",
      { p: new Map([["cat", 0.25]]) },
      'output "p": key cat: 0.25 where 0.5 was expected',
    ],
    ["another key", { p: new Map([["dog", 0.5]]) }, 'output "p": key cat: is missing'],
    [
      "one key more",
      {
        p: new Map([
          ["cat", 0.5],
          ["dog", 0],
        ]),
      },
      'output "p": 2 keys, not 1',
    ],
    ["another shape", { y: f32([1, 2], [2, 1]) }, 'output "y": shape [2, 1], not [2]'],
    ["another type", { y: tensorOf("float16", [1, 2]) }, 'output "y": float16, not float32'],
    ["another number", { n: 4 }, 'output "n": 4 where 3 was expected'],
    ["a number for an array", { y: 3 }, 'output "y": no array'],
  ])("with %s is wrong", (_, change, difference) => {
    const reference = values({ y: f32([1, 2]), label: "cat", p: new Map([["cat", 0.5]]), n: 3 });
    expect(findDifference(new Map([...reference, ...Object.entries(change)]), reference, 0)).toBe(difference);
  });

  test("with an output missing or to spare is wrong", () => {
    const reference = values({ a: 1 });
    expect(findDifference(values({}), reference, 0)).toBe('output "a" is missing');
    expect(findDifference(values({ a: 1, b: 2 }), reference, 0)).toBe("outputs a, b where a were expected");
  });
});

describe("references", () => {
  const input = values({ x: f32([1]) });
  const take = (answers: readonly Tensor[], tolerance: number | null = null) => {
    let call = 0;
    const predict = async () => values({ y: answers[call++ % answers.length] ?? f32([]) });
    return takeReferences({ model: "m", inputs: [input], repeats: 2, tolerance, predict });
  };

  test("that come back the same are compared bit by bit", async () => {
    const taken = await take([f32([1, 2])]);
    expect(taken).toMatchObject({ mode: "bits", tolerance: 0, answers: [values({ y: f32([1, 2]) })] });
    expect(taken.digest).toMatch(/^[0-9a-f]{64}$/);
    expect((await take([f32([1, 3])])).digest).not.toBe(taken.digest);
  });

  test("that vary a little are compared within the tolerance of their type", async () => {
    expect(await take([f32([1, 2]), f32([1, 2.0001])])).toMatchObject({ mode: "tolerance", tolerance: 1e-3 });
    const halves = [tensorOf("float16", [1, 2]), tensorOf("float16", [1, 2.01])];
    expect(await take(halves)).toMatchObject({ mode: "tolerance", tolerance: 1e-2 });
  });

  test("that vary more are none", async () => {
    const error = await rejectionOf(take([f32([1, 2]), f32([1, 3])]));
    expect(error.code).toBe("CRITERIA_FAILED");
    expect(error.message).toBe(
      'Cannot soak "m": its answers to input 0 are not the same each time: output "y": element 1 is 3 where 2 was expected',
    );
  });

  test("that must be the same to the bit are refused for the least difference", async () => {
    expect((await rejectionOf(take([f32([1, 2]), f32([1, 2.0001])], 0))).code).toBe("CRITERIA_FAILED");
  });
});

test("inputs are random, different from each other, and the same for the same seed", () => {
  const type = {
    kind: "multiArray",
    dtype: "float32",
    shape: [4],
    constraint: { kind: "fixed" },
    defaultValue: undefined,
  } as const;
  const needed = { name: "x", description: "", isOptional: false, type };
  const optional = { ...needed, name: "extra", isOptional: true };
  const make = (seed: number) => makeInputs([needed, optional], { count: 3, seed });
  expect(make(1)).toEqual(make(1));
  const all = [...make(1), ...make(2)].map((one) => JSON.stringify([...one]));
  expect(new Set(all).size).toBe(6);
  expect(make(1).map((one) => [...one.keys()])).toEqual([["x"], ["x"], ["x"]]);
});
