import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { findModel, isMissing, missingHint, whyMissing } from "../../../src/cli/paths.ts";
import { cacheDirOf, openCliSession, progress } from "../../../src/cli/session.ts";
import { testIo } from "../../support/io.ts";
import { failureOf } from "../../support/model-files.ts";
import { tempFolder } from "../../support/temp.ts";

async function refusal(text: string, cwd: string): Promise<string> {
  const { code, message, hint } = await failureOf(() => findModel(text, cwd));
  return `${code}: ${message}${hint === undefined ? "" : ` (${hint})`}`;
}

describe("a model's path", () => {
  test("is absolute afterwards, whatever is there", () => {
    using folder = tempFolder();
    writeFileSync(join(folder.path, "m"), "");
    expect(findModel("m", folder.path)).toBe(join(folder.path, "m"));
    expect(findModel(folder.path, "/")).toBe(folder.path);
  });

  test("that is missing brings what was meant", async () => {
    using folder = tempFolder();
    const cwd = folder.path;
    mkdirSync(join(cwd, "models/Digits.mlpackage"), { recursive: true });
    symlinkSync("nowhere", join(cwd, "link"));
    writeFileSync(join(cwd, "file"), "");
    const none = "(A model is an .mlpackage folder, an .mlmodelc folder or an .mlmodel file)";
    const didYouMean = '(Did you mean "models/Digits.mlpackage"?)';
    const expected: Readonly<Record<string, string>> = {
      "models/digits": `there is no such file or folder ${didYouMean}`,
      "models/Digts.mlpackage": `there is no such file or folder ${didYouMean}`,
      "modles/Digits.mlpackage": `there is no folder "modles" ${didYouMean}`,
      "completely/different": `there is no folder "completely" ${none}`,
      "models/x": `there is no such file or folder ${none}`,
      link: `it is a link to something that is not there ${none}`,
      "file/m": `"file" is a file, not a folder ${none}`,
    };
    for (const [text, reason] of Object.entries(expected)) {
      expect(await refusal(text, cwd)).toBe(`BAD_MODEL: Cannot open "${text}": ${reason}`);
    }
  });

  test("is no address, no stdin and no unexpanded home", async () => {
    expect(await refusal("hf:owner/repo", "/")).toContain("(Download it, then give the path");
    expect(await refusal("file:///tmp/m.mlpackage", "/")).toContain("(Write /tmp/m.mlpackage)");
    expect(await refusal("-", "/")).toBe(
      "BAD_MODEL: Cannot open a model from the standard input (Give the path of a file or folder)",
    );
    expect(await refusal("~/m.mlpackage", "/tmp")).toContain(
      "(The shell expands ~ only without quotes: write ~/m.mlpackage)",
    );
  });

  test("that cannot be looked at is not missing: opening says why", () => {
    expect(isMissing(`/${"x".repeat(300)}`)).toBe(false);
    expect(isMissing("/nothing/at/all")).toBe(true);
    expect(whyMissing(`/tmp/${"x".repeat(300)}/m`, "/")).toContain("there is no folder");
    expect(missingHint("/nothing-at-all-here", "/")).toBeUndefined();
  });
});

describe("the cache folder", () => {
  test("is the flag's, the user's, or our own default", () => {
    const at = (flag: string | undefined, xdg?: string) =>
      cacheDirOf(flag, testIo({ cwd: "/home/me", env: xdg === undefined ? {} : { XDG_CACHE_HOME: xdg } }));
    expect(at("here")).toBe("/home/me/here");
    expect(at(undefined, "/cache")).toBe("/cache/coremlx");
    expect(at(undefined, "relative")).toStartWith(homedir());
    expect(at(undefined, "")).toBe(at(undefined));
  });

  test("and the engine are checked before anything opens", async () => {
    const flags = {
      engine: "coremll",
      onnxruntime: undefined,
      coreml: undefined,
      "cache-dir": undefined,
      cache: true,
    };
    const error = await failureOf(() => openCliSession(flags, testIo(), { log() {} }));
    expect(error).toMatchObject({ code: "USAGE", message: 'Unknown engine "coremll"' });
    expect(error.hint).toBe('Did you mean "coreml"?');
  });
});

describe("a sign of life", () => {
  const slow = () => new Promise<string>((resolve) => setTimeout(() => resolve("done"), 450));

  test("appears on a terminal when work takes long, and goes when it is over", async () => {
    const io = testIo({ isTerminal: { stdout: true, stderr: true } });
    expect(await progress(io, "loading m", slow())).toBe("done");
    expect(io.written.stderr).toBe("\rloading m … 0 s\r\u001b[K");
  });

  test("stays away elsewhere, and where the work is quick", async () => {
    const piped = testIo();
    const terminal = testIo({ isTerminal: { stdout: true, stderr: true } });
    await progress(piped, "loading m", slow());
    await progress(terminal, "loading m", Promise.resolve(1));
    await progress(terminal, undefined, slow());
    expect(piped.written.stderr + terminal.written.stderr).toBe("");
  });
});
