// Where two runs part, on traces made up for the purpose.

import { describe, expect, test } from "bun:test";
import { f32, type Tensor } from "../../../../src/core/tensor.ts";
import type { GivenTrace } from "../../../../src/runtime/trace.ts";
import { bisect } from "../../../../src/suites/parity/bisect.ts";
import { errorOf } from "../../../support/codec-fixtures.ts";

const chain = ["a", "b", "c", "d", "e"];

function traceOf(values: Readonly<Record<string, Tensor>>, calls: string[][] = []): GivenTrace {
  return {
    functionName: "main",
    operationCount: 20,
    operations: chain.map((name, i) => ({
      index: 2 * i,
      type: "relu",
      name,
      results: [name],
      inputs: i === 0 ? ["x"] : [chain[i - 1] ?? ""],
    })),
    listValues: () => Object.keys(values).map((name) => ({ name, byteLength: 8 })),
    run(names) {
      calls.push([...names]);
      return new Map(names.flatMap((name) => (values[name] ? [[name, values[name]]] : [])));
    },
  };
}

const same = Object.fromEntries(chain.map((name) => [name, f32([1, 2])]));
const options = { input: "x.npz", threshold: 1e-3, memoryBytes: 16 };

describe("bisect", () => {
  test("names the first operation beyond the threshold and the first that differs at all", () => {
    const subject = traceOf({
      ...same,
      b: f32([1, 2.0002]),
      c: f32([1, 2.01]),
      d: f32([1, 2.5]),
      e: f32([1, 2.5]),
    });
    const { firstBeyond, firstDifferent, greatest, ...rest } = bisect(subject, traceOf(same), options);
    expect(rest).toEqual({ input: "x.npz", threshold: 1e-3, operations: 5, runs: 3, uncompared: 0 });
    expect(firstDifferent).toMatchObject({ name: "b", inputOfRange: 0 });
    expect(firstBeyond).toEqual({
      function: "main",
      index: 4,
      of: 20,
      type: "relu",
      name: "c",
      value: "c",
      maxAbs: expect.closeTo(0.01, 6),
      ofRange: expect.closeTo(0.005, 6),
      odd: 0,
      inputOfRange: expect.closeTo(1e-4, 6),
      inputs: ["b"],
    });
    // d adds most; e hands on what it was given, and adds nothing.
    expect(greatest.map(({ name }) => name)).toEqual(["d", "c", "b"]);
  });

  test("finds an error that a later operation hides again", () => {
    const { firstBeyond } = bisect(traceOf({ ...same, c: f32([1, 9]) }), traceOf(same), options);
    expect(firstBeyond?.name).toBe("c");
  });

  test("takes NaN on one side for parted, whatever the threshold", () => {
    const subject = traceOf({ ...same, d: f32([Number.NaN, 2]) });
    const { firstBeyond } = bisect(subject, traceOf(same), { ...options, threshold: 1 });
    expect(firstBeyond).toMatchObject({ name: "d", odd: 1 });
  });

  test("holds no more values at once than memory allows, and asks both sides for the same", () => {
    const [mine, theirs]: [string[][], string[][]] = [[], []];
    bisect(traceOf(same, mine), traceOf(same, theirs), options);
    expect(mine).toEqual([["a", "b"], ["c", "d"], ["e"]]);
    expect(theirs).toEqual(mine);
  });

  test("leaves out what only one side has, or has in another shape", () => {
    const { b: _b, ...fewer } = same;
    const reference = traceOf({ ...fewer, c: f32([1, 2, 3]) });
    expect(bisect(traceOf(same), reference, options)).toMatchObject({
      operations: 3,
      uncompared: 2,
      firstDifferent: null,
      firstBeyond: null,
      greatest: [],
    });
  });

  test("refuses programs that have no value in common", () => {
    expect(errorOf(() => bisect(traceOf({ a: f32([1]) }), traceOf({ b: f32([1]) }), options))).toMatchObject({
      code: "BAD_INPUT",
      message: "Cannot look for where the two sides part: they share no inner value",
    });
  });

  test("ends when it is interrupted", () => {
    const stopped = { ...options, signal: AbortSignal.abort() };
    expect(errorOf(() => bisect(traceOf(same), traceOf(same), stopped)).code).toBe("INTERRUPTED");
  });
});
