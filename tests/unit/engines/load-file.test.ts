import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { type CompileCache, openCompileCache } from "../../../src/engines/cache.ts";
import { loadCompiled } from "../../../src/engines/load-file.ts";
import { ModelSchema } from "../../../src/formats/gen/Model_pb.ts";
import { computeDigest, openModel } from "../../../src/formats/open.ts";
import type { OnnxRuntime } from "../../../src/native/onnxruntime.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { digitsPackage } from "../../support/digits.ts";
import { origin } from "../../support/engines/cache-entries.ts";
import { answersOf, askWithout, load, loadAndAsk } from "../../support/engines/load-through-cache.ts";
import { modelBytes, type ModelInit } from "../../support/model-files.ts";
import { portableRuntime } from "../../support/portable.ts";
import { operation, port, writeProgram } from "../../support/program-models.ts";
import { sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp.ts";

setDefaultTimeout(120_000);

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let folders = 0;
const newPath = (name: string) => join(temp.path, `${folders++}-${name}`);
const newCache = (options: { readonly maxBytes?: number } = {}) =>
  openCompileCache({ folder: newPath("cache"), ...options });
const modelFile = "Data/com.apple.CoreML/model.mlmodel";
const fixture = (name: string) => resolve(import.meta.dir, "../../fixtures", name);

function copyOfDigits(): string {
  const path = newPath("Digits.mlpackage");
  cpSync(digitsPackage, path, { recursive: true });
  return path;
}

/** The only entry's folder. */
function entryOf(cache: CompileCache): string {
  const [entry, ...others] = cache.list().entries;
  if (entry === undefined || others.length > 0) throw new Error(`${others.length + 1} entries`);
  return entry.folder;
}

function formsOf(folder: string): string[] {
  return [...readFileSync(join(folder, "plan.json"), "utf8").matchAll(/"form":"(\w+)"/g)].map(
    ([, form = ""]) => form,
  );
}

describe("cold, warm and without a cache, a model answers the same to the last bit", () => {
  const models: readonly (readonly [path: string, form: "optimized" | "lowered"])[] = [
    [digitsPackage, "optimized"],
    ...readdirSync(fixture("models"))
      .filter((name) => name.endsWith(".mlpackage"))
      .map((name) => [fixture(`models/${name}`), "optimized"] as const),
    [fixture("packages/sequence.mlpackage"), "optimized"],
    [fixture("packages/chain-ranged.mlpackage"), "optimized"],
    [fixture("packages/gru-fixed.mlpackage"), "optimized"],
    [fixture("packages/cond.mlpackage"), "lowered"],
    [fixture("packages/while-loop.mlpackage"), "lowered"],
    [fixture("packages/stateful-loop.mlpackage"), "lowered"],
    [fixture("packages/lists.mlpackage"), "lowered"],
    [fixture("packages/gru-loop.mlpackage"), "lowered"],
    [sharedPath("models/reference/fastvit_t8_fp16/model.mlpackage"), "optimized"],
    [sharedPath("models/reference/mobilenet_v2_int8/model.mlpackage"), "optimized"],
    [sharedPath("models/reference/mobilenet_v2_pal6/model.mlpackage"), "optimized"],
    [sharedPath("models/reference/vit_tiny_fp16/model.mlpackage"), "optimized"],
    [sharedPath("models/silero-vad-mlmodelc/silero_vad.mlmodelc"), "optimized"],
    [sharedPath("models/basic-pitch/nmp.mlpackage"), "optimized"],
    [sharedPath("models/dtln-aec-128-fp16-part2/DTLN_AEC_128_Part2.mlpackage"), "optimized"],
  ];

  test.each(models)("%s", async (path, form) => {
    const cache = newCache();
    const cold = await loadAndAsk(path, cache);
    const warm = await loadAndAsk(path, openCompileCache({ folder: cache.folder }));
    expect([cold.kind, warm.kind]).toEqual(["cold", "warm"]);
    expect(formsOf(entryOf(cache))).toEqual([form]);
    const without = await askWithout(path);
    expect(cold.answers).toEqual(without);
    expect(warm.answers).toEqual(without);
  });

  test("likewise in the declared precision, which has an entry of its own", async () => {
    const path = sharedPath("models/reference/mobilenet_v2_fp16/model.mlpackage");
    const cache = newCache();
    await loadAndAsk(path, cache);
    const cold = await loadAndAsk(path, cache, { precision: "model" });
    const warm = await loadAndAsk(path, cache, { precision: "model" });
    expect([cold.kind, warm.kind, cache.list().entries.length]).toEqual(["cold", "warm", 2]);
    expect(warm.answers).toEqual(cold.answers);
    expect(warm.answers).toEqual(await askWithout(path, { precision: "model" }));
  });

  test("likewise each function of a model, each with an entry of its own", async () => {
    const path = fixture("packages/multifunction.mlpackage");
    const cache = newCache();
    using model = await openModel(path);
    const names = model.description.functions.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(1);
    for (const functionName of names) {
      const cold = await loadAndAsk(path, cache, { functionName });
      const warm = await loadAndAsk(path, cache, { functionName });
      expect([cold.kind, warm.kind]).toEqual(["cold", "warm"]);
      expect(warm.answers).toEqual(await askWithout(path, { functionName }));
    }
    expect(cache.list().entries.length).toBe(names.length);
    // Without a name it is the default function, whose entry is there.
    expect((await loadAndAsk(path, cache)).kind).toBe("warm");
  });

  test("likewise a pipeline of programs, in one entry", async () => {
    const stages = [
      ["x", "h", "relu"],
      ["h", "y", "square"],
    ] as const;
    const models = stages.map(([from, to, op]): ModelInit => {
      const folder = writeProgram(newPath("stage.mlpackage"), {
        inputs: [port(from, "float32", [4])],
        outputs: [port(to, "float32", [4])],
        operations: [operation(op, { x: from }, port(to, "float32", [4]))],
      });
      return fromBinary(ModelSchema, readFileSync(join(folder, modelFile)));
    });
    const [first, last] = models;
    const path = newPath("pipeline.mlmodel");
    const init: ModelInit = {
      specificationVersion: 6,
      description: { input: first?.description?.input ?? [], output: last?.description?.output ?? [] },
      Type: { case: "pipeline", value: { models } },
    };
    writeFileSync(path, modelBytes(init));
    const cache = newCache();
    const cold = await loadAndAsk(path, cache);
    const warm = await loadAndAsk(path, cache);
    expect([cold.kind, warm.kind]).toEqual(["cold", "warm"]);
    expect(formsOf(entryOf(cache))).toEqual(["optimized", "optimized"]);
    expect(warm.answers).toEqual(await askWithout(path));
  });
});

describe("a warm load", () => {
  test("knows the model as if it had read it, and reads nothing of it", async () => {
    const path = copyOfDigits();
    const cache = newCache();
    await using cold = await load(path, cache);
    const events: string[] = [];
    const telemetry = { log: (_: string, message: string) => void events.push(message) };
    await using warm = await load(path, cache, { telemetry });
    expect(events).toEqual([]); // "model opened" would be one
    using model = await openModel(digitsPackage);
    expect(warm.cache).toEqual({ kind: "warm", key: expect.any(String), compileMs: 0 });
    for (const file of [cold, warm]) {
      const { description, container, byteLength, digest } = file;
      expect({ description, container, byteLength }).toEqual({
        description: model.description,
        container: model.container,
        byteLength: model.byteLength,
      });
      expect(digest).toBe(await computeDigest(model));
      expect(file.loaded.function).toEqual(model.description.functions[0] as never);
    }
    expect(cold.cache.compileMs).toBeGreaterThan(0);
    expect(cold.loadMs).toBeGreaterThan(cold.cache.compileMs);
  });

  test("holds the entry until it is let go, and shares it", async () => {
    const cache = newCache();
    const first = await load(digitsPackage, cache);
    const second = await load(digitsPackage, cache);
    await first[Symbol.asyncDispose]();
    expect(cache.prune({ maxBytes: 0 }).inUse.length).toBe(1);
    await second[Symbol.asyncDispose]();
    expect(cache.prune({ maxBytes: 0 }).removed.length).toBe(1);
  });

  test("goes on answering when its entry is removed all the same", async () => {
    const path = sharedPath("models/reference/mobilenet_v2_int8/model.mlpackage");
    const cache = newCache();
    await using file = await load(path, cache);
    rmSync(cache.folder, { recursive: true });
    expect(await answersOf(file.loaded)).toEqual(await askWithout(path));
  });

  test("of a copy needs its digest, and then the same entry", async () => {
    const cache = newCache();
    await loadAndAsk(digitsPackage, cache);
    const copy = copyOfDigits();
    expect((await loadAndAsk(copy, cache)).kind).toBe("warm");
    expect(cache.index.lookup(copy)).toBeDefined();
    expect(cache.list().entries.length).toBe(1);
  });

  test("of a copy of a model whose weights stay outside uses the weights of the copy", async () => {
    const path = newPath("Loop.mlpackage");
    cpSync(fixture("packages/gru-loop.mlpackage"), path, { recursive: true });
    const cache = newCache();
    const cold = await loadAndAsk(path, cache);
    const moved = newPath("Moved.mlpackage");
    cpSync(path, moved, { recursive: true });
    rmSync(path, { recursive: true });
    const warm = await loadAndAsk(moved, cache);
    expect([cold.kind, warm.kind]).toEqual(["cold", "warm"]);
    expect(readFileSync(join(entryOf(cache), "plan.json"), "utf8")).toContain('"weightFolder":"Data/');
    expect(warm.answers).toEqual(cold.answers);
  });

  test("comes with the threads that are asked for", async () => {
    const cache = newCache();
    const one = await loadAndAsk(digitsPackage, cache, { threads: 1 });
    const two = await loadAndAsk(digitsPackage, cache, { threads: 2 });
    expect([one.kind, two.kind]).toEqual(["cold", "warm"]);
    expect(two.answers).toEqual(one.answers);
  });
});

describe("a model that changes", () => {
  test("answers as it is now, also when its size and its time of change are as before", async () => {
    const write = (path: string, op: string) => {
      const y = port("y", "float32", [4]);
      const operations = [operation(op, { x: "x" }, y)];
      return writeProgram(path, { inputs: [port("x", "float32", [4])], outputs: [y], operations });
    };
    const path = write(newPath("Some.mlpackage"), "relu");
    const other = write(newPath("Other.mlpackage"), "ceil");
    const cache = newCache();
    const before = await loadAndAsk(path, cache);
    expect((await loadAndAsk(path, cache)).kind).toBe("warm");
    const { size, atime, mtime } = statSync(join(path, modelFile));
    writeFileSync(join(path, modelFile), readFileSync(join(other, modelFile)));
    utimesSync(join(path, modelFile), atime, mtime);
    expect(statSync(join(path, modelFile)).size).toBe(size);
    const after = await loadAndAsk(path, cache);
    expect(after.kind).toBe("cold");
    expect(after.digest).not.toBe(before.digest);
    expect(after.answers).toEqual(await askWithout(other));
    expect(after.answers).not.toEqual(before.answers);
  });

  test("a moment ago is loaded without being kept: what was read and what was digested may be two versions", async () => {
    const path = copyOfDigits();
    const cache = newCache();
    const fresh = await loadAndAsk(path, cache, { now: () => statSync(path).ctimeMs });
    expect(fresh).toMatchObject({
      kind: "none",
      compileMs: 0,
      reason: "its files were changed a moment ago",
    });
    expect(fresh.answers).toEqual(await askWithout(digitsPackage));
    expect(cache.list().entries).toEqual([]);
    expect(cache.index.lookup(path)).toBeUndefined();
  });

  test("a moment ago may use the entry of its digest, but is not noted", async () => {
    const path = copyOfDigits();
    const cache = newCache();
    await loadAndAsk(digitsPackage, cache);
    expect((await loadAndAsk(path, cache, { now: () => statSync(path).ctimeMs })).kind).toBe("warm");
    expect(cache.index.lookup(path)).toBeUndefined();
  });

  test("while it is compiled is loaded as it was opened, and not kept", async () => {
    const path = copyOfDigits();
    const cache = newCache();
    const runtime = await portableRuntime();
    const meddling: Pick<OnnxRuntime, "createSession" | "version"> = {
      version: runtime.version,
      createSession(bytes, options) {
        utimesSync(join(path, "Manifest.json"), new Date(), new Date());
        return runtime.createSession(bytes, options);
      },
    };
    const result = await loadAndAsk(path, cache, { runtime: meddling });
    expect(result).toMatchObject({ kind: "none", reason: "its files were changed meanwhile" });
    expect(result.answers).toEqual(await askWithout(digitsPackage));
    expect(cache.list().entries).toEqual([]);
    expect(readdirSync(join(cache.folder, "drafts"))).toEqual([]);
  });
});

describe("a damaged entry", () => {
  const ruins: Readonly<Record<string, (folder: string) => void>> = {
    "cut-off weights": (folder) => truncateSync(join(folder, "0.bin"), 5_000),
    "no weights": (folder) => rmSync(join(folder, "0.bin")),
    "a cut-off graph": (folder) => truncateSync(join(folder, "0.onnx"), 100),
    "no plan": (folder) => rmSync(join(folder, "plan.json")),
    "no manifest": (folder) => rmSync(join(folder, "manifest.json")),
  };

  test.each(Object.entries(ruins))("with %s is made anew, and answers right", async (_, ruin) => {
    const cache = newCache();
    const cold = await loadAndAsk(digitsPackage, cache);
    ruin(entryOf(cache));
    const again = await loadAndAsk(digitsPackage, cache);
    const warm = await loadAndAsk(digitsPackage, cache);
    expect([cold.kind, again.kind, warm.kind]).toEqual(["cold", "cold", "warm"]);
    expect(again.answers).toEqual(cold.answers);
    expect(warm.answers).toEqual(cold.answers);
  });

  test("whose weights have a changed byte is found when everything is to be verified", async () => {
    const path = sharedPath("models/reference/mobilenet_v2_int8/model.mlpackage");
    const cache = newCache();
    const cold = await loadAndAsk(path, cache);
    const weights = join(entryOf(cache), "0.bin");
    const bytes = readFileSync(weights);
    bytes.fill(0, 4_096, 100_000);
    rmSync(weights);
    writeFileSync(weights, bytes, { mode: 0o400 });
    const verified = await loadAndAsk(path, cache, { verify: true });
    expect([cold.kind, verified.kind]).toEqual(["cold", "cold"]);
    expect(verified.answers).toEqual(cold.answers);
    expect((await loadAndAsk(path, cache, { verify: true })).kind).toBe("warm");
  });

  test.each([
    ["a graph that is none", { "0.onnx": "not ONNX" }],
    ["a plan that is none", { "plan.json": "[]" }],
    [
      "a plan of other features",
      {
        "plan.json": `{"container":"mlpackage","byteLength":1,"description":{},"body":{"kind":"graph","function":{"inputs":[],"outputs":[],"states":[]},"ports":{"inputs":[{"feature":"x"}],"outputs":[],"states":[]},"graph":{"name":"0.onnx","form":"optimized"}}}`,
      },
    ],
    [
      "a plan of another graph",
      { "plan.json": `{"body":{"kind":"graph","ports":{},"graph":{"name":"7.onnx"}}}` },
    ],
  ])("with %s, whatever its digests say, is replaced", async (_, files: Readonly<Record<string, string>>) => {
    const cache = newCache();
    const cold = await loadAndAsk(digitsPackage, cache);
    if (cold.kind !== "cold") throw new Error(cold.kind);
    const good = Object.fromEntries(
      ["0.onnx", "0.bin", "plan.json"].map((name) => [name, readFileSync(join(entryOf(cache), name))]),
    );
    cache.prune({ maxBytes: 0 });
    const draft = await cache.begin(cold.key);
    if (draft.kind !== "draft") throw new Error("no draft");
    for (const [name, bytes] of Object.entries({ ...good, ...files }))
      writeFileSync(join(draft.folder, name), bytes);
    const published = draft.publish({ createdEpochMs: 0, compileMs: 0, origin });
    draft[Symbol.dispose]();
    if (published.kind === "entry") published.entry[Symbol.dispose]();
    const again = await loadAndAsk(digitsPackage, cache);
    expect(again.kind).toBe("cold");
    expect(again.answers).toEqual(cold.answers);
  });

  test("with a pipeline whose second stage is no graph is replaced", async () => {
    const cache = newCache();
    const cold = await loadAndAsk(digitsPackage, cache);
    if (cold.kind !== "cold") throw new Error(cold.kind);
    const folder = entryOf(cache);
    const plan = JSON.parse(readFileSync(join(folder, "plan.json"), "utf8"));
    const { body } = plan;
    const broken = { ...body, graph: { ...body.graph, name: "1.onnx" } };
    const changed = { ...plan, body: { kind: "pipeline", function: body.function, stages: [body, broken] } };
    const files = {
      "0.onnx": readFileSync(join(folder, "0.onnx")),
      "0.bin": readFileSync(join(folder, "0.bin")),
      "1.onnx": "not ONNX",
      "plan.json": JSON.stringify(changed),
    };
    cache.prune({ maxBytes: 0 });
    const draft = await cache.begin(cold.key);
    if (draft.kind !== "draft") throw new Error("no draft");
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(draft.folder, name), bytes);
    const published = draft.publish({ createdEpochMs: 0, compileMs: 0, origin });
    draft[Symbol.dispose]();
    if (published.kind === "entry") published.entry[Symbol.dispose]();
    const again = await loadAndAsk(digitsPackage, cache);
    expect(again.kind).toBe("cold");
    expect(again.answers).toEqual(cold.answers);
  });

  test("nobody can read or replace does not keep a model from being loaded", async () => {
    const cache = newCache();
    const cold = await loadAndAsk(digitsPackage, cache);
    const entries = join(cache.folder, "entries");
    rmSync(entries, { recursive: true });
    writeFileSync(entries, "in the way");
    const messages: string[] = [];
    const telemetry = { log: (_: string, message: string) => void messages.push(message) };
    const result = await loadAndAsk(digitsPackage, cache, { telemetry });
    expect(result.kind).toBe("none");
    expect(result.answers).toEqual(cold.answers);
    expect(messages).toContain("compile cache failed");
  });
});

describe("loading only what was compiled before", () => {
  async function ask(cache: CompileCache | undefined, functionName?: string) {
    const runtime = await portableRuntime();
    const library = "the library of the tests";
    const file = loadCompiled(digitsPackage, { cache, runtime, library, threads: 1, functionName });
    if (file === undefined) return undefined;
    await using held = file;
    return { kind: held.cache.kind, answers: await answersOf(held.loaded) };
  }

  test("finds it, and makes nothing where there is none", async () => {
    const cache = newCache();
    expect(await ask(undefined)).toBeUndefined();
    expect(await ask(cache)).toBeUndefined();
    expect(cache.list().entries).toEqual([]);
    const { answers } = await loadAndAsk(digitsPackage, cache);
    expect(await ask(cache)).toEqual({ kind: "warm", answers });
    expect(await ask(cache, "main")).toEqual({ kind: "warm", answers });
    expect(await ask(cache, "other")).toBeUndefined();
  });

  test("does without an entry that is damaged", async () => {
    const cache = newCache();
    await loadAndAsk(digitsPackage, cache);
    truncateSync(join(entryOf(cache), "0.bin"), 10);
    expect(await ask(cache)).toBeUndefined();
    expect(await ask(cache)).toBeUndefined();
  });
});

describe("a graph that ONNX Runtime cannot write", () => {
  /** Lets the library write, and then ruins what it wrote. */
  async function ruining(
    ruin: (path: string) => void,
  ): Promise<Pick<OnnxRuntime, "createSession" | "version">> {
    const runtime = await portableRuntime();
    return {
      version: runtime.version,
      createSession(bytes, options) {
        const session = runtime.createSession(bytes, options);
        const saved = options?.saveOptimized;
        if (saved) ruin(join(saved.folder, saved.graphName));
        return session;
      },
    };
  }

  test.each([
    ["in a way that it can read again", (path: string) => writeFileSync(path, "not ONNX")],
    [
      "with the inputs it had",
      (path: string) => {
        writeFileSync(path, readFileSync(resolve(import.meta.dir, "../../fixtures/onnx/add.onnx")));
      },
    ],
  ])("%s is kept as it was lowered", async (_, ruin) => {
    const cache = newCache();
    const cold = await loadAndAsk(digitsPackage, cache, { runtime: await ruining(ruin) });
    expect(cold.kind).toBe("cold");
    expect(formsOf(entryOf(cache))).toEqual(["lowered"]);
    expect(readdirSync(entryOf(cache)).toSorted()).toEqual(["0.onnx", "manifest.json", "plan.json"]);
    const warm = await loadAndAsk(digitsPackage, cache);
    expect(warm.kind).toBe("warm");
    expect(warm.answers).toEqual(await askWithout(digitsPackage));
  });
});

describe("what is not kept", () => {
  test("without a cache nothing is", async () => {
    const without = { kind: "none", reason: "there is no cache", digest: undefined };
    expect(await loadAndAsk(digitsPackage, undefined)).toMatchObject(without);
    using model = await openModel(digitsPackage);
    const digest = await computeDigest(model);
    expect(await loadAndAsk(digitsPackage, undefined, { withDigest: true })).toMatchObject({
      ...without,
      digest,
    });
  });

  test("a model larger than the cache is not, and leaves what is there", async () => {
    const cache = newCache({ maxBytes: 1_000_000 });
    await loadAndAsk(digitsPackage, cache);
    const path = sharedPath("models/reference/mobilenet_v2_int8/model.mlpackage");
    const result = await loadAndAsk(path, cache);
    expect(result).toMatchObject({
      kind: "none",
      reason: expect.stringMatching(
        /^Cannot keep the compiled model: it takes \d+ bytes, and the cache may take 1000000$/,
      ),
    });
    expect(result.answers).toEqual(await askWithout(path));
    expect(cache.list().entries.length).toBe(1);
  });

  test("a model of a kind that is no graph is not, and its own error is told", async () => {
    const path = sharedPath("models/mnist-umerzia/MNISTClassifier.mlmodel");
    const cache = newCache();
    expect(await rejectionOf(load(path, cache))).toMatchObject({ code: "UNSUPPORTED" });
    expect(cache.list().entries).toEqual([]);
  });

  test("a function that does not exist is told, warm and cold", async () => {
    const cache = newCache();
    for (let i = 0; i < 2; i++) {
      const error = await rejectionOf(load(digitsPackage, cache, { functionName: "nothing" }));
      expect(error).toMatchObject({ code: "NOT_FOUND", message: expect.stringContaining('"nothing"') });
      await loadAndAsk(digitsPackage, cache);
    }
  });

  test("a model that ONNX Runtime refuses is told as without a cache, and leaves no draft", async () => {
    const runtime = await portableRuntime();
    let isBroken = true;
    const broken: Pick<OnnxRuntime, "createSession" | "version"> = {
      version: runtime.version,
      createSession(bytes, options) {
        if (isBroken) throw new Error("out of order");
        return runtime.createSession(bytes, options);
      },
    };
    const cache = newCache();
    const result = await loadAndAsk(digitsPackage, cache, { runtime: broken });
    expect(result).toMatchObject({ kind: "none", reason: "out of order" });
    expect(readdirSync(join(cache.folder, "drafts"))).toEqual([]);
    isBroken = false;
    expect((await loadAndAsk(digitsPackage, cache, { runtime: broken })).kind).toBe("cold");
  });

  test("a missing model is told", async () => {
    const error = await rejectionOf(load(join(temp.path, "missing.mlpackage"), newCache()));
    expect(error).toMatchObject({ code: "BAD_MODEL" });
  });

  test("a package of thousands of files is loaded, and not kept", async () => {
    const path = copyOfDigits();
    const more = join(path, "Data/more");
    mkdirSync(more);
    for (let i = 0; i < 2_001; i++) writeFileSync(join(more, String(i)), "");
    expect(await loadAndAsk(path, newCache())).toMatchObject({
      kind: "none",
      reason: "the state of its files cannot be noted",
    });
    expect(existsSync(more)).toBe(true);
  });
});
