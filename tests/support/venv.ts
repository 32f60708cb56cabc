// A Python environment with the packages of one requirements file, made on first use.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";

/** What suites keep from one run to the next, outside the tree: in the real home folder, which tests otherwise leave alone. */
export const suiteCache: string = join(
  process.env["XDG_CACHE_HOME"] ?? join(userInfo().homedir, ".cache"),
  "coremlx-suites",
);

/** The interpreter. Undefined, and said, where there is none; in CI that is an error. */
export function findVenv(venv: string, requirements: string): Promise<string | undefined> {
  return orSkip(`no Python with ${requirements}`, async () => {
    const python = join(venv, "bin/python");
    const stamp = join(venv, "requirements.txt");
    const wanted = readFileSync(requirements, "utf8");
    if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return python;
    mkdirSync(dirname(venv), { recursive: true });
    await must(["python3", "-m", "venv", venv]);
    const quietly = ["--quiet", "--disable-pip-version-check"];
    await must([python, "-m", "pip", "install", ...quietly, "-r", requirements]);
    writeFileSync(stamp, wanted);
    return python;
  });
}

/** Elsewhere than in CI, what cannot be had is left out, and named. */
export async function orSkip<T>(what: string, make: () => Promise<T>): Promise<T | undefined> {
  try {
    return await make();
  } catch (error) {
    if (process.env["COREMLX_CI"]) throw error;
    console.warn(`skipped: ${what}: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

/** What it prints. Throws with the end of what it complained of. */
export async function must(command: readonly string[], cwd?: string): Promise<string> {
  const child = Bun.spawn([...command], {
    stdout: "pipe",
    stderr: "pipe",
    ...(cwd !== undefined && { cwd }),
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command.join(" ")} exited with ${code}: ${stderr.slice(-2_000)}`);
  return stdout;
}
