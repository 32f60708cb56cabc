// The completion scripts: well-formed, and right when a shell drives them.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commands } from "../../src/cli/program.ts";
import { expectFailure, run, runCommand, runJson } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";
import { program, testWith } from "../support/tools.ts";

setDefaultTimeout(60_000);

const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());

async function script(shell: string): Promise<string> {
  const { code, stdout, stderr } = await run(["completions", shell]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

/** What bash would offer when Tab is pressed at the end of these words. */
async function complete(source: string, words: readonly string[]): Promise<readonly string[]> {
  const driver = `${source}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_coremlx
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const result = await runCommand(["bash", "-c", driver, "bash", ...words], { cwd: folder.path });
  expect(result).toMatchObject({ code: 0, stderr: "" });
  return result.stdout.split("\n").filter((line) => line !== "");
}

describe("in bash", () => {
  testWith([program("bash")], "the script is well-formed", async () => {
    expect(await runCommand(["bash", "-n"], { stdin: await script("bash") })).toEqual({
      code: 0,
      stdout: "",
      stderr: "",
    });
  });

  testWith([program("bash")], "commands, flags, choices and files are completed", async () => {
    writeFileSync(join(folder.path, "a picture.png"), "");
    mkdirSync(join(folder.path, "a model.mlpackage"));
    const source = await script("bash");
    const offered = (...words: string[]) => complete(source, ["coremlx", ...words]);
    expect(await offered("inf")).toEqual(["infer"]);
    expect(await offered("")).toEqual([...Object.keys(commands), "help", "--help", "--version"]);
    expect(await offered("infer", "--out")).toEqual(["--output", "--output-dir"]);
    expect(await offered("infer", "--device", "")).toEqual(["auto", "cpu", "gpu", "ane", "all"]);
    expect(await offered("infer", "--device", "=", "a")).toEqual(["auto", "ane", "all"]);
    expect(await offered("infer", "--device", "=")).toEqual(["auto", "cpu", "gpu", "ane", "all"]);
    expect((await offered("infer", "a ")).toSorted()).toEqual(["a model.mlpackage", "a picture.png"]);
    expect(await offered("infer", "a model.mlpackage", "-i", "a p")).toEqual(["a picture.png"]);
    expect(await offered("completions", "")).toEqual(["bash", "zsh", "fish"]);
    expect(await offered("config", "ins")).toEqual(["inspect"]);
    expect(await offered("help", "exp")).toEqual(["export"]);
    expect(await offered("nonsense", "-")).toEqual([]);
  });

  testWith([program("bash")], "what stands on the line is never run", async () => {
    const source = await script("bash");
    const trap = join(folder.path, "ran");
    const bait = `$(touch '${trap}')`;
    expect(await complete(source, ["coremlx", "infer", bait, bait])).toEqual([]);
    expect(await Bun.file(trap).exists()).toBe(false);
  });
});

describe("in other shells", () => {
  test("zsh gets the same script behind its own preparation", async () => {
    const bash = await script("bash");
    expect(await script("zsh")).toBe(`autoload -U +X bashcompinit && bashcompinit\n${bash}`);
  });

  test("fish gets a line for every command and flag", async () => {
    const lines = (await script("fish")).split("\n");
    expect(lines).toContain(
      "complete -c coremlx -n __fish_use_subcommand -f -a infer -d 'Run a model on files or values and show the answer'",
    );
    const loaded = await Promise.all(Object.values(commands).map((entry) => entry.load()));
    for (const { meta, flags } of loaded) {
      for (const flag of Object.keys(flags)) {
        const start = `complete -c coremlx -n '__fish_seen_subcommand_from ${meta.name}' -l ${flag} `;
        expect(lines.filter((line) => line.startsWith(start))).toHaveLength(1);
      }
    }
  });

  test("an unknown shell is answered with those there are", async () => {
    await expectFailure(["completions", "powershell"], {
      exit: 2,
      code: "USAGE",
      message: 'Unknown shell "powershell"',
      hint: 'The shells are: "bash", "zsh", "fish"',
    });
  });

  test("--json wraps the script", async () => {
    const document = await runJson(["completions", "fish"]);
    expect(document).toEqual({ schemaVersion: 1, shell: "fish", script: await script("fish") });
  });
});
