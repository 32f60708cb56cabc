// Runs coremlx as a user does: the built executable where COREMLX_BINARY names it, else the source under bun.

import { resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");
const binary = process.env["COREMLX_BINARY"];

/** The command line that starts coremlx. */
export const coremlx: readonly string[] = binary
  ? [resolve(root, binary)]
  : [process.execPath, resolve(root, "src/main.ts")];

export interface ProgramResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: Uint8Array<ArrayBuffer> | string;
  /** The test fails when the program runs longer. */
  readonly timeoutMs?: number;
}

/** Starts coremlx and waits for its end. Only the variables that a program needs are passed on. */
export async function run(args: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> {
  const child = Bun.spawn([...coremlx, ...args], {
    cwd: options.cwd ?? root,
    env: environment(options.env),
    stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin]),
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? 30_000,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

/** PATH and the caches of the tests, plus `extra`: nobody's own COREMLX_… settings. */
export function environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const base: Record<string, string> = {};
  for (const name of ["PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "LANG"]) {
    const value = process.env[name];
    if (value !== undefined) base[name] = value;
  }
  return { ...base, ...extra };
}
