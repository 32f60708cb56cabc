import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { CoremlxError } from "../../../../src/core/errors.ts";
import type { FeatureDescription } from "../../../../src/core/model.ts";
import { type FeatureValues, f32, tensorOf } from "../../../../src/core/tensor.ts";
import { runSequence, type SequenceModel, StepRunner } from "../../../../src/runtime/sequence/sequence.ts";
import { type ModelState, openSession, type PredictionOptions } from "../../../../src/runtime/session.ts";
import { arrayType, describeError, errorOf, feature, rejectionOf } from "../../../support/codec-fixtures.ts";

const fixtures = resolve(import.meta.dir, "../../../fixtures");

/** A model that is only an interface: `answer` predicts, and what it was asked is kept. */
function modelOf(
  ports: { readonly inputs: readonly FeatureDescription[]; readonly outputs?: readonly FeatureDescription[] },
  answer: (inputs: FeatureValues, step: number) => FeatureValues,
) {
  const asked: { readonly inputs: FeatureValues; readonly options: PredictionOptions }[] = [];
  const model: SequenceModel = {
    inputs: ports.inputs,
    outputs: ports.outputs ?? [],
    states: [],
    newState() {
      throw new Error("the model has no states");
    },
    async predictTimed(inputs, options = {}) {
      asked.push({ inputs, options });
      return { outputs: answer(inputs, asked.length - 1), queueMs: 0, runMs: 2 };
    },
  };
  return { model, asked };
}

const row = arrayType("float32", [1]);
const [x, h] = [feature(row, "x"), feature(row, "h")];
const recurrence = { inputs: [x, h], outputs: [feature(row, "next")] };
const carries = [{ output: "next", input: "h" }];
const counted = (_: FeatureValues, step: number) => new Map([["next", f32([step])]]);
const given = (asked: readonly { readonly inputs: FeatureValues }[], name: string) =>
  asked.map(({ inputs }) => inputs.get(name));

describe("a sequence", () => {
  test("gives each step its values, and stacks what the steps give", async () => {
    const { model, asked } = modelOf({ inputs: [x, h] }, counted);
    const done: number[] = [];
    const inputs = new Map([
      ["x", f32([1, 2, 3])],
      ["h", f32([9])],
    ]);
    const result = await runSequence(model, inputs, { steps: 3, timeoutMs: 70, onStep: (n) => done.push(n) });
    expect(result).toEqual({ outputs: new Map([["next", f32([0, 1, 2], [3, 1])]]), runMs: 6 });
    expect(given(asked, "x")).toEqual([f32([1]), f32([2]), f32([3])]);
    expect(given(asked, "h")).toEqual([f32([9]), f32([9]), f32([9])]);
    expect(asked.map(({ options }) => options.timeoutMs)).toEqual([70, 70, 70]);
    expect(done).toEqual([1, 2, 3]);
  });

  test("carries an output into the next step, zero at first", async () => {
    const { model, asked } = modelOf(recurrence, (_, step) => new Map([["next", f32([step + 1])]]));
    await runSequence(model, new Map([["x", f32([0, 0, 0])]]), { steps: 3, carries });
    expect(given(asked, "h")).toEqual([f32([0]), f32([1]), f32([2])]);
  });

  test("or from the value that is given", async () => {
    const { model, asked } = modelOf(recurrence, counted);
    const inputs = new Map([
      ["x", f32([1])],
      ["h", f32([7])],
    ]);
    await runSequence(model, inputs, { steps: 3, carries });
    expect(given(asked, "h")).toEqual([f32([7]), f32([0]), f32([1])]);
    expect(given(asked, "x")).toEqual([f32([1]), f32([1]), f32([1])]);
  });

  test("carries one output into several inputs", async () => {
    const { model, asked } = modelOf(recurrence, counted);
    const both = [...carries, { output: "next", input: "x" }];
    await runSequence(model, new Map(), { steps: 2, carries: both });
    expect(asked[1]?.inputs).toEqual(
      new Map([
        ["x", f32([0])],
        ["h", f32([0])],
      ]),
    );
  });

  test("leaves out optional inputs that are not given", async () => {
    const optional = { ...h, isOptional: true };
    const { model, asked } = modelOf({ inputs: [x, optional] }, counted);
    await runSequence(model, new Map([["x", f32([1, 2])]]), { steps: 2 });
    expect([...(asked[0]?.inputs.keys() ?? [])]).toEqual(["x"]);
  });

  test("hands a failure on, with the step it happened at", async () => {
    const { model } = modelOf(recurrence, (_, step) => {
      if (step < 1) return new Map([["next", f32([0])]]);
      throw new CoremlxError("DEADLINE", "Cannot predict: no answer within 5 ms", {
        hint: "Give it more time",
        details: { timeoutMs: 5 },
      });
    });
    const error = await rejectionOf(runSequence(model, new Map([["x", f32([1, 2])]]), { steps: 2, carries }));
    expect(describeError(error)).toBe(
      "DEADLINE: Cannot run step 2 of 2: cannot predict: no answer within 5 ms",
    );
    expect(error).toMatchObject({ hint: "Give it more time", details: { timeoutMs: 5, step: "2 of 2" } });
  });

  test("names the step at which an output no longer fits, and fits no input it is carried into", async () => {
    const { model } = modelOf({ inputs: [x] }, (_, step) => new Map([["y", f32(Array(step + 1).fill(0))]]));
    const inputs = new Map([["x", f32([1, 2])]]);
    expect((await rejectionOf(runSequence(model, inputs, { steps: 2 }))).message).toBe(
      'Cannot run step 2 of 2: cannot stack "y" over 2 steps: it is [2] after [1] at the steps before',
    );
  });

  test("is interrupted as it is, and other errors stay theirs", async () => {
    const signal = AbortSignal.abort();
    for (const error of [new CoremlxError("INTERRUPTED", "Interrupted"), new TypeError("ours")]) {
      const { model, asked } = modelOf({ inputs: [x] }, () => {
        throw error;
      });
      const run = runSequence(model, new Map([["x", f32([1, 2])]]), { steps: 2, signal });
      expect(await run.catch((caught: unknown) => caught)).toBe(error);
      expect(asked).toMatchObject([{ options: { signal } }]);
    }
  });
});

describe("before its first step, a sequence refuses", () => {
  async function refused(
    inputs: FeatureValues,
    options: Parameters<typeof runSequence>[2],
    ports = recurrence,
  ): Promise<CoremlxError> {
    const { model, asked } = modelOf(ports, counted);
    const error = await rejectionOf(runSequence(model, inputs, options));
    expect(asked).toEqual([]);
    return error;
  }
  const both = new Map([
    ["x", f32([1, 2])],
    ["h", f32([0])],
  ]);

  test("what is no number of steps", async () => {
    for (const steps of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect((await refused(both, { steps })).message).toBe(
        `Cannot run ${steps} steps: it must be a whole number of at least 1`,
      );
    }
  });

  test("inputs it does not have", async () => {
    const error = await refused(new Map([...both, ["hh", f32([0])]]), { steps: 2 });
    expect(error).toMatchObject({ message: 'Unknown input "hh"', hint: 'Did you mean "h"?' });
  });

  test("to run without inputs that it needs", async () => {
    expect((await refused(new Map(), { steps: 2 })).message).toBe(
      'Cannot run 2 steps: input "x", "h" is missing',
    );
    expect((await refused(new Map(), { steps: 2, carries })).message).toBe(
      'Cannot run 2 steps: input "x" is missing',
    );
  });

  test("inputs of different numbers of steps", async () => {
    const inputs = new Map([
      ["x", f32([1, 2])],
      ["h", f32([1, 2, 3])],
    ]);
    expect((await refused(inputs, { steps: 2 })).message).toBe(
      'Cannot use input "h": it has values for 3 steps, the sequence has 2',
    );
  });

  test("steps that would all be the same", async () => {
    const inputs = new Map([
      ["x", f32([1])],
      ["h", f32([0])],
    ]);
    const error = await refused(inputs, { steps: 4 });
    expect(error.message).toBe(
      "Cannot run 4 steps: no input has a leading axis of 4, and the model has no state, so every step would be the same",
    );
    expect(error.hint).toContain("--carry");
    const { model } = modelOf(recurrence, counted);
    await runSequence(model, inputs, { steps: 1 });
    await runSequence(model, inputs, { steps: 4, carries });
  });

  test("an input with a value for each step that is carried into", async () => {
    const inputs = new Map([
      ["x", f32([1])],
      ["h", f32([1, 2], [2, 1])],
    ]);
    expect((await refused(inputs, { steps: 2, carries })).message).toBe(
      'Cannot carry output "next" into input "h": the input has a value for each of 2 steps already',
    );
  });

  test("carries that cannot be", async () => {
    const wrong = [{ output: "nxt", input: "h" }];
    expect((await refused(both, { steps: 2, carries: wrong })).hint).toBe('Did you mean "next"?');
    const { model } = modelOf(recurrence, counted);
    expect(errorOf(() => new StepRunner(model, { carries: wrong })).code).toBe("BAD_INPUT");
  });

  test("outputs that would take too much memory", async () => {
    const ports = { inputs: [x], outputs: [feature(arrayType("float32", [2 ** 20]), "y")] };
    const error = await refused(new Map([["x", f32(Array(1025).fill(0))]]), { steps: 1025 }, ports);
    expect(error.message).toStartWith("Cannot run 1025 steps: their outputs take 4299161600 bytes");
  });
});

describe("steps one by one", () => {
  test("may differ in shape, and carry what was given out before", async () => {
    const { model, asked } = modelOf(recurrence, counted);
    const runner = new StepRunner(model, { carries });
    await runner.run(new Map([["x", f32([1])]]));
    const { outputs } = await runner.run(new Map([["x", f32([1, 2], [2, 1])]]));
    expect(outputs).toEqual(new Map([["next", f32([1])]]));
    expect(given(asked, "x")).toEqual([f32([1]), f32([1, 2], [2, 1])]);
    expect(given(asked, "h")).toEqual([f32([0]), f32([0])]);
  });

  test("refuse a value for what is carried, after the first", async () => {
    const { model } = modelOf(recurrence, counted);
    const runner = new StepRunner(model, { carries });
    await runner.run(new Map([["h", f32([4])]]));
    const error = await rejectionOf(runner.run(new Map([["h", f32([4])]])));
    expect(describeError(error)).toBe(
      'BAD_INPUT: Cannot use input "h": output "next" is carried into it after the first step',
    );
  });

  test("an output that is not given out cannot be carried", async () => {
    const { model } = modelOf(recurrence, () => new Map());
    const run = new StepRunner(model, { carries }).run(new Map([["x", f32([1])]]));
    expect((await rejectionOf(run)).code).toBe("INTERNAL");
  });

  test("without options are plain predictions", async () => {
    const { model, asked } = modelOf(recurrence, counted);
    await new StepRunner(model).run(new Map());
    expect(asked).toEqual([{ inputs: new Map(), options: { state: undefined, signal: undefined } }]);
  });
});

describe("a stateful model", () => {
  const ones = (count: number) => tensorOf("float16", Array<number>(16 * count).fill(1), [count, 16]);
  const path = resolve(fixtures, "formats/stateful.mlpackage");
  // y = (memory + x) * scale, memory = y; scale is i / 15 rounded to half.
  const scale = Float16Array.from({ length: 16 }, (_, i) => i / 15);
  function expected(steps: number, start = 0): readonly number[] {
    const rows: number[] = [];
    let memory = new Float16Array(16).fill(start);
    for (let step = 0; step < steps; step++) {
      memory = memory.map((value, i) => Math.fround(Math.fround(value + 1) * (scale[i] ?? 0)));
      rows.push(...memory);
    }
    return rows;
  }

  test("starts each sequence from zero when it is given no state", async () => {
    await using session = await openSession();
    const model = await session.load(path, { threads: 1 });
    for (let turn = 0; turn < 2; turn++) {
      const { outputs } = await runSequence(model, new Map([["x", ones(3)]]), { steps: 3 });
      expect(outputs).toEqual(new Map([["y", tensorOf("float16", expected(3), [3, 16])]]));
    }
  });

  test("goes on from the state it is given, which stays the caller's", async () => {
    await using session = await openSession();
    const model = await session.load(path, { threads: 1 });
    await using state: ModelState = await model.newState();
    await state.write(new Map([["memory", tensorOf("float16", Array<number>(16).fill(2))]]));
    const inputs = new Map([["x", tensorOf("float16", Array<number>(16).fill(1))]]);
    const all = expected(5, 2);
    const first = await runSequence(model, inputs, { steps: 2, state });
    expect(first.outputs.get("y")).toEqual(tensorOf("float16", all.slice(0, 32), [2, 16]));
    const second = await runSequence(model, inputs, { steps: 3, state });
    expect(second.outputs.get("y")).toEqual(tensorOf("float16", all.slice(32), [3, 16]));
    expect(await state.read()).toEqual(new Map([["memory", tensorOf("float16", all.slice(64))]]));
  });
});
