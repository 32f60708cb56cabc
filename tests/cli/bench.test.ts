// coremlx bench and coremlx schema, from outside.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { parseBenchResult } from "../../src/suites/schemas.ts";
import { digitsPackage } from "../support/digits.ts";
import { writeSlowModel } from "../support/program-models.ts";
import { expectFailure, run, runJson, start } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());

describe("bench", () => {
  test("prints a result that its schema describes", async () => {
    const args = ["bench", digitsPackage, "--count", "50", "--warmup", "5", "--concurrency", "2"];
    const result = parseBenchResult(await runJson(args), "stdout");
    expect(result).toMatchObject({
      model: { path: digitsPackage, kind: "mlProgram", function: "main" },
      engine: { name: "portable", device: "cpu" },
      configuration: {
        load: { mode: "closed", concurrency: 2 },
        warmup: { count: 5, durationMs: null },
        measure: { count: 50, durationMs: null },
        timeoutMs: 5_000,
        inputs: "random, seed 0",
      },
      steady: { completed: 50, failed: 0, unsent: 0, latency: { count: 50 }, failures: [] },
      isInterrupted: false,
    });
    expect(result.cold.first?.latencyMs ?? 0).toBeGreaterThan(0);
    expect(result.environment.tool.bun).toMatch(/^\d+\.\d+\.\d+/);
  });

  test("calls at the asked rate, at the same random times for the same seed", async () => {
    const args = ["bench", digitsPackage, "--rate", "100", "--arrivals", "poisson", "--seed", "4"];
    const result = parseBenchResult(
      await runJson([...args, "--count", "40", "--warmup", "0", "--input", "image=zeros"]),
      "stdout",
    );
    expect(result.configuration).toMatchObject({
      load: { mode: "open", ratePerSecond: 100, arrivals: "poisson", seed: 4 },
      inputs: "image=zeros",
    });
    expect(result.steady).toMatchObject({ completed: 40, failed: 0, sendDelay: { count: 40 } });
    // Whatever the machine does, the fortieth call is not made before it is due; by the seed, after 414.4 ms.
    expect(result.steady?.elapsedMs ?? 0).toBeGreaterThan(414);
  });

  test("without --json prints a page for people", async () => {
    const { code, stdout, stderr } = await run(["bench", digitsPackage, "--count", "30", "--warmup", "3"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Digits\.mlpackage\nmlProgram · ONNX Runtime /);
    expect(stdout).toMatch(/\ncold start +open .+ · load .+ · first prediction /);
    expect(stdout).toMatch(/\nsteady +30 predictions in .+ · none failed\n/);
    expect(stdout).toMatch(/\nlatency( +[\d.]+ (µs|ms|s)){7}\n/);
    expect(stdout).not.toContain("\u001b");
    for (const line of stderr.split("\n").filter(Boolean)) expect(line).toStartWith("warn: ");
  });

  test.each([
    [
      ["--rate", "10", "--concurrency", "2"],
      "Options --rate and --concurrency exclude each other",
      /^--rate calls on time/,
    ],
    [["--arrivals", "poisson"], "Option --arrivals is for an open loop", /--rate 100$/],
    [["--rate", "0"], /^Cannot read --rate "0": it must be a number of calls a second, above 0/, undefined],
    [["--rate", "1e9"], /^Cannot read --rate "1e9"/, undefined],
    [
      ["--concurrency", "0"],
      'Cannot read --concurrency "0": it must be a whole number of at least 1',
      undefined,
    ],
    [["--concurrency", "20000"], "Cannot use --concurrency 20000: the most is 10000", undefined],
    [["--count", "0"], /^Cannot read --count "0"/, undefined],
    [["--duration", "5"], 'Cannot read --duration "5": not a duration', /^Write it like/],
    [["--warmup", "soon"], 'Cannot read --warmup "soon": not a duration', /^Write it like/],
    [["--instances", "some"], /^Cannot read --instances "some"/, undefined],
  ])("refuses %p", async (flags, message, hint) => {
    await expectFailure(["bench", digitsPackage, ...flags], { exit: 2, code: "USAGE", message, hint });
  });

  test("fails like infer where there is no model, or no value for it", async () => {
    await expectFailure(["bench", join(folder.path, "none.mlpackage")], {
      exit: 4,
      code: "BAD_MODEL",
      message: /^Cannot (open|find|read) /,
      hint: /^A model is /,
    });
    await expectFailure(["bench", digitsPackage, "--input", "picture=zeros"], {
      exit: 4,
      code: "BAD_INPUT",
      message: 'Unknown input "picture"',
      hint: /image/,
    });
  });
});

describe("Ctrl-C", () => {
  test("prints what was measured so far and ends with 130", async () => {
    const program = start([
      "bench",
      digitsPackage,
      "--warmup",
      "0",
      "--duration",
      "1h",
      "--json",
      "--verbose",
    ]);
    await program.says("debug: measuring");
    program.signal("SIGINT");
    const { code, stdout } = await program.result;
    expect(code).toBe(130);
    const result = parseBenchResult(JSON.parse(stdout), "stdout");
    expect(result.isInterrupted).toBe(true);
    expect(result.steady?.completed ?? 0).toBeGreaterThan(0);
    expect(result.steady?.failed).toBe(0);
  });

  test("before the measurement gives what is known of the cold start", async () => {
    const slow = writeSlowModel(join(folder.path, "slow.mlpackage"));
    const program = start(["bench", slow, "--timeout", "10m", "--verbose"]);
    await program.says("debug: predicting for the first time");
    program.signal("SIGINT");
    const { code, stdout } = await program.result;
    expect(code).toBe(130);
    expect(stdout).toMatch(/\ncold start +open .+ · load .+ · first prediction not reached\n/);
    expect(stdout).toEndWith("\ninterrupted before the measurement began\n");
  });
});

describe("schema", () => {
  test("prints a JSON Schema, in lines to read or as one line", async () => {
    const { code, stdout } = await run(["schema", "bench"]);
    expect(code).toBe(0);
    expect(stdout.split("\n").length).toBeGreaterThan(100);
    expect(await runJson(["schema", "bench"])).toEqual(JSON.parse(stdout));
    expect(JSON.parse(stdout)).toMatchObject({ $id: "urn:coremlx:schema:bench:1", type: "object" });
  });

  test("knows no other names", async () => {
    await expectFailure(["schema", "bensh"], {
      exit: 2,
      code: "USAGE",
      message: 'Unknown schema "bensh"',
      hint: 'Did you mean "bench"?',
    });
    await expectFailure(["schema"], {
      exit: 2,
      code: "USAGE",
      message: /^coremlx schema needs NAME/,
      hint: /--help/,
    });
  });
});
