// How an instance reaches the one who answers: a thread of this process, or a process of its own.

import { CoremlxError } from "../../core/errors.ts";
import { Mailbox } from "./mailbox.ts";
import type { Envelope, Reply, ReplyEnvelope } from "./protocol.ts";

export interface ChannelEvents {
  readonly onReply: (reply: Reply) => void;
  /** It will answer nothing more. */
  readonly onEnd: (reason: CoremlxError) => void;
}

export interface Channel {
  /** Addresses mean the same on both sides. */
  readonly sharesMemory: boolean;
  /** Where it shares memory: the short way for repeated runs. */
  readonly mailbox: Mailbox | undefined;
  readonly pid: number;
  post(envelope: Envelope): void;
  /** A thread in a native call goes on until that returns; a process is gone. */
  terminate(): void;
  /** This process may end before the other side does. */
  unref(): void;
}

/** worker: a thread, which a crash takes the whole process with. process: survives crashes, copies tensors. */
export type Isolation = "worker" | "process";

export function openChannel(isolation: Isolation, events: ChannelEvents): Channel {
  return isolation === "process" ? new ChildChannel(events) : new WorkerChannel(events);
}

class WorkerChannel implements Channel {
  readonly sharesMemory = true;
  readonly mailbox = new Mailbox();
  readonly pid = process.pid;
  readonly #worker: Worker;

  constructor({ onReply, onEnd }: ChannelEvents) {
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url).href);
    this.#worker.onmessage = (event: MessageEvent<Reply>) => onReply(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      onEnd(new CoremlxError("NATIVE", `The worker failed: ${event.message}`));
    };
    this.#worker.addEventListener("close", () =>
      onEnd(new CoremlxError("UNAVAILABLE", "The worker has ended")),
    );
    this.#worker.postMessage(this.mailbox.buffer);
  }

  post(envelope: Envelope): void {
    this.mailbox.announceMessage();
    this.#worker.postMessage(envelope);
  }

  terminate(): void {
    // One that sleeps at its mailbox goes back to its event loop, where it can end.
    this.mailbox.announceMessage();
    this.#worker.terminate();
  }

  unref(): void {
    this.#worker.unref();
  }
}

/** What of a child's last words is kept for the error. */
const keptOutputBytes = 4_096;

export class ChildChannel implements Channel {
  readonly sharesMemory = false;
  readonly mailbox = undefined;
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  #lastWords = "";

  /** `command` is what answers: this program, or what a test brings. */
  constructor(
    { onReply, onEnd }: ChannelEvents,
    command: readonly string[] = [...programCommand(), childArgument],
  ) {
    this.#child = Bun.spawn([...command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      serialization: "advanced",
      // The child passes on what it is given; of the environment it needs nothing but its folders.
      ipc: (message: ReplyEnvelope) => onReply(message),
      onExit: (_child, code, signal) => {
        void this.#listened.then(() => onEnd(this.#death(code, signal)));
      },
    });
    this.#listened = Promise.all([this.#listen(this.#child.stdout), this.#listen(this.#child.stderr)]);
  }

  readonly #listened: Promise<unknown>;

  get pid(): number {
    return this.#child.pid;
  }

  post(envelope: Envelope): void {
    try {
      this.#child.send(envelope);
    } catch {
      // It has just ended: that comes through onExit, and with it the end of every call.
    }
  }

  terminate(): void {
    this.#child.kill("SIGKILL");
  }

  unref(): void {
    this.#child.unref();
  }

  async #listen(output: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of output) {
      this.#lastWords = (this.#lastWords + decoder.decode(chunk, { stream: true })).slice(-keptOutputBytes);
    }
  }

  #death(code: number | null, signal: number | NodeJS.Signals | null): CoremlxError {
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
    const words = this.#lastWords
      .trim()
      .split("\n")
      .filter((line) => line !== "");
    const last = words.find((line) => /panic|error|fault/i.test(line)) ?? words.at(-1);
    return new CoremlxError(
      "NATIVE",
      `The engine's process ended by ${how}${last === undefined ? "" : `: ${last}`}`,
      {
        hint: "Try again: the process is replaced",
        details: {
          code,
          signal: signal === null ? null : String(signal),
          output: words.slice(-20).join("\n"),
        },
      },
    );
  }
}

/** The hidden first argument by which the program knows that it is such a child. */
export const childArgument = "__child";

/** The executable runs itself; from source, bun runs the program's entry. */
export function programCommand(): readonly string[] {
  // In the executable this file is a part of one at the top, from where "../.." leads anywhere.
  const isBuiltIn = new URL(import.meta.url).pathname.startsWith("/$bunfs/");
  const entry = new URL("../../main.ts", import.meta.url);
  return isBuiltIn ? [process.execPath] : [process.execPath, Bun.fileURLToPath(entry)];
}
