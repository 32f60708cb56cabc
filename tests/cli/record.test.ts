// Recording and replaying from the command line.

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { join, resolve } from "node:path";
import { digitsPackage } from "../support/digits.ts";
import { expectFailure, run } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const root = resolve(import.meta.dir, "../..");
const counter = join(root, "examples/counter/Counter.mlpackage");
const picture = (digit: number) => join(root, `examples/digits/digit_${digit}.png`);
const cwd = folder.path;

test("a tape answers as the engine did, says where from, and refuses what it does not hold", async () => {
  const recorded = await run(
    [
      "record",
      digitsPackage,
      picture(7),
      picture(3),
      "--repeat",
      "2",
      "--device",
      "cpu",
      "--device",
      "ane",
      "--json",
    ],
    { cwd },
  );
  expect(recorded.code).toBe(0);
  expect(JSON.parse(recorded.stdout)).toEqual({
    schemaVersion: 1,
    file: "Digits.tape",
    byteLength: expect.any(Number),
    source: expect.stringMatching(/^a tape of .*, \d{4}-\d\d-\d\d \(portable\)$/),
    recordedAt: expect.stringMatching(/Z$/),
    label: "portable",
    engine: { name: "portable", version: expect.stringContaining("ONNX Runtime") },
    model: { name: "Digits", digest: expect.stringMatching(/^[0-9a-f]{64}$/) },
    samples: 2,
    recordings: [
      {
        function: "main",
        requested: "cpu",
        device: "cpu",
        predictions: 4,
        failures: 0,
        medianMs: expect.any(Number),
      },
      {
        function: "main",
        requested: "ane",
        device: "ane",
        predictions: 0,
        failures: 0,
        medianMs: null,
        failure: {
          code: "UNSUPPORTED",
          message: 'Cannot load on device "ane": the portable engine runs on the CPU',
          hint: "Leave --device out, or use --engine coreml on a Mac",
        },
      },
    ],
  });
  const [original, replayed, unknown] = await Promise.all([
    run(["infer", digitsPackage, picture(3), "--json"], { cwd }),
    run(["infer", "Digits", picture(3), "--json", "--engine", "tape:Digits.tape"], { cwd }),
    run(["infer", "Digits", picture(1), "--engine", "tape:Digits.tape#exact"], { cwd }),
  ]);
  const answer = JSON.parse(replayed.stdout);
  expect(answer.outputs).toEqual(JSON.parse(original.stdout).outputs);
  expect(answer.device).toMatch(/^cpu from a tape of .* \(portable\)$/);
  expect(unknown).toMatchObject({ code: 4, stderr: expect.stringContaining("does not hold these inputs") });
  await Promise.all([
    expectFailure(["infer", counter, "--engine", `tape:${join(cwd, "Digits.tape")}`], {
      exit: 4,
      code: "BAD_INPUT",
      message: /the tape is of another model, "Digits"/,
      hint: /Record this file/,
    }),
    expectFailure(["record", digitsPackage, "--engine", `tape:${join(cwd, "Digits.tape")}`], {
      exit: 2,
      code: "USAGE",
      message: /from a tape/,
      hint: /Copy the file/,
    }),
    expectFailure(["record", digitsPackage, "--device", "npu"], {
      exit: 2,
      code: "USAGE",
      message: /"npu" is not one of auto, cpu, gpu, ane, all/,
      hint: /cpu/,
    }),
  ]);
});
