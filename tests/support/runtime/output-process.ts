// A process of its own with a store of outputs: one JSON order a line on stdin, one JSON answer a line on stdout.

import { truncateSync } from "node:fs";
import { CoremlxError, messageOf } from "../../../src/core/errors.ts";
import type { MappedFileKind } from "../../../src/native/mapped-file.ts";
import { BufferPool } from "../../../src/runtime/buffers/buffer-pool.ts";
import { type MappedOutput, OutputStore } from "../../../src/runtime/outputs/outputs.ts";
import {
  mapOutput,
  openSharedOutput,
  readSharedOutput,
  type SharedOutput,
} from "../../../src/runtime/outputs/shared-output.ts";

export interface OutputProcessOptions {
  readonly folder: string;
  readonly kind: MappedFileKind;
}

export type Order =
  /** Acquires so many bytes, fills them with `value`, publishes them and keeps the lease. */
  | { readonly do: "publish"; readonly byteLength: number; readonly value: number }
  /** Returns the lease published as the `index`-th. */
  | { readonly do: "return"; readonly index: number }
  /** Opens an output and keeps it open. */
  | { readonly do: "open"; readonly output: SharedOutput; readonly how: "Bun.mmap" | "libc" | "copy" }
  /** Looks at what was opened last. */
  | { readonly do: "look" }
  | { readonly do: "truncate"; readonly path: string; readonly byteLength: number }
  | { readonly do: "stats" };

export type Answer =
  | { readonly output: SharedOutput }
  | { readonly byteLength: number; readonly values: readonly number[] }
  | { readonly error: string }
  | { readonly held: number; readonly dropped: number }
  | { readonly done: true };

async function serve(options: OutputProcessOptions): Promise<void> {
  const { folder, kind } = options;
  using buffers = new BufferPool();
  using store = new OutputStore({ folder, kind, buffers, maxInlineBytes: 0 });
  const leases: MappedOutput[] = [];
  let opened: Uint8Array = new Uint8Array(new ArrayBuffer(0));
  const obey = (order: Order): Answer => {
    switch (order.do) {
      case "publish": {
        const lease = store.acquire("uint8", [order.byteLength]);
        if (lease.kind !== "mapped") throw new Error("not mapped");
        leases.push(lease);
        lease.bytes.fill(order.value);
        return { output: lease.publish() };
      }
      case "return":
        leases[order.index]?.[Symbol.dispose]();
        return { done: true };
      case "open":
        opened = open[order.how](order.output);
        return look(opened);
      case "look":
        return look(opened);
      case "truncate":
        truncateSync(order.path, order.byteLength);
        return { done: true };
      case "stats":
        return { held: store.stats.mapped.heldBytes, dropped: store.stats.mapped.dropped };
    }
  };
  for await (const line of console) {
    process.stdout.write(`${JSON.stringify(attempt(() => obey(JSON.parse(line))))}\n`);
  }
}

const open = {
  "Bun.mmap": (output: SharedOutput) => mapOutput(output).bytes,
  libc: (output: SharedOutput) => openSharedOutput(output).tensor.bytes,
  copy: (output: SharedOutput) => readSharedOutput(output).bytes,
} as const;

/** Which values there are among the bytes: one, unless they were torn. */
function look(bytes: Uint8Array): Answer {
  return { byteLength: bytes.byteLength, values: [...new Set(bytes)] };
}

function attempt(action: () => Answer): Answer {
  try {
    return action();
  } catch (error) {
    return { error: error instanceof CoremlxError ? `${error.code}: ${error.message}` : messageOf(error) };
  }
}

/** Our side of such a process. */
export class OutputProcess implements AsyncDisposable {
  readonly #child;
  readonly #lines: AsyncIterator<string>;

  /** `wrap` changes the command line: another user, a file system of its own. */
  constructor(
    options: OutputProcessOptions,
    wrap: (words: readonly string[]) => readonly string[] = (words) => words,
  ) {
    this.#child = Bun.spawn([...wrap([process.execPath, import.meta.path, JSON.stringify(options)])], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#lines = linesOf(this.#child.stdout);
  }

  get pid(): number {
    return this.#child.pid;
  }

  async ask(order: Order): Promise<Answer> {
    await this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    await this.#child.stdin.flush();
    const { value, done } = await this.#lines.next();
    if (done === true)
      throw new Error(`the process ended: ${this.#child.signalCode ?? this.#child.exitCode}`);
    return JSON.parse(value) as Answer;
  }

  async publish(byteLength: number, value: number): Promise<SharedOutput> {
    const answer = await this.ask({ do: "publish", byteLength, value });
    if ("output" in answer) return answer.output;
    throw new Error(JSON.stringify(answer));
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  /** Ends the process as it should end, and says how it did. */
  async end(): Promise<number> {
    await this.#child.stdin.end();
    return this.#child.exited;
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

if (import.meta.main) await serve(JSON.parse(process.argv[2] ?? "{}"));
