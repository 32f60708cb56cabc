// Sequences through the program: what the documentation shows, steps through a pipe, Ctrl-C while steps run.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { coremlx, run, runCommand, start } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const root = resolve(import.meta.dir, "../..");
const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
symlinkSync(join(root, "examples"), join(folder.path, "examples"));

describe("every command that docs/sequences.md and examples/counter/README.md show runs", () => {
  const commands = ["docs/sequences.md", "examples/counter/README.md"].flatMap((file) =>
    readFileSync(join(root, file), "utf8")
      .split("\n")
      .filter((line) => line.startsWith("    coremlx "))
      .map((line) => line.trim()),
  );

  test("and there are some", () => {
    expect(commands.length).toBeGreaterThan(8);
  });

  test.each(commands)("%s", async (command) => {
    const script = `"$0" "$@" ${command.replace(/^coremlx /, "")}`;
    const result = await runCommand(["sh", "-c", script, ...coremlx], { cwd: folder.path });
    expect(result).toMatchObject({ code: 0, stderr: expect.not.stringContaining("error") });
    expect(result.stdout).not.toBe("");
  });

  test("in that order: they leave what they say", () => {
    expect(existsSync(join(folder.path, "totals.npz"))).toBe(true);
    expect(readdirSync(join(folder.path, "memory"))).toEqual(["sum.npy"]);
  });
});

test("steps come through a pipe", async () => {
  const stdin = new Uint8Array(readFileSync(join(root, "examples/counter/amounts.npy")));
  const args = ["examples/counter/Counter.mlpackage", "--input", "amount=-", "--steps", "4", "--json"];
  const { code, stdout } = await run(["infer", ...args], { stdin });
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    steps: 4,
    outputs: { total: { data: [[3], [4.5], [2.5], [6.5]] } },
  });
});

test("Ctrl-C ends a sequence at once, and leaves no states behind", async () => {
  const args = ["examples/counter/Counter.mlpackage", "--input", "amount=0", "--steps", "50000000"];
  const program = start(["infer", ...args, "--save-state", join(folder.path, "cut"), "--verbose"]);
  await program.says("predicting");
  const started = performance.now();
  program.signal("SIGINT");
  const { code, stdout, stderr } = await program.result;
  expect(performance.now() - started).toBeLessThan(1_500);
  expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
  expect(stderr).toEndWith("error: Interrupted\n");
  expect(readdirSync(join(folder.path, "cut"))).toEqual([]);
});
