// A Python with the packages of tests/python/requirements.txt, made on first use under .venv.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");
const venv = join(root, ".venv");
const requirements = join(root, "tests/python/requirements.txt");
const judge = join(root, "tests/python/judge.py");

/**
 * The interpreter, or why there is none. In CI a missing one is an error; elsewhere the suite says so and skips.
 */
export async function findPython(): Promise<string | undefined> {
  const python = join(venv, "bin/python");
  const stamp = join(venv, "requirements.txt");
  const wanted = readFileSync(requirements, "utf8");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return python;
  try {
    await must(["python3", "-m", "venv", venv]);
    await must([
      python,
      "-m",
      "pip",
      "install",
      "--quiet",
      "--disable-pip-version-check",
      "-r",
      requirements,
    ]);
    writeFileSync(stamp, wanted);
    return python;
  } catch (error) {
    if (process.env["COREMLX_CI"]) throw error;
    console.warn(
      `skipped: no Python with ${requirements}: ${error instanceof Error ? error.message : String(error)}`,
    );
    return undefined;
  }
}

/** Runs a command of judge.py; gives what it prints. */
export async function ask(python: string, ...args: readonly string[]): Promise<unknown> {
  const parsed: unknown = JSON.parse(await must([python, judge, ...args]));
  return parsed;
}

async function must(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdout: "pipe", stderr: "pipe", cwd: root });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command.join(" ")} exited with ${code}: ${stderr.slice(-2_000)}`);
  return stdout;
}
