import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileCacheFolder, openCompileCache } from "../../../src/engines/cache.ts";
import {
  fillCache,
  type FillOptions,
  wantsFilling,
  worthBytes,
  worthMs,
} from "../../../src/engines/fill-cache.ts";
import { digitsPackage } from "../../support/digits.ts";
import { portableRuntime } from "../../support/portable.ts";
import { sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp.ts";

setDefaultTimeout(60_000);

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let folders = 0;
const library = "the library of the tests";

// Written now, so that they have settled when their turn comes.
const fresh = join(temp.path, "Fresh.mlpackage");
const refused = join(temp.path, "Refused.mlpackage");
for (const path of [fresh, refused]) cpSync(digitsPackage, path, { recursive: true });
const damaged = join(temp.path, "damaged.mlmodel");
writeFileSync(damaged, "none");

async function setUp() {
  const cacheDir = join(temp.path, String(folders++));
  const runtime = await portableRuntime();
  const events: string[] = [];
  const telemetry = { log: (level: string, message: string) => void events.push(`${level}: ${message}`) };
  const cache = openCompileCache({ folder: compileCacheFolder(cacheDir), telemetry });
  const ask = (path = digitsPackage, { tookMs = worthMs, byteLength = worthBytes } = {}) =>
    wantsFilling(path, { cacheDir, runtime, library, tookMs, byteLength, telemetry });
  const fill = (path = digitsPackage, changes: Partial<Pick<FillOptions, "runtime">> = {}) =>
    fillCache(path, { cache, runtime, library, ...changes });
  return { cacheDir, cache, runtime, events, ask, fill };
}

describe("a model that took long to load", () => {
  test("is compiled, once, and no note about it stays", async () => {
    const { cache, ask, fill } = await setUp();
    expect(ask()).toBe(true);
    expect(await fill()).toBe("filled");
    expect(await fill()).toBe("filled");
    expect(cache.list().entries).toMatchObject([{ origin: { path: digitsPackage, functionName: "main" } }]);
    expect(readdirSync(join(cache.folder, "attempts"))).toEqual([]);
  });

  test.concurrent("a moment after it was written is compiled when it has settled", async () => {
    const { cache, fill } = await setUp();
    expect(await fill(fresh)).toBe("filled");
    expect(cache.index.lookup(fresh)?.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(Date.now() - statSync(fresh).ctimeMs).toBeGreaterThan(2_000);
  });

  test.concurrent("and cannot be compiled is given up after three attempts, until it changes", async () => {
    const { runtime, events, ask, fill } = await setUp();
    const path = refused;
    const broken = {
      version: runtime.version,
      createSession: () => {
        throw new Error("out of order");
      },
    };
    for (let i = 0; i < 3; i++) {
      expect(ask(path)).toBe(true);
      expect(await fill(path, { runtime: broken })).toEqual({ reason: "out of order" });
    }
    expect(ask(path)).toBe(false);
    expect(events.at(-1)).toBe("debug: compile cache not filled");
    expect(await fill(path)).toEqual({ reason: "it failed 3 times: out of order" });
    utimesSync(join(path, "Manifest.json"), new Date(), new Date());
    expect(ask(path)).toBe(true);
    expect(await fill(path)).toBe("filled");
  });

  test("is left alone while another process is at it", async () => {
    const { cache, ask, fill } = await setUp();
    const filling = fill(); // holds its note as soon as it was called
    expect(ask()).toBe(false);
    expect(await fill()).toEqual({ reason: "it is being compiled" });
    expect(await filling).toBe("filled");
    expect(cache.list().entries.length).toBe(1);
  });

  test.concurrent("and is gone meanwhile, or is of no such kind, is no failure of anybody's", async () => {
    const { fill } = await setUp();
    expect(await fill(join(temp.path, "missing.mlpackage"))).toEqual({
      reason: "the state of its files cannot be noted",
    });
    expect(await fill(sharedPath("models/mnist-umerzia/MNISTClassifier.mlmodel"))).toEqual({
      reason: "a neuralNetworkClassifier is not compiled",
    });
    expect(await fill(damaged)).toEqual({ reason: expect.stringContaining(damaged) });
  });

  test("finds no cache where others may enter it, and one warning", async () => {
    const { cache, events, ask } = await setUp();
    chmodSync(cache.folder, 0o777);
    expect(ask()).toBe(false);
    expect(events).toEqual(["warn: compile cache cannot be used"]);
  });

  test("is not compiled where no note can be left: else each of its loads would try", async () => {
    const { cache, fill } = await setUp();
    const attempts = join(cache.folder, "attempts");
    const name = await noteOf(fill, attempts);
    mkdirSync(join(attempts, name));
    expect(await fill()).toEqual({ reason: "EISDIR" });
  });
});

test("a model that took no time, or is small, is not worth it, and the cache is not even looked at", async () => {
  const { cache, ask, events } = await setUp();
  chmodSync(cache.folder, 0o777);
  expect(ask(digitsPackage, { tookMs: worthMs - 1 })).toBe(false);
  expect(ask(digitsPackage, { byteLength: worthBytes - 1 })).toBe(false);
  expect(events).toEqual([]);
});

/** The name of the note that an attempt leaves for its time. */
async function noteOf(fill: () => Promise<unknown>, attempts: string): Promise<string> {
  const filling = fill();
  const [name = ""] = readdirSync(attempts);
  await filling;
  return name;
}
