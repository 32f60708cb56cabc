// The program: finds the command, runs it, and decides how a failure looks and what the exit code is.

import { defineCommand, renderUsage } from "citty";
import { CoremlxError, type ErrorCode, errnoOf, messageOf } from "../core/errors.ts";
import { nearest } from "../core/suggest.ts";
import type { Command } from "./command.ts";
import { failureForm } from "./failure-form.ts";
import { BrokenPipe, type Io, painter, plain, Reported } from "./output.ts";

/** In the order of the help. Loaded when needed, so that --version stays quick. */
export const commands: Readonly<Record<string, { description: string; load: () => Promise<Command> }>> = {
  infer: {
    description: "Run a model on files or values and show the answer",
    load: async () => (await import("./commands/infer.ts")).infer,
  },
  inspect: {
    description: "Show what a model takes, gives and is made of",
    load: async () => (await import("./commands/inspect.ts")).inspect,
  },
  serve: {
    description: "Serve models over HTTP, in the Open Inference Protocol v2",
    load: async () => (await import("./commands/serve.ts")).serve,
  },
  export: {
    description: "Write the lowered graph as ONNX",
    load: async () => (await import("./commands/export.ts")).exportModel,
  },
  bench: {
    description: "Measure latency, throughput, memory and processor time of a model",
    load: async () => (await import("./commands/bench.ts")).bench,
  },
  soak: {
    description: "Run models for as long as asked, check every answer, and give a verdict",
    load: async () => (await import("./commands/soak.ts")).soak,
  },
  gate: {
    description: "Judge by evidence whether a release may be deployed",
    load: async () => (await import("./commands/gate.ts")).gate,
  },
  parity: {
    description: "Compare two engines, devices, precisions or models, and give a verdict",
    load: async () => (await import("./commands/parity.ts")).parity,
  },
  record: {
    description: "Record a model's answers and times on this machine as a tape",
    load: async () => (await import("./commands/record.ts")).record,
  },
  report: {
    description: "Make a page, Markdown or charts from a result file",
    load: async () => (await import("./commands/report.ts")).report,
  },
  schema: {
    description: "Print the JSON Schema of a result",
    load: async () => (await import("./commands/schema.ts")).schema,
  },
  compile: {
    description: "Compile a model into the cache, so that it loads at once",
    load: async () => (await import("./commands/compile.ts")).compile,
  },
  cache: {
    description: "List, verify or prune the cache of compiled models",
    load: async () => (await import("./commands/cache.ts")).cache,
  },
  doctor: {
    description: "Show what this machine offers, what is missing, and what to do about it",
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
  config: {
    description: "Show the effective settings and where each comes from",
    load: async () => (await import("./commands/config.ts")).config,
  },
  licenses: {
    description: "Print the licences of what the executable contains",
    load: async () => (await import("./commands/licenses.ts")).licenses,
  },
  completions: {
    description: "Print shell completions",
    load: async () => (await import("./commands/completions.ts")).completions,
  },
};

export const exitCodes: Readonly<Record<ErrorCode, number>> = {
  USAGE: 2,
  BAD_INPUT: 4,
  BAD_MODEL: 4,
  NOT_FOUND: 4,
  UNSUPPORTED: 5,
  CRITERIA_FAILED: 3,
  OVERLOADED: 69,
  UNAVAILABLE: 69,
  DEADLINE: 124,
  INTERRUPTED: 130,
  IO: 1,
  NATIVE: 1,
  INTERNAL: 1,
};

/** Runs one command line; gives the exit code. Never throws. */
export async function runProgram(argv: readonly string[], io: Io): Promise<number> {
  try {
    await dispatch(argv, io);
    return 0;
  } catch (error) {
    if (error instanceof BrokenPipe) return 0;
    if (error instanceof Reported) return exitCodes[error.code];
    try {
      return report(error, argv, io);
    } catch {
      return 1; // stderr is gone too: nobody is left to tell
    }
  }
}

async function dispatch(argv: readonly string[], io: Io): Promise<void> {
  const [name, ...rest] = argv;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    if (name === "help" && rest[0] !== undefined) return showHelp(await findCommand(rest[0]), io);
    return io.stdout(await programHelp());
  }
  if (name === "--version" || name === "-V") return showVersion(rest, io);
  if (name.startsWith("-")) {
    throw new CoremlxError("USAGE", `Unknown option "${name}" before a command`, {
      hint: "Options come after the command, as in coremlx infer --json; coremlx --help lists the commands",
    });
  }
  const command = await findCommand(name);
  const end = rest.indexOf("--");
  const flags = end === -1 ? rest : rest.slice(0, end);
  if (flags.includes("--help") || flags.includes("-h")) return showHelp(command, io);
  await command.run(rest, io);
}

async function findCommand(name: string): Promise<Command> {
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (entry) return entry.load();
  throw new CoremlxError("USAGE", `Unknown command "${name}"`, { hint: commandHint(name) });
}

function commandHint(name: string): string {
  if (name === "version") return 'Did you mean "coremlx --version"?';
  // A model where a command is due: the first thing people type.
  if (/\.(mlpackage|mlmodel|mlmodelc)\/?$/i.test(name)) {
    return `Name a command first: coremlx infer ${name}, or coremlx inspect ${name}`;
  }
  const near = nearest(name, Object.keys(commands));
  if (near !== undefined) return `Did you mean "coremlx ${near}"?`;
  return `The commands are ${Object.keys(commands).join(", ")}`;
}

async function programHelp(): Promise<string> {
  const subCommands = Object.fromEntries(
    Object.entries(commands).map(([name, { description }]) => [
      name,
      defineCommand({ meta: { name, description } }),
    ]),
  );
  const description = "Run, inspect, measure and serve Core ML models";
  const usage = await renderUsage(defineCommand({ meta: { name: "coremlx", description }, subCommands }));
  return `${tidy(usage)}\n\nEXAMPLES\n\n  coremlx infer model.mlpackage picture.png\n  coremlx inspect model.mlpackage\n`;
}

async function showHelp(command: Command, io: Io): Promise<void> {
  const usage = await renderUsage(command.definition, defineCommand({ meta: { name: "coremlx" } }));
  io.stdout(`${tidy(usage)}\n\nEXAMPLES\n\n${command.examples.map((line) => `  ${line}\n`).join("")}`);
}

async function showVersion(rest: readonly string[], io: Io): Promise<void> {
  const { commit, onnxruntimeVersion, version } = await import("../core/version.ts");
  if (rest.some((arg) => arg !== "--json")) throw new CoremlxError("USAGE", `Unknown option "${rest[0]}"`);
  if (rest.includes("--json")) {
    const engines = { portable: `ONNX Runtime ${onnxruntimeVersion}` };
    io.stdout(`${JSON.stringify({ schemaVersion: 1, version, commit, bun: Bun.version, engines })}\n`);
    return;
  }
  const build = commit === undefined ? "" : ` (${commit.slice(0, 12)})`;
  io.stdout(
    `coremlx ${version}${build}\nBun ${Bun.version}\nportable engine: ONNX Runtime ${onnxruntimeVersion}\n`,
  );
}

function report(error: unknown, argv: readonly string[], io: Io): number {
  const known = io.signal.aborted ? new CoremlxError("INTERRUPTED", "Interrupted") : asKnown(error);
  const { code, message, details } = known;
  const hint = known.hint ?? (code === "INTERNAL" ? reportHint : undefined);
  const form = failureForm(argv, io);
  const stack = form.isVerbose && code === "INTERNAL" && error instanceof Error ? error.stack : undefined;
  if (form.isLogJson) {
    const line = { time: new Date().toISOString(), level: "error", code, message, hint, stack };
    io.stderr(`${JSON.stringify(line)}\n`);
  } else {
    const paint = painter(io, form.color, "stderr");
    io.stderr(`${paint("red", "error:")} ${plain(message)}\n`);
    if (hint !== undefined) io.stderr(`${paint("cyan", "hint:")} ${plain(hint)}\n`);
    if (stack !== undefined) io.stderr(`${plain(stack)}\n`);
  }
  if (form.isJson) io.stdout(`${JSON.stringify({ error: { code, message, hint, details } })}\n`);
  return exitCodes[code];
}

const reportHint = "Run again with --verbose and report what it prints";

/** System errors become IO; anything else is our own mistake. */
function asKnown(error: unknown): CoremlxError {
  if (error instanceof CoremlxError) return error;
  const errno = errnoOf(error);
  if (errno !== undefined && /^E[A-Z0-9]+$/.test(errno)) {
    const hints: Readonly<Record<string, string>> = {
      ENOSPC: "Free some space or choose another folder",
      EACCES: "Choose a place you may write to",
      EROFS: "Choose a place you may write to",
    };
    const hint = hints[errno];
    return new CoremlxError("IO", messageOf(error), {
      cause: error,
      hint,
    });
  }
  return new CoremlxError("INTERNAL", `Something went wrong inside coremlx: ${messageOf(error)}`, {
    cause: error,
    hint: reportHint,
  });
}

/** citty colours by the environment and pads its columns; our help is plain, so that it reads the same everywhere. */
function tidy(usage: string): string {
  return Bun.stripANSI(usage)
    .replaceAll(/[ \t]+$/gm, "")
    .trimEnd();
}
