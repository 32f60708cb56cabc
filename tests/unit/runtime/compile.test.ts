import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { compileModel } from "../../../src/runtime/compile.ts";
import { listCache, pruneCache, verifyCache } from "../../../src/runtime/compile-cache.ts";
import { rejectionOf } from "../../support/codec-fixtures.ts";
import { digitsPackage } from "../../support/digits.ts";
import { sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp.ts";

setDefaultTimeout(60_000);

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let folders = 0;
const newFolder = () => join(temp.path, `folder-${folders++}`);
const packages = resolve(import.meta.dir, "../../fixtures/packages");
const multifunction = join(packages, "multifunction.mlpackage");

describe("compiling into the cache", () => {
  test("makes an entry for each function, and finds it again", async () => {
    const cacheDir = newFolder();
    const cold = await compileModel(multifunction, { cacheDir });
    expect(cold).toMatchObject({
      model: { path: multifunction, kind: "mlProgram", digest: expect.stringMatching(/^[0-9a-f]{64}$/) },
      engine: "portable",
      functions: [
        { name: "forward", outcome: "cold" },
        { name: "twice", outcome: "cold" },
      ],
    });
    for (const { bytes, compileMs, loadMs, folder } of cold.functions) {
      expect(bytes).toBeGreaterThan(0);
      expect(compileMs).toBeGreaterThan(0);
      expect(loadMs).toBeGreaterThan(0);
      expect(existsSync(join(folder, "plan.json"))).toBe(true);
    }
    const warm = await compileModel(multifunction, { cacheDir, engine: "portable", functionName: "twice" });
    expect(warm.functions).toMatchObject([{ name: "twice", outcome: "warm", compileMs: 0 }]);
    expect(listCache({ cacheDir }).entries.length).toBe(2);
  });

  test("fails where it cannot be kept", async () => {
    const error = await rejectionOf(
      compileModel(digitsPackage, { cacheDir: newFolder(), maxCacheBytes: 1_000 }),
    );
    expect(error).toMatchObject({ code: "IO", message: expect.stringContaining("the cache may take 1000") });
  });

  test.if(process.platform !== "darwin")("fails with the engine's reason where there is none", async () => {
    const error = await rejectionOf(compileModel(digitsPackage, { cacheDir: newFolder(), engine: "coreml" }));
    expect(error).toMatchObject({ code: "UNSUPPORTED", message: expect.stringContaining("Core ML engine") });
  });
});

describe("compiling into a folder", () => {
  const cacheDir = join(tmpdir(), "coremlx-test-cache");
  const compile = (path: string, outputFolder: string, functionName?: string) =>
    compileModel(path, { cacheDir, outputFolder, functionName });

  test("writes one function, the default one or the one that is named", async () => {
    const [first, second] = [newFolder(), newFolder()];
    expect((await compile(multifunction, first)).functions).toMatchObject([
      { name: "forward", outcome: "cold", folder: first, loadMs: undefined },
    ]);
    expect((await compile(multifunction, second, "twice")).functions).toMatchObject([{ name: "twice" }]);
    expect(readFileSync(join(first, "0.onnx"))).not.toEqual(readFileSync(join(second, "0.onnx")));
  });

  test("has all weights in it, also those of a graph with a loop", async () => {
    const target = newFolder();
    await compile(join(packages, "gru-loop.mlpackage"), target);
    expect(readdirSync(target).toSorted()).toEqual(["0.onnx", "manifest.json", "plan.json"]);
    expect(readFileSync(join(target, "plan.json"), "utf8")).not.toContain("weightFolder");
  });

  test("replaces an earlier result, and nothing else", async () => {
    const target = newFolder();
    await compile(digitsPackage, target);
    await compile(multifunction, target);
    expect(readdirSync(target)).not.toContain("0.bin");
    writeFileSync(join(target, "manifest.json"), "");
    chmodSync(join(target, "manifest.json"), 0o666);
    expect(await rejectionOf(compile(digitsPackage, target))).toMatchObject({
      code: "IO",
      message: `Cannot write the compiled model to ${target}: it is not empty`,
    });
  });

  test("refuses what is no model of graphs, and leaves nothing", async () => {
    const parent = newFolder();
    mkdirSync(parent);
    const error = await rejectionOf(
      compile(sharedPath("models/mnist-umerzia/MNISTClassifier.mlmodel"), join(parent, "out")),
    );
    expect(error).toMatchObject({
      code: "UNSUPPORTED",
      hint: "ML programs and pipelines of them are compiled",
    });
    expect(readdirSync(parent)).toEqual([]);
  });

  test("refuses a place that is a file, or inside one", async () => {
    const file = newFolder();
    writeFileSync(file, "");
    for (const [target, why] of [
      [file, "it is not a folder"],
      [join(file, "deep/inside"), "ENOTDIR"],
    ] as const) {
      expect(await rejectionOf(compile(digitsPackage, target))).toMatchObject({
        code: "IO",
        message: `Cannot write the compiled model to ${target}: ${why}`,
      });
    }
  });
});

describe("looking after the cache", () => {
  test("that is not there makes none", () => {
    const cacheDir = newFolder();
    expect(listCache({ cacheDir })).toEqual({
      folder: join(cacheDir, "models"),
      maxBytes: 2e9,
      bytes: 0,
      entries: [],
      damaged: [],
    });
    expect(verifyCache({ cacheDir })).toEqual({ intact: 0, bytes: 0, damaged: [] });
    expect(pruneCache({ cacheDir })).toMatchObject({ removed: [], freedBytes: 0 });
    expect(existsSync(cacheDir)).toBe(false);
  });

  test("verifies and prunes what is there", async () => {
    const cacheDir = newFolder();
    await compileModel(digitsPackage, { cacheDir });
    const { bytes } = listCache({ cacheDir });
    expect(verifyCache({ cacheDir })).toEqual({ intact: 1, bytes, damaged: [] });
    expect(pruneCache({ cacheDir, maxBytes: 0 })).toMatchObject({ freedBytes: bytes, bytes: 0 });
  });

  test("tells why it cannot be used", () => {
    const cacheDir = newFolder();
    mkdirSync(join(cacheDir, "models"), { recursive: true, mode: 0o755 });
    chmodSync(join(cacheDir, "models"), 0o777);
    expect(() => listCache({ cacheDir })).toThrow("others may enter it (mode 777)");
    const file = newFolder();
    writeFileSync(file, "");
    expect(() => listCache({ cacheDir: file })).toThrow(/ENOTDIR|EEXIST/);
  });
});
