// Compiled models of Core ML: made once, found again, made anew where they are damaged, and nowhere where nothing can be kept.

import { expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { f32, numbersOf, isTensor } from "../../src/core/tensor.ts";
import { openModel } from "../../src/formats/open.ts";
import { openEngine } from "../../src/engines/select.ts";
import { port } from "../support/program-models.ts";
import { coremlPath } from "../support/standin.ts";
import { writeStandInPackage } from "../support/standin-package.ts";
import { tempFolder } from "../support/temp.ts";

function writeModel(folder: string, behaviour: Readonly<Record<string, unknown>> = {}): string {
  return writeStandInPackage(join(folder, "Model.mlpackage"), {
    inputs: [port("x", "float32", [2])],
    outputs: [port("y", "float32", [2])],
    behaviour: { scale: 2, ...behaviour },
  });
}

/** How long compiling took, with one right answer. */
async function loadOnce(path: string, cacheDir: string, cache = true): Promise<number> {
  await using engine = await openEngine({ engine: "coreml", cacheDir, cache, coremlPath: coremlPath() });
  using model = await openModel(path);
  await using loaded = await engine.load(model, { device: "cpu" });
  const y = (await loaded.predict(new Map([["x", f32([3, 4])]]))).get("y");
  if (y === undefined || !isTensor(y)) throw new Error("It is no array");
  expect([...numbersOf(y)]).toEqual([6, 8]);
  return loaded.compileMs;
}

const keyed = (cacheDir: string) =>
  readdirSync(join(cacheDir, "coreml")).filter((name) => name.length === 64);

test("a model is compiled once, under its own name, also when it lies elsewhere", async () => {
  using folder = tempFolder();
  const cacheDir = join(folder.path, "cache");
  expect(await loadOnce(writeModel(folder.path), cacheDir)).toBeGreaterThan(0);
  expect(await loadOnce(writeModel(folder.path), cacheDir)).toBe(0);
  const other = join(folder.path, "other");
  mkdirSync(other);
  expect(await loadOnce(writeModel(other), cacheDir)).toBe(0);
  const [key = ""] = keyed(cacheDir);
  expect(keyed(cacheDir)).toHaveLength(1);
  expect(readdirSync(join(cacheDir, "coreml", key))).toEqual(["Model.mlmodelc"]);
});

test("one that Core ML cannot read any more is compiled anew", async () => {
  using folder = tempFolder();
  const cacheDir = join(folder.path, "cache");
  const path = writeModel(folder.path);
  await loadOnce(path, cacheDir);
  const [key = ""] = keyed(cacheDir);
  writeFileSync(join(cacheDir, "coreml", key, "Model.mlmodelc", "standin.json"), "{");
  expect(await loadOnce(path, cacheDir)).toBeGreaterThan(0);
  expect(await loadOnce(path, cacheDir)).toBe(0);
});

test("without a cache, or with one that others may enter, nothing is kept, and the answer is the same", async () => {
  using folder = tempFolder();
  const cacheDir = join(folder.path, "cache");
  const path = writeModel(folder.path);
  expect(await loadOnce(path, cacheDir, false)).toBeGreaterThan(0);
  expect(existsSync(join(cacheDir, "coreml"))).toBe(false);
  mkdirSync(join(cacheDir, "coreml"), { recursive: true });
  chmodSync(join(cacheDir, "coreml"), 0o777);
  expect(await loadOnce(path, cacheDir)).toBeGreaterThan(0);
  expect(readdirSync(join(cacheDir, "coreml"))).toEqual([]);
});

test("what nobody has loaded for a month goes when another model is compiled, and so do old drafts", async () => {
  using folder = tempFolder();
  const cacheDir = join(folder.path, "cache");
  await loadOnce(writeModel(folder.path), cacheDir);
  const root = join(cacheDir, "coreml");
  const [old = ""] = keyed(cacheDir);
  const [recent, draft, newDraft] = ["0".repeat(64), ".draft-old", ".draft-new"];
  for (const name of [recent, draft, newDraft]) mkdirSync(join(root, name));
  const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000);
  utimesSync(join(root, old), daysAgo(31), daysAgo(31));
  utimesSync(join(root, recent), daysAgo(29), daysAgo(29));
  utimesSync(join(root, draft), daysAgo(2), daysAgo(2));
  const second = writeStandInPackage(join(folder.path, "Second.mlpackage"), {
    inputs: [port("x", "float32", [2]), port("unused", "float32", [1])],
    outputs: [port("y", "float32", [2])],
    behaviour: { scale: 2 },
  });
  await using engine = await openEngine({ engine: "coreml", cacheDir, coremlPath: coremlPath() });
  using model = await openModel(second);
  await using _ = await engine.load(model, { device: "cpu" });
  const left = readdirSync(root);
  expect(left).toContain(recent);
  expect(left).toContain(newDraft);
  expect(left).not.toContain(old);
  expect(left).not.toContain(draft);
});

test("a model that cannot be compiled leaves nothing behind", async () => {
  using folder = tempFolder();
  const cacheDir = join(folder.path, "cache");
  const path = writeModel(folder.path);
  writeFileSync(join(path, "standin.json"), "{");
  await using engine = await openEngine({ engine: "coreml", cacheDir, coremlPath: coremlPath() });
  using model = await openModel(path);
  expect(engine.load(model, { device: "cpu" })).rejects.toMatchObject({ code: "NATIVE" });
  await engine.load(model, { device: "cpu" }).catch(() => undefined);
  expect(readdirSync(join(cacheDir, "coreml"))).toEqual(["index"]);
});
