// Process entry: argv in, exit code out.

import { isatty } from "node:tty";
import { currentEnvironment, currentFolder } from "./cli/environment.ts";
import { type Io, readAllStdin, writeAll } from "./cli/output.ts";
import { runProgram } from "./cli/program.ts";
import { fillArgument } from "./runtime/cache-filler.ts";
import { childArgument } from "./runtime/worker/channel.ts";

// An engine's own process is this program again, told so before anything else is read; so is one that compiles.
if (process.argv[2] === childArgument) await (await import("./runtime/worker/child.ts")).serveParent();
if (process.argv[2] === fillArgument) await (await import("./runtime/fill-process.ts")).fillAsTold();

const abort = new AbortController();
let signals = 0;
let isHeld = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // A native call cannot be woken: whoever asks twice wants out now.
    if (++signals > 1) process.exit(130);
    abort.abort();
    // Commands clean up when the signal aborts; what still runs then is ended with the process.
    if (!isHeld) setTimeout(() => process.exit(130), 1_000).unref();
  });
}

const io: Io = {
  cwd: currentFolder(),
  env: currentEnvironment(),
  signal: abort.signal,
  holdExit: () => {
    isHeld = true;
  },
  isTerminal: { stdout: isatty(1), stderr: isatty(2) },
  stdout: (text) => writeAll(1, text),
  stderr: (text) => writeAll(2, text),
  readStdin: () => readAllStdin(abort.signal),
};

process.exit(await runProgram(process.argv.slice(2), io));
