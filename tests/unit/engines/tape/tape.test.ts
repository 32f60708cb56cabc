// What a tape answers, in which order, on which device, and what it says of itself.

import { afterAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../../../src/core/errors.ts";
import { numbersOf, type FeatureValues, isTensor, tensorOf } from "../../../../src/core/tensor.ts";
import { openEngine } from "../../../../src/engines/select.ts";
import { nameSource, type Recording, type Tape, type Take } from "../../../../src/engines/tape/content.ts";
import { encodeTape } from "../../../../src/engines/tape/file.ts";
import { openTape, TapeEngine, type TapeEngineOptions } from "../../../../src/engines/tape.ts";
import { openModel } from "../../../../src/formats/open.ts";
import { openSession } from "../../../../src/runtime/session.ts";
import { rejectionOf } from "../../../support/codec-fixtures.ts";
import { digitPicture, digitsPackage } from "../../../support/digits.ts";
import { recordOn, recordSuite, statefulPackage } from "../../../support/engines/recorded.ts";
import { tempFolder } from "../../../support/temp.ts";

const half = (value: number) => tensorOf("float16", Array<number>(16).fill(value));
const x = (value: number): FeatureValues => new Map([["x", half(value)]]);

const portable = await openEngine({ engine: "portable", cacheDir: join(tmpdir(), "coremlx-test-cache") });
afterAll(() => portable[Symbol.asyncDispose]());
const [digits, stateful] = await recordSuite(portable);
if (digits === undefined || stateful === undefined) throw new Error("Nothing was recorded");

/** The stateful tape's first function, with takes of our own: answers that are one number each. */
function tapeOf(takes: readonly (readonly [input: number, answer: number | Error, runMs?: number])[]): Tape {
  const states = new Map([["memory", half(0)]]);
  const inputs = [...new Set(takes.map(([input]) => input))];
  const recording: Recording = {
    functionName: "accumulate",
    requested: "ane",
    device: "cpu+ane",
    compileMs: 0,
    loadMs: 0,
    takes: takes.map(([input, answer, runMs = 1]): Take => {
      const outcome =
        answer instanceof Error
          ? ({ code: "NATIVE", message: answer.message } as const)
          : { outputs: new Map([["y", half(answer)]]), states };
      return { sample: inputs.indexOf(input), outcome, runMs };
    }),
  };
  const failure = { code: "UNSUPPORTED", message: "There is no GPU" } as const;
  const refused: Recording = { ...recording, requested: "gpu", device: "gpu", takes: [], failure };
  const samples = inputs.map((input) => ({ inputs: x(input), states }));
  return { ...stateful, samples, recordings: [refused, recording] } as Tape;
}

/** Answers to inputs, by their first number; an error by its message. */
async function play(
  tape: Tape,
  inputs: readonly number[],
  options: Omit<TapeEngineOptions, "tapes"> & { readonly timeoutMs?: number } = {},
): Promise<readonly unknown[]> {
  await using engine = new TapeEngine({ tapes: [tape], ...options });
  await using found = await engine.loadNamed("/nowhere/stateful", { device: "ane" });
  const answers: unknown[] = [];
  for (const input of inputs) {
    const { timeoutMs } = options;
    try {
      const y = (await found?.loaded.predict(x(input), { timeoutMs }))?.get("y");
      answers.push(y !== undefined && isTensor(y) ? numbersOf(y)[0] : y);
    } catch (error) {
      answers.push(messageOf(error));
    }
  }
  return answers;
}

test("equal inputs get what was recorded for them, in turn and again from the start", async () => {
  const tape = tapeOf([
    [1, 10],
    [2, 20],
    [1, 11],
  ]);
  expect(await play(tape, [2, 1, 1, 2, 1])).toEqual([20, 10, 11, 20, 10]);
});

test("other inputs get all answers in their order, or none", async () => {
  const tape = tapeOf([
    [1, 10],
    [2, 20],
  ]);
  expect(await play(tape, [7, 8, 1, 9])).toEqual([10, 20, 10, 10]);
  expect(await play(tape, [7, 1], { isExact: true })).toEqual([
    "Cannot replay: the tape does not hold these inputs",
    10,
  ]);
  expect(await play(tapeOf([]), [1])).toEqual(["Cannot replay: nothing was predicted on the tape"]);
});

test("failures come again, and say where from", async () => {
  const tape = tapeOf([
    [1, 10],
    [1, new Error("The Neural Engine hung")],
  ]);
  expect(await play(tape, [1, 1, 1])).toEqual([
    10,
    "The Neural Engine hung (a tape of Test CPU, Test OS 1, 2026-11-24 (portable))",
    10,
  ]);
});

test("timed, a prediction waits for as long as it took, and no longer than its deadline", async () => {
  const tape = tapeOf([
    [1, 10, 3.5],
    [2, 20, 80],
  ]);
  const waits: number[] = [];
  const wait = (ms: number) => void waits.push(ms);
  expect(await play(tape, [1, 2], { isTimed: true, wait, timeoutMs: 40 })).toEqual([
    10,
    "Cannot predict: 80 ms on the tape are more than 40 ms",
  ]);
  expect(waits).toEqual([3.5, 40]);
  expect(await play(tape, [1, 2], { wait, timeoutMs: 40 })).toEqual([10, 20]);
  expect(waits).toHaveLength(2);
});

test("a device is the one that was recorded, or is refused as it was", async () => {
  await using engine = new TapeEngine({ tapes: [tapeOf([[1, 10]])] });
  const load = async (device: "auto" | "cpu" | "gpu") => {
    await using found = await engine.loadNamed("/nowhere/stateful", { device });
    return found?.loaded.device;
  };
  expect(await load("auto")).toBe("cpu+ane from a tape of Test CPU, Test OS 1, 2026-11-24 (portable)");
  expect(await rejectionOf(load("gpu"))).toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringMatching(/^There is no GPU \(a tape of /),
  });
  expect(await rejectionOf(load("cpu"))).toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringContaining('"accumulate" on ane (cpu+ane)'),
  });
});

test("a tape of another model is refused, by its contents or by its name", async () => {
  await using engine = new TapeEngine({ tapes: [digits] });
  using file = await openModel(statefulPackage);
  expect(await rejectionOf(engine.load(file))).toMatchObject({
    code: "BAD_INPUT",
    message: 'Cannot replay "stateful.mlpackage": the tape is of another model, "Digits"',
  });
  expect(await rejectionOf(engine.loadNamed("/nowhere/stateful"))).toMatchObject({ code: "NOT_FOUND" });
  expect(await rejectionOf(engine.loadNamed("/nowhere/Digits", { functionName: "f" }))).toMatchObject({
    code: "NOT_FOUND",
  });
  expect(await engine.loadNamed(digitsPackage)).toBeUndefined();
  using same = await openModel(digitsPackage);
  expect(await rejectionOf(engine.plan(same))).toMatchObject({ code: "UNSUPPORTED" });
});

test("a source names chip, build and day; what is no Core ML says so", () => {
  const mac = {
    ...digits,
    label: "Core ML" as const,
    host: { chip: "M4 Max", osBuild: "25F71", cpu: "Apple M4 Max" },
  };
  expect(nameSource(mac as Tape)).toBe("a tape of Apple M4 Max, 25F71, 2026-11-24");
  expect(nameSource({ ...mac, label: "stand-in" } as Tape)).toEndWith("2026-11-24 (stand-in)");
  const remote = {
    ...digits,
    label: "remote" as const,
    host: undefined,
    engine: { name: "http", version: "s 1 at http://h" },
  };
  expect(nameSource(remote)).toBe("a tape of s 1 at http://h, 2026-11-24 (remote)");
});

test("files are opened by name, with how to replay behind a #", async () => {
  using folder = tempFolder();
  const path = join(folder.path, "a.tape");
  writeFileSync(path, encodeTape(digits));
  await using engine = openTape(`${path}#timed,exact`);
  expect(engine.version).toBe(`ONNX Runtime 1.27.0, on a tape`);
  expect(await rejectionOf(Promise.try(() => openTape(`${path}#fast`)))).toMatchObject({ code: "USAGE" });
  for (const missing of [join(folder.path, "b.tape"), folder.path])
    expect(await rejectionOf(Promise.try(() => openTape(missing)))).toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(missing),
    });
  writeFileSync(path, "no tape");
  expect(await rejectionOf(Promise.try(() => openTape(path)))).toMatchObject({
    code: "BAD_INPUT",
    message: `Cannot use the tape: it is no tape: ${path}`,
  });
});

test("a session runs a tape as it runs an engine: pooled buffers, several workers, states", async () => {
  using folder = tempFolder();
  const save = (name: string, tape: Tape) => {
    writeFileSync(join(folder.path, name), encodeTape(tape));
    return `tape:${join(folder.path, name)}#exact`;
  };
  await using session = await openSession({ engine: save("digits.tape", digits) });
  const model = await session.load(digitsPackage, { instances: 2 });
  const pictures = await Promise.all([7, 3, 7, 3].map(digitPicture));
  const answers = await Promise.all(pictures.map((image) => model.predict(new Map([["image", image]]))));
  expect(answers.map((outputs) => outputs.get("classLabel"))).toEqual(["7", "3", "7", "3"]);
  expect({ engine: model.engine, device: model.device }).toEqual({
    engine: "tape",
    device: "cpu from a tape of Test CPU, Test OS 1, 2026-11-24 (portable)",
  });

  const steps = await recordOn(portable, statefulPackage, [{ sequences: [{ steps: [x(1), x(1), x(1)] }] }]);
  await using second = await openSession({ engine: save("stateful.tape", steps) });
  const replayed = await second.load(statefulPackage);
  await using real = await openSession({ engine: "portable", cache: false });
  const original = await real.load(statefulPackage);
  await using state = await replayed.newState();
  await using truth = await original.newState();
  for (let step = 0; step < 3; step++)
    expect(await replayed.predict(x(1), { state })).toEqual(await original.predict(x(1), { state: truth }));
  expect(await state.read()).toEqual(await truth.read());
});
