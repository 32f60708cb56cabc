import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  f32,
  type FeatureValue,
  isTensor,
  numbersOf,
  type Tensor,
  tensorOf,
  zeros,
} from "../../../src/core/tensor.ts";
import { compileModel } from "../../../src/runtime/compile.ts";
import { openSession } from "../../../src/runtime/session.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { digitPicture, digitsPackage } from "../../support/digits.ts";
import {
  operation,
  port,
  writeProgram,
  writeSlowModel,
  writeSumModel,
} from "../../support/program-models.ts";
import { tempFolder } from "../../support/temp.ts";

const stateful = resolve(import.meta.dir, "../../fixtures/formats/stateful.mlpackage");
const ones = tensorOf("float16", Array<number>(16).fill(1));
const shape = [2, 3];
const left = f32([1, 2, 3, 4, 5, 6], shape);
const pair = new Map<string, FeatureValue>([
  ["left", left],
  ["right", left],
]);
const doubled = f32([2, 4, 6, 8, 10, 12], shape);

/** 64 KiB and more: so much is not copied. */
const wide = [128, 128] as const;

function writeWideSum(folder: string): string {
  const [x, sum] = [port("x", "float32", wide), port("sum", "float32", wide)];
  return writeProgram(join(folder, "wide.mlpackage"), {
    inputs: [x],
    outputs: [sum],
    operations: [operation("add", { x: "x", y: "x" }, sum)],
  });
}

function numbered([height, width]: readonly [number, number]): Tensor {
  return f32(
    Array.from({ length: height * width }, (_, i) => i),
    [height, width],
  );
}

function array(values: ReadonlyMap<string, FeatureValue>, name: string): Tensor {
  const value = values.get(name);
  if (value === undefined || !isTensor(value)) throw new Error(`no array "${name}"`);
  return value;
}

describe("memory", () => {
  test("after warm-up no prediction allocates tensor memory, and everything comes back", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeSumModel(join(folder.path, "sum.mlpackage")));
    for (let i = 0; i < 50; i++) await model.predict(pair);
    const before = session.stats.bufferPool;
    for (let i = 0; i < 500; i++) expect(await model.predict(pair)).toEqual(new Map([["sum", doubled]]));
    const after = session.stats.bufferPool;
    expect(after?.allocations).toBe(before?.allocations ?? -1);
    expect((after?.hits ?? 0) - (before?.hits ?? 0)).toBe(3 * 500); // two inputs and one output each
    expect(after).toMatchObject({ lentCount: 0, quarantinedCount: 0 });
  });

  test("a leased result is the pool's own memory until it is given back", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeSumModel(join(folder.path, "sum.mlpackage")));
    const lease = await model.predictLeased(pair);
    expect(array(lease.outputs, "sum")).toEqual(doubled);
    expect(session.stats.bufferPool?.lentCount).toBe(3);
    lease[Symbol.dispose]();
    lease[Symbol.dispose]();
    expect(session.stats.bufferPool?.lentCount).toBe(0);
  });

  test("a copied result stays what it was when its memory is lent again", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeSumModel(join(folder.path, "sum.mlpackage")));
    const first = array(await model.predict(pair), "sum");
    const zero = zeros("float32", shape);
    await model.predict(
      new Map([
        ["left", zero],
        ["right", zero],
      ]),
    );
    expect(first).toEqual(doubled);
  });

  test("a large array is read where the caller has it, and a large result is the caller's alone", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeWideSum(folder.path));
    const x = numbered(wide);
    const first = array(await model.predict(new Map([["x", x]])), "sum");
    expect(session.stats.bufferPool).toMatchObject({ allocations: 0, lentCount: 0 });
    const second = array(await model.predict(new Map([["x", zeros("float32", wide)]])), "sum");
    await session[Symbol.asyncDispose]();
    expect(numbersOf(first)).toEqual(numbersOf(x).map((value) => 2 * value));
    expect(numbersOf(second)).toEqual(new Float64Array(wide[0] * wide[1]));
    expect(first.bytes.buffer).not.toBe(second.bytes.buffer);
    expect(numbersOf(x)).toEqual(numbersOf(numbered(wide)));
  });

  test("the shape may change from call to call, and so may the array that tells it", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeWideSum(folder.path));
    const changing: number[] = [...wide];
    const x = { ...numbered(wide), shape: changing };
    const expected = await model.predict(new Map([["x", x]]));
    expect(await model.predict(new Map([["x", x]]))).toEqual(expected);
    changing[0] = 1;
    expect((await rejectionOf(model.predict(new Map([["x", x]])))).code).toBe("BAD_INPUT");
    changing[0] = wide[0];
    expect(await model.predict(new Map([["x", x]]))).toEqual(expected);
  });

  test("an array in memory that can shrink is copied first", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeWideSum(folder.path));
    const { bytes } = numbered(wide);
    const memory = new ArrayBuffer(bytes.byteLength, { maxByteLength: 2 * bytes.byteLength });
    const shrinking = new Uint8Array(memory);
    shrinking.set(bytes);
    const answer = model.predict(new Map([["x", { dtype: "float32", shape: wide, bytes: shrinking }]]));
    await new Promise((tick) => setImmediate(tick));
    memory.resize(0);
    expect(numbersOf(array(await answer, "sum"))).toEqual(
      numbersOf(numbered(wide)).map((value) => 2 * value),
    );
  });

  test("a result above the limit lies in a mapped file that another process could read", async () => {
    using folder = tempFolder();
    await using session = await openSession({ maxInlineBytes: 16, outputDir: join(folder.path, "outputs") });
    const model = await session.load(writeSumModel(join(folder.path, "sum.mlpackage")));
    let path = "";
    {
      using lease = await model.predictLeased(pair);
      const output = lease.mapped.get("sum");
      expect(output?.kind).toBe("mapped");
      if (output?.kind !== "mapped") return;
      ({ path } = output.publish());
      expect(new Uint8Array(await Bun.file(path).arrayBuffer())).toEqual(doubled.bytes);
      expect(array(lease.outputs, "sum")).toEqual(doubled);
      expect(session.stats.outputs).toMatchObject({ files: 1 });
    }
    expect(existsSync(path)).toBe(false);
    expect(array(await model.predict(pair), "sum")).toEqual(doubled);
  });
});

describe("several instances", () => {
  test("concurrent answers are bit-equal to those of one caller, and weights are loaded once", async () => {
    await using session = await openSession();
    const pictures = await Promise.all(Array.from({ length: 10 }, (_, digit) => digitPicture(digit)));
    const alone = await session.load(digitsPackage, { threads: 1 });
    const expected = [];
    for (const image of pictures) expected.push(await alone.predict(new Map([["image", image]])));
    for (const instances of [1, 2, 3, 4]) {
      const model = await session.load(digitsPackage, { instances });
      const got = await Promise.all(pictures.map((image) => model.predict(new Map([["image", image]]))));
      expect(got).toEqual(expected);
      expect(model.stats.instances.idle).toBeLessThanOrEqual(instances);
      await model[Symbol.asyncDispose]();
    }
  });

  test("a full queue refuses, those in it are answered", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeSumModel(join(folder.path, "sum.mlpackage")), { queueLimit: 2 });
    const all = Array.from({ length: 8 }, () =>
      model.predict(pair).then(
        () => "answered",
        (error: { code: string }) => error.code,
      ),
    );
    const outcomes = await Promise.all(all);
    expect(outcomes.filter((outcome) => outcome === "answered").length).toBeGreaterThanOrEqual(3);
    expect(outcomes.filter((outcome) => outcome === "OVERLOADED").length).toBeGreaterThanOrEqual(1);
    expect(model.stats).toMatchObject({
      queue: { pending: 0, highWater: 2, limit: 2 },
      requests: { failed: expect.any(Number) },
    });
    expect(model.stats.requests.failuresByReason.rejected).toBe(model.stats.queue.rejected);
  });
});

describe("calls that are given up", () => {
  test("their memory is in quarantine until the engine has stopped, then it is lent again", async () => {
    using folder = tempFolder();
    await using session = await openSession({ maxInlineBytes: 2 ** 30 });
    const model = await session.load(writeSlowModel(join(folder.path, "slow.mlpackage"), 8), {
      instances: 1,
    });
    const x = new Map([["x", zeros("float32", [2048, 2048])]]);
    const late = await rejectionOf(model.predictLeased(x, { timeoutMs: 15 }));
    expect(late.code).toBe("DEADLINE");
    expect(session.stats.bufferPool?.quarantinedCount).toBeGreaterThan(0);
    expect(model.stats.instances.poisoned).toBe(1);
    // The next call has to wait until the cancelled run has left its instance.
    const abort = new AbortController();
    const next = rejectionOf(model.predictLeased(x, { signal: abort.signal, timeoutMs: 60_000 }));
    while (session.stats.bufferPool?.quarantinedCount !== 0) await new Promise((tick) => setImmediate(tick));
    abort.abort();
    expect((await next).code).toBe("INTERRUPTED");
    while (session.stats.bufferPool?.quarantinedCount !== 0) await new Promise((tick) => setImmediate(tick));
    expect(session.stats.bufferPool).toMatchObject({ lentCount: 0 });
    expect(model.stats.instances).toMatchObject({ abandonedThreads: 0, poisoned: 0 });
  }, 20_000); // it computes for seconds where the machine is busy

  test("waiting for an instance counts against the deadline, and the place in the queue is given up", async () => {
    using folder = tempFolder();
    await using session = await openSession();
    const model = await session.load(writeSlowModel(join(folder.path, "slow.mlpackage"), 8), {
      instances: 1,
    });
    const x = new Map([["x", zeros("float32", [2048, 2048])]]);
    const abort = new AbortController();
    const busy = rejectionOf(model.predict(x, { signal: abort.signal, timeoutMs: 60_000 }));
    expect((await rejectionOf(model.predict(x, { timeoutMs: 10 }))).code).toBe("DEADLINE");
    expect(model.stats.queue.pending).toBe(0);
    abort.abort();
    await busy;
  });

  test("a state that was in use is over, not half-written", async () => {
    await using session = await openSession();
    const model = await session.load(stateful);
    const state = await model.newState();
    const abort = new AbortController();
    const call = rejectionOf(model.predict(new Map([["x", ones]]), { state, signal: abort.signal }));
    abort.abort();
    expect((await call).code).toBe("INTERRUPTED");
    const late = await state.read().then(
      (values) => array(values, "memory"),
      (error: { code: string }) => error.code,
    );
    // Either the call was taken back before it began, or its state is gone.
    expect(typeof late === "string" ? late : numbersOf(late)).toEqual(
      typeof late === "string" ? "NOT_FOUND" : new Float64Array(16),
    );
    await state[Symbol.asyncDispose]();
  });
});

describe("states", () => {
  test("one state serves one call at a time", async () => {
    await using session = await openSession();
    const model = await session.load(stateful, { instances: 2 });
    await using state = await model.newState();
    const inputs = new Map([["x", ones]]);
    const outcomes = await Promise.allSettled([
      model.predict(inputs, { state }),
      model.predict(inputs, { state }),
    ]);
    expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual(["fulfilled", "rejected"]);
    await model.predict(inputs, { state });
  });

  test("buffers are swapped, not copied, and given back at the end", async () => {
    await using session = await openSession();
    const model = await session.load(stateful);
    const state = await model.newState();
    for (let i = 0; i < 20; i++) await model.predict(new Map([["x", ones]]), { state });
    const { allocations = 0 } = session.stats.bufferPool ?? {};
    expect(allocations).toBeLessThanOrEqual(4);
    await state[Symbol.asyncDispose]();
    expect(session.stats.bufferPool?.lentCount).toBe(0);
    expect((await rejectionOf(model.predict(new Map([["x", ones]]), { state }))).code).toBe("NOT_FOUND");
  });

  test("a state that is closed while a prediction uses it leaves its memory to that prediction", async () => {
    await using session = await openSession();
    const model = await session.load(stateful);
    const state = await model.newState();
    const call = model.predict(new Map([["x", ones]]), { state });
    await state[Symbol.asyncDispose]();
    expect(session.stats.bufferPool?.lentCount).toBeGreaterThan(0);
    await call;
    expect(session.stats.bufferPool?.lentCount).toBe(0);
  });

  test("a stateless call of a stateful model leaves nothing behind", async () => {
    await using session = await openSession();
    const model = await session.load(stateful);
    for (let i = 0; i < 5; i++) await model.predict(new Map([["x", ones]]));
    expect(session.stats.bufferPool).toMatchObject({ lentCount: 0, quarantinedCount: 0 });
  });
});

test("a model runs in the caller's thread from the start where that is asked for", async () => {
  using folder = tempFolder();
  await using session = await openSession();
  const model = await session.load(writeSumModel(join(folder.path, "sum.mlpackage")), { inline: "always" });
  expect(model.isInline).toBe(true);
  expect(await model.predict(pair)).toEqual(new Map([["sum", doubled]]));
  expect(model.stats.requests).toMatchObject({ succeeded: 1, failed: 0 });
  const refused = await rejectionOf(session.load(stateful, { inline: "always" }));
  expect(refused).toMatchObject({
    code: "UNSUPPORTED",
    message: 'Cannot run "stateful" in the caller\'s thread',
  });
  expect(session.stats.models).toHaveLength(1);
});

test("a model found small moves into the caller's thread, and answers the same", async () => {
  using folder = tempFolder();
  await using session = await openSession();
  const model = await session.load(writeSumModel(join(folder.path, "sum.mlpackage")), { inline: "auto" });
  for (let i = 0; i < 2_000 && !model.isInline; i++) await model.predict(pair);
  expect(model.isInline).toBe(true);
  expect(await model.predict(pair)).toEqual(new Map([["sum", doubled]]));
  expect((await rejectionOf(model.predict(pair, { signal: AbortSignal.abort() }))).code).toBe("INTERRUPTED");
});

test("the breaker opens after engine faults, refuses quickly, and counts what it did", async () => {
  using folder = tempFolder();
  await using session = await openSession();
  // An index outside of the table is an error of the run.
  const y = port("y", "int32", [1]);
  const path = writeProgram(join(folder.path, "look-up.mlpackage"), {
    inputs: [port("table", "int32", [4]), port("index", "int32", [1])],
    outputs: [y],
    operations: [operation("gather", { x: "table", indices: "index" }, y)],
  });
  const model = await session.load(path, { breaker: { consecutiveFaults: 3 } });
  const table = tensorOf("int32", [1, 2, 3, 4]);
  const at = (index: number) =>
    new Map([
      ["table", table],
      ["index", tensorOf("int32", [index])],
    ]);
  expect(await model.predict(at(2))).toEqual(new Map([["y", tensorOf("int32", [3])]]));
  const bad = at(9);
  for (let i = 0; i < 3; i++) expect((await rejectionOf(model.predict(bad))).code).toBe("NATIVE");
  expect(await rejectionOf(model.predict(bad))).toMatchObject({ code: "UNAVAILABLE" });
  expect(model.stats.breaker).toMatchObject({ state: "open", trips: 1, rejections: 1 });
});

test("a model that was compiled before loads from the cache, with the same answers, until it changes", async () => {
  using folder = tempFolder();
  const path = join(folder.path, "Digits.mlpackage");
  cpSync(digitsPackage, path, { recursive: true });
  const cacheDir = join(folder.path, "cache");
  const picture = new Map([["image", await digitPicture(8)]]);
  await using session = await openSession({ cacheDir });
  const cold = await session.load(path);
  expect(cold.isWarm).toBe(false);
  await compileModel(path, { cacheDir });
  const warm = await session.load(path, { withDigest: true, instances: 2 });
  expect([warm.isWarm, warm.stats.load.cache]).toEqual([true, "warm"]);
  expect(warm.digest).toMatch(/^[0-9a-f]{64}$/);
  expect(await warm.predict(picture)).toEqual(await cold.predict(picture));
  expect(warm.description).toEqual(cold.description);
  const weights = join(path, "Data/com.apple.CoreML/weights/weight.bin");
  const bytes = readFileSync(weights);
  bytes.set([1, 2, 3], bytes.length - 8);
  writeFileSync(weights, bytes);
  expect((await session.load(path)).isWarm).toBe(false);
});
