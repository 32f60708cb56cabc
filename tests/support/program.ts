// Runs coremlx as a user does: the built executable where COREMLX_BINARY names it, else the source, in the tests' own
// process where the process is not what is tested: starting one takes ten times as long as most commands.

import { expect } from "bun:test";
import { resolve } from "node:path";
import type { Io } from "../../src/cli/output.ts";
import { runProgram } from "../../src/cli/program.ts";
import { tempFolder } from "./temp.ts";

const root = resolve(import.meta.dir, "../..");
const binary = process.env["COREMLX_BINARY"];

/** The built executable under test, if there is one. */
export const binaryPath: string | undefined = binary ? resolve(root, binary) : undefined;

/** The command line that starts coremlx. */
export const coremlx: readonly string[] = binaryPath
  ? [binaryPath]
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

/** One command line of coremlx, to its end. Only the variables that a program needs are passed on. */
export async function run(args: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> {
  return binaryPath === undefined ? runHere(args, options) : runAlone(args, options);
}

/** The same, as a process of its own in every case. */
export async function runAlone(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  return runCommand([...coremlx, ...args], options);
}

async function runHere(args: readonly string[], options: ProgramOptions): Promise<ProgramResult> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const stdout: Uint8Array[] = [];
  const stderr: string[] = [];
  const io: Io = {
    cwd: options.cwd ?? root,
    env: environment(options.env),
    signal: new AbortController().signal,
    holdExit() {},
    isTerminal: { stdout: false, stderr: false },
    stdout: (text) => stdout.push(typeof text === "string" ? new TextEncoder().encode(text) : text.slice()),
    stderr: (text) => stderr.push(text),
    readStdin: async () => new Blob([options.stdin ?? ""]).bytes(),
  };
  const tooLong = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    tooLong.reject(new Error(`coremlx ${args.join(" ")} runs longer than ${timeoutMs} ms`));
  }, timeoutMs);
  try {
    const code = await Promise.race([runProgram(args, io), tooLong.promise]);
    return { code, stdout: Buffer.concat(stdout).toString(), stderr: stderr.join("") };
  } finally {
    clearTimeout(timer);
  }
}

/** The same as `runAlone` for any command line: a shell, a tracer. */
export async function runCommand(
  words: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  const done = await takeTurn();
  try {
    return await spawnAndWait(words, options);
  } finally {
    done();
  }
}

/** Concurrent tests together start no more programs than this: more would only wait for each other. */
const maxPrograms = 3;
let running = 0;
const waiting: (() => void)[] = [];

async function takeTurn(): Promise<() => void> {
  if (running >= maxPrograms) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  return () => {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next(); // hands the turn on
  };
}

async function spawnAndWait(words: readonly string[], options: ProgramOptions): Promise<ProgramResult> {
  const child = Bun.spawn([...words], {
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

export interface RunningProgram {
  readonly pid: number;
  /** Resolves when stderr holds `text`; rejects when the program ends without saying it. */
  says(text: string): Promise<void>;
  /** As `says`, for a pattern; gives what its groups hold. */
  finds(pattern: RegExp): Promise<readonly string[]>;
  signal(name: "SIGINT" | "SIGTERM"): void;
  /** Its end, however it came. */
  readonly result: Promise<ProgramResult>;
}

/** Starts coremlx with an open stdin, to be watched and interrupted. */
export function start(args: readonly string[], options: ProgramOptions = {}): RunningProgram {
  const child = Bun.spawn([...coremlx, ...args], {
    cwd: options.cwd ?? root,
    env: environment(options.env),
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? 30_000,
    killSignal: "SIGKILL",
  });
  let stderr = "";
  let isOver = false;
  let wake = Promise.withResolvers<void>();
  const follow = async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      stderr += decoder.decode(chunk, { stream: true });
      wake.resolve();
      wake = Promise.withResolvers();
    }
    isOver = true;
    wake.resolve();
  };
  const followed = follow();
  const end = async (): Promise<ProgramResult> => {
    const [stdout, code] = await Promise.all([child.stdout.text(), child.exited, followed]);
    return { code, stdout, stderr };
  };
  return {
    pid: child.pid,
    async says(text) {
      while (!stderr.includes(text)) {
        if (isOver) throw new Error(`The program ended without saying "${text}": ${stderr}`);
        await wake.promise;
      }
    },
    async finds(pattern) {
      for (;;) {
        const found = pattern.exec(stderr);
        if (found) return found.slice(1);
        if (isOver) throw new Error(`The program ended without saying ${pattern}: ${stderr}`);
        await wake.promise;
      }
    },
    signal: (name) => child.kill(name),
    result: end(),
  };
}

/** Runs coremlx, which must succeed and print one JSON document and nothing else on stdout. Gives the document. */
export async function runJson(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Readonly<Record<string, unknown>>> {
  const result = await run([...args, "--json"], options);
  expect(result).toMatchObject({ code: 0 });
  const document: unknown = JSON.parse(result.stdout);
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw new Error(`Expected a JSON object, got ${result.stdout.slice(0, 200)}`);
  }
  expect(result.stdout.trimEnd()).not.toContain("\n");
  return { ...document };
}

export interface ExpectedFailure {
  readonly exit: number;
  readonly code: string;
  /** The whole message, or a pattern for it. */
  readonly message: string | RegExp;
  /** The whole hint, or a pattern for it; `undefined`: there is none. */
  readonly hint: string | RegExp | undefined;
  /** What the details must hold at least. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * Runs coremlx with --json, which must fail like this: exit code, message and hint on stderr without a stack trace, and one
 * JSON error document on stdout that says the same.
 */
export async function expectFailure(
  args: readonly string[],
  expected: ExpectedFailure,
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  const result = await run([...args, "--json"], options);
  const lines = result.stderr.trimEnd().split("\n");
  const [hintLine, errorLine] = lines.at(-1)?.startsWith("hint: ")
    ? [lines.at(-1), lines.at(-2)]
    : [undefined, lines.at(-1)];
  const message = errorLine?.replace(/^error: /, "");
  const hint = hintLine?.replace(/^hint: /, "");
  if (result.code !== expected.exit)
    throw new Error(`Expected exit code ${expected.exit}, got ${show(result)}`);
  expect(result.stderr).toMatch(/(^|\n)error: /);
  expect(result.stderr).not.toMatch(/\n\s+at /);
  expectText(message, expected.message);
  if (expected.hint === undefined) expect(hint).toBeUndefined();
  else expectText(hint, expected.hint);
  const { error }: { readonly error: Readonly<Record<string, unknown>> } = JSON.parse(result.stdout);
  const { details, ...shown } = error;
  expect(shown).toEqual({ code: expected.code, message, ...(hint === undefined ? {} : { hint }) });
  if (expected.details !== undefined) expect(details).toMatchObject(expected.details);
  return result;
}

function expectText(actual: string | undefined, expected: string | RegExp): void {
  if (typeof expected === "string") expect(actual).toBe(expected);
  else expect(actual).toMatch(expected);
}

function show({ code, stdout, stderr }: ProgramResult): string {
  return `${code}\n${stderr.slice(-2_000)}\n${stdout.slice(-500)}`;
}

/** Caches of the programs that one run of the tests starts; the user's own has nothing to do with them. */
const caches = tempFolder();
process.on("exit", () => {
  try {
    caches[Symbol.dispose]();
  } catch {
    // a program in the background is just writing there; it will find the folder gone
  }
});

/** PATH and a cache of the tests' own, plus `extra`: nobody's own COREMLX_… settings. */
export function environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const base: Record<string, string> = { XDG_CACHE_HOME: caches.path };
  for (const name of ["PATH", "HOME", "TMPDIR", "LANG"]) {
    const value = process.env[name];
    if (value !== undefined) base[name] = value;
  }
  return { ...base, ...extra };
}
