// The program from outside, on the stand-in: what a user types, and that nothing of it can be taken for Core ML's answer.

import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { digitsPackage } from "../support/digits.ts";
import { port } from "../support/program-models.ts";
import { run } from "../support/program.ts";
import { coremlPath } from "../support/standin.ts";
import { writeStandInPackage } from "../support/standin-package.ts";
import { tempFolder } from "../support/temp.ts";

const stateful = join(import.meta.dir, "../fixtures/formats/stateful.mlpackage");
const picture = join(import.meta.dir, "../../examples/digits/digit_7.png");
const env = { COREMLX_STANDIN_MODELS: process.env["COREMLX_STANDIN_MODELS"] ?? "" };

test("infer runs a model on the library that is named, and says that it is a stand-in", async () => {
  using folder = tempFolder();
  const options = ["--engine", "coreml", "--coreml", coremlPath(), "--cache-dir", folder.path];
  const { code, stdout } = await run(["infer", digitsPackage, picture, ...options, "--json"], { env });
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    engine: "coreml",
    device: expect.stringMatching(/^cpu.* \(stand-in\)$/),
    outputs: { classLabel: "7" },
  });
  const shown = await run(["infer", digitsPackage, picture, ...options], { env });
  expect(shown.stdout + shown.stderr).toContain("(stand-in)");
});

test("auto never takes the stand-in", async () => {
  using folder = tempFolder();
  const words = ["infer", digitsPackage, picture, "--json", "--cache-dir", folder.path];
  const { code, stdout } = await run(words, { env: { ...env, COREMLX_COREML: coremlPath() } });
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ engine: "portable", device: "cpu" });
});

test("compile makes a model warm, once, and writes it where it is asked to", async () => {
  using folder = tempFolder();
  const options = [
    "--engine",
    "coreml",
    "--coreml",
    coremlPath(),
    "--cache-dir",
    join(folder.path, "cache"),
    "--json",
  ];
  const compile = async (...more: string[]) => {
    const { code, stdout, stderr } = await run(["compile", stateful, ...options, ...more], { env });
    return code === 0 ? JSON.parse(stdout) : stderr;
  };
  const outcomes = ({ functions }: { functions: { name: string; outcome: string }[] }) =>
    functions.map(({ name, outcome }) => [name, outcome]);
  expect(outcomes(await compile())).toEqual([
    ["accumulate", "cold"],
    ["reset", "cold"],
  ]);
  expect(outcomes(await compile("--function", "reset"))).toEqual([["reset", "warm"]]);
  const place = join(folder.path, "Mine.mlmodelc");
  expect(await compile("-o", place)).toMatchObject({
    engine: "coreml",
    functions: [{ name: "accumulate", folder: place }],
  });
  expect(readdirSync(place)).toEqual(["standin.json"]);
  expect(await compile("-o", place)).toContain("it exists");
  expect(await compile("-o", join(folder.path, "mine"))).toContain("named .mlmodelc");
});

describe("inspect --plan", () => {
  const operations = [
    { op: "const", isConstant: true },
    { op: "ios17.conv", outputs: ["c"], device: "ane", supported: ["cpu", "ane"], weight: 0.9 },
    { op: "ios17.gather", outputs: ["y"], device: "cpu", supported: ["cpu"], weight: 0.1 },
  ];

  test("shows where the operations would run, and what keeps off the Neural Engine", async () => {
    using folder = tempFolder();
    const path = writeStandInPackage(join(folder.path, "Planned.mlpackage"), {
      inputs: [port("x", "float32", [4])],
      outputs: [port("y", "float32", [4])],
      behaviour: { structure: "program", operations },
    });
    const options = ["--plan", "--coreml", coremlPath(), "--cache-dir", join(folder.path, "cache")];
    const { code, stdout } = await run(["inspect", path, ...options, "--color", "never"]);
    expect(code).toBe(0);
    const start = stdout.indexOf("compute plan");
    expect(
      stdout
        .slice(start, stdout.indexOf("\n\n", start))
        .split("\n")
        .map((line) => line.trimEnd()),
    ).toEqual([
      "compute plan for cpu+gpu+ane (stand-in): a forecast by Core ML, not a measurement",
      "  2 operations, 1 constants beside them",
      expect.stringMatching(/^ +device +preferred +share +of the cost +supported$/),
      expect.stringMatching(/^ +cpu +1 +50\.0 % +10\.0 % +2$/),
      expect.stringMatching(/^ +ane +1 +50\.0 % +90\.0 % +1$/),
      "not on the Neural Engine",
      expect.stringMatching(/^ +ios17\.gather +1 +10\.0 % +not supported there$/),
    ]);
    const bench = ["bench", path, "--engine", "coreml", "--device", "all", "--count", "20", "--warmup", "2"];
    const measured = await run([
      ...bench,
      "--coreml",
      coremlPath(),
      "--cache-dir",
      join(folder.path, "cache"),
      "--json",
    ]);
    expect(JSON.parse(measured.stdout).plan).toEqual({
      dispatch: "planned",
      operations: 2,
      unknown: 0,
      devices: [
        { device: "cpu", preferredShare: 0.5, costShare: 0.1, supportedShare: 1 },
        { device: "ane", preferredShare: 0.5, costShare: 0.9, supportedShare: 0.5 },
      ],
    });
    const { stdout: json } = await run(["inspect", path, ...options, "--json"]);
    expect(JSON.parse(json).plan).toMatchObject({
      dispatched: 2,
      constants: 1,
      devices: { ane: { preferred: 1, preferredShare: 0.5, costShare: 0.9, supported: 1 } },
    });
  });
});
