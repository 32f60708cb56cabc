// The whole runtime over Core ML's engine: pool, breaker, memory, deadlines, states, against a stand-in that misbehaves.

import { describe, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { CoremlxError } from "../../src/core/errors.ts";
import type { LogFields } from "../../src/core/telemetry.ts";
import { type FeatureValue, f32, isTensor, numbersOf, tensorOf } from "../../src/core/tensor.ts";
import {
  type LoadModelOptions,
  openSession,
  type Session,
  type SessionModel,
} from "../../src/runtime/session.ts";
import { rejectionOf } from "../support/codec-fixtures.ts";
import { digitPicture, digitsPackage } from "../support/digits.ts";
import { port } from "../support/program-models.ts";
import { coremlPath } from "../support/standin.ts";
import { type StandInPackage, writeStandInPackage } from "../support/standin-package.ts";
import { tempFolder } from "../support/temp.ts";
import { writeValueModel } from "../support/value-model.ts";

const stateful = resolve(import.meta.dir, "../fixtures/formats/stateful.mlpackage");
const patient = { consecutiveFaults: 1_000, faultRate: 0.99, minimumCalls: 1_000 };

interface Opened {
  readonly session: Session;
  readonly folder: string;
  readonly eventsOf: (name: string) => readonly (LogFields | undefined)[];
}

/** A session on the stand-in, and a folder, for as long as `body` takes. */
async function withSession(
  body: (opened: Opened) => Promise<void>,
  options: { readonly maxInlineBytes?: number } = {},
) {
  using folder = tempFolder();
  const events: { readonly event: string; readonly fields: LogFields | undefined }[] = [];
  await using session = await openSession({
    ...options,
    engine: "coreml",
    coremlPath: coremlPath(),
    cacheDir: join(folder.path, "cache"),
    telemetry: { log: (_level, event, fields) => void events.push({ event, fields }) },
  });
  await body({
    session,
    folder: folder.path,
    eventsOf: (name) => events.filter(({ event }) => event === name).map(({ fields }) => fields),
  });
}

type Behaviour = NonNullable<StandInPackage["behaviour"]>;

/** y = 2x over float32 of that shape. */
function doubling(folder: string, behaviour: Behaviour = {}, shape: readonly number[] = [2, 3]): string {
  return writeStandInPackage(join(folder, "Doubling.mlpackage"), {
    inputs: [port("x", "float32", shape)],
    outputs: [port("y", "float32", shape)],
    behaviour: { scale: 2, ...behaviour },
  });
}

const onCpu: LoadModelOptions = { device: "cpu" };

async function expectDoubled(model: SessionModel, first: number): Promise<void> {
  const x = [first, 2, 3, 4, 5, 6];
  const y = (await model.predict(new Map([["x", f32(x, [2, 3])]]))).get("y");
  expect(y).toEqual(
    f32(
      x.map((value) => value * 2),
      [2, 3],
    ),
  );
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

describe("answers", () => {
  for (const isolation of ["worker", "process"] as const) {
    test(`are right for many callers at once, each instance with a model of its own (${isolation})`, () =>
      withSession(async ({ session, folder }) => {
        const model = await session.load(doubling(folder, { delayUs: 500 }), {
          ...onCpu,
          instances: 3,
          isolation,
        });
        await Promise.all(Array.from({ length: 60 }, (_, i) => expectDoubled(model, i)));
        await until(() => model.stats.instances.idle > 1);
      }));
  }

  for (const backing of ["honour", "ignore", "padded", "f16"]) {
    test(`of many rows are exact in buffers and in mapped files where Core ML's memory is "${backing}"`, () =>
      withSession(
        async ({ session, folder }) => {
          const shape = [70, 301]; // 301 elements are padded to 320
          const model = await session.load(doubling(folder, { backing }, shape), onCpu);
          const values = Array.from({ length: 70 * 301 }, (_, i) => i % 1001);
          const inputs = new Map([["x", f32(values, shape)]]);
          const wanted = f32(
            values.map((value) => value * 2),
            shape,
          );
          expect((await model.predict(inputs)).get("y")).toEqual(wanted);
          using lease = await model.predictLeased(inputs);
          expect([...lease.mapped.keys()]).toEqual(["y"]);
          const y = lease.outputs.get("y");
          if (y === undefined || !isTensor(y)) throw new Error("It is no array");
          expect(numbersOf(y)).toEqual(numbersOf(wanted));
        },
        { maxInlineBytes: 64 * 1024 },
      ));
  }

  test("are pictures, labels and dictionaries, too", () =>
    withSession(async ({ session, folder }) => {
      const digits = await session.load(digitsPackage, onCpu);
      const outputs = await digits.predict(new Map([["image", await digitPicture(4)]]));
      expect(outputs.get("classLabel")).toBe("4");
      expect(outputs.get("classLabel_probs")).toBeInstanceOf(Map);
      const shape = [1, 3, 4, 5];
      const photo = await session.load(
        writeStandInPackage(join(folder, "Photo.mlpackage"), {
          inputs: [{ name: "x", dtype: "float32", shape, isPicture: true }],
          outputs: [{ name: "y", dtype: "float32", shape, isPicture: true }],
          behaviour: { scale: 2 },
        }),
        onCpu,
      );
      const pixels = Array.from({ length: 60 }, (_, i) => i);
      const picture = tensorOf("uint8", pixels, [4, 5, 3]);
      expect((await photo.predict(new Map([["x", picture]]))).get("y")).toEqual(
        tensorOf(
          "uint8",
          pixels.map((value) => value * 2),
          [4, 5, 3],
        ),
      );
    }));

  test("say that they come from a stand-in", () =>
    withSession(async ({ session, folder }) => {
      const model = await session.load(doubling(folder), onCpu);
      expect([model.engine, model.engineVersion, model.device]).toEqual([
        "coreml",
        "stand-in for Core ML, no Apple framework",
        "cpu (stand-in)",
      ]);
    }));
});

describe("a prediction that hangs", () => {
  test("ends for its caller at the deadline; its instance is replaced, and what it writes late reaches no other answer", () =>
    withSession(async ({ session, folder, eventsOf }) => {
      const hang = { hangAfter: 3, hangUs: 2_000_000, pattern: 171, scope: "process" };
      const path = doubling(folder, { faults: hang });
      const model = await session.load(path, { ...onCpu, hangMs: 20, breaker: patient });
      for (let i = 0; i < 3; i++) await expectDoubled(model, i);
      const inputs = new Map([["x", f32([1, 2, 3, 4, 5, 6], [2, 3])]]);
      expect((await rejectionOf(model.predict(inputs, { timeoutMs: 50 }))).code).toBe("DEADLINE");
      await until(() => model.stats.instances.abandonedThreads === 1);
      expect(model.stats.quarantine.count).toBe(2);
      let answers = 0;
      for (; model.stats.instances.abandonedThreads === 1; answers++) await expectDoubled(model, answers);
      expect(answers).toBeGreaterThan(0);
      expect(model.stats.quarantine).toMatchObject({ count: 0, entered: 2, released: 2 });
      expect(model.stats.instances).toMatchObject({ replaced: 1, abandonedThreads: 0 });
      expect(eventsOf("instance replaced")).toMatchObject([{ reason: expect.stringContaining("poisoned") }]);
      await expectDoubled(model, 1);
    }));

  test("under the load of many callers costs two calls their answers, and no other", () =>
    withSession(async ({ session, folder }) => {
      const faults = { hangAfter: 40, hangCount: 2, hangUs: 400_000, pattern: 171, scope: "process" };
      const shape = [40, 1001]; // large enough to be lent without a copy
      const path = doubling(folder, { faults, backing: "padded" }, shape);
      const model = await session.load(path, { ...onCpu, instances: 2, hangMs: 20, breaker: patient });
      const wrong: unknown[] = [];
      const endings = new Map<string, number>();
      const note = (ending: string) => endings.set(ending, (endings.get(ending) ?? 0) + 1);
      const caller = async (first: number) => {
        for (let i = 0; i < 20; i++) {
          const x = f32(
            Array.from({ length: 40 * 1001 }, (_, at) => (at + first + i) % 997),
            shape,
          );
          const wanted = numbersOf(x).map((value) => 2 * value);
          try {
            const y = (await model.predict(new Map([["x", x]]), { timeoutMs: 200 })).get("y");
            if (y === undefined || !isTensor(y) || !Bun.deepEquals(numbersOf(y), wanted))
              wrong.push([first, i]);
            note("answered");
          } catch (error) {
            note(error instanceof CoremlxError ? error.code : String(error));
          }
        }
      };
      await Promise.all([0, 100, 200].map(caller));
      await until(() => model.stats.instances.abandonedThreads === 0);
      expect(wrong).toEqual([]);
      expect([...endings.keys()].toSorted()).toEqual(["DEADLINE", "answered"]);
      expect(endings.get("DEADLINE")).toBeGreaterThanOrEqual(2);
      expect(model.stats.quarantine).toMatchObject({ count: 0, bytes: 0 });
    }));

  test("of a model that takes more than arrays ends inside the library: no thread is lost", () =>
    withSession(async ({ session, folder }) => {
      // The order of a loaded model's calls: its instances count for themselves.
      const faults = { hangAfter: 2, hangUs: 600_000, scope: "process" };
      const model = await loadRepeater(session, folder, { faults });
      for (let i = 0; i < 2; i++) expect(await repeat(model, 7n)).toBe(7n);
      const inputs = new Map<string, FeatureValue>([["n", 1n]]);
      expect((await rejectionOf(model.predict(inputs, { timeoutMs: 50 }))).code).toBe("DEADLINE");
      await until(() => model.stats.instances.replaced === 1);
      expect(await repeat(model, 9n)).toBe(9n);
      expect(model.stats.instances).toMatchObject({ replaced: 1, abandonedThreads: 0 });
    }));

  test("of such a model ends when its caller gives up", () =>
    withSession(async ({ session, folder }) => {
      const faults = { hangAfter: 1, hangUs: 600_000, scope: "process" };
      const model = await loadRepeater(session, folder, { faults });
      expect(await repeat(model, 7n)).toBe(7n);
      const giveUp = new AbortController();
      const inputs = new Map<string, FeatureValue>([["n", 1n]]);
      const call = model.predict(inputs, { signal: giveUp.signal });
      await until(() => model.stats.instances.busy === 1);
      giveUp.abort();
      expect((await rejectionOf(call)).code).toBe("INTERRUPTED");
      expect(await repeat(model, 9n)).toBe(9n);
      expect(model.stats.instances.abandonedThreads).toBe(0);
    }));
});

/** m = n, which are no arrays. */
async function loadRepeater(session: Session, folder: string, behaviour: Behaviour): Promise<SessionModel> {
  const path = writeValueModel(join(folder, "Repeater.mlpackage"), behaviour);
  return session.load(path, { ...onCpu, hangMs: 5_000, breaker: patient });
}

async function repeat(model: SessionModel, n: bigint): Promise<FeatureValue | undefined> {
  return (await model.predict(new Map<string, FeatureValue>([["n", n]]))).get("m");
}

describe("an engine that fails", () => {
  test("for want of surfaces is recycled, and answers again", () =>
    withSession(async ({ session, folder, eventsOf }) => {
      const model = await session.load(doubling(folder, { faults: { errorAfter: 4 } }), {
        ...onCpu,
        breaker: patient,
      });
      for (let i = 0; i < 4; i++) await expectDoubled(model, i);
      const inputs = new Map([["x", f32([1, 2, 3, 4, 5, 6], [2, 3])]]);
      expect(await rejectionOf(model.predict(inputs))).toMatchObject({
        code: "NATIVE",
        message: expect.stringContaining("Could not create an IOSurface"),
      });
      await until(() => model.stats.instances.recycled === 1);
      await expectDoubled(model, 1);
      expect(model.stats.instances.byReason).toEqual({ surface: 1 });
      expect(eventsOf("instance recycled")).toMatchObject([{ reason: "surface" }]);
    }));

  test("by an exception is recycled: its model is poisoned", () =>
    withSession(async ({ session, folder }) => {
      const model = await session.load(doubling(folder, { faults: { raiseAfter: 1 } }), {
        ...onCpu,
        breaker: patient,
      });
      await expectDoubled(model, 1);
      const inputs = new Map([["x", f32([1, 2, 3, 4, 5, 6], [2, 3])]]);
      expect((await rejectionOf(model.predict(inputs))).message).toContain("NSGenericException");
      await until(() => model.stats.instances.recycled === 1);
      await expectDoubled(model, 1);
    }));

  test("all the time opens the breaker", () =>
    withSession(async ({ session, folder }) => {
      const model = await session.load(doubling(folder, { faults: { errorAfter: 0 } }), {
        ...onCpu,
        breaker: { consecutiveFaults: 3 },
      });
      const inputs = new Map([["x", f32([1, 2, 3, 4, 5, 6], [2, 3])]]);
      for (let i = 0; i < 3; i++) await rejectionOf(model.predict(inputs));
      await until(() => model.breaker.state === "open");
      expect((await rejectionOf(model.predict(inputs))).code).toBe("UNAVAILABLE");
    }));

  test("by a crash takes only its own process along", () =>
    withSession(async ({ session, folder }) => {
      const path = doubling(folder, { faults: { crashAfter: 3 } });
      const model = await session.load(path, { ...onCpu, isolation: "process", breaker: patient });
      for (let i = 0; i < 3; i++) await expectDoubled(model, i);
      const inputs = new Map([["x", f32([1, 2, 3, 4, 5, 6], [2, 3])]]);
      expect((await rejectionOf(model.predict(inputs))).code).toBe("NATIVE");
      await expectDoubled(model, 1);
      expect(model.stats.instances.replaced).toBe(1);
    }));
});

describe("states", () => {
  const ones = new Map([["x", tensorOf("float16", Array<number>(16).fill(1))]]);
  const last = async (model: SessionModel, state: Awaited<ReturnType<SessionModel["newState"]>>) => {
    const y = (await model.predict(ones, { state })).get("y");
    return y !== undefined && isTensor(y) ? numbersOf(y)[15] : undefined;
  };

  for (const isolation of ["worker", "process"] as const) {
    test(`of sequences stay apart, whichever instance runs them (${isolation})`, () =>
      withSession(async ({ session }) => {
        const model = await session.load(stateful, { ...onCpu, instances: 3, isolation });
        await using a = await model.newState();
        await using b = await model.newState();
        const stateless = model.predict(ones);
        // memory = (memory + 1) * 1 in the last place, by the model's definition.
        expect(await Promise.all([last(model, a), last(model, b)])).toEqual([1, 1]);
        expect(await last(model, a)).toBe(2);
        expect(await Promise.all([last(model, a), last(model, b)])).toEqual([3, 2]);
        await stateless;
      }));
  }
});

describe("loading", () => {
  test("compiles once for each model: the next session finds it compiled", async () => {
    using folder = tempFolder();
    const cacheDir = join(folder.path, "cache");
    const path = doubling(folder.path, { faults: { compileUs: 50_000 } });
    const compileMs: number[] = [];
    for (let i = 0; i < 2; i++) {
      await using session = await openSession({ engine: "coreml", coremlPath: coremlPath(), cacheDir });
      const model = await session.load(path, onCpu);
      compileMs.push(model.timings.compileMs);
      await expectDoubled(model, 1);
    }
    expect(compileMs[0]).toBeGreaterThan(49);
    expect(compileMs[1]).toBe(0);
  });

  test("measures the devices once, and tells why it chose", () =>
    withSession(async ({ session, folder, eventsOf }) => {
      const path = doubling(folder);
      await using first = await session.load(path);
      await using second = await session.load(path);
      expect([first.device, second.device]).toEqual([first.device, first.device]);
      const chosen = eventsOf("device chosen");
      expect(chosen.map((fields) => fields?.["cache"])).toEqual(["cold", "warm"]);
      for (const units of ["all", "cpuAndAne", "cpuAndGpu", "cpu"])
        expect(chosen[0]?.["reason"]).toMatch(new RegExp(`\\b${units} \\d+(\\.\\d+)? ms`));
    }));

  test("of what Core ML cannot load says why", () =>
    withSession(async ({ session, folder }) => {
      const path = doubling(folder, { faults: { loadError: "The model is for another system." } });
      expect(await rejectionOf(session.load(path, onCpu))).toMatchObject({
        code: "NATIVE",
        message: expect.stringContaining("The model is for another system"),
      });
    }));
});
