// MIL's random numbers. Only distributions are defined, so the checks are statistical, with bounds of six standard errors.

import { describe, expect, test } from "bun:test";
import { f32, numbersOf, tensorOf } from "../../src/core/tensor.ts";
import { lower } from "../../src/lowering/lower.ts";
import { serializeModel } from "../../src/onnx/serialize.ts";
import { type ConstantRow, functionOf, opCases, type OutputRow, runOp } from "../support/op-cases.ts";
import { portableRuntime } from "../support/portable.ts";

const count = 20_000;
const shape = tensorOf("int32", [200, 100]);
const square: OutputRow = { dtype: "float32", shape: [200, 100] };

describe("random", () => {
  test("random_normal has the mean and the width it is given", async () => {
    const values = await draw("random_normal", { mean: 3, stddev: 2 });
    expect(Math.abs(mean(values) - 3)).toBeLessThan((6 * 2) / Math.sqrt(count));
    expect(Math.abs(deviation(values) - 2)).toBeLessThan((6 * 2) / Math.sqrt(2 * count));
  });

  test("random_normal is the standard distribution by default", async () => {
    const values = await draw("random_normal", {});
    expect(Math.abs(mean(values))).toBeLessThan(6 / Math.sqrt(count));
    expect(Math.abs(deviation(values) - 1)).toBeLessThan(6 / Math.sqrt(2 * count));
  });

  test("random_uniform fills its interval without the upper end", async () => {
    const values = await draw("random_uniform", { low: -1, high: 3 });
    expect(Math.abs(mean(values) - 1)).toBeLessThan((6 * 4) / Math.sqrt(12 * count));
    expect(Math.min(...values)).toBeGreaterThanOrEqual(-1);
    expect(Math.min(...values)).toBeLessThan(-0.99);
    expect(Math.max(...values)).toBeLessThan(3);
    expect(Math.max(...values)).toBeGreaterThan(2.99);
  });

  test("random_uniform takes its shape from a value of the run", async () => {
    const { y } = await runOp(
      { op: "random_uniform", inputs: { shape }, constants: { seed: 4 } },
      { y: { dtype: "float32", shape: [undefined, undefined] } },
    );
    expect(y?.shape).toEqual([200, 100]);
  });

  test("random_normal of rank 0 is one number", async () => {
    const { y } = await runOp(
      { op: "random_normal", constants: { shape: tensorOf("int32", [], [0]) } },
      { y: { dtype: "float32", shape: [] } },
    );
    expect(y?.shape).toEqual([1]);
  });

  test("random_bernoulli is one as often as prob says, else zero", async () => {
    const values = await draw("random_bernoulli", { prob: 0.25 });
    expect(new Set(values)).toEqual(new Set([0, 1]));
    expect(Math.abs(mean(values) - 0.25)).toBeLessThan(6 * Math.sqrt((0.25 * 0.75) / count));
  });

  test("random_bernoulli is fair by default", async () => {
    const values = await draw("random_bernoulli", {});
    expect(Math.abs(mean(values) - 0.5)).toBeLessThan(6 * Math.sqrt(0.25 / count));
  });

  test("a seed gives the same numbers to every load, and every run its own", async () => {
    expect(await draw("random_normal", { seed: 7 })).toEqual(await draw("random_normal", { seed: 7 }));
    const fn = functionOf({ op: "random_normal", constants: { shape } }, { y: square });
    const runtime = await portableRuntime();
    using session = runtime.createSession(serializeModel(lower(fn).graph).bytes, { threads: 1 });
    const [first, second] = [session.run(new Map()), session.run(new Map())];
    expect(first.get("y")?.bytes).not.toEqual(second.get("y")?.bytes);
  });

  test("random numbers come in the type the program declares", async () => {
    const constants = { shape, low: tensorOf("float16", [0], []), high: tensorOf("float16", [1], []) };
    const outputs = { y: { dtype: "float16", shape: [200, 100] } } as const;
    for (const precision of ["float32", "model"] as const) {
      const { y } = await runOp({ op: "random_uniform", constants }, outputs, { precision });
      expect(y?.dtype).toBe("float16");
    }
  });

  for (const [mode, x] of [
    ["probs", [0.5, 0.25, 0, 0.25]],
    ["logits", [Math.log(8), Math.log(4), -100, Math.log(4)]],
  ] as const) {
    test(`random_categorical draws each position as often as its ${mode} say`, async () => {
      const { y } = await runOp(
        {
          op: "random_categorical",
          inputs: { x: f32([...x, ...x], [2, 4]) },
          constants: { mode, size: count },
        },
        { y: { dtype: "float32", shape: [2, count] } },
      );
      if (y === undefined) throw new Error("The op gives y");
      expect(y.shape).toEqual([2, count]);
      const drawn = [...numbersOf(y)];
      for (const [position, share] of [0.5, 0.25, 0, 0.25].entries()) {
        const found = drawn.filter((value) => value === position).length / drawn.length;
        expect(Math.abs(found - share)).toBeLessThan(0.02);
      }
    });
  }

  test("random_categorical keeps the leading axes of x, known or not", async () => {
    for (const [x, result] of [
      [[4], [5]],
      [
        [2, 3, 4],
        [2, 3, 5],
      ],
    ] as const) {
      const values = Array.from({ length: x.reduce((a, b) => a * b, 1) }, (_, at) => (at % 4 === 2 ? 50 : 0));
      for (const dynamic of [false, true]) {
        const { y } = await runOp(
          { op: "random_categorical", inputs: { x: f32(values, x) }, constants: { size: 5 } },
          { y: { dtype: "float32", shape: result } },
          { dynamic },
        );
        expect(y?.shape).toEqual([...result]);
        expect(new Set(y && numbersOf(y))).toEqual(new Set([2]));
      }
    }
  });
});

opCases("random", [
  {
    name: "random_categorical draws one by default",
    op: "random_categorical",
    inputs: { x: f32([0, 60, 0], [1, 3]) },
    expect: f32([1], [1, 1]),
  },
  {
    name: "random_categorical refuses to draw nothing",
    op: "random_categorical",
    inputs: { x: f32([0, 60, 0], [1, 3]) },
    constants: { size: 0 },
    expect: { error: '"size" must be at least 1, got 0', code: "BAD_MODEL" },
  },
  {
    name: "random_categorical refuses a scalar",
    op: "random_categorical",
    inputs: { x: f32([0], []) },
    expect: { error: '"x" must have an axis of categories', code: "BAD_MODEL" },
  },
  {
    name: "random_normal refuses a negative size",
    op: "random_normal",
    constants: { shape: [2, -1] },
    expect: { error: '"shape" is negative: 2, -1', code: "BAD_MODEL" },
  },
]);

async function draw(
  op: string,
  parameters: Readonly<Record<string, ConstantRow>>,
): Promise<readonly number[]> {
  const { y } = await runOp({ op, constants: { shape, ...parameters } }, { y: square });
  if (y === undefined) throw new Error("The op gives y");
  expect(y.shape).toEqual([200, 100]);
  return [...numbersOf(y)];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function deviation(values: readonly number[]): number {
  const centre = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - centre) ** 2)));
}
