// coremlx compile and coremlx cache, from outside.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { digitsPackage } from "../support/digits.ts";
import { expectFailure, run, runJson } from "../support/program.ts";
import { sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const temp = tempFolder();
afterAll(() => temp[Symbol.dispose]());
let folders = 0;
const newFolder = () => join(temp.path, `folder-${folders++}`);
const multifunction = resolve(import.meta.dir, "../fixtures/packages/multifunction.mlpackage");
const stateful = resolve(import.meta.dir, "../fixtures/packages/sequence.mlpackage");

// Written now, so that it has settled when its turn comes.
const oddlyNamed = join(newFolder(), "a\u001b[2Jb.mlpackage");
cpSync(digitsPackage, oddlyNamed, { recursive: true });

/** A cache of its own, and what has to be said to use it. */
function newCache() {
  const folder = newFolder();
  return { models: join(folder, "models"), use: ["--cache-dir", folder] };
}

interface Listed {
  readonly entries: readonly {
    readonly key: string;
    readonly folder: string;
    readonly bytes: number;
    readonly isInUse: boolean;
    readonly used: string;
    readonly origin: { readonly path: string; readonly functionName: string };
  }[];
}

async function listed(use: readonly string[]): Promise<Listed["entries"]> {
  // The shape is what the tests below look at.
  return ((await runJson(["cache", "list", ...use])) as unknown as Listed).entries;
}

describe("compile", () => {
  test("makes an entry once, and says what and how long", async () => {
    const { models, use } = newCache();
    const cold = await runJson(["compile", digitsPackage, ...use]);
    const warm = await runJson(["compile", digitsPackage, ...use]);
    const entry = {
      name: "main",
      key: expect.stringMatching(/^[0-9a-f]{64}$/),
      folder: expect.stringContaining(join(models, "entries/")),
      bytes: expect.any(Number),
      loadMs: expect.any(Number),
    };
    const result = {
      schemaVersion: 1,
      model: { path: digitsPackage, digest: expect.stringMatching(/^[0-9a-f]{64}$/), kind: "mlProgram" },
      engine: "portable",
      engineVersion: expect.stringMatching(/^ONNX Runtime 1\./),
    };
    expect(cold).toEqual({
      ...result,
      functions: [{ ...entry, outcome: "cold", compileMs: expect.any(Number) }],
    });
    expect(warm).toEqual({ ...result, functions: [{ ...entry, outcome: "warm", compileMs: 0 }] });
    const inspected = await runJson(["inspect", digitsPackage]);
    expect((cold["model"] as Readonly<Record<string, unknown>>)["digest"]).toBe(inspected["digest"]);
  });

  test("prints a line for people", async () => {
    const { use } = newCache();
    const cold = await run(["compile", digitsPackage, ...use]);
    expect(cold).toMatchObject({ code: 0, stderr: "" });
    expect(cold.stdout).toMatch(
      /^compiled in [\d.]+ (ms|s) · loads in [\d.]+ (µs|ms) · 226 kB · .+\/entries\/[0-9a-f]{64}\n$/,
    );
    const warm = await run(["compile", digitsPackage, ...use]);
    expect(warm.stdout).toStartWith("was compiled already · loads in ");
    expect(await run(["compile", digitsPackage, "--quiet", ...use])).toEqual({
      code: 0,
      stdout: "",
      stderr: "",
    });
  });

  test("takes every function, or the one that is named", async () => {
    const { use } = newCache();
    const named = (result: Readonly<Record<string, unknown>>) =>
      (result["functions"] as { name: string; outcome: string }[]).map(
        ({ name, outcome }) => `${name} ${outcome}`,
      );
    const one = named(await runJson(["compile", multifunction, "--function", "twice", ...use]));
    expect(one).toEqual(["twice cold"]);
    const all = named(await runJson(["compile", multifunction, ...use]));
    expect(all.length).toBeGreaterThan(1);
    expect(all).toContain("twice warm");
    expect((await listed(use)).map(({ origin }) => origin.functionName).toSorted()).toEqual(
      all.map((line) => line.split(" ")[0] ?? "").toSorted(),
    );
    const { stdout } = await run(["compile", multifunction, ...use]);
    expect(stdout.trimEnd().split("\n").length).toBe(all.length);
  });

  test("keeps an entry for each precision", async () => {
    const { use } = newCache();
    await runJson(["compile", stateful, ...use]);
    await runJson(["compile", stateful, "--precision", "model", ...use]);
    expect((await listed(use)).length).toBe(2);
  });

  test("of a model that was written this moment waits until it cannot change unseen", async () => {
    const { use } = newCache();
    const copy = join(newFolder(), "Digits.mlpackage");
    cpSync(digitsPackage, copy, { recursive: true });
    expect(await runJson(["compile", copy, ...use])).toMatchObject({ functions: [{ outcome: "cold" }] });
    expect(await runJson(["compile", copy, ...use])).toMatchObject({ functions: [{ outcome: "warm" }] });
  });

  test("--verify reads all, and makes a damaged entry anew", async () => {
    const { use } = newCache();
    await runJson(["compile", digitsPackage, ...use]);
    expect(await runJson(["compile", digitsPackage, "--verify", ...use])).toMatchObject({
      functions: [{ outcome: "warm" }],
    });
    const [entry] = await listed(use);
    flipByte(join(entry?.folder ?? "", "0.bin"));
    const repaired = await run(["compile", digitsPackage, "--verify", "--json", ...use]);
    expect(JSON.parse(repaired.stdout)).toMatchObject({ functions: [{ outcome: "cold" }] });
    expect(await runJson(["cache", "verify", ...use])).toMatchObject({ intact: 1, damaged: [] });
  });

  test("fails when there is no room for it, with the reason", async () => {
    const { models, use } = newCache();
    await expectFailure(["compile", digitsPackage, "--max-size", "100kB", ...use], {
      exit: 1,
      code: "IO",
      message: /^Cannot keep the compiled model of .*Digits\.mlpackage: .* and the cache may take 100000$/,
      hint: undefined,
    });
    expect(readdirSync(join(models, "entries"))).toEqual([]);
    expect(readdirSync(join(models, "drafts"))).toEqual([]);
  });

  const neural = sharedPath("models/mnist-umerzia/MNISTClassifier.mlmodel");
  test.each([
    ["a model that is not there", ["compile", "nothing.mlpackage"], 4, "BAD_MODEL", /there is no such file/],
    ["a function it does not have", ["compile", digitsPackage, "--function", "f"], 4, "NOT_FOUND", /"f"/],
    ["a kind that is not compiled", ["compile", neural], 5, "UNSUPPORTED", /neuralNetwork/],
    [
      "Core ML without a Mac",
      ["compile", digitsPackage, "--engine", "coreml"],
      5,
      "UNSUPPORTED",
      /Core ML engine/,
    ],
    ["an engine nobody knows", ["compile", digitsPackage, "--engine", "tpu"], 2, "USAGE", /tpu/],
    ["no model", ["compile"], 2, "USAGE", /needs MODEL/],
    ["a size that is none", ["compile", digitsPackage, "--max-size", "much"], 2, "USAGE", /not a size/],
  ] as const)("refuses %s", async (_, args, exit, code, message) => {
    if (code === "UNSUPPORTED" && process.platform === "darwin") return;
    const { use } = newCache();
    const hint = code === "NOT_FOUND" || message.source === "tpu" ? undefined : /./;
    await expectFailure([...args, ...use], { exit, code, message, hint });
  });
});

describe("compile -o", () => {
  test("writes a folder that stands alone, and leaves the cache alone", async () => {
    const { models, use } = newCache();
    const output = join(newFolder(), "deep/compiled");
    const result = await runJson(["compile", digitsPackage, "-o", output, ...use]);
    expect(result).toMatchObject({ functions: [{ name: "main", outcome: "cold", folder: output }] });
    expect(readdirSync(output).toSorted()).toEqual(["0.bin", "0.onnx", "manifest.json", "plan.json"]);
    expect(existsSync(models)).toBe(false);
    expect(statSync(output).mode & 0o777).toBe(0o755);
    for (const name of readdirSync(output)) expect(statSync(join(output, name)).mode & 0o777).toBe(0o644);
    const manifest = JSON.parse(readFileSync(join(output, "manifest.json"), "utf8"));
    expect(manifest.origin).toMatchObject({
      path: digitsPackage,
      functionName: "main",
      precision: "float32",
    });
    // Nothing beside it is left.
    expect(readdirSync(join(output, ".."))).toEqual(["compiled"]);
  });

  test("writes the weights of a graph with loops into the folder as well", async () => {
    const output = newFolder();
    const loop = resolve(import.meta.dir, "../fixtures/packages/gru-loop.mlpackage");
    await runJson(["compile", loop, "-o", output, ...newCache().use]);
    const plan = readFileSync(join(output, "plan.json"), "utf8");
    expect(plan).toContain('"form":"lowered"');
    expect(plan).not.toContain("weightFolder");
    expect(statSync(join(output, "0.onnx")).size).toBeGreaterThan(4_000);
  });

  test("writes the same bytes each time, and replaces what it wrote before", async () => {
    const output = newFolder();
    const { use } = newCache();
    const bytes = () =>
      readdirSync(output)
        .filter((name) => name !== "manifest.json") // it says how long it took
        .toSorted()
        .map((name) => [name, readFileSync(join(output, name)).toString("hex")]);
    await runJson(["compile", digitsPackage, "-o", output, ...use]);
    const first = bytes();
    const { stdout } = await run(["compile", digitsPackage, "-o", output, ...use]);
    expect(stdout).toMatch(/^compiled in .* · 226 kB · .*folder-\d+\n$/);
    expect(bytes()).toEqual(first);
    await runJson(["compile", stateful, "-o", output, ...use]);
    expect(bytes()).not.toEqual(first);
    expect(readdirSync(output)).not.toContain("0.bin"); // its weights are too small for a file of their own
  });

  test("takes an empty folder, and no other", async () => {
    const { use } = newCache();
    const empty = newFolder();
    mkdirSync(empty);
    await runJson(["compile", digitsPackage, "-o", empty, ...use]);
    const full = newFolder();
    mkdirSync(full);
    writeFileSync(join(full, "thesis.txt"), "!");
    const file = newFolder();
    writeFileSync(file, "!");
    const refused = [
      [full, "it is not empty"],
      [file, "it is not a folder"],
      [join(file, "inside"), "ENOTDIR"],
    ] as const;
    for (const [target, why] of refused) {
      await expectFailure(["compile", digitsPackage, "-o", target, ...use], {
        exit: 1,
        code: "IO",
        message: `Cannot write the compiled model to ${target}: ${why}`,
        hint: "Name a new or an empty folder that you may write to",
      });
    }
    expect(readdirSync(full)).toEqual(["thesis.txt"]);
    expect(readFileSync(file, "utf8")).toBe("!");
  });

  test("refuses what cannot be compiled, and leaves nothing", async () => {
    const output = join(newFolder(), "out");
    const neural = sharedPath("models/mnist-umerzia/MNISTClassifier.mlmodel");
    await expectFailure(["compile", neural, "-o", output, ...newCache().use], {
      exit: 5,
      code: "UNSUPPORTED",
      message: /it is a neuralNetworkClassifier/,
      hint: /ML programs/,
    });
    expect(existsSync(output)).toBe(false);
    expect(readdirSync(join(output, ".."))).toEqual([]);
  });
});

describe("cache list", () => {
  test("names what is there, the one used last first", async () => {
    const { models, use } = newCache();
    await runJson(["compile", digitsPackage, ...use]);
    await runJson(["compile", stateful, ...use]);
    const [entry] = (await listed(use)).filter(({ origin }) => origin.path === digitsPackage);
    if (entry === undefined) throw new Error("no entry");
    utimesSync(join(entry.folder, "manifest.json"), 1_000, 1_000);
    const document = await runJson(["cache", "list", ...use]);
    expect(document).toMatchObject({
      schemaVersion: 1,
      folder: models,
      maxBytes: 2e9,
      damaged: [],
      apple: process.platform === "darwin" ? { bytes: expect.any(Number) } : null,
      entries: [
        { origin: { path: stateful } },
        {
          key: entry.key,
          isInUse: false,
          used: "1970-01-01T00:16:40.000Z",
          compileMs: expect.any(Number),
          origin: {
            path: digitsPackage,
            functionName: "main",
            engine: expect.stringContaining("ONNX Runtime"),
          },
        },
      ],
    });
    const { stdout, stderr } = await run(["cache", "list", ...use]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^model +function +size +compiled in +last used +key$/);
    expect(lines[1]).toStartWith("sequence.mlpackage ");
    expect(lines[2]).toMatch(/^Digits\.mlpackage +main +226 kB +\d+ ms +1970-01-01 00:16 +[0-9a-f]{12}$/);
    expect(lines[3]).toMatch(/^2 entries, \d+ kB of at most 2\.0 GB in \//);
    expect(stderr).toBe("");
  });

  test("of a cache that does not exist is empty, and does not make one", async () => {
    const { models, use } = newCache();
    expect(await runJson(["cache", "list", ...use])).toMatchObject({ entries: [], bytes: 0, folder: models });
    expect(await runJson(["cache", "verify", ...use])).toMatchObject({ intact: 0 });
    expect(await runJson(["cache", "prune", "--all", ...use])).toMatchObject({ removed: [] });
    const { stdout } = await run(["cache", "list", ...use]);
    const [line, apple] = stdout.split("\n");
    expect(line).toBe(`0 entries, 0 B of at most 2.0 GB in ${models}`);
    expect(apple).toStartWith("Core ML's own cache: ");
    expect(existsSync(models)).toBe(false);
  });

  test("refuses a folder that others may enter", async () => {
    const { models, use } = newCache();
    await runJson(["compile", digitsPackage, ...use]);
    chmodSync(models, 0o755);
    await expectFailure(["cache", "list", ...use], {
      exit: 1,
      code: "IO",
      message: `Cannot use the folder ${models}: others may enter it (mode 755)`,
      hint: `Run chmod 700 ${models}, or name a new folder`,
    });
  });

  test("shows no escapes of a model's name to the terminal", async () => {
    const { use } = newCache();
    await runJson(["compile", oddlyNamed, ...use]);
    const { stdout } = await run(["cache", "list", ...use]);
    expect(stdout).not.toContain("\u001b");
    expect(stdout).toContain("a\\x1b[2Jb.mlpackage");
  });
});

describe("cache verify", () => {
  test("finds damage, removes it, and ends with exit code 1", async () => {
    const { use } = newCache();
    await runJson(["compile", digitsPackage, ...use]);
    await runJson(["compile", stateful, ...use]);
    expect(await runJson(["cache", "verify", ...use])).toMatchObject({
      schemaVersion: 1,
      intact: 2,
      damaged: [],
    });
    const [entry] = (await listed(use)).filter(({ origin }) => origin.path === digitsPackage);
    if (entry === undefined) throw new Error("no entry");
    truncateSync(join(entry.folder, "0.bin"), 1_000);
    const damaged = await run(["cache", "verify", ...use]);
    expect(damaged).toEqual({
      code: 1,
      stdout: expect.stringMatching(
        new RegExp(
          `^damaged: ${entry.key.slice(0, 12)}: 0\\.bin has 1000 bytes, not \\d+\n1 entry is sound `,
        ),
      ),
      stderr: "",
    });
    const again = await run(["cache", "verify", "--json", ...use]);
    expect({ code: again.code, ...JSON.parse(again.stdout) }).toMatchObject({
      code: 0,
      intact: 1,
      damaged: [],
    });
  });
});

describe("cache prune", () => {
  async function filled() {
    const { use } = newCache();
    await runJson(["compile", digitsPackage, ...use]);
    await runJson(["compile", multifunction, ...use]);
    for (const { folder, origin } of await listed(use)) {
      const seconds = origin.path === digitsPackage ? 1_000 : 2_000;
      utimesSync(join(folder, "manifest.json"), seconds, seconds);
    }
    return use;
  }

  test("keeps what was used last, up to a size", async () => {
    const use = await filled();
    expect(await runJson(["cache", "prune", ...use])).toMatchObject({ removed: [], freedBytes: 0 });
    expect(await runJson(["cache", "prune", "--max-size", "200kB", ...use])).toMatchObject({
      schemaVersion: 1,
      removed: [{ origin: { path: digitsPackage } }],
      inUse: [],
    });
    const left = await listed(use);
    expect(left.length).toBeGreaterThan(1);
    expect(left.every(({ origin }) => origin.path === multifunction)).toBe(true);
  });

  test("--all removes everything", async () => {
    const use = await filled();
    const { stdout } = await run(["cache", "prune", "--all", ...use]);
    expect(stdout).toMatch(/^removed \d entries \(\d+ kB\), 0 B left\n$/);
    expect(await listed(use)).toEqual([]);
  });

  test.each([
    ["--apple off a Mac", ["cache", "prune", "--apple"], 5, "UNSUPPORTED", /there is none, this is no Mac$/],
    ["--apple with --all", ["cache", "prune", "--apple", "--all"], 2, "USAGE", /in part/],
    ["--all with a size", ["cache", "prune", "--all", "--max-size", "1GB"], 2, "USAGE", /contradict/],
    ["a size that is none", ["cache", "prune", "--max-size", "1 apple"], 2, "USAGE", /not a size/],
    ["flags of prune with list", ["cache", "list", "--all"], 2, "USAGE", /no meaning for coremlx cache list/],
    ["flags of prune with verify", ["cache", "verify", "--max-size", "1GB"], 2, "USAGE", /no meaning/],
    ["an action nobody knows", ["cache", "prine"], 2, "USAGE", /Unknown action "prine"/],
    ["no action", ["cache"], 2, "USAGE", /needs ACTION/],
    ["two actions", ["cache", "list", "verify"], 2, "USAGE", /does not take "verify"/],
  ] as const)("refuses %s", async (_, args, exit, code, message) => {
    const { use } = newCache();
    // Two sizes that contradict each other have no remedy to name.
    const hint = /contradict/.test(message.source) ? undefined : /./;
    await expectFailure([...args, ...use], { exit, code, message, hint });
  });
});

function flipByte(path: string): void {
  const bytes = readFileSync(path);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  chmodSync(path, 0o600);
  writeFileSync(path, bytes);
}
