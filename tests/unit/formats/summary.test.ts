import type { MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import { cpSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { NeuralNetworkSchema } from "../../../src/formats/gen/NeuralNetwork_pb.ts";
import { computeDigest, openModel } from "../../../src/formats/open.ts";
import { countOps, summarizeWeights } from "../../../src/formats/summary.ts";
import {
  constant,
  failureOf,
  floats,
  immediate,
  modelBytes,
  type OperationInit,
  programModel,
  readInit,
  tensorType,
  unary,
  type ValueInit,
  writeFiles,
} from "../../support/model-files.ts";
import { sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp.ts";

type NetworkInit = MessageInitShape<typeof NeuralNetworkSchema>;

const fixtures = resolve(import.meta.dir, "../../fixtures/formats");

describe("weights by precision", () => {
  test("of compressed programs: the bytes are those of the blobs", async () => {
    using model = await openModel(sharedPath("models/reference/mobilenet_v2_int8/model.mlpackage"));
    const summaries = summarizeWeights(model);
    expect(summaries.map((each) => each.dtype)).toEqual(["int8", "float16"]);
    expect(summaries[0]).toEqual({ dtype: "int8", tensors: 75, elements: 3_474_888, bytes: 3_474_888 });
  });

  test("a blob that two functions share counts once", async () => {
    using model = await openModel(join(fixtures, "stateful.mlpackage"));
    expect(summarizeWeights(model)).toEqual([{ dtype: "float16", tensors: 1, elements: 16, bytes: 32 }]);
  });

  test("inline constants count from ten elements on, wherever they are", () => {
    const ten = immediate(tensorType(11, [10]), {
      case: "floats",
      value: { values: floats(...Array.from({ length: 10 }, () => 1)) },
    });
    const one = immediate(tensorType(11, [1]), { case: "floats", value: { values: floats(1) } });
    const list: ValueInit = {
      type: { type: { case: "tupleType", value: {} } },
      value: { case: "immediateValue", value: { value: { case: "list", value: { values: [ten] } } } },
    };
    const operations: OperationInit[] = [
      constant("a", ten),
      constant("b", one),
      {
        ...unary("relu", "x", "y"),
        inputs: { x: { arguments: [{ binding: { case: "value", value: list } }] } },
      },
      { type: "cond", blocks: [{ operations: [constant("c", ten)] }] },
    ];
    expect(summarizeWeights(readInit(programModel(operations)))).toEqual([
      { dtype: "float32", tensors: 3, elements: 30, bytes: 120 },
    ]);
  });

  test("of a network: every form a weight can have", () => {
    const weights = [
      { floatValue: floats(1, 2, 3) },
      { float16Value: new Uint8Array(8) },
      {
        rawValue: new Uint8Array(3),
        quantization: { numberOfBits: 4n, QuantizationType: { case: "linearQuantization", value: {} } },
      },
      {
        rawValue: new Uint8Array(2),
        quantization: { numberOfBits: 1n, QuantizationType: { case: "lookupTableQuantization", value: {} } },
      },
      { int8RawValue: new Uint8Array(5) },
      {},
    ] as const;
    const layers = weights.map(
      (each) => ({ layer: { case: "loadConstantND", value: { data: each } } }) as const,
    );
    const model = readInit({
      specificationVersion: 5,
      description: {},
      Type: { case: "neuralNetwork", value: { layers } },
    });
    expect(summarizeWeights(model)).toEqual([
      { dtype: "float32", tensors: 1, elements: 3, bytes: 12 },
      { dtype: "float16", tensors: 1, elements: 4, bytes: 8 },
      { dtype: "int8", tensors: 1, elements: 5, bytes: 5 },
      { dtype: "uint4", tensors: 1, elements: 6, bytes: 3 },
      { dtype: "lut1", tensors: 1, elements: 16, bytes: 2 },
    ]);
  });
});

describe("operations", () => {
  test("of a program with control flow, nested blocks included", async () => {
    using model = await openModel(join(fixtures, "control_flow.mlpackage"));
    const counts = countOps(model).get("main");
    expect([counts?.get("while_loop"), counts?.get("cond"), counts?.get("mul"), counts?.get("add")]).toEqual([
      1, 1, 1, 2,
    ]);
  });

  test("of every function", async () => {
    using model = await openModel(join(fixtures, "stateful.mlpackage"));
    const counts = countOps(model);
    expect([...counts.keys()].toSorted()).toEqual(["accumulate", "reset"]);
    expect([counts.get("accumulate")?.get("add"), counts.get("reset")?.get("sub")]).toEqual([1, 1]);
  });

  test("of pipelines, by stage", async () => {
    using model = await openModel(sharedPath("models/names-dt/NamesDT.mlmodel"));
    expect([...countOps(model)].map(([name, counts]) => [name, Object.fromEntries(counts)])).toEqual([
      ["model0/model0/main", { dictVectorizer: 1 }],
      ["model0/model1/main", { featureVectorizer: 1 }],
      ["model1/main", { treeEnsembleClassifier: 1 }],
    ]);
  });

  test("of networks: layers, those of loops and branches included", () => {
    const relu: NetworkInit = { layers: [{ layer: { case: "activation", value: {} } }] };
    const layers: NetworkInit["layers"] = [
      { layer: { case: "branch", value: { ifBranch: relu, elseBranch: relu } } },
      { layer: { case: "loop", value: { conditionNetwork: relu, bodyNetwork: relu } } },
      { layer: { case: "loop", value: {} } },
      { layer: { case: "branch", value: {} } },
      {},
    ];
    const model = readInit({
      specificationVersion: 5,
      description: {},
      Type: { case: "neuralNetworkRegressor", value: { layers } },
    });
    expect(Object.fromEntries(countOps(model).get("main") ?? [])).toEqual({
      branch: 2,
      activation: 4,
      loop: 2,
      unknown: 1,
    });
  });

  test("of what only Core ML can read: none", () => {
    const model = { body: { kind: "private", reason: "compiled" } } as const;
    expect([summarizeWeights(model), countOps(model).size]).toEqual([[], 0]);
  });
});

describe("a digest", () => {
  const source = join(fixtures, "control_flow.mlpackage");

  test("is the SHA-256 over path, size and content of each file in order", async () => {
    using model = await openModel(source);
    const hasher = new Bun.CryptoHasher("sha256");
    for (const name of [
      "Data/com.apple.CoreML/model.mlmodel",
      "Data/com.apple.CoreML/weights/weight.bin",
      "Manifest.json",
    ]) {
      const content = await Bun.file(join(source, name)).bytes();
      hasher.update(`${name.length}:${name}${content.byteLength}:`).update(content);
    }
    expect(await computeDigest(model)).toBe(hasher.digest("hex"));
  });

  test("does not depend on where the model lies or what it is called", async () => {
    using folder = tempFolder();
    cpSync(source, join(folder.path, "other name"), { recursive: true });
    using model = await openModel(source);
    using copy = await openModel(join(folder.path, "other name"));
    expect(await computeDigest(copy)).toBe(await computeDigest(model));
    const bytes = modelBytes(programModel());
    writeFiles(folder.path, { "a.mlmodel": bytes, "b.mlmodel": bytes });
    using a = await openModel(join(folder.path, "a.mlmodel"));
    using b = await openModel(join(folder.path, "b.mlmodel"));
    expect(await computeDigest(a)).toBe(await computeDigest(b));
  });

  test("changes with one bit of any file", async () => {
    using folder = tempFolder();
    const path = join(folder.path, "m.mlpackage");
    cpSync(source, path, { recursive: true });
    const digests = new Set<string>();
    for (const name of ["Manifest.json", "Data/com.apple.CoreML/weights/weight.bin", ""]) {
      using model = await openModel(path);
      digests.add(await computeDigest(model));
      if (name === "") continue;
      const content = await Bun.file(join(path, name)).bytes();
      content[content.length - 1] = (content.at(-1) ?? 0) ^ (name === "Manifest.json" ? 0x2a : 1); // "}\n" may end in a space
      writeFileSync(
        join(path, name),
        name === "Manifest.json" ? `${await Bun.file(join(path, name)).text()} ` : content,
      );
    }
    expect(digests.size).toBe(3);
  });

  test("of a model whose file has gone fails", async () => {
    using folder = tempFolder();
    const path = join(writeFiles(folder.path, { "m.mlmodel": modelBytes(programModel()) }), "m.mlmodel");
    using model = await openModel(path);
    await Bun.file(path).delete();
    expect((await failureOf(() => computeDigest(model))).message).toBe('"model.mlmodel" does not exist');
  });
});
