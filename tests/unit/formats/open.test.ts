import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { FeatureDescription, FeatureType } from "../../../src/core/model.ts";
import { elementsOf } from "../../../src/core/tensor.ts";
import type { MilTensor } from "../../../src/formats/mil.ts";
import type { Model } from "../../../src/formats/model.ts";
import { openModel } from "../../../src/formats/open.ts";
import {
  blob,
  blobFile,
  constant,
  failureOf,
  floats,
  modelBytes,
  type ModelInit,
  programModel,
  readInit,
  tensorType,
  unary,
  writeFiles,
} from "../../support/model-files.ts";
import { sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp.ts";

const fixtures = resolve(import.meta.dir, "../../fixtures/formats");

async function refusalOf(content: Uint8Array | string, name = "model.mlmodel") {
  using folder = tempFolder();
  writeFiles(folder.path, { [name]: content });
  const path = join(folder.path, name);
  const failure = await failureOf(() => openModel(path));
  expect(failure.code).toBe("BAD_MODEL");
  const prefix = `Cannot open ${JSON.stringify(path)}: `;
  expect(failure.message).toStartWith(prefix);
  return { message: failure.message.slice(prefix.length), hint: failure.hint };
}

describe("files that are something else are named", () => {
  const text = (value: string) => new TextEncoder().encode(value);
  const zip = (first: string) => {
    const bytes = new Uint8Array(100 + first.length);
    bytes.set(text("PK\x03\x04"));
    bytes[26] = first.length;
    bytes.set(text(first), 30);
    return bytes;
  };
  const safetensors = new Uint8Array(20);
  safetensors[0] = 12;
  safetensors.set(text('{"a":{},  }'), 8);
  // ir_version 8, producer_name "x", graph {}
  const onnx = Uint8Array.of(0x08, 8, 0x12, 1, 0x78, 0x3a, 0);
  const tar = new Uint8Array(512);
  tar.set(text("ustar"), 257);
  const cases: readonly (readonly [string, Uint8Array | string, string, string?])[] = [
    ["an empty file", "", "the file is empty", "fetch it again"],
    [
      "a Git LFS pointer",
      "version https://git-lfs.example/spec/v1\noid sha256:abc\nsize 3\n",
      '"model.mlmodel" is a Git LFS pointer, not the file itself',
      "git lfs pull",
    ],
    ["a zip", zip("model.mlpackage/Manifest.json"), "this is a zip archive, not a Core ML model", "Unzip it"],
    ["an empty zip", text("PK\x05\x06\0\0\0\0"), "this is a zip archive, not a Core ML model"],
    ["PyTorch", zip("archive/data.pkl"), "this is a PyTorch file, not a Core ML model", "coremltools"],
    [
      "an old PyTorch file",
      Uint8Array.of(0x80, 2, 0x8a, 10),
      "this is a Python pickle (PyTorch or scikit-learn), not a Core ML model",
    ],
    ["npz", zip("x.npy"), "this is a NumPy archive (npz), not a Core ML model"],
    [
      "npy",
      text("\x93NUMPY").length > 0 ? Uint8Array.of(0x93, ...text("NUMPY")) : "",
      "this is a NumPy array, not a Core ML model",
    ],
    ["safetensors", safetensors, "this is a safetensors file, weights without a model, not a Core ML model"],
    ["ONNX", onnx, "this is an ONNX model, not a Core ML model", "coremltools"],
    ["GGUF", text("GGUF\x03\0\0\0"), "this is a GGUF file (llama.cpp), not a Core ML model"],
    [
      "HDF5",
      Uint8Array.of(0x89, ...text("HDF\r\n\x1a\n")),
      "this is an HDF5 file (Keras), not a Core ML model",
    ],
    [
      "TensorFlow Lite",
      Uint8Array.of(0x1c, 0, 0, 0, ...text("TFL3")),
      "this is a TensorFlow Lite model, not a Core ML model",
    ],
    ["gzip", Uint8Array.of(0x1f, 0x8b, 8, 0), "this is a gzip archive, not a Core ML model", "Unpack it"],
    ["tar", tar, "this is a tar archive, not a Core ML model"],
    ["PNG", Uint8Array.of(0x89, ...text("PNG\r\n")), "this is a PNG picture, not a Core ML model"],
    [
      "a weight file",
      blobFile(floats(1)),
      "this is the weight file of a model, not a Core ML model",
      "mlpackage",
    ],
    ["HTML", "\n<!DOCTYPE html><html>", "this is an HTML page, not a Core ML model", "check the address"],
    ["JSON", '{"a": 1}', "this is a JSON file, not a Core ML model"],
    [
      "MIL text",
      "program(1.0)\n{}",
      "this is the program text of a compiled model, not a Core ML model",
      ".mlmodelc",
    ],
    ["text", "hello world, this is text: ünïcode", "this is a text file, not a Core ML model"],
  ];
  for (const [name, content, message, hint] of cases) {
    test(name, async () => {
      const failure = await refusalOf(content);
      expect(failure.message).toBe(message);
      if (hint !== undefined) expect(failure.hint).toContain(hint);
    });
  }

  test("a real ONNX file", async () => {
    const failure = await failureOf(() => openModel(sharedPath("models/basic-pitch/reference/nmp.onnx")));
    expect(failure.message).toEndWith("this is an ONNX model, not a Core ML model");
  });

  test("a file from inside a package: the hint is the package", async () => {
    const failure = await failureOf(() =>
      openModel(sharedPath("models/basic-pitch/nmp.mlpackage/Manifest.json")),
    );
    expect(failure.hint).toBe('Open the folder "nmp.mlpackage" instead');
  });

  test("a file of the beginning and nothing of the end of a model is cut off", async () => {
    const bytes = readFileSync(sharedPath("models/mnist-umerzia/MNISTClassifier.mlmodel"));
    const failure = await refusalOf(bytes.subarray(0, 5000));
    expect(failure.message).toContain(
      "the file ends after 5000 bytes in the middle of Model.neuralNetworkClassifier:",
    );
    expect(failure.hint).toContain("cut off");
  });

  test("random bytes", async () => {
    const bytes = new Uint8Array(10_000);
    let seed = 1;
    for (let i = 0; i < bytes.length; i++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      bytes[i] = seed >>> 16;
    }
    expect((await refusalOf(bytes)).message).toMatch(/^(it is no well-formed protobuf|the file ends)/);
  });

  test("text that is no UTF-8 inside a model", async () => {
    const bytes = modelBytes({
      specificationVersion: 4,
      description: { predictedFeatureName: "~~~~" },
      Type: { case: "identity", value: {} },
    });
    const broken = Uint8Array.from(bytes, (byte) => (byte === 0x7e ? 0xff : byte));
    expect((await refusalOf(broken)).message).toContain("it is no well-formed protobuf: ");
  });
});

describe("paths that lead to no model", () => {
  const cases: readonly (readonly [string, (root: string) => string, string, string?])[] = [
    ["nothing there", (root) => join(root, "none"), "it does not exist"],
    [
      "a file as a folder",
      (root) => join(writeFiles(root, { a: "x" }), "a/b"),
      "it does not exist: a part of its path is not a folder",
    ],
    ["a NUL", (root) => `${root}/a\0b`, "it has a name no file can have"],
    ["a name of 300 characters", (root) => join(root, "a".repeat(300)), "it has a name that is too long"],
    [
      "a loop of links",
      (root) => (symlinkSync("loop", join(root, "loop")), join(root, "loop")),
      "it is a loop of symbolic links",
    ],
    ["an empty folder", (root) => root, "this folder is not a Core ML model", ".mlpackage folder"],
    [
      "a package without a manifest",
      (root) => (mkdirSync(join(root, "a.mlpackage")), join(root, "a.mlpackage")),
      "the package has no Manifest.json",
    ],
    [
      "a compiled model without contents",
      (root) => (mkdirSync(join(root, "a.mlmodelc")), join(root, "a.mlmodelc/")),
      "the compiled model has no coremldata.bin",
    ],
    [
      "a folder around one package",
      (root) => writeFiles(root, { "m.mlpackage/x": "" }),
      "this folder is not a Core ML model, it holds one or more",
      "m.mlpackage",
    ],
    [
      "a folder around several models",
      (root) => writeFiles(root, { "m.mlpackage/x": "", "n.mlmodel": "" }),
      "this folder is not a Core ML model, it holds one or more",
      "m.mlpackage, n.mlmodel",
    ],
    ["a device", () => "/dev/zero", '"zero" is a device, not a file'],
    [
      "a named pipe",
      (root) => (Bun.spawnSync(["mkfifo", join(root, "p")]), join(root, "p")),
      '"p" is a named pipe, not a file',
    ],
  ];
  for (const [name, make, message, hint] of cases) {
    test(name, async () => {
      using folder = tempFolder();
      const path = make(folder.path);
      const failure = await failureOf(() => openModel(path));
      expect(failure.code).toBe("BAD_MODEL");
      expect(failure.message).toStartWith("Cannot open ");
      expect(failure.message).toEndWith(`: ${message}`);
      if (hint !== undefined) expect(failure.hint).toContain(hint);
    });
  }

  test.skipIf(process.getuid?.() === 0)("no permission", async () => {
    using folder = tempFolder();
    writeFiles(folder.path, { "m.mlmodel": modelBytes(programModel()) });
    chmodSync(join(folder.path, "m.mlmodel"), 0);
    const failure = await failureOf(() => openModel(join(folder.path, "m.mlmodel")));
    expect(failure.message).toContain("may not be read: permission denied");
  });

  test("the path is shown as it was given", async () => {
    const failure = await failureOf(() => openModel("no/such model\u001b[31m.mlmodel"));
    expect(failure.message).toBe('Cannot open "no/such model\\u001b[31m.mlmodel": it does not exist');
  });
});

describe("models that are wrong inside", () => {
  const cases: readonly (readonly [string, ModelInit, string])[] = [
    [
      "specification version 11",
      programModel(undefined, { version: 11 }),
      "it has specification version 11, the newest known is 10",
    ],
    [
      "no specification version",
      programModel(undefined, { version: 0 }),
      "it has the specification version 0, so it is no Core ML model",
    ],
    [
      "a negative specification version",
      programModel(undefined, { version: -1 }),
      "it has the specification version -1, so it is no Core ML model",
    ],
    [
      "no contents",
      { specificationVersion: 4, description: {} },
      "it has no contents: the part that holds the model itself is missing",
    ],
    [
      "no description",
      { specificationVersion: 4, Type: { case: "identity", value: {} } },
      "it has no description of its inputs and outputs",
    ],
    [
      "a pipeline without models",
      { specificationVersion: 4, description: {}, Type: { case: "pipelineClassifier", value: {} } },
      "it is a pipeline without models",
    ],
  ];
  for (const [name, init, message] of cases) {
    test(name, async () => expect((await failureOf(() => readInit(init))).message).toBe(message));
  }

  test("a kind of model from the future", async () => {
    const known = modelBytes({ specificationVersion: 10, description: {} });
    const failure = await refusalOf(Uint8Array.from([...known, 0xca, 0x3e, 0])); // field 1001
    expect(failure.message).toBe("it is a kind of model that is not known (number 1001)");
  });

  test("a version from the future counts more than the damage it seems to be", async () => {
    const failure = await refusalOf(Uint8Array.of(0x08, 12, 0x10, 1));
    expect(failure.message).toBe("it has specification version 12, the newest known is 10");
  });

  test("pipelines in pipelines end at the limit", async () => {
    let model: ModelInit = {
      specificationVersion: 4,
      description: {},
      Type: { case: "identity", value: {} },
    };
    for (let depth = 0; depth < 9; depth++) {
      model = {
        specificationVersion: 4,
        description: {},
        Type: { case: "pipeline", value: { models: [model], names: ["p"] } },
      };
    }
    const failure = await failureOf(() => readInit(model));
    expect(failure.message).toBe(`${'stage 0 "p": '.repeat(8)}pipelines are nested more than 8 deep`);
    expect((await failureOf(() => readInit(model, { limits: { maxPipelineStages: 0 } }))).message).toBe(
      "it is a pipeline of 1 models",
    );
  });

  test("a model above the size limit is not read", async () => {
    using folder = tempFolder();
    const path = join(folder.path, "m.mlmodel");
    writeFileSync(path, Uint8Array.of(8, 6, 0x12));
    truncateSync(path, 3 * 2 ** 30);
    const failure = await failureOf(() => openModel(path));
    expect(failure.message).toEndWith("the model has 3221225472 bytes, more than the limit of 2147483647");
  });
});

describe("standalone model files", () => {
  test("find their weights beside them, and own them", async () => {
    using folder = tempFolder();
    const value = blob(tensorType(11, [4]), "@model_path/weights/w.bin", 64);
    writeFiles(folder.path, {
      "any.name": modelBytes(programModel([constant("w", value), unary("relu", "x", "y")])),
      "weights/w.bin": blobFile(floats(1, 2, 3, 4)),
    });
    const path = join(folder.path, "any.name");
    const messages: unknown[] = [];
    const model = await openModel(path, { telemetry: { log: (...entry) => messages.push(entry) } });
    expect([model.container, model.path, model.files]).toEqual([
      "mlmodel",
      path,
      [path, join(folder.path, "weights/w.bin")],
    ]);
    expect(model.byteLength).toBe(Bun.file(path).size + 144);
    expect(messages).toEqual([
      ["debug", "model opened", { path, kind: "mlProgram", bytes: model.byteLength, ms: expect.any(Number) }],
    ]);
    model[Symbol.dispose]();
    model[Symbol.dispose]();
  });

  test("that are large are mapped", async () => {
    using folder = tempFolder();
    const path = join(folder.path, "m.mlmodel");
    const data = new Uint8Array(17 * 2 ** 20).fill(7);
    writeFileSync(
      path,
      modelBytes({
        specificationVersion: 3,
        description: {},
        Type: { case: "serializedModel", value: { model: data } },
      }),
    );
    using model = await openModel(path);
    const type = model.body.kind === "message" ? model.body.message.Type : undefined;
    expect(type?.case === "serializedModel" ? type.value.model.byteLength : 0).toBe(data.byteLength);
  });

  test("may be reached by a link", async () => {
    using folder = tempFolder();
    writeFiles(folder.path, { "cache/blob": modelBytes(programModel()) });
    symlinkSync("cache/blob", join(folder.path, "m.mlmodel"));
    using model = await openModel(join(folder.path, "m.mlmodel"));
    expect(model.description.kind).toBe("mlProgram");
  });
});

/** "float32 [1, 3]" and the like, so that interfaces fit on a line. */
function typeText(type: FeatureType): string {
  switch (type.kind) {
    case "multiArray":
      return `${type.dtype} [${type.shape.join(", ")}]`;
    case "image":
      return `${type.colorSpace} ${type.width}x${type.height}`;
    case "dictionary":
      return `dictionary of ${type.key}`;
    default:
      return type.kind;
  }
}

function interfaceOf(model: Model): string {
  const list = (features: readonly FeatureDescription[]) =>
    features.map((each) => `${each.name}: ${typeText(each.type)}`).join(", ");
  const [main] = model.description.functions;
  const { kind, specificationVersion, classLabels } = model.description;
  return `${kind} ${specificationVersion} (${list(main?.inputs ?? [])}) -> (${list(main?.outputs ?? [])}) ${classLabels?.length ?? "-"}`;
}

describe("public models open with the interface their makers describe", () => {
  const cases: readonly (readonly [string, string])[] = [
    [
      "apple-tiny-drawing-embedding/TinyDrawingEmbedding.mlmodel",
      "neuralNetwork 1 (drawing: GRAYSCALE 28x28) -> (embedding: float32 [128]) -",
    ],
    [
      "basic-pitch/nmp.mlpackage",
      "mlProgram 6 (input_2: float32 [1, 43844, 1]) -> (Identity: float32 [1, 172, 264], Identity_1: float32 [1, 172, 88], Identity_2: float32 [1, 172, 88]) -",
    ],
    ["coremlit-identity/identity.mlmodel", "neuralNetwork 1 (x: float32 [2]) -> (y: float32 [2]) -"],
    [
      "digits-sample/Digits.mlpackage",
      "mlProgram 6 (image: GRAYSCALE 28x28) -> (classLabel: string, classLabel_probs: dictionary of string) 10",
    ],
    [
      "dtln-aec-128-fp16-part1/DTLN_AEC_128_Part1.mlpackage",
      "mlProgram 7 (lpb_magnitude: float16 [1, 1, 257], mic_magnitude: float16 [1, 1, 257], states_in: float16 [1, 2, 128, 2]) -> (Identity: float16 [], Identity_1: float16 []) -",
    ],
    [
      "gesture-customvision/example_5s0_hand_model.mlmodel",
      "neuralNetworkClassifier 1 (data: BGR 227x227) -> (loss: dictionary of string, classLabel: string) 3",
    ],
    [
      "improveai-xgb-2-numeric-items-no-context-binary-reward/model.mlmodel",
      "treeEnsembleRegressor 1 (item: double) -> (target: double) -",
    ],
    [
      "linear-regressor-plotcv/PlotCVPredict.mlmodel",
      "glmRegressor 1 (input: float64 [13]) -> (prediction: double) -",
    ],
    [
      "mnist-umerzia/MNISTClassifier.mlmodel",
      "neuralNetworkClassifier 1 (imageInput: GRAYSCALE 28x28) -> (output: dictionary of string, classLabel: string) 10",
    ],
    [
      "names-dt/NamesDT.mlmodel",
      "pipelineClassifier 1 (input: dictionary of string) -> (classLabel: string, classProbability: dictionary of string) 2",
    ],
    [
      "onnxmltools-keras-dense/keras2coreml_Dense_ImageNet_small.mlmodel",
      "neuralNetwork 1 (input1: float64 [3, 3, 3]) -> (output1: float64 [2]) -",
    ],
    [
      "onnxmltools-onehot/onehot_simple.mlmodel",
      "pipeline 1 (input: float64 [8]) -> (transformed_features: float64 [102]) -",
    ],
    [
      "pose-hourglass/hourglass.mlmodel",
      "neuralNetwork 1 (image__0: RGB 192x192) -> (hourglass_out_3__0: float64 [14, 48, 48]) -",
    ],
    ["rules-apple-sample/sample.mlpackage", "textClassifier 3 (text: string) -> (label: string) 2"],
    [
      "sentiment-polarity/SentimentPolarity.mlmodel",
      "pipelineClassifier 1 (input: dictionary of string) -> (classLabel: string, classProbability: dictionary of string) 2",
    ],
    ["tinygrad-ane-gemm/test.mlmodel", "neuralNetwork 1 (image: float64 [64]) -> (probs: float64 [64]) -"],
    [
      "waifu2x-anime-noise2/anime_noise2_model.mlmodel",
      "neuralNetwork 1 (input: float64 [3, 142, 142]) -> (conv7: float64 []) -",
    ],
    [
      "reference/fastvit_t8_fp16/model.mlpackage",
      "mlProgram 6 (image: RGB 256x256) -> (classLabel: string, classLabel_probs: dictionary of string) 1000",
    ],
    [
      "reference/vit_tiny_fp16/model.mlpackage",
      "mlProgram 7 (image: RGB 224x224) -> (logits: float16 [1, 1000]) -",
    ],
  ];
  for (const [name, expected] of cases) {
    test(name, async () => {
      using model = await openModel(sharedPath(`models/${name}`));
      expect(interfaceOf(model)).toBe(expected);
    });
  }

  test("the stages of a pipeline have descriptions and bodies of their own", async () => {
    using model = await openModel(sharedPath("models/sentiment-polarity/SentimentPolarity.mlmodel"));
    if (model.body.kind !== "pipeline") throw new Error("no pipeline");
    expect(model.body.stages.map((stage) => [stage.name, stage.description.kind, stage.body.kind])).toEqual([
      ["model0", "pipeline", "pipeline"],
      ["model1", "glmClassifier", "message"],
    ]);
    expect(model.description.classLabels).toEqual(["Neg", "Pos"]);
  });

  test("labels, metadata and the predicted features of a network", async () => {
    using model = await openModel(sharedPath("models/digits-sample/Digits.mlpackage"));
    const { classLabels, functions, defaultFunction } = model.description;
    expect(classLabels).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    expect([
      defaultFunction,
      functions[0]?.predictedFeatureName,
      functions[0]?.predictedProbabilitiesName,
    ]).toEqual(["main", "classLabel", "classLabel_probs"]);
  });

  test("a package whose weights are missing is refused precisely", async () => {
    const failure = await failureOf(() =>
      openModel(sharedPath("models/mpface-short-noweights/short.mlpackage")),
    );
    expect([failure.code, failure.message.split(": ")[1]]).toEqual([
      "BAD_MODEL",
      '"Data/com.apple.CoreML/weights" does not exist',
    ]);
  });

  test("a program from before the format was final is refused precisely", async () => {
    const failure = await failureOf(() =>
      openModel(sharedPath("models/apple-nnv2-prototype/simple_layer.mlmodel")),
    );
    expect(failure.message).toEndWith(
      "it is an ML program of specification version 5, from before the format was final",
    );
  });

  test("compiled models open by what the folder holds", async () => {
    using model = await openModel(sharedPath("models/apple-add-model-mlmodelc/add_model.mlmodelc"));
    expect(model.container).toBe("mlmodelc");
  });
});

describe("weights are those that Apple's own reader finds", () => {
  interface Row {
    readonly op: string;
    readonly attribute: string;
    readonly dtype: "float16" | "float32" | "int8" | "uint8";
    readonly shape: readonly number[];
    readonly first: number;
    readonly last: number;
    readonly sum: number;
  }
  const facts: Readonly<Record<string, readonly Row[]>> = JSON.parse(
    readFileSync(join(fixtures, "reference.json"), "utf8"),
  );
  for (const [name, rows] of Object.entries(facts)) {
    test(name, async () => {
      using model = await openModel(sharedPath(`models/${name}`));
      const operations =
        model.body.kind === "mlProgram"
          ? (model.body.program.functions.get("main")?.block.operations ?? [])
          : [];
      for (const row of rows) {
        const value = operations
          .find((each) => each.outputs[0]?.name === row.op)
          ?.attributes.get(row.attribute);
        const tensor = value?.kind === "tensor" ? value : undefined;
        expect([tensor?.dtype, tensor?.shape]).toEqual([row.dtype, row.shape]);
        const { first, last, sum } = statisticsOf(tensor, row.dtype);
        expect([first, last]).toEqual([row.first, row.last]);
        expect(Math.abs(sum - row.sum)).toBeLessThanOrEqual(1e-9 * Math.abs(row.sum) + 1e-12);
      }
      expect(rows.length).toBeGreaterThan(5);
    });
  }
});

function statisticsOf(tensor: MilTensor | undefined, dtype: "float16" | "float32" | "int8" | "uint8") {
  if (tensor === undefined) throw new Error("no tensor");
  const values = Array.from(elementsOf({ dtype, bytes: tensor.bytes }), Number);
  return { first: values[0], last: values.at(-1), sum: values.reduce((sum, value) => sum + value, 0) };
}
