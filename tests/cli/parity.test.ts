// coremlx parity, from outside.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseParityResult, parseToleranceFile } from "../../src/suites/schemas.ts";
import { digitsPackage } from "../support/digits.ts";
import { expectFailure, run, runJson } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());

const tapeFile = join(folder.path, "digits.tape");
const digit = (n: number) => join(digitsPackage, "..", `digit_${n}.png`);
const halfAgainstSingle = ["--precision", "model", "--against-precision", "float32"];

describe("parity", () => {
  test("of two precisions gives a result that its schema describes, and names where they part", async () => {
    const args = ["parity", digitsPackage, digit(7), digit(3), ...halfAgainstSingle, "--bisect"];
    const result = parseParityResult(await runJson(args), "stdout");
    expect(result).toMatchObject({
      subject: { kind: "engine", engine: "portable", precision: "model", model: { path: digitsPackage } },
      reference: { kind: "engine", engine: "portable", precision: "float32" },
      configuration: { inputs: [digit(7), digit(3)], topK: 5, tolerances: "usual" },
      verdict: { outcome: "pass" },
      warnings: [],
    });
    const scores = result.outputs.find(({ kind }) => kind === "numbers");
    expect(scores).toMatchObject({ inputs: 2, equalInputs: 0, odd: 0, topSame: 1 });
    expect(scores?.maxAbs ?? 0).toBeGreaterThan(0);
    expect(result.bisection).toMatchObject({ firstDifferent: { function: "main" }, firstBeyond: null });
  });

  test("beyond a limit ends with 3 and says which", async () => {
    const args = ["parity", digitsPackage, digit(7), ...halfAgainstSingle, "--tolerance", "abs=0"];
    const { code, stdout } = await run(args);
    expect({ code, stdout }).toEqual({
      code: 3,
      stdout: expect.stringMatching(/\nFAILED · \S+: absolute error \S+, at most 0 allowed\n$/),
    });
  });

  test("keeps tolerances by the model's digest, and holds later runs against them", async () => {
    const file = join(folder.path, "tolerances.json");
    const args = ["parity", digitsPackage, digit(7), digit(3), ...halfAgainstSingle];
    await runJson([...args, "--save-tolerances", file]);
    const kept = parseToleranceFile(JSON.parse(readFileSync(file, "utf8")), file);
    const [digest = ""] = Object.keys(kept.models);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    const [pair] = Object.keys(kept.models[digest]?.pairs ?? {});
    expect(pair).toBe("portable cpu model against portable cpu float32");
    const again = parseParityResult(await runJson([...args, "--tolerances", file]), "stdout");
    expect(again).toMatchObject({ configuration: { tolerances: file }, verdict: { outcome: "pass" } });
    const other = ["parity", digitsPackage, digit(7), "--against-device", "cpu", "--tolerances", file];
    await expectFailure(other, {
      exit: 4,
      code: "BAD_INPUT",
      message:
        /it has none for "portable cpu float32 against portable cpu float32", only for "portable cpu model/,
      hint: /--save-tolerances/,
    });
  });

  test("holds answers against a folder that infer has written", async () => {
    const saved = join(folder.path, "answers");
    const inputs = [digit(7), digit(3)];
    await runJson(["infer", digitsPackage, ...inputs, "--output-dir", saved]);
    const result = await runJson([
      "parity",
      digitsPackage,
      ...inputs,
      "--against",
      saved,
      "--tolerance",
      "abs=0",
    ]);
    expect(result).toMatchObject({
      reference: { kind: "saved", source: saved },
      verdict: { outcome: "pass" },
      outputs: [{ equalInputs: 2 }, { equalInputs: 2 }],
    });
    await expectFailure(["parity", digitsPackage, digit(1), "--against", saved], {
      exit: 4,
      code: "BAD_INPUT",
      message: /^Cannot find the answer to .*digit_1\.png in /,
      hint: /^It has answers to digit_3, digit_7; /,
    });
  });

  test("from a tape says that nothing was measured here", async () => {
    await runJson(["record", digitsPackage, digit(7), "--repeat", "1", "-o", tapeFile]);
    const args = [
      "parity",
      digitsPackage,
      digit(7),
      "--engine",
      `tape:${tapeFile}#exact`,
      "--against-engine",
      "portable",
    ];
    const result = parseParityResult(await runJson(args), "stdout");
    expect(result).toMatchObject({
      subject: { engine: "tape", precision: null },
      verdict: { outcome: "pass" },
    });
    expect(result.warnings).toEqual([expect.stringMatching(/^Not measured here: .* from a tape of /)]);
    await expectFailure([...args, "--bisect"], {
      exit: 5,
      code: "UNSUPPORTED",
      message: /^Cannot look for where the two sides part: engine tape:/,
      hint: /^Compare two precisions/,
    });
  });

  test.each([
    [
      ["--against", "x", "--against-engine", "portable"],
      /^Option --against names saved answers/,
      /^Leave it out/,
    ],
    [["--tolerance", "x=1"], /^Cannot read --tolerance "x=1"/, /^The figures are/],
    [["--bisect", "--bisect-threshold", "2"], /^Cannot read --bisect-threshold "2"/, undefined],
    [["--tolerance", "abs=1", "--tolerances", "x"], /exclude each other$/, undefined],
  ] as const)("%p is refused", async (args, message, hint) => {
    await expectFailure(["parity", digitsPackage, digit(7), ...args], {
      exit: 2,
      code: "USAGE",
      message,
      hint,
    });
  });

  test("refuses an engine that has no such precision", async () => {
    const args = ["parity", "Digits", digit(7), "--engine", `tape:${tapeFile}`, "--precision", "model"];
    await expectFailure(args, {
      exit: 5,
      code: "UNSUPPORTED",
      message: 'Cannot use precision "model" with engine tape: it computes as it does',
      hint: "Leave --precision out, or use --engine portable",
    });
  });
});
