// Sequences through the program: steps through a pipe, Ctrl-C while steps run.

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { run, start } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const root = resolve(import.meta.dir, "../..");
const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());

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
