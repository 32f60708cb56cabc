import { describe, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { type FeatureValue, tensorOf, zeros } from "../../../src/core/tensor.ts";
import { Instance } from "../../../src/runtime/pool/instance.ts";
import { openSession } from "../../../src/runtime/session.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { digitPicture, digitsPackage } from "../../support/digits.ts";
import { writeSlowModel } from "../../support/program-models.ts";
import { coremlx, environment } from "../../support/program.ts";
import { tempFolder } from "../../support/temp.ts";

const stateful = resolve(import.meta.dir, "../../fixtures/formats/stateful.mlpackage");
const ones = tensorOf("float16", Array<number>(16).fill(1));

describe("an engine in a process of its own", () => {
  test("answers as one in a thread does, states included", async () => {
    await using session = await openSession();
    const [thread, child] = await Promise.all([
      session.load(stateful),
      session.load(stateful, { isolation: "process" }),
    ]);
    const [a, b] = [await thread.newState(), await child.newState()];
    for (let i = 0; i < 4; i++) {
      const inputs = new Map<string, FeatureValue>([["x", ones]]);
      expect(await child.predict(inputs, { state: b })).toEqual(await thread.predict(inputs, { state: a }));
    }
    expect(await b.read()).toEqual(await a.read());
    const picture = new Map([["image", await digitPicture(6)]]);
    const digits = await session.load(digitsPackage, { isolation: "process" });
    expect((await digits.predict(picture)).get("classLabel")).toBe("6");
  });

  test("a crash fails its call, is told with the signal, and costs nobody else", async () => {
    const instance = new Instance("process");
    await instance.call({
      type: "load",
      path: digitsPackage,
      engine: { engine: "portable", cacheDir: "/nonexistent" },
      functionName: undefined,
      device: "auto",
      threads: 1,
      withDigest: false,
    });
    const call = rejectionOf(
      instance.call({ type: "runCopies", inputs: new Map() }).then(() => instance.call({ type: "close" })),
    );
    process.kill(instance.pid, "SIGSEGV");
    const error = await call;
    expect(["NATIVE", "BAD_INPUT"]).toContain(error.code);
    const next = await rejectionOf(instance.call({ type: "close" }));
    expect(next.code).toBe("NATIVE");
    expect(next.message).toMatch(/SIGSEGV|exit code 139/);
    expect(instance.isEnded).toBe(true);
    await instance[Symbol.asyncDispose]();
  });

  test("a crash under load is survived: the instance is replaced and the others answer", async () => {
    await using session = await openSession();
    const model = await session.load(digitsPackage, {
      isolation: "process",
      breaker: { consecutiveFaults: 50 },
    });
    const picture = new Map([["image", await digitPicture(2)]]);
    expect((await model.predict(picture)).get("classLabel")).toBe("2");
    process.kill(childOf(process.pid), "SIGSEGV");
    const outcomes: string[] = [];
    for (let i = 0; i < 50 && outcomes.at(-1) !== "2"; i++) {
      outcomes.push(
        await model.predict(picture).then(
          (outputs) => labelOf(outputs),
          (error: { code: string }) => error.code,
        ),
      );
    }
    expect(outcomes.at(-1)).toBe("2");
    expect(model.stats.instances.replaced).toBe(1);
  });

  test("a hang is ended by ending the process, and its memory comes back", async () => {
    using folder = tempFolder();
    await using session = await openSession({ maxInlineBytes: 2 ** 30 });
    const slow = writeSlowModel(join(folder.path, "slow.mlpackage"), 60);
    const model = await session.load(slow, { isolation: "process", hangMs: 50 });
    const x = new Map([["x", zeros("float32", [2048, 2048])]]);
    expect((await rejectionOf(model.predictLeased(x, { timeoutMs: 30 }))).code).toBe("DEADLINE");
    while (session.stats.bufferPool?.quarantinedCount !== 0) await new Promise((tick) => setImmediate(tick));
    expect(model.stats.instances).toMatchObject({ replaced: 1, abandonedThreads: 0 });
    expect(session.stats.bufferPool).toMatchObject({ lentCount: 0 });
  });

  test("several instances are several processes", async () => {
    await using session = await openSession();
    const model = await session.load(digitsPackage, { isolation: "process", instances: 2 });
    const pictures = await Promise.all([1, 2, 3, 4].map((digit) => digitPicture(digit)));
    const labels = await Promise.all(
      pictures.map(async (image) => (await model.predict(new Map([["image", image]]))).get("classLabel")),
    );
    expect(labels).toEqual(["1", "2", "3", "4"]);
    // The second may still be loading when the last answer is there.
    while (model.stats.instances.idle < 2) await new Promise((tick) => setImmediate(tick));
    expect(model.stats.instances).toMatchObject({ idle: 2, busy: 0, limit: 2 });
  });
});

test("the hidden argument is of no use to others", async () => {
  const child = Bun.spawn([...coremlx, "__child"], { env: environment(), stdout: "pipe", stderr: "pipe" });
  expect(await child.exited).toBe(2);
  expect(await child.stderr.text()).toContain("for coremlx itself");
});

function labelOf(outputs: ReadonlyMap<string, FeatureValue>): string {
  const label = outputs.get("classLabel");
  return typeof label === "string" ? label : "no label";
}

/** The newest child of a process that is one of ours. */
function childOf(pid: number): number {
  const { stdout } = Bun.spawnSync(["pgrep", "-P", String(pid), "-f", "__child"]);
  const pids = stdout.toString().trim().split("\n").map(Number);
  const newest = pids.at(-1);
  if (newest === undefined || newest === 0) throw new Error("no child");
  return newest;
}
