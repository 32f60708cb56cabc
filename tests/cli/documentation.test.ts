// Every command line that the help, README.md and docs/ show is run: in a folder that holds nothing but examples/.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { commands } from "../../src/cli/program.ts";
import { coremlx, environment, type ProgramResult, run, runCommand, start } from "../support/program.ts";
import { tempFolder } from "../support/temp.ts";

setDefaultTimeout(60_000);

const root = resolve(import.meta.dir, "../..");
const folder = tempFolder();
afterAll(() => folder[Symbol.dispose]());

// A folder as after a download, and `coremlx` in the PATH.
const work = join(folder.path, "work");
const bin = join(folder.path, "bin");
for (const path of [work, bin]) mkdirSync(path);
cpSync(join(root, "examples"), join(work, "examples"), { recursive: true });
const words = coremlx.map((word) => `'${word}'`).join(" ");
writeFileSync(join(bin, "coremlx"), `#!/bin/sh\nexec ${words} "$@"\n`);
chmodSync(join(bin, "coremlx"), 0o755);

async function expectItRuns(line: string): Promise<void> {
  if (line.startsWith("coremlx serve ") && !line.includes("--check")) return expectItServes(line);
  const result = await runLine(line.replace(/(?<=--duration )2s\b/, "200ms")); // as long as a reader likes
  if (result.code !== 0) throw new Error(`"${line}" ends with ${result.code}: ${result.stderr}`);
  expect(result.stderr).not.toMatch(/\n\s+at /);
}

/** A server runs until a signal comes. It listens on a port that is free, whatever the line says. */
async function expectItServes(line: string): Promise<void> {
  const [, , ...args] = line.split(" ");
  const options = args.filter((word, i) => word !== "--port" && args[i - 1] !== "--port");
  const program = start(["serve", ...options, "--verbose"], { cwd: work, env: { COREMLX_PORT: "0" } });
  await program.says("debug: listening");
  program.signal("SIGTERM");
  const { code, stderr } = await program.result;
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.not.stringMatching(/\n\s+at /) });
}

/** Where a line does not say how long to warm up. */
const brief = { COREMLX_WARMUP: "100ms" };

/** By the shell where there is something for it to do, else by whatever runs coremlx here. */
function runLine(line: string): Promise<ProgramResult> {
  const [name, ...args] = line.split(" ");
  if (name === "coremlx" && /^[\w ./:=+-]+$/.test(line)) return run(args, { cwd: work, env: brief });
  const PATH = `${bin}:${environment()["PATH"]}`;
  return runCommand(["sh", "-c", line], { cwd: work, env: { ...brief, PATH } });
}

const loaded = await Promise.all(Object.values(commands).map((entry) => entry.load()));
const examples = loaded.flatMap((command) => command.examples);

describe("an example of the help", () => {
  test.each(examples)("%s", expectItRuns);

  test("exists for every command, and begins with it", () => {
    for (const { meta, examples: own } of loaded) {
      expect(own.length).toBeGreaterThan(0);
      for (const line of own) expect(line).toStartWith(`coremlx ${meta.name}`);
    }
  });
});

const pages = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith(".md"),
);

/** Lines that are indented as code and begin with our name; a backslash at the end continues them. */
function commandLines(page: string): string[] {
  const text = readFileSync(join(root, page), "utf8").replaceAll(/\\\n\s*/g, "");
  const lines = [...text.matchAll(/^ {4}(coremlx .*)$/gm)].map(([, line = ""]) => line);
  // tests/server/documentation.test.ts runs those that call a server.
  return lines.filter((line) => !line.includes("http://localhost"));
}

describe.each(pages)("%s", (page) => {
  const lines = [...new Set(commandLines(page))].filter((line) => !examples.includes(line));
  if (lines.length > 0) test.each(lines)("%s", expectItRuns);

  test("links only to files that exist", () => {
    const text = readFileSync(join(root, page), "utf8");
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link = ""]) => link);
    const missing = links.filter((link) => !existsSync(resolve(root, page, "..", link)));
    expect(missing).toEqual([]);
  });
});
