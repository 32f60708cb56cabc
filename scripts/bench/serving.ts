// `coremlx serve` from source as a process of its own, for measurements from outside.

import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");

export const digitsPackage: string = join(root, "examples/digits/Digits.mlpackage");

export interface Serving extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** From the start of the process to the line that says where it listens, in milliseconds. */
  readonly startMs: number;
  /** Sends SIGTERM. Gives how long the end took, in milliseconds, and the exit code. */
  end(): Promise<{ readonly ms: number; readonly code: number }>;
}

/** `preload` is a program that is loaded before it begins. */
export async function startServing(args: readonly string[], cwd: string, preload?: string): Promise<Serving> {
  const started = performance.now();
  const runtime = preload === undefined ? [] : ["--preload", preload];
  const child = Bun.spawn(
    [process.execPath, ...runtime, join(root, "src/main.ts"), "serve", ...args, "--port", "0", "--json"],
    { cwd, stdout: "pipe", stderr: "ignore" },
  );
  const { url, pid } = await firstLine(child.stdout);
  return {
    url,
    pid,
    startMs: performance.now() - started,
    async end() {
      const told = performance.now();
      child.kill("SIGTERM");
      const code = await child.exited;
      return { ms: performance.now() - told, code };
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}

async function firstLine(
  stream: ReadableStream<Uint8Array>,
): Promise<{ readonly url: string; readonly pid: number }> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf("\n");
    if (end !== -1) return JSON.parse(text.slice(0, end)) as { readonly url: string; readonly pid: number };
  }
  throw new Error("The server ended before it listened");
}
