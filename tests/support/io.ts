// A terminal for tests: everything written is kept.

import type { Io } from "../../src/cli/output.ts";

export interface TestIo extends Io {
  readonly written: { stdout: string; stderr: string };
}

export function testIo(
  options: Partial<Pick<Io, "cwd" | "env" | "isTerminal" | "signal">> & {
    stdin?: Uint8Array<ArrayBuffer>;
  } = {},
): TestIo {
  const written = { stdout: "", stderr: "" };
  return {
    cwd: options.cwd ?? process.cwd(),
    env: { XDG_CONFIG_HOME: "/nonexistent", ...options.env },
    signal: options.signal ?? new AbortController().signal,
    holdExit() {},
    isTerminal: options.isTerminal ?? { stdout: false, stderr: false },
    stdout(text) {
      written.stdout += typeof text === "string" ? text : new TextDecoder().decode(text);
    },
    stderr(text) {
      written.stderr += text;
    },
    readStdin: async () => options.stdin ?? new Uint8Array(new ArrayBuffer(0)),
    written,
  };
}
