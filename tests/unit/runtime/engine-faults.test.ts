// What a session makes of an engine that fails, hangs, answers nonsense, or whose process dies or leaks.

import { afterAll, describe, expect, test } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { LogFields } from "../../../src/core/telemetry.ts";
import { type FeatureValue, numbersOf, tensorOf } from "../../../src/core/tensor.ts";
import { type LoadModelOptions, openSession, type SessionModel } from "../../../src/runtime/session.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { openFakeChild, openFakeInstance } from "../../support/runtime/fake-instances.ts";
import { codeOf, type FaultCode, leakBytes } from "../../support/runtime/fault-codes.ts";
import { tempFolder } from "../../support/temp.ts";

const stateful = resolve(import.meta.dir, "../../fixtures/formats/stateful.mlpackage");
const patient = { consecutiveFaults: 1_000, faultRate: 0.99, minimumCalls: 1_000 };

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const cacheDir = join(folder.path, "cache");

interface Event {
  readonly event: string;
  readonly fields: LogFields | undefined;
}

async function openFakeSession(openInstance: () => ReturnType<typeof openFakeInstance> = openFakeInstance) {
  const events: Event[] = [];
  const telemetry = {
    log: (_: string, event: string, fields?: LogFields) => void events.push({ event, fields }),
  };
  const session = await openSession({ cacheDir, telemetry }, { openInstance });
  const eventsOf = (name: string) => events.filter(({ event }) => event === name).map(({ fields }) => fields);
  return { session, eventsOf };
}

const inputs = (fault?: FaultCode) =>
  new Map<string, FeatureValue>([["x", tensorOf("float16", [codeOf(fault), ...Array<number>(15).fill(1)])]]);

const turn = () => new Promise<void>((done) => setImmediate(done));

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn();
}

/** One right answer. */
async function expectAnswer(model: SessionModel): Promise<void> {
  const y = (await model.predict(inputs())).get("y");
  // y = x * i/15 for each i, by the model's definition.
  const last = typeof y === "object" && "bytes" in y ? numbersOf(y)[15] : undefined;
  expect(last).toBe(1);
}

describe("an engine that", () => {
  test.each([
    ["error", "NATIVE", "the fake was told to fail"],
    ["no output", "NATIVE", 'The engine gave nothing for the output "y"'],
    ["wrong shape", "NATIVE", 'The engine gave [3] where [16] is declared for the output "y"'],
    ["wrong type", "NATIVE", 'The engine gave int32 where float16 is declared for the output "y"'],
    ["too few bytes", "NATIVE", 'The engine gave 3 bytes, 32 are float16 [16], for the output "y"'],
  ] as const)(
    "gives %s fails that call, counts as a fault, and serves the next",
    async (fault, code, text) => {
      const { session } = await openFakeSession();
      await using _ = session;
      const model = await session.load(stateful, { breaker: { consecutiveFaults: 2 } });
      const error = await rejectionOf(model.predict(inputs(fault)));
      expect(error).toMatchObject({ code, message: expect.stringContaining(text) });
      await expectAnswer(model);
      for (let i = 0; i < 2; i++) await rejectionOf(model.predict(inputs(fault)));
      await turn();
      expect(model.stats.breaker).toMatchObject({ state: "open", trips: 1 });
    },
  );

  test("says that its surfaces are broken is replaced, and the session tells why", async () => {
    const { session, eventsOf } = await openFakeSession();
    await using _ = session;
    const model = await session.load(stateful, { breaker: patient });
    await rejectionOf(model.predict(inputs("broken surfaces")));
    await until(() => model.stats.instances.recycled === 1);
    expect(model.stats.instances).toMatchObject({ recycled: 1, replaced: 0, byReason: { surface: 1 } });
    expect(eventsOf("instance recycled")).toEqual([
      { model: "stateful", reason: "surface", pid: process.pid },
    ]);
    await expectAnswer(model);
  });

  test("is to be recycled by count is, and only then", async () => {
    const { session } = await openFakeSession();
    await using _ = session;
    const never = await session.load(stateful);
    const often = await session.load(stateful, { recycleAfter: 5, inline: "auto" });
    for (let i = 0; i < 21; i++) {
      await expectAnswer(never);
      await expectAnswer(often);
      await until(() => often.stats.instances.idle === 1);
    }
    expect(never.stats.instances.byReason).toEqual({});
    expect(often.stats.instances.byReason.count).toBeGreaterThanOrEqual(3);
    expect(often.stats.instances.byReason.count).toBeLessThanOrEqual(4);
  });
});

describe("threads that hang", () => {
  const hanging: LoadModelOptions = { hangMs: 1, breaker: { ...patient, openMs: 50 } };

  test("are put up with four times; with the fifth the breaker opens, though no call says so", async () => {
    const { session, eventsOf } = await openFakeSession();
    await using _ = session;
    const model = await session.load(stateful, hanging);
    for (let hung = 1; hung <= 5; hung++) {
      expect(model.breaker.state).toBe("closed");
      expect((await rejectionOf(model.predict(inputs("hang"), { timeoutMs: 20 }))).code).toBe("DEADLINE");
      await until(() => model.stats.instances.abandonedThreads === hung);
      if (hung < 5) await expectAnswer(model);
    }
    expect(model.stats.breaker).toMatchObject({ state: "open", trips: 1, reason: "5 threads hang" });
    expect(await rejectionOf(model.predict(inputs()))).toMatchObject({
      code: "UNAVAILABLE",
      details: { stage: "breaker" },
    });
    expect(eventsOf("instance replaced").map((fields) => fields?.["abandonedThreads"])).toEqual([
      1, 2, 3, 4, 5,
    ]);
    expect(eventsOf("circuit breaker open")).toEqual([
      { model: "stateful", reason: "5 threads hang", retryAfterMs: expect.any(Number) },
    ]);
  });
});

describe("the breaker's probe", () => {
  test("runs on an instance made since the breaker opened", async () => {
    let opened = 0;
    const { session } = await openFakeSession(() => {
      opened++;
      return openFakeInstance();
    });
    await using _ = session;
    const model = await session.load(stateful, { breaker: { consecutiveFaults: 2, openMs: 1 } });
    for (let i = 0; i < 2; i++) await rejectionOf(model.predict(inputs("error")));
    await until(() => model.breaker.state === "open");
    // Whenever it comes: before, while or after the replacement is ready.
    for (;;) {
      const outcome = await model.predict(inputs()).then(
        () => "answered",
        (error: { code: string }) => error.code,
      );
      if (outcome === "answered") break;
      expect(outcome).toBe("UNAVAILABLE");
      await turn();
    }
    expect(opened).toBe(2);
    expect(model.stats.instances).toMatchObject({ recycled: 1, byReason: { breaker: 1 } });
    expect(model.stats.breaker).toMatchObject({ state: "closed", probes: 1 });
  });

  test("runs on what there is when no fresh instance can be made", async () => {
    const copy = join(folder.path, "gone.mlpackage");
    cpSync(stateful, copy, { recursive: true });
    const { session, eventsOf } = await openFakeSession();
    await using _ = session;
    const model = await session.load(copy, { breaker: { consecutiveFaults: 1, openMs: 1 } });
    rmSync(copy, { recursive: true });
    await rejectionOf(model.predict(inputs("error")));
    await until(() => eventsOf("instance not made").length === 1);
    for (let isAnswered = false; !isAnswered; await turn()) {
      isAnswered = await model.predict(inputs()).then(
        () => true,
        () => false,
      );
    }
    expect(model.stats.instances).toMatchObject({ recycled: 0, idle: 1 });
  });
});

describe("a breaker in an operator's hands", () => {
  test("is tripped and reset", async () => {
    const { session } = await openFakeSession();
    await using _ = session;
    const model = await session.load(stateful);
    model.breaker.trip("maintenance");
    expect(await rejectionOf(model.predict(inputs()))).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("maintenance"),
    });
    expect(model.stats.breaker).toMatchObject({ state: "open", trips: 1, rejections: 1 });
    model.breaker.reset();
    await expectAnswer(model);
    expect(model.stats.instances.recycled).toBe(0); // it was nobody's fault
  });

  test("goes on in the next process where the last one left off", async () => {
    const { session } = await openFakeSession();
    await using _ = session;
    const before = await session.load(stateful, { breaker: { consecutiveFaults: 1, openMs: 60_000 } });
    await rejectionOf(before.predict(inputs("error")));
    await turn();
    const saved: unknown = JSON.parse(JSON.stringify(before.breaker.save()));
    const after = await session.load(stateful);
    after.breaker.restore(saved);
    expect((await rejectionOf(after.predict(inputs()))).code).toBe("UNAVAILABLE");
    expect(after.stats.breaker).toMatchObject({ state: "open", trips: 1, reason: "a fault" });
    expect(() => after.breaker.restore({ schemaVersion: 2 })).toThrow("its schema version is 2");
  });
});

test("a deadline that passes in the queue is not held against the engine", async () => {
  const { session } = await openFakeSession();
  await using _ = session;
  const model = await session.load(stateful, {
    hangMs: 60_000,
    breaker: { consecutiveFaults: 2, openMs: 60_000 },
  });
  const abort = new AbortController();
  const busy = rejectionOf(model.predict(inputs("hang"), { timeoutMs: 60_000, signal: abort.signal }));
  for (let i = 0; i < 10; i++) {
    const late = await rejectionOf(model.predict(inputs(), { timeoutMs: 5 }));
    expect(late).toMatchObject({ code: "DEADLINE", details: { stage: "waiting" } });
  }
  expect(model.stats.breaker).toMatchObject({ state: "closed", trips: 0 });
  abort.abort();
  await busy;
});

describe("a process of its own", () => {
  const isolated: LoadModelOptions = { isolation: "process", breaker: patient };

  test.each([
    ["SIGSEGV", { signal: "SIGSEGV" }],
    ["SIGBUS", { signal: "SIGBUS" }],
    ["SIGKILL", { signal: "SIGKILL" }],
    ["exit", { exitCode: 7, output: expect.stringContaining("framework: something odd") }],
  ] as const)("that ends by %s fails its call, which tells how, and is replaced", async (fault, death) => {
    const { session, eventsOf } = await openFakeSession(openFakeChild);
    await using _ = session;
    const model = await session.load(stateful, isolated);
    const error = await rejectionOf(model.predict(inputs(fault)));
    expect(error.code).toBe("NATIVE");
    expect(error.message).toContain(
      fault === "exit" ? "exit code 7: fatal error: the surface is gone" : fault,
    );
    const [event] = eventsOf("instance replaced");
    expect(event).toMatchObject({ model: "stateful", reason: "crashed", error: error.message, ...death });
    await expectAnswer(model);
    expect(model.stats.instances).toMatchObject({ replaced: 1, byReason: { crashed: 1 } });
  });

  test("that is killed while idle is replaced at no call's cost", async () => {
    const { session } = await openFakeSession(openFakeChild);
    await using _ = session;
    const model = await session.load(stateful, isolated);
    await expectAnswer(model);
    process.kill(childOf(process.pid), "SIGKILL");
    await until(() => model.stats.instances.replaced === 1);
    await expectAnswer(model);
    expect(model.stats.requests.failed).toBe(0);
  });

  test("that dies at each load is not started as fast as the machine can", async () => {
    let started = 0;
    const { session, eventsOf } = await openFakeSession(() =>
      openFakeChild(started++ === 0 ? "well" : "crash at load"),
    );
    await using _ = session;
    const model = await session.load(stateful, isolated);
    await rejectionOf(model.predict(inputs("SIGSEGV")));
    const ends = performance.now() + 1_500;
    const codes = new Set<string>();
    while (performance.now() < ends) {
      codes.add((await rejectionOf(model.predict(inputs(), { timeoutMs: 20 }))).code);
    }
    // At once, at once, then after 100, 200, 400 and 800 ms at the soonest: 1.5 s have room for no more than five.
    expect(started - 1).toBeGreaterThanOrEqual(2);
    expect(started - 1).toBeLessThanOrEqual(5);
    expect([...codes].filter((code) => code !== "DEADLINE" && code !== "NATIVE")).toEqual([]);
    const [first] = eventsOf("instance not made");
    expect(first).toMatchObject({ model: "stateful", failures: 1, signal: "SIGSEGV" });
  });

  test("that dies at its first load is one failed load", async () => {
    const { session, eventsOf } = await openFakeSession(() => openFakeChild("crash at load"));
    await using _ = session;
    expect(await rejectionOf(session.load(stateful, isolated))).toMatchObject({
      code: "NATIVE",
      message: expect.stringContaining("SIGSEGV"),
    });
    expect(eventsOf("model not loaded")).toEqual([
      { model: "stateful", code: "NATIVE", reason: expect.stringContaining("SIGSEGV") },
    ]);
  });

  test("that leaks is found by its own memory and replaced, while its sound neighbour stays", async () => {
    const { session, eventsOf } = await openFakeSession(openFakeChild);
    await using _ = session;
    const recycleGrowthBytes = 10 * leakBytes;
    const model = await session.load(stateful, { ...isolated, recycleGrowthBytes, memorySampleMs: 10 });
    const sound = await session.load(stateful, { ...isolated, recycleGrowthBytes, memorySampleMs: 10 });
    while (model.stats.instances.recycled === 0) {
      await model.predict(inputs("leak"));
      await expectAnswer(sound);
    }
    expect(model.stats.instances.byReason).toEqual({ memory: 1 });
    expect(sound.stats.instances.byReason).toEqual({});
    const [growth] = eventsOf("memory grows");
    expect(growth?.["bytesPerPrediction"]).toBeGreaterThan(0.5 * leakBytes);
    expect(growth?.["bytesPerPrediction"]).toBeLessThan(2 * leakBytes);
    await expectAnswer(model);
  });
});

/** The newest child of a process that is one of ours. */
function childOf(pid: number): number {
  const { stdout } = Bun.spawnSync(["pgrep", "-P", String(pid), "-f", "fake-child"]);
  return stdout.toString().trim().split("\n").map(Number).at(-1) ?? 0;
}
