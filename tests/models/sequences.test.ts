// Whole sequences: stateful packages against numpy (scripts/fixtures/sequences.py), and silero-vad over a minute of speech
// against numpy (scripts/fixtures/silero.py) and against its twin in ONNX.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeNpz } from "../../src/codecs/npy.ts";
import { decodeWav } from "../../src/codecs/wav.ts";
import type { DType } from "../../src/core/dtype.ts";
import {
  type FeatureValue,
  f32,
  isTensor,
  numbersOf,
  type SteppedValues,
  type Tensor,
  tensorOf,
} from "../../src/core/tensor.ts";
import { runSequence } from "../../src/runtime/sequence/sequence.ts";
import { openSession, type Session, type SessionModel } from "../../src/runtime/session.ts";
import silero from "../fixtures/models/silero-sequence.json";
import stateful from "../fixtures/packages/stateful.json";
import { expectAllClose, tolerances } from "../support/close.ts";
import { portableRuntime } from "../support/portable.ts";
import { sharedPath } from "../support/shared.ts";

const packages = join(import.meta.dir, "../fixtures/packages");
let session: Session;
beforeAll(async () => {
  session = await openSession();
});
afterAll(() => session[Symbol.asyncDispose]());

function arrays(values: SteppedValues): Readonly<Record<string, Tensor>> {
  return Object.fromEntries([...values].flatMap(([name, value]) => (isTensor(value) ? [[name, value]] : [])));
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? Number.NaN))), 0);
}

describe("a leaky average and a cache of keys and values over 32 steps", () => {
  const stored = decodeNpz(new Uint8Array(readFileSync(join(packages, "sequence.npz"))), "sequence.npz");
  const part = (prefix: string) =>
    new Map(
      [...stored].flatMap(([name, value]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
      ),
    );
  const [inputs, outputs, states] = [part("in."), part("out."), part("state.")];
  const load = () => session.load(join(packages, "sequence.mlpackage"), { threads: 1, instances: 2 });

  test("give what numpy gives, step by step, and leave its states", async () => {
    await using model = await load();
    await using state = await model.newState();
    const result = await runSequence(model, inputs, { steps: 32, state });
    expectAllClose(arrays(result.outputs), Object.fromEntries(outputs), tolerances.float16);
    expectAllClose(arrays(await state.read()), Object.fromEntries(states), { absolute: 0, relative: 0 });
  });

  test("likewise when the position is carried from step to step", async () => {
    await using model = await load();
    const x = inputs.get("x") ?? f32([]);
    const carries = [{ output: "next_position", input: "position" }];
    const result = await runSequence(model, new Map([["x", x]]), { steps: 32, carries });
    expectAllClose(arrays(result.outputs), Object.fromEntries(outputs), tolerances.float16);
  });

  test("likewise in two halves, the second from the state and position the first left", async () => {
    await using model = await load();
    await using state = await model.newState();
    const x = inputs.get("x") ?? f32([]);
    const halves: (readonly number[])[] = [];
    for (const [start, position] of [
      [0, 0],
      [16, 16],
    ] as const) {
      const half = { ...x, shape: [16, 1, 4], bytes: x.bytes.slice(start * 8, (start + 16) * 8) };
      const given = new Map<string, FeatureValue>([
        ["x", half],
        ["position", position],
      ]);
      const carries = [{ output: "next_position", input: "position" }];
      const { outputs: some } = await runSequence(model, given, { steps: 16, state, carries });
      const smooth = some.get("smooth");
      halves.push(smooth !== undefined && isTensor(smooth) ? [...numbersOf(smooth)] : []);
    }
    expect(halves.flat()).toEqual([...numbersOf(outputs.get("smooth") ?? f32([]))]);
  });

  test("do not mix when several sequences run at once", async () => {
    await using model = await load();
    const x = inputs.get("x") ?? f32([]);
    const position = inputs.get("position") ?? f32([]);
    // Each sequence gets the input times a power of two, so that its average is exactly as many times numpy's.
    const factors = [1, 2, -1, 0.5];
    const results = await Promise.all(
      factors.map((factor) => {
        const scaled = tensorOf(
          "float16",
          numbersOf(x).map((value) => value * factor),
          x.shape,
        );
        const given = new Map([
          ["x", scaled],
          ["position", position],
        ]);
        return runSequence(model, given, { steps: 32 });
      }),
    );
    const smooth = numbersOf(outputs.get("smooth") ?? f32([]));
    for (const [i, factor] of factors.entries()) {
      const value = arrays(results[i]?.outputs ?? new Map())["smooth"];
      expect([...numbersOf(value ?? f32([]))]).toEqual(Array.from(smooth, (number) => number * factor));
    }
  });
});

test("a package with three states, one of them written in a branch, gives the same in one sequence as step by step", async () => {
  await using model = await session.load(join(packages, "stateful.mlpackage"), { threads: 1 });
  const column = (kind: "inputs" | "outputs", name: string): Tensor => {
    const values = stateful.map((answer) => {
      const features: Readonly<
        Record<string, { dtype: string; shape: number[]; data: number[] } | undefined>
      > = answer[kind];
      const value = features[name];
      if (value === undefined) throw new Error(`no ${name}`);
      return value;
    });
    const [first] = values;
    return tensorOf(
      (first?.dtype ?? "float16") as DType,
      values.flatMap(({ data }) => data),
      [values.length, ...(first?.shape ?? [])],
    );
  };
  const inputs = new Map(["x", "position"].map((name) => [name, column("inputs", name)]));
  const { outputs } = await runSequence(model, inputs, { steps: 4 });
  const expected = ["sum", "rows", "count"].map((name) => [name, column("outputs", name)] as const);
  expectAllClose(arrays(outputs), Object.fromEntries(expected), { absolute: 0, relative: 0 });
});

describe("silero-vad over a minute of speech", () => {
  const folder = "models/silero-vad-mlmodelc";
  const [length, context] = [512, 64];
  const carries = [
    { output: "new_hidden_state", input: "hidden_state" },
    { output: "new_cell_state", input: "cell_state" },
  ];
  let chunks: Tensor;
  let steps = 0;
  let outputs: Readonly<Record<string, Tensor>>;

  beforeAll(async () => {
    const wav = new Uint8Array(readFileSync(sharedPath(`${folder}/reference/test.wav`)));
    const { samples } = decodeWav(wav, "test.wav");
    // Chunks of 512 samples, each with the last 64 of the one before in front; silence before the first.
    const padded = new Float32Array(context + samples.length);
    padded.set(samples, context);
    steps = Math.floor(samples.length / length);
    const values = new Float32Array(steps * (context + length));
    for (let step = 0; step < steps; step++) {
      const start = step * length;
      values.set(padded.subarray(start, start + context + length), step * (context + length));
    }
    chunks = { dtype: "float32", shape: [steps, 1, context + length], bytes: new Uint8Array(values.buffer) };
    await using model: SessionModel = await session.load(sharedPath(`${folder}/silero_vad.mlmodelc`));
    const result = await runSequence(model, new Map([["audio_input", chunks]]), { steps, carries });
    outputs = arrays(result.outputs);
  });

  const output = (name: string): Float64Array => numbersOf(outputs[name] ?? f32([]));

  test("has 1,875 steps", () => {
    expect(steps).toBe(silero.steps);
    expect(outputs["vad_output"]?.shape).toEqual([1875, 1, 1, 1]);
    expect(outputs["new_cell_state"]?.shape).toEqual([1875, 1, 128]);
  });

  test("gives the probabilities that numpy computes, and ends in its states", () => {
    const every = output("vad_output").filter((_, step) => step % silero.every === 0);
    // 3e-7 measured.
    expect(largestDifference(every, silero.vad_output)).toBeLessThan(1e-5);
    const last = (name: string) => output(name).subarray(-128);
    expect(largestDifference(last("new_hidden_state"), silero.new_hidden_state)).toBeLessThan(1e-5);
    // Cells are not bounded: relative to the largest.
    const size = Math.max(...silero.new_cell_state.map(Math.abs));
    expect(largestDifference(last("new_cell_state"), silero.new_cell_state) / size).toBeLessThan(1e-5);
  });

  test("stays as near to its twin as their different arithmetic allows", async () => {
    const runtime = await portableRuntime();
    const file = readFileSync(sharedPath(`${folder}/reference/silero_vad_16k_op15-4c00cd14.onnx`));
    using twin = runtime.createSession(new Uint8Array(file));
    let state = f32(Array<number>(256).fill(0), [2, 1, 128]);
    const speech: number[] = [];
    const hidden: number[] = [];
    const size = (context + length) * 4;
    for (let step = 0; step < steps; step++) {
      const bytes = new Uint8Array(new ArrayBuffer(size));
      bytes.set(chunks.bytes.subarray(step * size, (step + 1) * size));
      const results = twin.run(
        new Map([
          ["input", { dtype: "float32", shape: [1, context + length], bytes }],
          ["state", state],
          ["sr", tensorOf("int64", [16_000n], [])],
        ]),
      );
      state = results.get("stateN") ?? f32([]);
      speech.push(numbersOf(results.get("output") ?? f32([]))[0] ?? Number.NaN);
      hidden.push(...numbersOf(state).subarray(0, 128));
    }
    const differences = output("vad_output").map((value, i) => Math.abs(value - (speech[i] ?? Number.NaN)));
    const worst = Math.max(...differences);
    const mean = differences.reduce((sum, value) => sum + value, 0) / steps;
    const isSpeech = (value: number | undefined) => (value ?? 0) > 0.5;
    const decided = output("vad_output").filter((value, i) => isSpeech(value) !== isSpeech(speech[i]));
    // Measured: 0.0600, 0.0030, 3 of 1,875, and 0.1215 in a hidden state. Beside half-precision weights, this program has 2^-24
    // under a root where its twin has nothing, which moves quiet chunks; the test with numpy above is the exact one.
    expect(worst).toBeLessThan(0.08);
    expect(mean).toBeLessThan(0.004);
    expect(decided.length).toBeLessThan(6);
    expect(largestDifference(output("new_hidden_state"), hidden)).toBeLessThan(0.15);
  });
});
