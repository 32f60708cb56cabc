// Models found in the wild, against what their makers published: recorded answers and twins in ONNX.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeWav, resample } from "../../src/codecs/wav.ts";
import {
  type FeatureValues,
  f32,
  isTensor,
  numbersOf,
  type Tensor,
  tensorOf,
} from "../../src/core/tensor.ts";
import { locateOnnxRuntime } from "../../src/native/library.ts";
import { OnnxRuntime } from "../../src/native/onnxruntime.ts";
import { openSession, type Session } from "../../src/runtime/session.ts";
import silero from "../fixtures/models/silero.json";
import { sharedPath } from "../support/shared.ts";

let runtime: OnnxRuntime;
let session: Session;

beforeAll(async () => {
  runtime = OnnxRuntime.open(await locateOnnxRuntime({ cacheDir: join(tmpdir(), "coremlx-test-cache") }));
  session = await openSession();
});

afterAll(async () => {
  await session[Symbol.asyncDispose]();
  runtime[Symbol.dispose]();
});

function read(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(sharedPath(path)));
}

/** `count` samples from `start`, mono, in -1 to 1. */
function samples(path: string, start: number, count: number): Float32Array<ArrayBuffer> {
  return decodeWav(read(path), path).samples.slice(start, start + count);
}

function largestDifference(a: Tensor | undefined, b: Tensor | undefined): number {
  if (a === undefined || b === undefined) throw new Error("an array is missing");
  const [x, y] = [numbersOf(a), numbersOf(b)];
  expect(x.length).toBe(y.length);
  return x.reduce((most, value, i) => Math.max(most, Math.abs(value - (y[i] ?? Number.NaN))), 0);
}

function array(values: FeatureValues, name: string): Tensor {
  const value = values.get(name);
  if (value === undefined || !isTensor(value)) throw new Error(`no array "${name}"`);
  return value;
}

test("basic-pitch gives what its ONNX twin gives, on every window of a recording", async () => {
  const recording = decodeWav(read("models/basic-pitch/reference/vocadito_10.wav"), "vocadito_10.wav");
  const audio = resample(recording.samples, recording.sampleRate, 22_050);
  // The twin as it is written: ONNX Runtime's fusions of it alone move an onset by 1e-4, ours move by 1e-6.
  using twin = runtime.createSession(read("models/basic-pitch/reference/nmp.onnx"), { optimization: "none" });
  await using model = await session.load(sharedPath("models/basic-pitch/nmp.mlpackage"));
  const [input] = twin.inputs;
  let worst = 0;
  // Its own windowing: 43,844 samples, 7,680 of them shared with the next, half of that before the start.
  for (let start = -3_840; start < audio.length; start += 43_844 - 7_680) {
    const window = f32(
      Array.from({ length: 43_844 }, (_, i) => audio[start + i] ?? 0),
      [1, 43_844, 1],
    );
    const ours = await model.predict(new Map([["input_2", window]]));
    const theirs = twin.run(new Map([[input?.name ?? "", window]]));
    for (const [name, index] of [
      ["Identity", 0],
      ["Identity_1", 1],
      ["Identity_2", 2],
    ] as const) {
      worst = Math.max(
        worst,
        largestDifference(array(ours, name), theirs.get(`StatefulPartitionedCall:${index}`)),
      );
    }
  }
  expect(worst).toBeLessThan(1e-5);
});

test("Apple's add_model, compiled, multiplies two half arrays exactly", async () => {
  await using model = await session.load(sharedPath("models/apple-add-model-mlmodelc/add_model.mlmodelc"));
  const x = [0.1, -2, 3.5, 1000, 0, -0.5, 6e-5, 255, 1 / 3, 2];
  const y = [3, 0.25, -1.5, 60, 9, -0.5, 0.5, 255, 3, -2];
  const half = (values: readonly number[]) => tensorOf("float16", values, [1, 10]);
  const [a, b] = [numbersOf(half(x)), numbersOf(half(y))];
  const outputs = await model.predict(
    new Map([
      ["x", half(x)],
      ["y", half(y)],
    ]),
  );
  // The product of two halves is exact in double precision; one rounding gives the half product.
  expect(outputs).toEqual(new Map([["var_3", half(Array.from(a, (value, i) => value * (b[i] ?? 0)))]]));
});

describe("silero-vad, compiled", () => {
  const recording = "models/silero-vad-mlmodelc/reference/test.wav";
  const compiled = "models/silero-vad-mlmodelc/silero_vad.mlmodelc";
  const row = (values: readonly number[]) => f32(values, [1, values.length]);

  test("gives what numpy computes from its program and weights, states given and returned", async () => {
    await using model = await session.load(sharedPath(compiled));
    for (const { start, hidden, cell, new_hidden, new_cell } of silero) {
      const outputs = await model.predict(
        new Map([
          ["audio_input", row([...samples(recording, start, 576)])],
          ["hidden_state", row(hidden)],
          ["cell_state", row(cell)],
        ]),
      );
      expect(largestDifference(array(outputs, "new_hidden_state"), row(new_hidden))).toBeLessThan(1e-5);
      expect(largestDifference(array(outputs, "new_cell_state"), row(new_cell))).toBeLessThan(1e-5);
    }
  });

  test("agrees with its ONNX twin on a chunk of speech", async () => {
    using twin = runtime.createSession(
      read("models/silero-vad-mlmodelc/reference/silero_vad_16k_op15-4c00cd14.onnx"),
    );
    await using model = await session.load(sharedPath(compiled));
    const audio = row([...samples(recording, 49_152, 576)]);
    const zero = row(Array<number>(128).fill(0));
    const ours = await model.predict(
      new Map([
        ["audio_input", audio],
        ["hidden_state", zero],
        ["cell_state", zero],
      ]),
    );
    const state = f32(Array<number>(256).fill(0), [2, 1, 128]);
    const theirs = twin.run(
      new Map([
        ["input", audio],
        ["state", state],
        ["sr", tensorOf("int64", [16_000n], [])],
      ]),
    );
    const next = numbersOf(theirs.get("stateN") ?? f32([]));
    // Not on every chunk: beside half-precision weights, this program has 2^-24 under a root where its twin has nothing,
    // which alone moves quiet chunks by up to 0.15. The numpy test above is the exact one.
    expect(largestDifference(array(ours, "vad_output"), theirs.get("output"))).toBeLessThan(2e-3);
    expect(largestDifference(array(ours, "new_hidden_state"), f32([...next.subarray(0, 128)]))).toBeLessThan(
      2e-3,
    );
    expect(largestDifference(array(ours, "new_cell_state"), f32([...next.subarray(128)]))).toBeLessThan(2e-3);
  });
});
