// coremlx once more, as a process of its own: for a command that is a part of another.

import { CoremlxError } from "../core/errors.ts";
import { programCommand } from "../runtime/worker/channel.ts";
import type { Io } from "./output.ts";

/** Criteria that were not met are a result as well. */
const goodCodes = new Set([0, 3]);

/** Gives what it printed. Throws the error that it ended with, INTERRUPTED where the signal came. */
export async function runCoremlx(
  args: readonly string[],
  io: Pick<Io, "cwd" | "env" | "signal">,
): Promise<unknown> {
  const child = Bun.spawn([...programCommand(), ...args], {
    cwd: io.cwd,
    env: { ...io.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    signal: io.signal,
  });
  const [text, code] = await Promise.all([child.stdout.text(), child.exited]);
  if (io.signal.aborted) throw new CoremlxError("INTERRUPTED", "Interrupted");
  const value = parse(text);
  if (goodCodes.has(code) && value !== undefined) return value;
  const message = messageOf(value) ?? `it ended with exit code ${code}`;
  throw new CoremlxError("INTERNAL", `Cannot run coremlx ${args[0] ?? ""}: ${message}`, {
    details: { code },
  });
}

function parse(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined; // the exit code says what it is worth
  }
}

function messageOf(value: unknown): string | undefined {
  const error: unknown =
    typeof value === "object" && value !== null ? Reflect.get(value, "error") : undefined;
  const message: unknown =
    typeof error === "object" && error !== null ? Reflect.get(error, "message") : undefined;
  return typeof message === "string" ? message : undefined;
}
