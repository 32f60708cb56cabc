// The process as a command sees it: streams, environment, colours. stdout is for results, stderr for everything else.

import { writeSync } from "node:fs";
import { readBounded } from "../core/bytes.ts";
import { CoremlxError, type ErrorCode, errnoOf, messageOf } from "../core/errors.ts";

export interface Io {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** From now on the command ends by itself after a signal, in its own time. */
  holdExit(): void;
  readonly isTerminal: { readonly stdout: boolean; readonly stderr: boolean };
  stdout(text: string | Uint8Array): void;
  stderr(text: string): void;
  readStdin(): Promise<Uint8Array<ArrayBuffer>>;
}

/** The reader of our output has gone: no failure, nothing left to say. */
export class BrokenPipe extends Error {
  override readonly name = "BrokenPipe";
}

/** The command has printed its result, and that says it all: only the exit code is left to set. */
export class Reported extends Error {
  override readonly name = "Reported";
  readonly code: ErrorCode;

  constructor(code: ErrorCode) {
    super(`Reported with ${code}`);
    this.code = code;
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Writes everything, also to a pipe whose reader is slow. Throws BrokenPipe when there is no reader. */
export function writeAll(fd: number, data: string | Uint8Array): void {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EPIPE") throw new BrokenPipe();
      if (errno !== "EAGAIN") throw streamError(fd, error);
      Atomics.wait(pause, 0, 0, 2);
    }
  }
}

function streamError(fd: number, error: unknown): CoremlxError {
  const errno = errnoOf(error);
  const reasons: Readonly<Record<string, string>> = {
    ENOSPC: "no space is left on the device",
    EBADF: "it is closed",
    EIO: "the device failed",
  };
  const name = fd === 1 ? "the standard output" : fd === 2 ? "the standard error" : `descriptor ${fd}`;
  return new CoremlxError("IO", `Cannot write to ${name}: ${reasons[errno ?? ""] ?? messageOf(error)}`, {
    cause: error,
    ...(errno === "ENOSPC" ? { hint: "Free some space, or send the output elsewhere" } : {}),
  });
}

/** Bytes on stdin, up to its end. Throws INTERRUPTED when the signal aborts first, BAD_INPUT where there is no stdin. */
export async function readAllStdin(signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await unlessInterrupted(readBounded(Bun.stdin.stream(), maxStdinBytes, stdinTooLong), signal);
  } catch (error) {
    if (error instanceof CoremlxError) throw error;
    throw new CoremlxError("BAD_INPUT", `Cannot read the standard input: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** One array cannot hold more. */
const maxStdinBytes = 2 ** 32;

function stdinTooLong(): CoremlxError {
  return new CoremlxError("BAD_INPUT", `Cannot read the standard input: more than ${maxStdinBytes} bytes`);
}

/** The work's result; INTERRUPTED as soon as the signal aborts, whatever the work still does. */
export async function unlessInterrupted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const interrupted = Promise.withResolvers<never>();
  const stop = () => interrupted.reject(new CoremlxError("INTERRUPTED", "Interrupted"));
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work, interrupted.promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Control characters, and the marks that turn the direction of writing. */
const unsafe = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Text from a file, safe on a terminal: control characters become visible escapes, line breaks and tabs stay. */
export function plain(text: string): string {
  return text.replaceAll(unsafe, (c) => {
    return c === "\n" || c === "\t" ? c : `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** The same on one line. */
export function plainLine(text: string): string {
  return plain(text).replaceAll(/[\n\t]/g, " ");
}

/** A word as the shell takes it, for command lines that are to be copied. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";
export type Paint = (style: Style, text: string) => string;

const codes: Readonly<Record<Style, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 };

/** A painter that paints only where colours are wanted: --color, then NO_COLOR, FORCE_COLOR, then the terminal. */
export function painter(
  io: Pick<Io, "env" | "isTerminal">,
  color: string,
  stream: "stdout" | "stderr",
): Paint {
  const wanted = wantsColor(io, color, stream);
  return (style, text) => (wanted ? `\u001b[${codes[style]}m${text}\u001b[0m` : text);
}

function wantsColor(io: Pick<Io, "env" | "isTerminal">, color: string, stream: "stdout" | "stderr"): boolean {
  if (color !== "auto") return color === "always";
  if (io.env["NO_COLOR"]) return false;
  if (io.env["FORCE_COLOR"] !== undefined) return io.env["FORCE_COLOR"] !== "0";
  return io.isTerminal[stream] && io.env["TERM"] !== "dumb";
}

/** Columns padded to their widest cell; a right-aligned column for numbers. */
export function table(
  rows: readonly (readonly string[])[],
  options: { readonly right?: readonly number[] } = {},
): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, Bun.stringWidth(cell))));
  return rows
    .map((row) => {
      const cells = row.map((cell, i) => {
        const gap = " ".repeat((widths[i] ?? 0) - Bun.stringWidth(cell));
        return options.right?.includes(i) ? gap + cell : cell + gap;
      });
      return cells.join("  ").trimEnd();
    })
    .join("\n");
}
