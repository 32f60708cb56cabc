// Models that are compiled by themselves, in a process in the background, and everything that can go wrong there.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { generate } from "../../../src/codecs/generate.ts";
import type { FeatureValues } from "../../../src/core/tensor.ts";
import { CacheFiller, fillArgument } from "../../../src/runtime/cache-filler.ts";
import { listCache, verifyCache } from "../../../src/runtime/compile-cache.ts";
import {
  openSession,
  type Session,
  type SessionModel,
  type SessionOptions,
} from "../../../src/runtime/session.ts";
import { coremlx, environment, run } from "../../support/program.ts";
import { sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp.ts";
import { mounts, testWith, withMount } from "../../support/tools.ts";

setDefaultTimeout(120_000);

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let folders = 0;
const newFolder = () => join(temp.path, `cache-${folders++}`);

/** Takes 200 ms to load on a fast machine: worth an entry anywhere. */
const path = sharedPath("models/reference/mobilenet_v2_int8/model.mlpackage");
let right: FeatureValues;
beforeAll(async () => {
  await using session = await openSession({ cache: false });
  right = await answerOf(await session.load(path));
});

function answerOf(model: SessionModel): Promise<FeatureValues> {
  const inputs = new Map(model.inputs.map((input) => [input.name, generate(input, "random", { seed: 1 })]));
  return model.predict(inputs, { timeoutMs: 60_000 });
}

/** One load and prediction in a session of its own, and what came of it. */
async function use(options: SessionOptions, then?: (session: Session) => Promise<void>) {
  const events: string[] = [];
  const telemetry = {
    log: (
      _level: string,
      message: string,
      fields?: { readonly reason?: string | number | boolean | undefined },
    ) => void events.push(fields?.reason === undefined ? message : `${message}: ${String(fields.reason)}`),
  };
  await using session = await openSession({ telemetry, ...options });
  const model = await session.load(path);
  expect(await answerOf(model)).toEqual(right);
  await session.settleCache();
  await then?.(session);
  return {
    cache: model.stats.load.cache,
    timings: model.timings,
    counts: session.stats.compileCache,
    events: events.filter((event) => event.startsWith("compile cache")),
  };
}

const filled = "compile cache filled";

describe("the first load of a model", () => {
  test.concurrent("is cold and has it compiled, the second is warm, with the same answers", async () => {
    const cacheDir = newFolder();
    const first = await use({ cacheDir });
    expect(first).toMatchObject({ cache: "cold", counts: { hits: 0, misses: 1 }, events: [filled] });
    expect(first.timings.compileMs).toBeGreaterThan(0);
    expect(listCache({ cacheDir }).entries).toMatchObject([{ origin: { path } }]);
    const second = await use({ cacheDir });
    expect(second).toMatchObject({ cache: "warm", counts: { hits: 1, misses: 0 }, events: [] });
    expect(second.timings.compileMs).toBe(0);
  });

  test.concurrent("has it compiled as the session computes, with an entry for each precision", async () => {
    const cacheDir = newFolder();
    await use({ cacheDir });
    await using session = await openSession({ cacheDir, precision: "model" });
    expect((await session.load(path)).isWarm).toBe(false);
    await session.settleCache();
    expect((await session.load(path)).isWarm).toBe(true);
    expect(
      listCache({ cacheDir })
        .entries.map(({ origin }) => origin.precision)
        .toSorted(),
    ).toEqual(["float32", "model"]);
  });

  test.concurrent("in a process of its own is no other", async () => {
    const cacheDir = newFolder();
    await using session = await openSession({ cacheDir });
    const cold = await session.load(path, { isolation: "process" });
    await session.settleCache();
    const warm = await session.load(path, { isolation: "process" });
    expect([cold.isWarm, warm.isWarm]).toEqual([false, true]);
    expect(await answerOf(warm)).toEqual(right);
  });

  test.concurrent("without a cache finds none and makes none", async () => {
    const cacheDir = newFolder();
    await use({ cacheDir });
    const { events, cache, counts } = await use({ cacheDir, cache: false });
    expect({ events, cache, counts }).toEqual({ events: [], cache: "cold", counts: { hits: 0, misses: 0 } });
    const other = newFolder();
    await use({ cacheDir: other, cache: false });
    expect(existsSync(join(other, "models"))).toBe(false);
  });

  test.concurrent("of several at once has it compiled once", async () => {
    const cacheDir = newFolder();
    const uses = await Promise.all([use({ cacheDir }), use({ cacheDir }), use({ cacheDir })]);
    const events = uses.flatMap((each) => each.events);
    // Who came late found somebody at it, or the entry.
    for (const event of events)
      expect([filled, "compile cache not filled: it is being compiled"]).toContain(event);
    expect(events).toContain(filled);
    expect(verifyCache({ cacheDir })).toMatchObject({ intact: 1, damaged: [] });
    expect(readdirSync(join(cacheDir, "models/drafts"))).toEqual([]);
    expect((await use({ cacheDir })).cache).toBe("warm");
  });
});

describe("nothing that is wrong with the cache keeps a model from being loaded:", () => {
  test.concurrent("a cut-off entry is removed and made again", async () => {
    const cacheDir = newFolder();
    await use({ cacheDir });
    const [entry] = listCache({ cacheDir }).entries;
    const weights = join(entry?.folder ?? "", "0.bin");
    chmodSync(weights, 0o600);
    truncateSync(weights, 5_000);
    const damaged = expect.stringMatching(/^compile cache entry damaged: 0\.bin has 5000 bytes, not \d+$/);
    expect(await use({ cacheDir })).toMatchObject({ cache: "cold", events: [damaged, filled] });
    expect((await use({ cacheDir })).cache).toBe("warm");
  });

  test.concurrent("what somebody else put in an entry's place is removed", async () => {
    const cacheDir = newFolder();
    await use({ cacheDir });
    const [entry] = listCache({ cacheDir }).entries;
    const folder = entry?.folder ?? "";
    for (const name of readdirSync(folder)) truncateSync(makeWritable(join(folder, name)), 0);
    writeFileSync(join(folder, "manifest.json"), '{"format":1}');
    const { cache, events } = await use({ cacheDir });
    expect([cache, events.at(-1)]).toEqual(["cold", filled]);
    expect((await use({ cacheDir })).cache).toBe("warm");
  });

  test.concurrent("a folder that others may enter is not used", async () => {
    const cacheDir = newFolder();
    mkdirSync(join(cacheDir, "models"), { recursive: true, mode: 0o700 });
    chmodSync(join(cacheDir, "models"), 0o777);
    const { cache, events } = await use({ cacheDir });
    expect(cache).toBe("cold");
    expect(new Set(events)).toEqual(
      new Set([expect.stringMatching(/^compile cache cannot be used: Cannot use the folder .*mode 777/)]),
    );
  });

  test.concurrent("a file in its place is left alone", async () => {
    const cacheDir = newFolder();
    mkdirSync(cacheDir);
    writeFileSync(join(cacheDir, "models"), "mine");
    expect((await use({ cacheDir })).cache).toBe("cold");
    expect(readFileSync(join(cacheDir, "models"), "utf8")).toBe("mine");
  });

  test.concurrent("a cache that is removed while it is filled is a failure of the filling alone", async () => {
    const cacheDir = newFolder();
    const request = { path, functionName: undefined, engine: { engine: "auto", cacheDir } };
    const events: unknown[] = [];
    using filler = new CacheFiller({ telemetry: { log: (...event) => void events.push(event) } });
    filler.request(request);
    filler.request(request); // the same once more
    await filler.settle();
    const reason = `Cannot find the folder ${join(cacheDir, "models")}`;
    expect(events).toEqual([["debug", "compile cache not filled", { path, reason }]]);
    expect(existsSync(cacheDir)).toBe(false);
  });

  test.concurrent("a program that is interrupted starts nothing more", async () => {
    const cacheDir = newFolder();
    const abort = new AbortController();
    const session = await openSession({ cacheDir });
    await session.load(path, { signal: abort.signal });
    abort.abort();
    await session[Symbol.asyncDispose]();
    await session.settleCache();
    expect(listCache({ cacheDir }).entries).toEqual([]);
  });

  test.concurrent("a process that is killed while it writes leaves no harm, and the next load tries again", async () => {
    const cacheDir = newFolder();
    mkdirSync(join(cacheDir, "models"), { recursive: true, mode: 0o700 });
    const request = JSON.stringify({ path, engine: { engine: "auto", cacheDir } });
    const child = Bun.spawn([...coremlx, fillArgument, request], { env: environment(), stdout: "ignore" });
    const drafts = join(cacheDir, "models/drafts");
    while (
      !(existsSync(drafts) && readdirSync(drafts).some((name) => existsSync(join(drafts, name, "0.bin"))))
    ) {
      if (child.exitCode !== null) throw new Error("it was too fast");
      await Bun.sleep(1);
    }
    child.kill("SIGKILL");
    await child.exited;
    expect(readdirSync(join(cacheDir, "models/entries"))).toEqual([]);
    const next = await use({ cacheDir });
    expect([next.cache, next.events]).toEqual(["cold", [filled]]);
    expect(readdirSync(drafts)).toEqual([]);
    expect((await use({ cacheDir })).cache).toBe("warm");
  });

  test.concurrent("an ended process is told by its signal", async () => {
    const events: unknown[] = [];
    const telemetry = {
      log: (_: string, message: string, fields?: object) => void events.push([message, fields]),
    };
    const cacheDir = newFolder();
    await using session = await openSession({ cacheDir, telemetry });
    await session.load(path);
    const settled = session.settleCache();
    const note = join(cacheDir, "models/attempts");
    while (readdirSync(note).length === 0) await Bun.sleep(1);
    const { stdout } = Bun.spawnSync(["pgrep", "-P", String(process.pid), "-f", cacheDir]);
    process.kill(Number(stdout.toString().trim()), "SIGKILL");
    await settled;
    const reason = "its process ended by SIGKILL";
    expect(events.at(-1)).toEqual(["compile cache not filled", { path, reason }]);
  });

  for (const [what, options, shown] of [
    ["a full disk", "size=3m,mode=700", /compile cache not filled.*the disk has \d+ free/],
    ["a read-only folder", "ro", /compile cache cannot be used.*EROFS/],
  ] as const) {
    testWith([mounts], what, async () => {
      const cacheDir = newFolder();
      mkdirSync(cacheDir);
      const script = join(import.meta.dir, "../../support/runtime/load-and-settle.ts");
      const words = withMount(cacheDir, options, [process.execPath, script, path, cacheDir]);
      const child = Bun.spawn([...words], { env: environment(), stdout: "pipe", stderr: "inherit" });
      const result = (await new Response(child.stdout).json()) as { readonly cache: string };
      expect(result.cache).toBe("cold");
      expect(JSON.stringify(result)).toMatch(shown);
    });
  }
});

describe("a program that runs a model once", () => {
  test.concurrent("does not wait for the cache, which is filled after its end", async () => {
    const cacheDir = newFolder();
    const infer = () => run(["infer", path, "--cache-dir", cacheDir, "--verbose"]);
    const cold = await infer();
    expect(cold.stdout).toMatch(/ · compile [\d.]+ m?s · load [\d.]+ m?s \(cold\) · /);
    while (listCache({ cacheDir }).entries.length === 0) await Bun.sleep(10);
    const warm = await infer();
    expect(warm.stdout).toMatch(/ · open [\d.]+ m?s · load [\d.]+ m?s \(warm\) · /);
    expect(warm.stdout.split("\n").slice(0, -2)).toEqual(cold.stdout.split("\n").slice(0, -2));
    const without = await run(["infer", path, "--cache-dir", cacheDir, "--no-cache"]);
    expect(without.stdout).toContain("(cold)");
  });
});

function makeWritable(file: string): string {
  chmodSync(file, 0o600);
  return file;
}
