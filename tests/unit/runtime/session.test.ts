import { afterAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { join } from "node:path";
import { CoremlxError } from "../../../src/core/errors.ts";
import { type FeatureValue, tensorOf } from "../../../src/core/tensor.ts";
import { SessionMetrics } from "../../../src/runtime/metrics/metrics.ts";
import { exportOnnx } from "../../../src/runtime/export.ts";
import { inspectModel } from "../../../src/runtime/inspect.ts";
import { Instance } from "../../../src/runtime/pool/instance.ts";
import { BufferPool } from "../../../src/runtime/buffers/buffer-pool.ts";
import type { LoadReply } from "../../../src/runtime/worker/protocol.ts";
import { ModelService, toWireError } from "../../../src/runtime/worker/service.ts";
import { share } from "../../../src/runtime/worker/shared-tensor.ts";
import { defaultCacheDir, openSession } from "../../../src/runtime/session.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { digitPicture, digitsPackage } from "../../support/digits.ts";
import { writeSlowModel } from "../../support/program-models.ts";
import { sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp.ts";

const stateful = resolve(import.meta.dir, "../../fixtures/formats/stateful.mlpackage");
const ones = tensorOf("float16", Array<number>(16).fill(1));
// The weight of the fixture: sixteen halves from 0 to 1.
const scale = Array.from({ length: 16 }, (_, i) => i / 15);
const cacheDir = defaultCacheDir();
const load = {
  type: "load",
  path: digitsPackage,
  engine: { engine: "portable", cacheDir },
  functionName: undefined,
  device: "auto",
  threads: 1,
  withDigest: true,
} as const;

describe("the body of a worker", () => {
  const service = new ModelService();
  afterAll(async () => {
    await service.answer({ type: "close" });
  });

  test("refuses to predict before a model is loaded", async () => {
    const early = service.answer({ type: "predict", inputs: new Map() });
    expect((await rejectionOf(early)).message).toContain("no model is loaded");
    const raw = service.answer({ type: "run", inputs: [], outputs: [] });
    expect((await rejectionOf(raw)).message).toContain("no model is loaded");
  });

  test("loads, predicts by features, and runs on memory that lies ready", async () => {
    const reply = await service.answer({ ...load, path: stateful });
    expect(reply).toMatchObject({
      engine: "portable",
      device: "cpu",
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      function: { name: "accumulate" },
      graph: { ports: { inputs: [{ name: "x" }], states: [{ feature: "memory" }] } },
    });
    expect((await rejectionOf(service.answer(load))).message).toContain("second model");
    expect(await service.answer({ type: "predict", inputs: new Map([["x", ones]]) })).toMatchObject({
      outputs: new Map([["y", tensorOf("float16", scale)]]),
      runMs: expect.any(Number),
    });
    using pool = new BufferPool();
    using x = pool.acquire("float16", [16]);
    using memory = pool.acquire("float16", [16]);
    using y = pool.acquire("float16", [16]);
    x.bytes.set(ones.bytes);
    memory.bytes.fill(0);
    const answer = await service.answer({
      type: "run",
      inputs: [share("x", x), share("memory", memory)],
      outputs: [share("y", y)],
    });
    expect(y.tensor).toEqual(tensorOf("float16", scale));
    expect(answer).toMatchObject({ results: new Map([["memory__out", tensorOf("float16", scale)]]) });
  });

  test("lets another service adopt its graph", async () => {
    const any: unknown = expect.any(Number);
    const other = new ModelService();
    const { graph } = (await new ModelService().answer({ ...load })) as LoadReply;
    expect(
      await other.answer({ type: "adopt", share: graph?.share ?? { session: 0, libraryPath: "" } }),
    ).toEqual(Array(2).fill({ kind: "ort", runOptions: any, setTerminate: any, unsetTerminate: any }));
    await other.answer({ type: "close" });
    await other.answer({ type: "close" });
    await service.answer({ type: "close" });
  });

  test("can load again after a failed load", async () => {
    const missing = service.answer({ ...load, functionName: "nope" });
    expect((await rejectionOf(missing)).code).toBe("NOT_FOUND");
    expect(await service.answer(load)).toMatchObject({ function: { name: "main" } });
  });

  test("any failure crosses threads with its code", () => {
    const details = { name: "x" };
    expect(toWireError(new CoremlxError("BAD_INPUT", "no", { hint: "try", details }))).toEqual({
      code: "BAD_INPUT",
      message: "no",
      hint: "try",
      details,
    });
    expect(toWireError("odd")).toMatchObject({ code: "INTERNAL", message: "odd" });
  });
});

describe("a session", () => {
  test("loads a model, predicts and describes it", async () => {
    await using session = await openSession();
    const model = await session.load(digitsPackage, { withDigest: true, threads: 1 });
    expect(model).toMatchObject({
      engine: "portable",
      device: "cpu",
      engineVersion: expect.stringContaining("ONNX Runtime"),
      states: [],
      description: { kind: "mlProgram" },
      function: { name: "main" },
      timings: { openMs: expect.any(Number), compileMs: expect.any(Number), loadMs: expect.any(Number) },
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(model.inputs.map((input) => input.name)).toEqual(["image"]);
    expect(model.outputs.map((output) => output.name)).toEqual(["classLabel", "classLabel_probs"]);
    const outputs = await model.predict(new Map([["image", await digitPicture(5)]]));
    expect(outputs.get("classLabel")).toBe("5");
  });

  test("answers concurrent predictions each with its own result", async () => {
    await using session = await openSession();
    const model = await session.load(digitsPackage);
    const digits = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    const labels = await Promise.all(
      digits.map(async (digit) =>
        (await model.predict(new Map([["image", await digitPicture(digit)]]))).get("classLabel"),
      ),
    );
    expect(labels).toEqual(digits.map(String));
  });

  test("keeps the states of two sequences apart", async () => {
    await using session = await openSession();
    const model = await session.load(stateful, { functionName: "reset" });
    await using a = await model.newState();
    await using b = await model.newState();
    await a.write(new Map([["memory", ones]]));
    await model.predict(new Map([["x", ones]]), { state: b });
    expect(await a.read()).toEqual(new Map([["memory", ones]]));
    expect((await rejectionOf(a.write(new Map([["nope", ones]])))).code).toBe("NOT_FOUND");
  });

  test("names unknown and missing inputs before anything runs", async () => {
    await using session = await openSession();
    const model = await session.load(digitsPackage);
    const picture: FeatureValue = await digitPicture(1);
    expect(await rejectionOf(model.predict(new Map([["imgae", picture]])))).toMatchObject({
      code: "BAD_INPUT",
      message: 'Unknown input "imgae"',
      hint: 'Did you mean "image"?',
    });
    expect(await rejectionOf(model.predict(new Map()))).toMatchObject({
      code: "BAD_INPUT",
      hint: expect.stringContaining("--input image="),
    });
  });

  test("gives back the worker of a model that does not load", async () => {
    await using session = await openSession({ engine: "coreml" });
    expect((await rejectionOf(session.load(digitsPackage))).code).toBe("UNSUPPORTED");
    await using other = await openSession();
    expect((await rejectionOf(other.load("/nonexistent.mlpackage"))).code).toBe("BAD_MODEL");
  });

  test("a deadline or an abort ends the wait at once, and the instance is not used again", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const slow = writeSlowModel(join(folder.path, "slow.mlpackage"), 12);
    const x = new Map([["x", tensorOf("float32", [], [2048, 2048])]]);
    x.set("x", {
      dtype: "float32",
      shape: [2048, 2048],
      bytes: new Uint8Array(new ArrayBuffer(2048 * 2048 * 4)),
    });
    const model = await session.load(slow);
    const started = performance.now();
    const late = await rejectionOf(model.predict(x, { timeoutMs: 20 }));
    expect(late).toMatchObject({ code: "DEADLINE", details: { timeoutMs: 20 } });
    expect(performance.now() - started).toBeLessThan(1_000);
    // The engine was told to stop: the instance is free again after the node it was in.
    expect((await rejectionOf(model.predict(x, { timeoutMs: 20 }))).code).toBe("DEADLINE");
    expect(model.stats.instances).toMatchObject({ abandonedThreads: 0, replaced: 0 });
    const second = await session.load(slow);
    const abort = new AbortController();
    const cancelled = rejectionOf(second.predict(x, { signal: abort.signal }));
    abort.abort();
    expect((await cancelled).code).toBe("INTERRUPTED");
    const third = await session.load(digitsPackage);
    const given = third.predict(new Map([["image", await digitPicture(1)]]), { signal: AbortSignal.abort() });
    expect((await rejectionOf(given)).code).toBe("INTERRUPTED");
    expect(
      (
        await third.predict(new Map([["image", await digitPicture(1)]]), {
          timeoutMs: Number.POSITIVE_INFINITY,
        })
      ).get("classLabel"),
    ).toBe("1");
  });

  test("a closed model refuses, and closing twice is harmless", async () => {
    await using session = await openSession();
    const model = await session.load(digitsPackage);
    await model[Symbol.asyncDispose]();
    await model[Symbol.asyncDispose]();
    const late = model.predict(new Map([["image", await digitPicture(1)]]));
    expect((await rejectionOf(late)).code).toBe("UNAVAILABLE");
  });

  test("a worker that is closed while it works settles every call", async () => {
    const instance = new Instance();
    await instance.call(load);
    const pending = rejectionOf(instance.call({ type: "predict", inputs: new Map() }));
    await instance[Symbol.asyncDispose]();
    expect(["UNAVAILABLE", "BAD_INPUT"]).toContain((await pending).code);
    expect(instance.isEnded).toBe(true);
    expect((await rejectionOf(instance.call({ type: "close" }))).code).toBe("UNAVAILABLE");
    expect(instance.cancel()).toBe(false);
  });
});

describe("inspection and export", () => {
  test("inspect lists ops in order with their types, and the digest", async () => {
    const inspection = await inspectModel(stateful, { withOps: true, withDigest: true });
    expect(inspection.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(inspection.operations?.map(({ fn, type, outputs }) => ({ fn, type, outputs }))).toContainEqual({
      fn: "accumulate",
      type: "read_state",
      outputs: "float16 [16]",
    });
    expect(inspection.engines.portable).toEqual({ isSupported: true, reason: "every op has a lowering" });
  });

  test("inspect warns of infinite constants", async () => {
    const silero = await inspectModel(sharedPath("models/silero-vad-mlmodelc/silero_vad.mlmodelc"));
    expect(silero.warnings).toEqual([expect.stringContaining("infinite constants")]);
  });

  test("inspect says why the portable engine cannot run a model", async () => {
    const network = await inspectModel(sharedPath("models/mnist-umerzia/MNISTClassifier.mlmodel"), {
      withOps: true,
    });
    expect(network.engines.portable).toMatchObject({
      isSupported: false,
      reason: expect.stringContaining("neuralNetwork"),
    });
    expect(network.operations).toEqual([]);
    expect(network.ops.length).toBeGreaterThan(0);
    const pipeline = await inspectModel(sharedPath("models/names-dt/NamesDT.mlmodel"), { withOps: true });
    expect(pipeline.engines.portable.isSupported).toBe(false);
  });

  test("a program can be exported, another kind is refused", async () => {
    const sizeOf = ({ model, data }: { model: Uint8Array; data: unknown }) => ({ bytes: model.length, data });
    const digits = await exportOnnx(digitsPackage, { fileName: "d.onnx" }, sizeOf);
    expect(digits.bytes).toBeGreaterThan(100_000);
    expect(digits.data).toBeUndefined();
    const options = { fileName: "s.onnx", functionName: "reset", precision: "model" } as const;
    expect((await exportOnnx(stateful, options, sizeOf)).bytes).toBeGreaterThan(100);
    const network = sharedPath("models/mnist-umerzia/MNISTClassifier.mlmodel");
    expect((await rejectionOf(exportOnnx(network, { fileName: "m.onnx" }, sizeOf))).code).toBe("UNSUPPORTED");
  });
});

describe("a name of choice", () => {
  test("is the model's in its stats and metrics, beside a version", async () => {
    const metrics = new SessionMetrics();
    await using session = await openSession({ telemetry: { log() {}, meters: metrics } });
    const model = await session.load(digitsPackage, { name: "mnist", version: "3", threads: "share" });
    await model.predict(new Map([["image", await digitPicture(1)]]));
    expect(model.name).toBe("mnist");
    expect(model.stats).toMatchObject({ model: "mnist", version: "3" });
    expect(metrics.snapshot().coremlx_inference_success_total).toEqual([
      { labels: { model: "mnist", version: "3" }, value: 1 },
    ]);
  });
});
