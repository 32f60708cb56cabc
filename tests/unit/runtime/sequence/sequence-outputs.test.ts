import { describe, expect, test } from "bun:test";
import type { FeatureType } from "../../../../src/core/model.ts";
import { type FeatureValue, f32, tensorOf } from "../../../../src/core/tensor.ts";
import {
  maxListedItems,
  maxStackedBytes,
  OutputStacks,
} from "../../../../src/runtime/sequence/sequence-outputs.ts";
import { arrayType, describeError, errorOf, feature } from "../../../support/codec-fixtures.ts";

/** One output that gives these values, one after the other. */
function stack(...values: readonly FeatureValue[]) {
  const stacks = new OutputStacks([], values.length);
  for (const value of values) stacks.push(new Map([["y", value]]));
  return stacks.finish().get("y");
}

describe("outputs over the steps of a sequence", () => {
  test("arrays are stacked along a new leading axis", () => {
    expect(stack(f32([1, 2], [1, 2]), f32([3, 4], [1, 2]))).toEqual(f32([1, 2, 3, 4], [2, 1, 2]));
    expect(stack(tensorOf("float16", [1], []), tensorOf("float16", [2], []))).toEqual(
      tensorOf("float16", [1, 2]),
    );
    expect(stack(f32([], [0]), f32([], [0]))).toEqual(f32([], [2, 0]));
  });

  test("numbers become an array", () => {
    expect(stack(0.5, 2)).toEqual(tensorOf("float64", [0.5, 2]));
    expect(stack(2n ** 60n, -1n)).toEqual(tensorOf("int64", [2n ** 60n, -1n]));
  });

  test("strings, dictionaries and sequences become lists", () => {
    expect(stack("a", "b")).toEqual(["a", "b"]);
    const [one, two] = [new Map([["a", 1]]), new Map([["a", 2]])];
    expect(stack(one, two)).toEqual([one, two]);
    expect(stack(["a"], [])).toEqual([["a"], []]);
  });

  test("keep nothing of the memory that a step's arrays lay in", () => {
    const stacks = new OutputStacks([], 2);
    const lent = f32([1]);
    stacks.push(new Map([["y", lent]]));
    lent.bytes.set(f32([2]).bytes);
    stacks.push(new Map([["y", lent]]));
    lent.bytes.fill(0);
    expect(stacks.finish()).toEqual(new Map([["y", f32([1, 2], [2, 1])]]));
  });

  test("an output that changes its shape or type is refused", () => {
    const error = errorOf(() => stack(f32([1, 2]), f32([1])));
    expect(describeError(error)).toBe(
      'UNSUPPORTED: Cannot stack "y" over 2 steps: it is [1] after [2] at the steps before',
    );
    expect(error.hint).toContain("--keep-state");
    expect(errorOf(() => stack(f32([1]), tensorOf("int32", [1]))).code).toBe("UNSUPPORTED");
  });

  test("an output that a step does not give is our own mistake", () => {
    const stacks = new OutputStacks([], 2);
    stacks.push(new Map([["y", 1]]));
    expect(errorOf(() => stacks.push(new Map())).code).toBe("INTERNAL");
    expect(new OutputStacks([], 2).finish()).toEqual(new Map());
  });
});

describe("what would be too much", () => {
  const image = (colorSpace: "RGB" | "GRAYSCALE_FLOAT16", kind: "fixed" | "range"): FeatureType => ({
    kind: "image",
    width: 1024,
    height: 1024,
    colorSpace,
    constraint: kind === "fixed" ? { kind } : { kind, axes: [] },
  });
  const refused = (types: readonly FeatureType[], steps: number) =>
    errorOf(
      () =>
        new OutputStacks(
          types.map((type, i) => feature(type, `y${i}`)),
          steps,
        ),
    );

  test("by what the outputs declare is refused before anything runs", () => {
    const error = refused([arrayType("float32", [1024, 1024]), arrayType("float16", [1024, 1024])], 1024);
    expect(describeError(error)).toBe(
      `BAD_INPUT: Cannot run 1024 steps: their outputs take ${6 * 2 ** 30} bytes, more than the limit of ${maxStackedBytes}`,
    );
    expect(error.hint).toContain("--save-state");
    expect(refused([image("RGB", "fixed")], 1366).code).toBe("BAD_INPUT");
    expect(refused([image("GRAYSCALE_FLOAT16", "fixed")], 2049).code).toBe("BAD_INPUT");
    expect(refused([{ kind: "int64" }], 2 ** 30).code).toBe("BAD_INPUT");
  });

  test("by what an output turns out to be is refused at its first step", () => {
    const unknown = [
      arrayType("float32", []),
      arrayType("float32", [1024, 1024], { kind: "range", axes: [] }),
      image("RGB", "range"),
      { kind: "string" } as const,
    ];
    const stacks = new OutputStacks(
      unknown.map((type, i) => feature(type, `y${i}`)),
      2 ** 30,
    );
    const error = errorOf(() => stacks.push(new Map([["y0", f32([1, 2])]])));
    expect(error.message).toStartWith(`Cannot run ${2 ** 30} steps: their outputs take ${2 ** 33} bytes`);
  });

  test("as lists is refused where it becomes so", () => {
    const big = new Map(Array.from({ length: 2 ** 20 }, (_, i) => [String(i), 0]));
    const stacks = new OutputStacks([], 100);
    for (let step = 0; step < 16; step++) stacks.push(new Map([["y", big]]));
    const error = errorOf(() => stacks.push(new Map([["y", "one more"]])));
    expect(error.message).toBe(
      `Cannot stack "y" over 100 steps: its list would hold more than ${maxListedItems} items`,
    );
  });
});
