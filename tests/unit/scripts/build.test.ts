import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BuildResult, buildExecutable, nameExecutable, type Target } from "../../../scripts/build.ts";
import packageJson from "../../../package.json" with { type: "json" };
import { testFile } from "../../support/onnxruntime.ts";
import { tempFolder } from "../../support/temp.ts";

// The program of tests/fixtures/build, built as coremlx is, only with a faster compression.
const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const target = `${process.platform}-${process.arch}` as Target;
const entries = ["fixtures/build/main.ts", "fixtures/build/threads/worker.ts"].map(testFile);
const coremlLibrary = join(folder.path, "libcoremlx");
writeFileSync(coremlLibrary, "stands for libcoremlx");
const build = (outfile: string, own: readonly string[] = entries) =>
  buildExecutable({
    target,
    outfile,
    entries: own,
    compressionLevel: 1,
    cacheDir: join(folder.path, "cache"),
    coremlLibrary,
  });

let built: BuildResult;
beforeAll(async () => {
  built = await build(join(folder.path, "program"));
}, 60_000);

interface Answer {
  readonly version: string;
  readonly onnxruntimeVersion: string;
  readonly embedded: string;
  readonly hijacked?: string;
  readonly source: string;
  readonly path: string;
  readonly warnings: readonly string[];
  readonly sum: readonly number[];
  readonly notices: readonly (readonly [string, number])[];
}

function run(cwd: string, cacheDir: string): Answer {
  const command = [built.outfile, cacheDir, testFile("fixtures/onnx/add.onnx")];
  const done = Bun.spawnSync(command, { cwd, env: { PATH: "/usr/bin:/bin" }, stderr: "inherit" });
  expect(done.exitCode).toBe(0);
  return JSON.parse(done.stdout.toString()) as Answer;
}

describe("the executable", () => {
  test("answers with what is inside it: the library, a worker in another folder, its version", () => {
    const answer = run("/", join(folder.path, "run"));
    expect(answer).toMatchObject({
      sum: [11, 22, 33, 44],
      source: "cache",
      warnings: [],
      coreml: "stands for libcoremlx",
      version: packageJson.version,
      onnxruntimeVersion: packageJson.devDependencies["onnxruntime-node"],
    });
    expect(answer.path).toStartWith(join(folder.path, "run/lib/"));
  });

  test("runs no code and reads no settings of the folder it is started in", () => {
    const hostile = join(folder.path, "hostile");
    mkdirSync(hostile);
    const mark = join(hostile, "executed");
    writeFileSync(join(hostile, "bunfig.toml"), 'preload = ["./evil.ts"]\n');
    writeFileSync(join(hostile, "evil.ts"), `await Bun.write(${JSON.stringify(mark)}, "");`);
    writeFileSync(join(hostile, ".env"), "HIJACKED=1\n");
    writeFileSync(join(hostile, "package.json"), "{");
    writeFileSync(join(hostile, "tsconfig.json"), "{");
    const answer = run(hostile, join(folder.path, "run"));
    expect(answer.sum).toEqual([11, 22, 33, 44]);
    expect(answer.hijacked).toBeUndefined();
    expect(existsSync(mark)).toBe(false);
  });

  test("carries a licence for all that is in it", () => {
    const { notices } = run("/", join(folder.path, "run"));
    const titles = notices.map(([title]) => title);
    const packages = ["ONNX Runtime", "Bun", ...Object.keys(packageJson.dependencies)];
    for (const name of packages) {
      const word = name.toLowerCase().replace(" ", "");
      expect(titles.some((title) => title === name || title.startsWith(`${word}/`))).toBe(true);
    }
    expect(notices.every(([, byteLength]) => byteLength > 200)).toBe(true);
  });

  test.if(process.platform === "linux")("needs no folder that it may write to", () => {
    const answer = run("/", "/proc/none");
    expect(answer).toMatchObject({ sum: [11, 22, 33, 44], source: "memory" });
  });

  test("is within its size", () => {
    expect(built.byteLength).toBe(statSync(built.outfile).size);
    expect(built.byteLength).toBeLessThan(135_000_000);
  });

  test("is the same, byte for byte, when built again", async () => {
    const digest = () => createHash("sha256").update(readFileSync(built.outfile)).digest("hex");
    const first = digest();
    await build(built.outfile);
    expect(digest()).toBe(first);
  }, 60_000);
});

test.each([
  ["linux-x64", "linux-x64", false, "coremlx"],
  ["linux-arm64", "linux-x64", false, "coremlx-linux-arm64"],
  ["darwin-arm64", "linux-x64", false, "coremlx-darwin-arm64-portable"],
  ["darwin-arm64", "darwin-arm64", false, "coremlx-darwin-arm64-portable"],
  ["darwin-arm64", "darwin-arm64", true, "coremlx"],
] as const)("for %s, built on %s (with Core ML: %p), it is called %s", (forTarget, host, hasCoreml, name) => {
  expect(nameExecutable({ target: forTarget, host, hasCoreml })).toBe(name);
});

describe("a build that would not work is refused", () => {
  test("two entries of one name", async () => {
    const twice = [...entries, testFile("support/native/../../fixtures/build/main.ts")];
    const refused = build(join(folder.path, "twice"), twice).then(undefined, String);
    expect(await refused).toContain("share a name");
  });
});
