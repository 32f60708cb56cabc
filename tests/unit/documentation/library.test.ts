// Every example in TypeScript that README.md and docs/ show is run, as a program that imports "coremlx", and prints what it
// says it prints.

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { environment, runCommand } from "../../support/program.ts";
import { tempFolder } from "../../support/temp.ts";

setDefaultTimeout(60_000);

const root = resolve(import.meta.dir, "../../..");
const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());
cpSync(join(root, "examples"), join(folder.path, "examples"), { recursive: true });
mkdirSync(join(folder.path, "node_modules"));
symlinkSync(root, join(folder.path, "node_modules/coremlx"));
// A cache and a home of its own, so that what is cold in an example is cold.
const home = join(folder.path, "home");
mkdirSync(home);

const pages = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)];
const examples = pages.flatMap((page) => {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = ""], index) => ({
    page,
    index,
    code,
    name: `${page.replaceAll(/\W/g, "-")}-${index}.ts`,
  }));
});

test("there are examples", () => {
  expect(examples.filter(({ page }) => page === "docs/library.md").length).toBeGreaterThan(4);
});

test.each(examples)("example $index of $page runs, and prints what it says", async ({ name, code }) => {
  writeFileSync(join(folder.path, name), code);
  const env = { ...environment(), HOME: home };
  const result = await runCommand([process.execPath, name], { cwd: folder.path, env });
  const said = [...code.matchAll(/\/\/ (→.*)$/gm)].flatMap(([, line = ""]) =>
    line
      .split("→")
      .map((part) => part.trim())
      .slice(1),
  );
  expect(result).toEqual({ code: 0, stdout: said.map((line) => `${line}\n`).join(""), stderr: "" });
});

test("all examples are well typed", async () => {
  for (const { name, code } of examples) writeFileSync(join(folder.path, name), code);
  const config = {
    extends: join(root, "tsconfig.json"),
    compilerOptions: { typeRoots: [join(root, "node_modules")] },
    include: [],
    files: examples.map(({ name }) => name),
  };
  writeFileSync(join(folder.path, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(root, "node_modules/.bin/tsc");
  const result = await runCommand([tsc, "--noEmit", "-p", "."], { cwd: folder.path });
  expect(result).toEqual({ code: 0, stdout: "", stderr: "" });
});
