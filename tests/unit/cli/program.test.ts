import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { currentFolder } from "../../../src/cli/environment.ts";
import { failureForm } from "../../../src/cli/failure-form.ts";
import { BrokenPipe, shellWord, unlessInterrupted } from "../../../src/cli/output.ts";
import { exitCodes, runProgram } from "../../../src/cli/program.ts";
import { digitsPackage } from "../../support/digits.ts";
import { type TestIo, testIo } from "../../support/io.ts";
import { failureOf } from "../../support/model-files.ts";
import { writeSumModel } from "../../support/program-models.ts";
import { tempFolder } from "../../support/temp.ts";

const digit = resolve(import.meta.dir, "../../../examples/digits/digit_7.png");

async function runHere(args: readonly string[], io: TestIo = testIo()) {
  const code = await runProgram(args, io);
  return { code, ...io.written };
}

describe("exit codes", () => {
  test("are those of the contract", () => {
    expect(exitCodes).toEqual({
      USAGE: 2,
      BAD_INPUT: 4,
      BAD_MODEL: 4,
      NOT_FOUND: 4,
      UNSUPPORTED: 5,
      CRITERIA_FAILED: 3,
      OVERLOADED: 69,
      UNAVAILABLE: 69,
      DEADLINE: 124,
      INTERRUPTED: 130,
      IO: 1,
      NATIVE: 1,
      INTERNAL: 1,
    });
  });

  test("an interrupted program says so, whatever failed because of it", async () => {
    const io = testIo({ signal: AbortSignal.abort() });
    expect(await runHere(["inspect", "nothing", "--json"], io)).toEqual({
      code: 130,
      stdout: '{"error":{"code":"INTERRUPTED","message":"Interrupted"}}\n',
      stderr: "error: Interrupted\n",
    });
  });
});

describe("failures that nobody foresaw", () => {
  const failing = (error: Error): TestIo => ({
    ...testIo(),
    stdout() {
      throw error;
    },
  });

  test("our own mistake asks for a report, with --verbose it shows where", async () => {
    const io = failing(new TypeError("x is not a function"));
    const { code, stderr } = await runHere(["config", "--verbose"], io);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^error: Something went wrong inside coremlx: x is not a function\nhint: Run again with --verbose and report what it prints\nTypeError: x is not a function\n\s+at /,
    );
    expect((await runHere(["config"], failing(new TypeError("x")))).stderr).not.toContain(" at ");
  });

  test("an error of the system is one of the file system, with a way out where there is one", async () => {
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    expect(await runHere(["config"], failing(full))).toEqual({
      code: 1,
      stdout: "",
      stderr:
        "error: ENOSPC: no space left on device, write\nhint: Free some space or choose another folder\n",
    });
    const other = Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
    expect((await runHere(["config"], failing(other))).stderr).toBe("error: EIO: i/o error\n");
  });

  test("a reader that left is none", async () => {
    expect(await runHere(["config"], failing(new BrokenPipe()))).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("nor can they be told to a stderr that is gone too", async () => {
    const io: TestIo = {
      ...testIo(),
      stderr() {
        throw new BrokenPipe();
      },
    };
    expect(await runProgram(["nonsense"], io)).toBe(1);
  });
});

describe("how a failure is shown", () => {
  const plain = { isJson: false, isVerbose: false, isLogJson: false, color: "auto" };

  test("follows the flags, also on a command line that is wrong", () => {
    const form = (...argv: string[]) => failureForm(argv, testIo());
    expect(form("infer", "m", "--nonsense")).toEqual(plain);
    expect(form("infer", "--json", "-qv", "--color", "never", "--log-format=json")).toEqual({
      isJson: true,
      isVerbose: true,
      isLogJson: true,
      color: "never",
    });
    expect(form("infer", "m", "--", "--json")).toEqual(plain);
    expect(form("infer", "--color=always", "--no-json", "--json")).toEqual({ ...plain, color: "always" });
    expect(form("--version", "--json")).toEqual({ ...plain, isJson: true });
    expect(form()).toEqual(plain);
  });

  test("follows the environment and the files, as far as they can be read", () => {
    using folder = tempFolder();
    const io = testIo({ cwd: folder.path, env: { COREMLX_VERBOSE: "yes", COREMLX_JSON: "" } });
    writeFileSync(join(folder.path, "coremlx.toml"), 'log-format = "json"\n[infer]\njson = true\n');
    expect(failureForm(["infer"], io)).toEqual({ ...plain, isJson: true, isVerbose: true, isLogJson: true });
    expect(failureForm(["inspect"], io)).toEqual({ ...plain, isVerbose: true, isLogJson: true });
    writeFileSync(join(folder.path, "coremlx.toml"), "json = = true");
    expect(failureForm(["infer"], io)).toEqual({ ...plain, isVerbose: true });
  });
});

describe("commands, in this process", () => {
  test("help of all and of one", async () => {
    expect((await runHere([])).stdout).toContain("EXAMPLES");
    expect((await runHere(["help", "infer"])).stdout).toContain("--output-dir");
    expect(await runHere(["help", "infre"])).toMatchObject({ code: 2, stdout: "" });
    expect((await runHere(["inspect", "--help"])).stdout).toContain("coremlx inspect");
  });

  test("version takes --json and nothing else", async () => {
    expect(JSON.parse((await runHere(["--version", "--json"])).stdout)).toHaveProperty("engines.portable");
    expect(await runHere(["-V", "--verbos"])).toMatchObject({ code: 2, stdout: "" });
  });

  test("infer answers, writes what is asked for, and says what it does", async () => {
    using folder = tempFolder();
    const io = testIo({ cwd: folder.path });
    const out = join(folder.path, "out");
    const args = [digit, "--output-dir", "out", "--verbose", "--repeat", "3"];
    const { code, stdout, stderr } = await runHere(["infer", digitsPackage, ...args], io);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^portable · cpu · .* · predict /);
    expect(stderr).toMatch(
      /^debug: loading .*\ndebug: model loaded .*\ndebug: predicting .*\nwrote out\ndebug: model closed .*\n$/,
    );
    expect(JSON.parse(readFileSync(join(out, "outputs.json"), "utf8"))).toHaveProperty("classLabel", "7");
  });

  test("infer shows several answers one after the other", async () => {
    const { code, stdout } = await runHere(["infer", digitsPackage, digit, digit.replace("7", "1")]);
    expect(code).toBe(0);
    expect(stdout.match(/^classLabel: \d$/gm)).toEqual(["classLabel: 7", "classLabel: 1"]);
    expect(stdout).toMatch(/ · 2 predictions, median /);
  });

  test("infer takes NAME=VALUE for inputs of one prediction", async () => {
    using folder = tempFolder();
    const sum = writeSumModel(join(folder.path, "sum.mlpackage"));
    const { stdout } = await runHere(["infer", sum, "left=ones", "right=ones", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      outputs: {
        sum: {
          data: [
            [2, 2, 2],
            [2, 2, 2],
          ],
        },
      },
    });
    expect(
      (await runHere(["infer", sum, "left=ones", "left=zeros", "-i", "right=ones", "--json"])).code,
    ).toBe(0);
  });

  test("inspect lists every op when asked", async () => {
    const { code, stdout } = await runHere(["inspect", digitsPackage, "--ops"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}0 +\w+ /m);
  });

  test("export writes, or prints", async () => {
    using folder = tempFolder();
    const io = testIo({ cwd: folder.path });
    expect((await runHere(["export", digitsPackage, "-o", "a.onnx"], io)).stderr).toMatch(/^wrote a.onnx \(/);
    expect(readFileSync(join(folder.path, "a.onnx")).byteLength).toBeGreaterThan(100_000);
    expect(await runHere(["export", digitsPackage])).toMatchObject({ code: 2 });
  });

  test("config warns of settings that nobody knows", async () => {
    using folder = tempFolder();
    writeFileSync(join(folder.path, "coremlx.toml"), "thoop = 1\n[nothing]\n");
    const { code, stderr } = await runHere(["config"], testIo({ cwd: folder.path }));
    expect(code).toBe(0);
    expect(stderr.match(/^warn: /gm)).toHaveLength(2);
  });

  test("completions and licenses print", async () => {
    expect((await runHere(["completions", "bash"])).stdout).toContain(
      "complete -o filenames -F _coremlx coremlx",
    );
    expect((await runHere(["completions", "fish"])).stdout).toContain("complete -c coremlx");
    expect((await runHere(["licenses"])).code).toBe(0);
  });
});

describe("small things", () => {
  test("words for the shell are quoted where they must be", () => {
    expect(["a/b.c", "x=1", "a b", "it's", "$(x)", ""].map(shellWord)).toEqual([
      "a/b.c",
      "x=1",
      "'a b'",
      "'it'\\''s'",
      "'$(x)'",
      "''",
    ]);
  });

  test("work is left alone when the signal aborts first", async () => {
    const never = new Promise<never>(() => {});
    const abort = new AbortController();
    const waiting = failureOf(() => unlessInterrupted(never, abort.signal));
    abort.abort();
    expect((await waiting).code).toBe("INTERRUPTED");
    expect((await failureOf(() => unlessInterrupted(never, AbortSignal.abort()))).code).toBe("INTERRUPTED");
    expect(await unlessInterrupted(Promise.resolve(1), new AbortController().signal)).toBe(1);
  });

  test("the working folder is this process's own", () => {
    expect(currentFolder()).toBe(process.cwd());
  });
});
