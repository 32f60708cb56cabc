// Every curl line of docs/serve.md, and every line of docs/tapes.md that calls a server, against one on a port that is free.

import { afterAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { digitsPackage } from "../support/digits.ts";
import { run, runCommand } from "../support/program.ts";
import { serveModels } from "../support/server/serve.ts";

const root = resolve(import.meta.dir, "../..");
const page = readFileSync(resolve(root, "docs/serve.md"), "utf8").replaceAll(/\\\n\s*/g, "");
const lines = [...page.matchAll(/^ {4}(curl .*)$/gm)].map(([, line = ""]) => line);
const served = await serveModels([{ name: "Digits", path: digitsPackage }]);
afterAll(() => served[Symbol.asyncDispose]());

test.each(lines)("%s", async (line) => {
  const here = line.replaceAll("localhost:8000", new URL(served.url).host);
  const { code, stdout } = await runCommand(["sh", "-c", here], { cwd: root });
  expect(code).toBe(0);
  expect(stdout).not.toContain('"error"');
});

const calls = readFileSync(resolve(root, "docs/tapes.md"), "utf8");
const remote = [...calls.matchAll(/^ {4}coremlx (.*http:\/\/localhost:8000.*)$/gm)].map(
  ([, line = ""]) => line,
);

test.each(remote)("coremlx %s", async (line) => {
  const args = line.replaceAll("http://localhost:8000", served.url).split(" ");
  const { code, stderr } = await run(args, { cwd: root });
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.not.stringContaining("error") });
});
