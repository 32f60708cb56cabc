import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { CoremlxError } from "../../../src/core/errors.ts";
import { numbersOf } from "../../../src/core/tensor.ts";
import type { FeatureType, ModelDescription } from "../../../src/core/model.ts";
import type { LogFields } from "../../../src/core/telemetry.ts";
import { limitsOf } from "../../../src/formats/limits.ts";
import { parseCompiledData, parseStageNames } from "../../../src/formats/compiled-data.ts";
import { parseMetadata } from "../../../src/formats/compiled-metadata.ts";
import { openCompiledModel } from "../../../src/formats/mlmodelc.ts";
import type { MilOp } from "../../../src/formats/mil.ts";
import type { Model } from "../../../src/formats/model.ts";
import { countOps } from "../../../src/formats/summary.ts";
import { damaged } from "../../support/codec-fixtures.ts";
import {
  arrayFeature,
  coreMlData,
  description,
  metadata,
  reluText,
  stageNames,
} from "../../support/compiled-files.ts";
import { blobFile, failureOf, floats, writeFiles } from "../../support/model-files.ts";
import { sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp.ts";

const addModel = sharedPath("models/apple-add-model-mlmodelc/add_model.mlmodelc");
const silero = sharedPath("models/silero-vad-mlmodelc/silero_vad.mlmodelc");

function withFiles<T>(
  files: Readonly<Record<string, unknown>>,
  use: (model: Model, warnings: string[]) => T,
): T {
  using folder = tempFolder();
  const warnings: string[] = [];
  using model = openCompiledModel(writeFiles(folder.path, files), {
    telemetry: {
      log: (level, message, fields?: LogFields) =>
        void warnings.push(`${level}: ${message}: ${fields?.["reason"]}`),
    },
  });
  return use(model, warnings);
}

async function failure(files: Readonly<Record<string, unknown>>): Promise<CoremlxError> {
  using folder = tempFolder();
  writeFiles(folder.path, files);
  return failureOf(() => openCompiledModel(folder.path));
}

function describedBy(files: Readonly<Record<string, unknown>>): ModelDescription {
  return withFiles(files, (model) => model.description);
}

function array(shape: readonly number[]): FeatureType {
  return {
    kind: "multiArray",
    dtype: "float32",
    shape,
    constraint: { kind: "fixed" },
    defaultValue: undefined,
  };
}

/** "constexprAffineDequantize" and "Ios16.constexpr_affine_dequantize" alike. */
function plainName(op: string): string {
  return op
    .replace(/^Ios\d+\./, "")
    .replaceAll("_", "")
    .toLowerCase();
}

describe("a compiled ML program from a compiler", () => {
  test.each([addModel, silero])("counts the operations that its metadata.json counts: %s", (path) => {
    using model = openCompiledModel(path);
    const { histogram } = parseMetadata(readFileSync(join(path, "metadata.json"), "utf8"), "metadata.json");
    const counted = [...(countOps(model).get("main") ?? [])].filter(([type]) => type !== "const");
    const sorted = (entries: Iterable<readonly [string, number]>) =>
      [...entries].map(([name, count]) => `${plainName(name)} ${count}`).toSorted();
    expect(histogram.size).toBeGreaterThan(0);
    expect(sorted(counted)).toEqual(sorted(histogram));
  });

  test.each([addModel, silero])(
    "is described alike by coremldata.bin, metadata.json and its program: %s",
    (path) => {
      using model = openCompiledModel(path);
      const without = (...names: readonly string[]): ModelDescription => {
        using folder = tempFolder();
        cpSync(path, folder.path, {
          recursive: true,
          filter: (file) => !names.some((name) => file === join(path, name)),
        });
        using other = openCompiledModel(folder.path);
        return other.description;
      };
      const byName = (all: ModelDescription) =>
        all.functions.map((each) => ({
          ...each,
          inputs: each.inputs.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
        }));
      expect(without("metadata.json")).toEqual(model.description);
      expect(without("coremldata.bin")).toEqual(model.description);
      const bare = without("coremldata.bin", "metadata.json");
      expect(bare.specificationVersion).toBe(model.description.specificationVersion);
      expect(byName(bare)).toEqual(byName(model.description));
    },
  );

  test("gives the whole interface of add_model", () => {
    using model = openCompiledModel(addModel);
    const half = { ...array([1, 10]), dtype: "float16" } as FeatureType;
    const named = (name: string) => ({ name, description: "", type: half, isOptional: false });
    expect(model.description).toEqual({
      kind: "mlProgram",
      specificationVersion: 7,
      functions: [
        {
          name: "main",
          inputs: [named("x"), named("y")],
          outputs: [named("var_3")],
          states: [],
          predictedFeatureName: undefined,
          predictedProbabilitiesName: undefined,
        },
      ],
      defaultFunction: "main",
      metadata: {
        description: "",
        version: "",
        author: "",
        license: "",
        userDefined: new Map([
          ["com.github.apple.coremltools.source", "torch==2.5.1"],
          ["com.github.apple.coremltools.source_dialect", "TorchScript"],
          ["com.github.apple.coremltools.version", "8.1"],
        ]),
      },
      isUpdatable: false,
      classLabels: undefined,
    });
    expect(model.container).toBe("mlmodelc");
    expect(model.files.map((file) => file.slice(addModel.length + 1))).toEqual([
      "analytics/coremldata.bin",
      "coremldata.bin",
      "metadata.json",
      "model.mil",
    ]);
    expect(model.byteLength).toBe(243 + 319 + 1727 + 472);
  });

  test("maps the weights that numpy reads at the same offsets", () => {
    using model = openCompiledModel(silero);
    const main = model.body.kind === "mlProgram" ? model.body.program.functions.get("main") : undefined;
    const constants = new Map<string | undefined, MilOp>(
      main?.block.operations.map((op) => [op.outputs[0]?.name, op]),
    );
    // numpy.frombuffer(weight.bin, dtype, count, offset): offset, sum in float64, first values, last value.
    const expected = [
      ["stft_forward_basis_to_fp16", [258, 1, 256], 128, 63.99839687347412, [0, 0.00015056133270263672], 0],
      [
        "encoder_layers_0_bias_to_fp16",
        [128],
        231_424,
        15.996122479438782,
        [-0.087646484375, -5.4375],
        0.441650390625,
      ],
      [
        "concat_0",
        [512],
        355_520,
        18.47271745931357,
        [0.6111360788345337, 0.08336644619703293],
        0.9412962198257446,
      ],
      [
        "concat_2",
        [512, 128],
        619_840,
        -179.49112120613836,
        [0.6568835377693176, -0.1546679437160492],
        -0.6262328624725342,
      ],
      [
        "decoder_final_conv_weight_to_fp16",
        [1, 128, 1],
        882_048,
        -26.137598037719727,
        [-0.619140625, 0.2490234375],
        0.2135009765625,
      ],
    ] as const;
    for (const [name, shape, offset, sum, first, last] of expected) {
      const value = constants.get(name)?.attributes.get("val");
      if (value?.kind !== "tensor" || (value.dtype !== "float16" && value.dtype !== "float32"))
        throw new Error(`${name} is no float tensor`);
      const numbers = numbersOf({ dtype: value.dtype, bytes: value.bytes });
      expect([value.shape, value.source]).toEqual([
        shape,
        { path: join(silero, "weights/weight.bin"), offset },
      ]);
      expect([numbers[0], numbers[1]]).toEqual([...first]);
      expect(numbers.at(-1)).toBe(last);
      expect(numbers.reduce((a, b) => a + b, 0)).toBeCloseTo(sum, 8);
    }
  });
});

describe("the describing files", () => {
  test("coremldata.bin is believed before metadata.json, which is believed before nothing", () => {
    const both = { "coremldata.bin": coreMlData(), "metadata.json": metadata(), "model.mil": reluText };
    expect(describedBy(both).metadata.description).toBe("from coremldata.bin");
    expect(describedBy({ ...both, "coremldata.bin": "damaged" }).metadata.description).toBe(
      "from metadata.json",
    );
    expect(describedBy({ ...both, "metadata.json": "damaged" }).metadata.description).toBe(
      "from coremldata.bin",
    );
    const alone = describedBy({ "model.mil": reluText });
    expect([alone.kind, alone.specificationVersion]).toEqual(["mlProgram", 8]);
    expect(alone.functions[0]?.inputs).toEqual([
      { name: "x", description: "", type: array([4]), isOptional: false },
    ]);
  });

  test("a description at an unusual place is found, and believed if metadata.json vouches for it", () => {
    const moved = coreMlData(description, { extra: 13, version: 7 });
    const files = { "coremldata.bin": moved, "model.mil": reluText };
    expect(describedBy(files)).toMatchObject({
      specificationVersion: 7,
      metadata: { description: "from coremldata.bin" },
    });
    expect(describedBy({ ...files, "metadata.json": metadata() }).metadata.description).toBe(
      "from coremldata.bin",
    );
    const other = metadata({ outputSchema: [{ name: "z", type: "Double" }] });
    expect(describedBy({ ...files, "metadata.json": other }).functions[0]?.outputs).toEqual([
      { name: "z", description: "", type: { kind: "double" }, isOptional: false },
    ]);
  });

  test("what cannot be used or does not agree is logged", () => {
    const files = { "coremldata.bin": coreMlData(), "metadata.json": metadata(), "model.mil": reluText };
    const warningsOf = (changed: Readonly<Record<string, unknown>>) =>
      withFiles({ ...files, ...changed }, (_, warnings) => warnings);
    expect(warningsOf({})).toEqual([]);
    expect(warningsOf({ "metadata.json": "[1]" })).toEqual([
      "warn: a describing file of the model cannot be used: metadata.json holds no object",
    ]);
    expect(
      warningsOf({
        "metadata.json": metadata({
          stateSchema: [{ name: "s", type: "State", dataType: "Float16", shape: "[2]" }],
        }),
      }),
    ).toEqual(['warn: coremldata.bin and metadata.json disagree: state "s" of "main" is missing in one']);
    expect(
      warningsOf({ "metadata.json": metadata({ inputSchema: [{ name: "x", type: "Int64" }] }) }),
    ).toEqual([
      'warn: coremldata.bin and metadata.json disagree: input "x" of "main" is multiArrayType in one and int64Type in the other',
    ]);
    expect(
      withFiles(
        { ...files, "coremldata.bin": coreMlData({ ...description, state: [] }) },
        (model) => model.description.kind,
      ),
    ).toBe("mlProgram");
  });

  test("metadata.json tells every type of feature", () => {
    const schema = (name: string, fields: Readonly<Record<string, string>>) => ({
      name,
      isOptional: "0",
      ...fields,
    });
    const read = describedBy({
      "metadata.json": metadata({
        inputSchema: [
          schema("range", {
            type: "MultiArray",
            dataType: "Float16",
            shape: "[1, 4]",
            hasShapeFlexibility: "1",
            shapeRange: "[[1, 8], [4, -1]]",
          }),
          schema("listed", {
            type: "MultiArray",
            dataType: "Int32",
            shape: "[2]",
            enumeratedShapes: "[[2], [3]]",
          }),
          schema("optional", { type: "MultiArray", dataType: "Double", shape: "[1]", isOptional: "1" }),
          schema("picture", { type: "Image", width: "640", height: "480", colorspace: "RGB", isColor: "1" }),
          schema("gray", {
            type: "Image",
            width: "2",
            height: "3",
            colorspace: "Grayscale",
            sizeRange: "[[1, 10], [2, -1]]",
          }),
          schema("half", {
            type: "Image",
            width: "2",
            height: "3",
            colorspace: "Grayscale_Float16",
            enumeratedSizes: "[[2, 3], [4, 5]]",
          }),
          schema("words", { type: "Sequence", valueType: "String", sizeRange: "[1, 20]" }),
          schema("numbers", { type: "Sequence", valueType: "Int64" }),
          schema("count", { type: "Int64" }),
          schema("ratio", { type: "Double" }),
        ],
        outputSchema: [
          schema("label", { type: "String", shortDescription: "what it is" }),
          schema("probabilities", { type: "Dictionary", keyType: "String" }),
        ],
        stateSchema: [schema("cache", { type: "State", dataType: "Float16", shape: "[1, 2]" })],
        modelType: { name: "MLModelType_neuralNetworkClassifier" },
        isUpdatable: "1",
        classLabels: ["cat", "dog"],
        version: "2.0",
        author: "Ada",
        license: "MIT",
        userDefinedMetadata: { key: "value", number: 3 },
      }),
    });
    const typeOf = new Map(read.functions[0]?.inputs.map((each) => [each.name, each.type]));
    expect([...typeOf]).toEqual([
      [
        "range",
        {
          kind: "multiArray",
          dtype: "float16",
          shape: [1, 4],
          constraint: {
            kind: "range",
            axes: [
              { lower: 1, upper: 8 },
              { lower: 4, upper: undefined },
            ],
          },
          defaultValue: undefined,
        },
      ],
      [
        "listed",
        {
          kind: "multiArray",
          dtype: "int32",
          shape: [2],
          constraint: { kind: "enumerated", shapes: [[2], [3]] },
          defaultValue: undefined,
        },
      ],
      [
        "optional",
        { kind: "multiArray", dtype: "float64", shape: [1], constraint: { kind: "fixed" }, defaultValue: 0 },
      ],
      [
        "picture",
        { kind: "image", width: 640, height: 480, colorSpace: "RGB", constraint: { kind: "fixed" } },
      ],
      [
        "gray",
        {
          kind: "image",
          width: 2,
          height: 3,
          colorSpace: "GRAYSCALE",
          constraint: {
            kind: "range",
            axes: [
              { lower: 2, upper: undefined },
              { lower: 1, upper: 10 },
            ],
          },
        },
      ],
      [
        "half",
        {
          kind: "image",
          width: 2,
          height: 3,
          colorSpace: "GRAYSCALE_FLOAT16",
          constraint: {
            kind: "enumerated",
            shapes: [
              [3, 2],
              [5, 4],
            ],
          },
        },
      ],
      ["words", { kind: "sequence", element: "string", size: { lower: 1, upper: 20 } }],
      ["numbers", { kind: "sequence", element: "int64", size: { lower: 0, upper: undefined } }],
      ["count", { kind: "int64" }],
      ["ratio", { kind: "double" }],
    ]);
    expect(read.functions[0]).toMatchObject({
      outputs: [
        { name: "label", description: "what it is", type: { kind: "string" } },
        { name: "probabilities", type: { kind: "dictionary", key: "string" } },
      ],
      states: [{ name: "cache", type: { kind: "state", array: { dtype: "float16", shape: [1, 2] } } }],
      predictedFeatureName: "label",
      predictedProbabilitiesName: "probabilities",
    });
    expect({ ...read, functions: [] }).toEqual({
      kind: "neuralNetworkClassifier",
      specificationVersion: 8,
      functions: [],
      defaultFunction: "main",
      isUpdatable: true,
      classLabels: ["cat", "dog"],
      metadata: {
        description: "from metadata.json",
        version: "2.0",
        author: "Ada",
        license: "MIT",
        userDefined: new Map([["key", "value"]]),
      },
    });
  });

  test("functions, their default and their shapes come from either file", () => {
    const text = `program(1.3) {
      func first<ios18>(tensor<fp32, [4]> x) { tensor<fp32, [4]> y = relu(x = x); } -> (y);
      func second<ios18>(tensor<fp32, [2]> x) { tensor<fp32, [2]> y = relu(x = x); } -> (y);
    }`;
    const functions = ["first", "second"].map((name, i) => ({
      name,
      input: [arrayFeature("x", i === 0 ? [4] : [])],
      output: [arrayFeature("y", [])],
    }));
    const fromData = describedBy({
      "coremldata.bin": coreMlData({ functions, defaultFunctionName: "second" }, { version: 9 }),
      "model.mil": text,
    });
    const schema = (name: string, shape: string) => ({
      name,
      type: "MultiArray",
      dataType: "Float32",
      shape,
    });
    const fromJson = describedBy({
      "metadata.json": metadata({
        specificationVersion: "9",
        functions: [
          {
            name: "first",
            inputSchema: [schema("x", "[4]")],
            outputSchema: [schema("y", "[]")],
            stateSchema: [],
          },
          {
            name: "second",
            inputSchema: [schema("x", "[2]")],
            outputSchema: [schema("y", "[]")],
            stateSchema: [],
          },
        ],
        defaultFunctionName: "second",
        shortDescription: "",
      }),
      "model.mil": text,
    });
    expect(fromJson).toEqual(fromData);
    expect(fromData.defaultFunction).toBe("second");
    // The shape that the description leaves open is the program's.
    expect(fromData.functions.map((each) => each.inputs[0]?.type)).toEqual([array([4]), array([2])]);
    expect(describedBy({ "model.mil": text }).functions.map((each) => each.name)).toEqual([
      "first",
      "second",
    ]);
  });

  test("a program alone tells states, dictionaries, texts and open dimensions", () => {
    const read = describedBy({
      "model.mil": `program(1.3) {
        func main<ios18>(tensor<int32, [?, 3]> x, tensor<fp32, ?> any, state<tensor<fp16, [1, 2]>> kv) {
          string a = f(x = x);
          dict<string, fp64> b = g(x = x);
          dict<int64, fp64> c = g(x = x);
          tensor<int8, [1]> d = h(x = x);
        } -> (a, b, c, d);
      }`,
    });
    expect(read.functions[0]).toMatchObject({
      inputs: [
        {
          name: "x",
          type: {
            dtype: "int32",
            shape: [1, 3],
            constraint: {
              kind: "range",
              axes: [
                { lower: 1, upper: undefined },
                { lower: 3, upper: 3 },
              ],
            },
          },
        },
        { name: "any", type: { dtype: "float32", shape: [] } },
      ],
      outputs: [
        { type: { kind: "string" } },
        { type: { kind: "dictionary", key: "string" } },
        { type: { kind: "dictionary", key: "int64" } },
        { type: { kind: "multiArray", dtype: "int8" } },
      ],
      states: [{ name: "kv", type: { kind: "state", array: { dtype: "float16", shape: [1, 2] } } }],
    });
  });

  test("class labels of a program are those of its classify operation", () => {
    const text = reluText.replace(
      "} -> (y)",
      `tensor<string, [2]> names = const()[val = tensor<string, [2]>(["a", "b"])];
       string label, dict<string, fp64> p = classify(probabilities = y, classes = names); } -> (y)`,
    );
    expect(describedBy({ "coremldata.bin": coreMlData(), "model.mil": text }).classLabels).toEqual([
      "a",
      "b",
    ]);
    const numbers = metadata({ classLabels: [3, 4], modelType: { name: "MLModelType_glmClassifier" } });
    expect(describedBy({ "metadata.json": numbers }).classLabels).toEqual([3n, 4n]);
    expect(
      describedBy({ "metadata.json": metadata({ classLabels: ["a", 1] }), "model.mil": reluText })
        .classLabels,
    ).toBeUndefined();
  });
});

describe("a compiled pipeline", () => {
  const stage = (input: string, output: string) =>
    coreMlData({ input: [arrayFeature(input, [4])], output: [arrayFeature(output, [4])] });
  const addText = `program(1.3) {
    func main<ios17>(tensor<fp32, [4]> y) {
      tensor<fp32, [4]> w = const()[val = tensor<fp32, [4]>(BLOBFILE(path = string("@model_path/../weights/weight.bin"), offset = uint64(64)))];
      tensor<fp32, [4]> z = add(x = y, y = w);
    } -> (z);
  }`;
  const files = {
    "coremldata.bin": coreMlData(
      { input: [arrayFeature("x", [4])], output: [arrayFeature("z", [4])] },
      { type: 202, target: "generic.model0v8.0.0generic" },
    ),
    "modelNames/coremldata.bin": stageNames("first", "second"),
    "weights/weight.bin": blobFile(floats(1, 2, 3, 4)),
    "model0/coremldata.bin": stage("x", "y"),
    "model0/model.mil": reluText,
    "model1/coremldata.bin": stage("y", "z"),
    "model1/model.mil": addText,
  };

  test("opens with its stages, their names and the weights they share", () => {
    withFiles(files, (model) => {
      if (model.body.kind !== "pipeline") throw new Error("no pipeline");
      expect(model.description.kind).toBe("pipeline");
      expect(
        model.body.stages.map((each) => [
          each.name,
          each.body.kind,
          each.description.functions[0]?.outputs[0]?.name,
        ]),
      ).toEqual([
        ["first", "mlProgram", "y"],
        ["second", "mlProgram", "z"],
      ]);
      const second = model.body.stages[1]?.body;
      const op =
        second?.kind === "mlProgram" ? second.program.functions.get("main")?.block.operations[0] : undefined;
      expect(op?.attributes.get("val")).toMatchObject({ bytes: floats(1, 2, 3, 4) });
    });
  });

  test("finds the weights in the stage, and at the root when they are not there", () => {
    const text = addText.replace("/../", "/");
    for (const folder of ["model1/weights", "weights"]) {
      const { "weights/weight.bin": weights, ...rest } = files;
      withFiles({ ...rest, "model1/model.mil": text, [`${folder}/weight.bin`]: weights }, (model) => {
        expect(model.body.kind).toBe("pipeline");
      });
    }
  });

  test("may have stages that only Core ML can read, and may lack names", () => {
    const { "modelNames/coremldata.bin": _, ...rest } = files;
    withFiles(
      {
        ...rest,
        "model1/coremldata.bin": coreMlData(
          { input: [arrayFeature("y", [4])], output: [arrayFeature("z", [4])] },
          { type: 604 },
        ),
        "model2/metadata.json": metadata({
          classLabels: ["a"],
          modelType: { name: "MLModelType_treeEnsembleClassifier" },
        }),
      },
      (model) => {
        if (model.body.kind !== "pipeline") throw new Error("no pipeline");
        expect(model.body.stages.map((each) => [each.name, each.body.kind])).toEqual([
          ["model0", "mlProgram"],
          ["model1", "private"],
          ["model2", "private"],
        ]);
        expect(model.description.classLabels).toEqual(["a"]);
      },
    );
  });

  test("is refused when stages are missing or nest too deep", async () => {
    const { "model1/coremldata.bin": _, "model1/model.mil": __, ...rest } = files;
    expect((await failure(rest)).message).toBe(
      "it is a pipeline of 2 models, of which the folders of 1 are there",
    );
    expect((await failure({ "coremldata.bin": files["coremldata.bin"] })).message).toBe(
      "it is a pipeline of 1 models, of which the folders of 0 are there",
    );
    const deep = Object.fromEntries(
      Array.from({ length: 12 }, (_unused, i) => [
        `${"model0/".repeat(i)}coremldata.bin`,
        files["coremldata.bin"],
      ]),
    );
    expect((await failure(deep)).message).toBe("pipelines are nested more than 8 deep");
    const outside = addText.replace("/../", "/../../");
    expect((await failure({ ...files, "model1/model.mil": outside })).message).toBe(
      'model1/model.mil at 3:145: weight file "@model_path/../weights/weight.bin" is no path inside the model',
    );
  });
});

describe("a compiled model of another kind", () => {
  test("opens with its interface, and says why it goes no further", () => {
    const network = {
      "coremldata.bin": coreMlData(description, { type: 500, version: 4 }),
      "model.espresso.net": "{}",
    };
    withFiles(network, (model) => {
      expect(model.description).toMatchObject({ kind: "neuralNetwork", specificationVersion: 4 });
      expect(model.body).toEqual({
        kind: "private",
        reason:
          "it is a neural network in Espresso's private format (model.espresso.net), which only Core ML itself can read",
      });
    });
    withFiles({ "metadata.json": metadata({ modelType: { name: "MLModelType_glmRegressor" } }) }, (model) => {
      expect(model.body).toEqual({
        kind: "private",
        reason: "it is a compiled glmRegressor, which only Core ML itself can read",
      });
    });
  });
});

describe("a compiled model is refused", () => {
  const data = coreMlData();
  const schema = (fields: Readonly<Record<string, unknown>>) =>
    metadata({ inputSchema: [{ name: "x", ...fields }] });
  const rows: readonly (readonly [string, Readonly<Record<string, unknown>>, string])[] = [
    ["without any describing file", { "readme.txt": "" }, '"coremldata.bin" does not exist'],
    ["without its program", { "coremldata.bin": data }, '"model.mil" does not exist'],
    [
      "from the future",
      { "coremldata.bin": coreMlData(description, { version: 11 }), "model.mil": reluText },
      "it has specification version 11, the newest known is 10",
    ],
    [
      "with a negative version",
      { "metadata.json": metadata({ specificationVersion: -1 }), "model.mil": reluText },
      "it has the specification version -1, so it is no Core ML model",
    ],
    [
      "without a version",
      {
        "metadata.json": metadata({
          specificationVersion: undefined,
          modelType: { name: "MLModelType_scaler" },
        }),
      },
      "it does not say which specification version it has",
    ],
    [
      "of no known kind",
      { "coremldata.bin": coreMlData(description, { type: 9999 }) },
      "it does not say what kind of model it is",
    ],
    [
      "with a program that is no text",
      { "coremldata.bin": data, "model.mil": new Uint8Array([0xff, 0xfe]) },
      '"model.mil" is no UTF-8 text',
    ],
    [
      "with a damaged program",
      { "coremldata.bin": data, "model.mil": "program(1.0) {" },
      'model.mil at 1:15: expected "func", found the end of the text',
    ],
    [
      "with a function that is not there",
      {
        "coremldata.bin": coreMlData({ functions: [{ name: "other", input: [arrayFeature("x", [4])] }] }),
        "model.mil": reluText,
      },
      'it describes the function "other", its program has "main"',
    ],
    [
      "with a file that was never downloaded",
      {
        "coremldata.bin": data,
        "model.mil": `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 1\n`,
      },
      '"model.mil" is a Git LFS pointer, not the file itself',
    ],
    [
      "with a stub of coremldata.bin",
      { "coremldata.bin": "short" },
      "coremldata.bin has 5 bytes, its header alone needs 36",
    ],
    [
      "with a cut coremldata.bin",
      { "coremldata.bin": data.slice(0, 78) },
      "coremldata.bin holds no description of the model: it ends after 78 bytes",
    ],
    [
      "with a coremldata.bin cut later",
      { "coremldata.bin": data.slice(0, 100) },
      "coremldata.bin holds no description of the model: at byte 75 56 bytes are announced, 17 are there",
    ],
    [
      "with an empty description",
      { "coremldata.bin": coreMlData({ metadata: { author: "nobody" } }) },
      "coremldata.bin holds no description of the model: the description has neither inputs nor outputs",
    ],
    ["with metadata that is no JSON", { "metadata.json": "{" }, "metadata.json is no JSON: "],
    ["with empty metadata", { "metadata.json": [{}] }, "metadata.json describes neither inputs nor outputs"],
    [
      "of an unknown type",
      { "metadata.json": metadata({ modelType: { name: "MLModelType_toaster" } }) },
      'metadata.json: the model type is "MLModelType_toaster", which is not known',
    ],
    [
      "with a type that is a number",
      { "metadata.json": metadata({ modelType: { name: 5 } }) },
      'metadata.json: the model type is "5", which is not known',
    ],
    [
      "with an unknown feature type",
      { "metadata.json": schema({ type: "Video" }) },
      'metadata.json: input "x" has the type "Video", which is not known',
    ],
    [
      "with a missing feature type",
      { "metadata.json": schema({}) },
      'metadata.json: input "x" has the type missing, which is not known',
    ],
    [
      "with an unknown element type",
      { "metadata.json": schema({ type: "MultiArray", dataType: "Float8" }) },
      'metadata.json: input "x" has the element type "Float8", which is not known',
    ],
    [
      "with an unknown color space",
      { "metadata.json": schema({ type: "Image", colorspace: "CMYK" }) },
      'metadata.json: input "x" has the color space "CMYK", which is not known',
    ],
    [
      "with a width in words",
      { "metadata.json": schema({ type: "Image", colorspace: "RGB", width: "wide" }) },
      'metadata.json: the width of input "x" is "wide", expected an integer',
    ],
    [
      "with a shape that is no list",
      { "metadata.json": schema({ type: "MultiArray", dataType: "Int8", shape: "[1" }) },
      'metadata.json: the shape of input "x" is "[1", which is no list',
    ],
    [
      "with a shape that is a number",
      { "metadata.json": schema({ type: "MultiArray", dataType: "Int8", shape: 4 }) },
      'metadata.json: the shape of input "x" is "4", expected a list of integers',
    ],
    [
      "with a shape of fractions",
      { "metadata.json": schema({ type: "MultiArray", dataType: "Int8", shape: "[1.5]" }) },
      'metadata.json: the shape of input "x" is "1.5", expected an integer',
    ],
    [
      "with a range that is no list",
      {
        "metadata.json": schema({ type: "MultiArray", dataType: "Int8", shape: "[1]", shapeRange: "1...2" }),
      },
      'metadata.json: the shape range of input "x" is "1...2", which is no list',
    ],
    [
      "with a range that is an object",
      { "metadata.json": schema({ type: "MultiArray", dataType: "Int8", shape: "[1]", shapeRange: {} }) },
      'metadata.json: the shape range of input "x" is "{}", expected lists of integers',
    ],
    [
      "with a huge shape",
      {
        "model.mil": reluText,
        "metadata.json": schema({ type: "MultiArray", dataType: "Int8", shape: "[9999999999]" }),
      },
      'input "x" has an axis of 9999999999 in its shape [9999999999]',
    ],
    [
      "without a description, if its program returns nothing it computes",
      { "model.mil": reluText.replace("(y);", "(q);") },
      'its program returns "q", which it never computes',
    ],
    [
      "without a description, if its program takes a type no interface has",
      { "model.mil": reluText.replace("<fp32, [4]> x)", "<bool, [4]> x)") },
      'the type of "x" in its program, bool, is none of an interface',
    ],
    [
      "without a description, if its program takes a list",
      { "model.mil": reluText.replace("tensor<fp32, [4]> x)", "list<fp32> x)") },
      'the type of "x" in its program, a list, is none of an interface',
    ],
    [
      "without a description, if its program has a strange state",
      { "model.mil": reluText.replace("tensor<fp32, [4]> x)", "state<list<fp32>> x)") },
      'the state "x" of its program is no tensor',
    ],
  ];
  test.each(rows)("%s", async (_, files, message) => {
    const error = await failure(files);
    expect(error.code).toBe("BAD_MODEL");
    expect(error.message).toStartWith(message);
  });

  test("when a link leads out of it", async () => {
    using outside = tempFolder();
    using folder = tempFolder();
    writeFileSync(join(outside.path, "model.mil"), reluText);
    writeFiles(folder.path, { "coremldata.bin": data });
    symlinkSync(join(outside.path, "model.mil"), join(folder.path, "model.mil"));
    const error = await failureOf(() => openCompiledModel(folder.path));
    expect([error.code, error.message]).toEqual([
      "BAD_MODEL",
      '"model.mil" is a symbolic link that leads out of the model',
    ]);
    using model = openCompiledModel(folder.path, { allowOutsideLinks: true });
    expect(model.body.kind).toBe("mlProgram");
  });

  test("when a file of it is a pipe, without waiting for it", async () => {
    using folder = tempFolder();
    writeFiles(folder.path, { "coremldata.bin": data });
    expect(spawnSync("mkfifo", [join(folder.path, "model.mil")]).status).toBe(0);
    const error = await failureOf(() => openCompiledModel(folder.path));
    expect([error.code, error.message]).toEqual(["BAD_MODEL", '"model.mil" is a named pipe, not a file']);
  });

  test("when it is not there, or larger than its limits", async () => {
    using folder = tempFolder();
    expect((await failureOf(() => openCompiledModel(join(folder.path, "gone")))).code).toBe("BAD_MODEL");
    writeFiles(folder.path, { "coremldata.bin": data, "model.mil": reluText });
    const error = await failureOf(() =>
      openCompiledModel(folder.path, { limits: { maxProgramTextBytes: 10 } }),
    );
    expect(error.message).toContain("more than the limit of 10");
    const stages = writeFiles(join(folder.path, "pipeline"), {
      "coremldata.bin": coreMlData(description, { type: 202 }),
      "model0/coremldata.bin": coreMlData(description, { type: 604 }),
      "model1/coremldata.bin": coreMlData(description, { type: 604 }),
    });
    expect(
      (await failureOf(() => openCompiledModel(stages, { limits: { maxPipelineStages: 1 } }))).message,
    ).toBe("it is a pipeline of more than 1 models");
  });
});

describe("damage of any kind never throws anything but a CoremlxError:", () => {
  const limits = limitsOf(undefined);
  function survives(read: () => unknown): void {
    try {
      read();
    } catch (error) {
      expect(error).toBeInstanceOf(CoremlxError);
    }
  }

  test("coremldata.bin", () => {
    const bytes = new Uint8Array(readFileSync(join(silero, "coremldata.bin")));
    fc.assert(
      fc.property(damaged(bytes), (each) =>
        survives(() => parseCompiledData(each, "coremldata.bin", limits)),
      ),
      { seed: 4, numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (each) => {
        survives(() => parseCompiledData(each, "coremldata.bin", limits));
        survives(() => parseStageNames(each, limits));
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  test("metadata.json", () => {
    const text = readFileSync(join(silero, "metadata.json"), "utf8");
    fc.assert(
      fc.property(damaged(new TextEncoder().encode(text)), (each) =>
        survives(() => parseMetadata(new TextDecoder().decode(each), "metadata.json")),
      ),
      { seed: 6, numRuns: 500 },
    );
    // Values of the wrong type where each key stands.
    fc.assert(
      fc.property(fc.nat(60), fc.jsonValue(), (index, value) => {
        let met = 0;
        const changed = JSON.parse(text, (_key, each) => (met++ === index ? value : each));
        survives(() => parseMetadata(JSON.stringify(changed), "metadata.json"));
      }),
      { seed: 7, numRuns: 1000 },
    );
    survives(() => parseMetadata("[".repeat(1_000_000), "metadata.json"));
    survives(() => parseMetadata(`[{"modelType":${"[".repeat(5000)}${"]".repeat(5000)}}]`, "metadata.json"));
  });

  test("a whole folder", () => {
    const names = ["coremldata.bin", "metadata.json", "model.mil"] as const;
    const originals = new Map(
      names.map((name) => [name, new Uint8Array(readFileSync(join(addModel, name)))]),
    );
    using folder = tempFolder();
    fc.assert(
      fc.property(
        fc
          .constantFrom(...names)
          .chain((name) =>
            damaged(originals.get(name) ?? new Uint8Array()).map((bytes) => ({ name, bytes })),
          ),
        ({ name, bytes }) => {
          writeFiles(folder.path, { ...Object.fromEntries(originals), [name]: bytes });
          survives(() => openCompiledModel(folder.path)[Symbol.dispose]());
        },
      ),
      { seed: 8, numRuns: 300 },
    );
  });
});

test("names of stages are read only when they are whole", () => {
  const limits = limitsOf({ limits: { maxPipelineStages: 2 } });
  expect(parseStageNames(stageNames("a", "größer"), limits)).toEqual(["a", "größer"]);
  expect(parseStageNames(stageNames("a", "b", "c"), limits)).toBeUndefined();
  expect(parseStageNames(stageNames("a", "b").slice(0, -1), limits)).toBeUndefined();
  expect(parseStageNames(stageNames("a").slice(0, 10), limits)).toBeUndefined();
  expect(parseStageNames(new Uint8Array(3), limits)).toBeUndefined();
});
