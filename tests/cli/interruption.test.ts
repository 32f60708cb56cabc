// Ctrl-C and deadlines: the end comes at once, with its exit code, and nothing stays behind.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { writeSlowModel, writeSumModel } from "../support/program-models.ts";
import { binaryPath, expectFailure, type RunningProgram, runJson, start } from "../support/program.ts";
import { sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
const slow = writeSlowModel(join(folder.path, "slow.mlpackage"));
const sum = writeSumModel(join(folder.path, "sum.mlpackage"));
let count = 0;

/** Far beyond what ending takes (10 to 40 ms measured), far below what the work would have taken. */
const atOnceMs = 1_500;

interface Place {
  readonly out: string;
  readonly cache: string;
  readonly temporary: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Folders of one run, to see afterwards what is in them. */
function makePlace(): Place {
  const base = join(folder.path, `p${count++}`);
  const [out, cache, temporary] = ["out", "cache", "tmp"].map((name) => join(base, name));
  if (out === undefined || cache === undefined || temporary === undefined) throw new Error("no folders");
  mkdirSync(temporary, { recursive: true });
  mkdirSync(cache, { mode: 0o700 });
  return { out, cache, temporary, env: { XDG_CACHE_HOME: cache, TMPDIR: temporary } };
}

function expectNothingLeft({ out, cache, temporary }: Place): void {
  expect(existsSync(out)).toBe(false);
  expect(readdirSync(temporary)).toEqual([]);
  // The unpacked library may be there, whole; nothing else of ours.
  const own = join(cache, "coremlx");
  const entries = existsSync(own) ? readdirSync(own, { recursive: true, withFileTypes: true }) : [];
  const files = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  expect(files.filter((name) => !/^libonnxruntime\.(so|dylib)$/.test(name))).toEqual([]);
}

async function expectEndAtOnce(
  program: RunningProgram,
  signals: readonly ("SIGINT" | "SIGTERM")[],
): Promise<void> {
  const started = performance.now();
  for (const name of signals) program.signal(name);
  const { code, stdout, stderr } = await program.result;
  expect(performance.now() - started).toBeLessThan(atOnceMs);
  expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
  expect(stderr).not.toMatch(/\n\s+at /);
}

describe("Ctrl-C", () => {
  const answer = ["--timeout", "10m", "--verbose", "--output-dir"];

  test.each(["SIGINT", "SIGTERM"] as const)("during a prediction (%s)", async (name) => {
    const place = makePlace();
    const program = start(["infer", slow, "zeros", ...answer, place.out], place);
    await program.says("debug: predicting");
    await expectEndAtOnce(program, [name]);
    expect((await program.result).stderr).toEndWith("\nerror: Interrupted\n");
    expectNothingLeft(place);
  });

  test("twice forces the end", async () => {
    const place = makePlace();
    const program = start(["infer", slow, "zeros", ...answer, place.out], place);
    await program.says("debug: predicting");
    await expectEndAtOnce(program, ["SIGINT", "SIGINT"]);
    expectNothingLeft(place);
  });

  test("while a model loads", async () => {
    const place = makePlace();
    const model = sharedPath("models/reference/resnet50_fp16/model.mlpackage");
    const program = start(["infer", model, ...answer, place.out], place);
    await program.says("debug: loading ");
    await expectEndAtOnce(program, ["SIGINT"]);
    expect((await program.result).stderr).toEndWith("\nerror: Interrupted\n");
    expectNothingLeft(place);
  });

  test("between the predictions of several files", async () => {
    const place = makePlace();
    const program = start(["infer", slow, "zeros", "ones", ...answer, place.out], place);
    await program.says("debug: predicting zeros\n");
    await expectEndAtOnce(program, ["SIGINT"]);
    expectNothingLeft(place);
  });

  test("while it waits for an input on stdin", async () => {
    const place = makePlace();
    const program = start(
      ["infer", sum, "--input", "left=-", "--input", "right=ones", ...answer, place.out],
      place,
    );
    await program.says("debug: model loaded ");
    await expectEndAtOnce(program, ["SIGINT"]);
    expectNothingLeft(place);
  });

  test("is an error document with --json", async () => {
    const program = start(["infer", slow, "zeros", "--timeout", "10m", "--verbose", "--json"]);
    await program.says("debug: predicting");
    program.signal("SIGINT");
    const { code, stdout } = await program.result;
    expect({ code, document: JSON.parse(stdout) }).toEqual({
      code: 130,
      document: { error: { code: "INTERRUPTED", message: "Interrupted" } },
    });
  });

  test.skipIf(binaryPath === undefined)(
    "while the executable unpacks its library, the first time",
    async () => {
      const place = makePlace();
      const library = join(place.cache, "coremlx/lib");
      const program = start(["infer", sum, "--quiet", "--output-dir", place.out], place);
      // Unpacking begins with the folder for it; only the file system tells.
      for (let tries = 0; !existsSync(library) && tries < 10_000; tries++) await Bun.sleep(1);
      expect(existsSync(library)).toBe(true);
      await expectEndAtOnce(program, ["SIGINT"]);
      expectNothingLeft(place);
    },
  );
});

describe("a deadline", () => {
  test("ends a prediction that takes longer, with exit code 124", async () => {
    const place = makePlace();
    const started = performance.now();
    await expectFailure(
      ["infer", slow, "zeros", "--timeout", "1ms", "--output-dir", place.out],
      {
        exit: 124,
        code: "DEADLINE",
        message: "Cannot predict: no answer within 1 ms",
        hint: "Give it more time with --timeout",
        details: { timeoutMs: 1 },
      },
      place,
    );
    expect(performance.now() - started).toBeLessThan(5_000);
    expectNothingLeft(place);
  });

  test("does not count reading and loading the model", async () => {
    const model = sharedPath("models/basic-pitch/nmp.mlpackage");
    const document = await runJson(["infer", model, "random", "--timeout", "10s"]);
    expect(Object.keys(Object(document["outputs"]))).toHaveLength(3);
  });

  test("beyond what a timer holds is none", async () => {
    expect(await runJson(["infer", sum, "zeros", "--timeout", "9999h"])).toMatchObject({
      engine: "portable",
    });
  });

  test.each(["0s", "5", "-1s", "soon"])("of %s is refused", async (text) => {
    await expectFailure(["infer", sum, `--timeout=${text}`], {
      exit: 2,
      code: "USAGE",
      message: new RegExp(`^Cannot read --timeout "${text}": `),
      hint: "Write it like 250ms, 5s, 10m or 1h",
    });
  });
});
