import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { FunctionDescription, ModelDescription } from "../../../src/core/model.ts";
import { f32, type FeatureValue, tensorOf } from "../../../src/core/tensor.ts";
import { loadBody, programFunction } from "../../../src/engines/portable.ts";
import { classifyResult } from "../../../src/engines/feature-plan.ts";
import { openEngine } from "../../../src/engines/select.ts";
import type { MilProgram } from "../../../src/formats/mil.ts";
import type { ModelBody } from "../../../src/formats/model.ts";
import { openModel } from "../../../src/formats/open.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { digitPicture, digitsPackage } from "../../support/digits.ts";
import { portableRuntime } from "../../support/portable.ts";
import { port, operation, writeProgram } from "../../support/program-models.ts";
import { sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp.ts";

const cacheDir = join(tmpdir(), "coremlx-test-cache");
const options = async () => ({ runtime: await portableRuntime(), precision: undefined, threads: 1 });

describe("engine selection", () => {
  test("Core ML is refused with the reason where there is none", async () => {
    const error = await rejectionOf(openEngine({ engine: "coreml", cacheDir }));
    expect(error).toMatchObject({ code: "UNSUPPORTED", hint: expect.stringContaining("--engine portable") });
  });

  test("an unknown engine is wrong usage", async () => {
    expect(await rejectionOf(openEngine({ engine: "tpu", cacheDir }))).toMatchObject({ code: "USAGE" });
  });

  test("the portable engine says which library it runs on", async () => {
    await using engine = await openEngine({ engine: "auto", cacheDir });
    expect(engine.version).toMatch(/^ONNX Runtime 1\.\d+\.\d+$/);
  });

  test("the portable engine has no GPU", async () => {
    await using engine = await openEngine({ engine: "portable", cacheDir });
    using model = await openModel(digitsPackage);
    const error = await rejectionOf(engine.load(model, { device: "ane" }));
    expect(error).toMatchObject({ code: "UNSUPPORTED", message: expect.stringContaining('"ane"') });
  });
});

describe("models the portable engine cannot run yet", () => {
  test.each([
    ["models/mnist-umerzia/MNISTClassifier.mlmodel", "neuralNetworkClassifier"],
    ["models/names-dt/NamesDT.mlmodel", "pipeline"],
    ["models/sentiment-polarity/SentimentPolarity.mlmodel", "pipeline"],
  ])("%s is refused by its kind", async (path, kind) => {
    using model = await openModel(sharedPath(path));
    await using engine = await openEngine({ engine: "portable", cacheDir });
    const error = await rejectionOf(engine.load(model));
    expect(error.code).toBe("UNSUPPORTED");
    expect(model.description.kind).toStartWith(kind);
  });

  test("a compiled model with private contents says what to do instead", async () => {
    const body: ModelBody = { kind: "private", reason: "it is a compiled neural network" };
    const error = await rejectionOf(loadBody(body, anyFunction, "neuralNetwork", await options()));
    expect(error).toMatchObject({ code: "UNSUPPORTED", hint: expect.stringContaining("source .mlmodel") });
  });
});

const anyFunction: FunctionDescription = {
  name: "main",
  inputs: [],
  outputs: [],
  states: [],
  predictedFeatureName: undefined,
  predictedProbabilitiesName: undefined,
};

describe("pipelines of programs", () => {
  /** Stage one doubles, stage two adds the original: y = 3 x. */
  async function withPipeline(
    outputs: readonly string[],
    body: (run: () => Promise<unknown>) => Promise<void>,
  ) {
    using folder = tempFolder();
    const shape = [2];
    const [x, twice, y] = [
      port("x", "float32", shape),
      port("twice", "float32", shape),
      port("y", "float32", shape),
    ];
    using first = await openModel(
      writeProgram(join(folder.path, "a.mlpackage"), {
        inputs: [x],
        outputs: [twice],
        operations: [operation("add", { x: "x", y: "x" }, twice)],
      }),
    );
    using second = await openModel(
      writeProgram(join(folder.path, "b.mlpackage"), {
        inputs: [x, twice],
        outputs: [y],
        operations: [operation("add", { x: "x", y: "twice" }, y)],
      }),
    );
    const stages = [first, second].map(({ description, body: stageBody }, i) => ({
      name: `stage${i}`,
      description,
      body: stageBody,
    }));
    const described = (names: readonly string[], from: ModelDescription | undefined) =>
      from?.functions[0]?.outputs.filter((output) => names.includes(output.name)) ?? [];
    const outer: FunctionDescription = {
      ...anyFunction,
      inputs: first.description.functions[0]?.inputs ?? [],
      outputs: outputs.map((name) => ({ ...described(["y"], second.description)[0], name }) as never),
    };
    await using pipeline = await loadBody({ kind: "pipeline", stages }, outer, "pipeline", await options());
    expect(() => pipeline.newState()).toThrow("a pipeline keeps none");
    await body(() => pipeline.predict(new Map<string, FeatureValue>([["x", f32([1, 2])]])));
  }

  test("pass features from stage to stage by name", () =>
    withPipeline(["y", "twice"], async (run) => {
      expect(await run()).toEqual(
        new Map([
          ["y", f32([3, 6])],
          ["twice", f32([2, 4])],
        ]),
      );
    }));

  test("say which output no stage computes", () =>
    withPipeline(["z"], async (run) => {
      expect((await rejectionOf(run())).message).toContain('"z": no stage computes it');
    }));

  test("give back the stages that loaded when a later one cannot", async () => {
    using digits = await openModel(digitsPackage);
    const good = { name: "good", description: digits.description, body: digits.body };
    const bad = {
      name: "bad",
      description: digits.description,
      body: { kind: "private", reason: "private" },
    } as const;
    const error = await rejectionOf(
      loadBody({ kind: "pipeline", stages: [good, bad] }, anyFunction, "pipeline", await options()),
    );
    expect(error.message).toContain("private");
    const none = { ...good, description: { ...digits.description, functions: [] } };
    const empty = await rejectionOf(
      loadBody({ kind: "pipeline", stages: [none] }, anyFunction, "p", await options()),
    );
    expect(empty.message).toContain('stage "good": it has no function');
  });
});

test("the first of equal probabilities wins", () => {
  const classifier = { probabilities: "p", labelName: "l", probabilitiesName: "d" };
  expect(classifyResult({ ...classifier, labels: ["a", "b", "c"] }, f32([0.2, 0.4, 0.4])).label).toBe("b");
  expect(classifyResult({ ...classifier, labels: [5n, 6n] }, tensorOf("float16", [1, 0]))).toEqual({
    label: 5n,
    probabilities: new Map([
      [5n, 1],
      [6n, 0],
    ]),
  });
  expect(() => classifyResult({ ...classifier, labels: ["a"] }, f32([1, 2]))).toThrow(
    "2 probabilities for 1 labels",
  );
  expect(() => classifyResult({ ...classifier, labels: [] }, f32([], [0]))).toThrow("no labels");
});

test("a program of one function runs it under any name", () => {
  const fn = {
    name: "other",
    opset: "iOS15",
    inputs: [],
    block: { inputs: [], operations: [], outputs: [] },
    attributes: new Map(),
  } as const;
  const program: MilProgram = { functions: new Map([["other", fn]]), attributes: new Map() };
  expect(programFunction(program, anyFunction)).toBe(fn);
  const two: MilProgram = {
    functions: new Map([
      ["a", fn],
      ["b", fn],
    ]),
    attributes: new Map(),
  };
  expect(() => programFunction(two, anyFunction)).toThrow('"main": the program does not define it');
});

test("an optional input may be left out, and a state of another engine is refused", async () => {
  await using engine = await openEngine({ engine: "portable", cacheDir });
  using model = await openModel(resolve(import.meta.dir, "../../fixtures/formats/stateful.mlpackage"));
  await using loaded = await engine.load(model);
  const foreign = { read: () => new Map(), write() {}, [Symbol.dispose]() {} };
  const x = tensorOf("float16", Array<number>(16).fill(1));
  expect((await rejectionOf(loaded.predict(new Map([["x", x]]), { state: foreign }))).message).toContain(
    "another engine",
  );
  using digits = await openModel(digitsPackage);
  const [fn = anyFunction] = digits.description.functions;
  const lenient = { ...fn, inputs: fn.inputs.map((input) => ({ ...input, isOptional: true })) };
  await using optional = await loadBody(digits.body, lenient, "mlProgram", await options());
  expect((await rejectionOf(optional.predict(new Map()))).message).toContain('"image" is missing');
  expect((await optional.predict(new Map([["image", await digitPicture(2)]]))).get("classLabel")).toBe("2");
});
