// A process of its own that loads models through a compile cache, and what befalls it meanwhile. It answers with one JSON
// document a line.

import { closeSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { FeatureValues } from "../../../src/core/tensor.ts";
import { openCompileCache } from "../../../src/engines/cache.ts";
import type { OnnxRuntime } from "../../../src/native/onnxruntime.ts";
import { portableRuntime } from "../portable.ts";
import { answersOf, load } from "./load-through-cache.ts";

export interface CacheProcessOptions {
  readonly folder: string;
  /** Models to load, one after the other; each is let go before the next, the last one held until stdin ends. */
  readonly paths: readonly string[];
  readonly waitMs?: number;
  readonly maxBytes?: number;
  /** At the first compilation: before ONNX Runtime writes, or when it has written. */
  readonly at?: "before" | "written";
  /** stop: says "stopped" and does nothing more. fill: fills the disk, until the first model has been loaded. */
  readonly event?: "stop" | "fill";
}

export type CacheAnswer =
  | { readonly event: "stopped" }
  | {
      readonly kind: "cold" | "warm" | "none";
      readonly reason: string | undefined;
      /** Of all answers of the model. */
      readonly answers: string;
      /** What is left of unfinished entries. */
      readonly drafts: number;
      readonly entries: number;
      readonly warnings: readonly unknown[];
    };

async function serve(options: CacheProcessOptions): Promise<void> {
  const { folder, paths, waitMs, maxBytes } = options;
  const warnings: unknown[] = [];
  const telemetry = {
    log: (level: string, message: string, fields: unknown) => {
      if (level === "warn") warnings.push([message, fields]);
    },
  };
  const cache = openCompileCache({ folder, waitMs, maxBytes, telemetry });
  const runtime = eventful(await portableRuntime(), options);
  for (const [index, path] of paths.entries()) {
    await using file = await load(path, cache, { runtime, telemetry });
    const answers = digestOf(await answersOf(file.loaded));
    const reason = file.cache.kind === "none" ? file.cache.reason : undefined;
    const drafts = readdirSync(join(folder, "drafts")).length;
    const entries = cache.list().entries.length;
    say({ kind: file.cache.kind, reason, answers, drafts, entries, warnings: warnings.splice(0) });
    rmSync(join(folder, "filler"), { force: true });
    if (index === paths.length - 1) await Bun.stdin.text();
  }
}

function eventful(
  runtime: OnnxRuntime,
  { folder, at, event }: CacheProcessOptions,
): Pick<OnnxRuntime, "createSession" | "version"> {
  let isOver = at === undefined;
  const happen = () => {
    isOver = true;
    if (event === "fill") return fillDisk(join(folder, "filler"));
    say({ event: "stopped" });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); // until somebody ends the process
  };
  return {
    version: runtime.version,
    createSession(bytes, options) {
      if (isOver || options?.saveOptimized === undefined) return runtime.createSession(bytes, options);
      if (at === "before") happen();
      const session = runtime.createSession(bytes, options);
      if (at === "written") happen();
      return session;
    },
  };
}

function fillDisk(path: string): void {
  const fd = openSync(path, "w");
  try {
    for (const size of [2 ** 20, 4096, 1]) {
      const chunk = new Uint8Array(size);
      try {
        for (;;) writeSync(fd, chunk);
      } catch {
        // full, as far as pieces of this size go
      }
    }
  } finally {
    closeSync(fd);
  }
}

export function digestOf(answers: readonly FeatureValues[]): string {
  const hash = new Bun.CryptoHasher("sha256");
  for (const values of answers) {
    for (const [name, value] of values) {
      hash.update(name);
      if (typeof value === "object" && "bytes" in value) hash.update(value.bytes);
      else if (value instanceof Map) hash.update(JSON.stringify([...value].map(String)));
      else hash.update(Bun.inspect(value));
    }
  }
  return hash.digest("hex");
}

function say(answer: CacheAnswer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

/** Our side of such a process. */
export class CacheProcess implements AsyncDisposable {
  readonly #child;
  readonly #lines: AsyncIterator<string>;

  /** `wrap` changes the command line: a file system of its own. */
  constructor(
    options: CacheProcessOptions,
    wrap: (words: readonly string[]) => readonly string[] = (words) => words,
  ) {
    this.#child = Bun.spawn([...wrap([process.execPath, import.meta.path, JSON.stringify(options)])], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#lines = linesOf(this.#child.stdout);
  }

  async next(): Promise<CacheAnswer> {
    const { value, done } = await this.#lines.next();
    if (done === true) {
      await this.#child.exited;
      throw new Error(`the process ended: ${this.#child.signalCode ?? this.#child.exitCode}`);
    }
    return JSON.parse(value) as CacheAnswer;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

if (import.meta.main) {
  await serve(JSON.parse(process.argv[2] ?? "{}"));
  process.exit(0);
}
