// A session from the flags of a command, and a sign of life while something takes long.

import { join, resolve } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import type { Telemetry } from "../core/telemetry.ts";
import { suggest } from "../core/suggest.ts";
import { hasOwnModels, tapePrefix } from "../engines/select.ts";
import { defaultCacheDir, openSession, type Session } from "../runtime/session.ts";
import type { Logger } from "./logger.ts";
import type { Io } from "./output.ts";
import { findModel, isMissing } from "./paths.ts";

export interface SessionFlags {
  readonly engine: string;
  readonly onnxruntime: string | undefined;
  readonly coreml: string | undefined;
  readonly "cache-dir": string | undefined;
  readonly cache: boolean;
  readonly precision?: "float32" | "model" | undefined;
}

/** Throws USAGE for an engine nobody knows, before anything is opened. */
export async function openCliSession(
  flags: SessionFlags,
  io: Io,
  logger: Logger & Pick<Telemetry, "meters">,
): Promise<Session> {
  if (!engines.includes(flags.engine) && !hasOwnModels(flags.engine)) {
    throw new CoremlxError("USAGE", `Unknown engine "${flags.engine}"`, {
      hint: suggest(flags.engine, engines, "The engines are"),
    });
  }
  return openSession({
    engine: resolveEngine(flags.engine, io.cwd),
    onnxruntimePath: flags.onnxruntime === undefined ? undefined : resolve(io.cwd, flags.onnxruntime),
    coremlPath: flags.coreml === undefined ? undefined : resolve(io.cwd, flags.coreml),
    cacheDir: cacheDirOf(flags["cache-dir"], io),
    cache: flags.cache,
    precision: flags.precision,
    telemetry: telemetryOf(logger),
  });
}

/** What goes its usual way is for whoever asks for details: a command says itself what it does. */
function telemetryOf(logger: Logger & Pick<Telemetry, "meters">): Telemetry {
  const { meters } = logger;
  return {
    log: (level, event, fields) => logger.log(level === "info" ? "debug" : level, event, fields),
    ...(meters && { meters }),
  };
}

const engines = ["auto", "coreml", "portable", "tape:FILE", "http://HOST:PORT"];

/** A tape's path is the user's, wherever the engine is opened. */
function resolveEngine(engine: string, cwd: string): string {
  return engine.startsWith(tapePrefix)
    ? `${tapePrefix}${resolve(cwd, engine.slice(tapePrefix.length))}`
    : engine;
}

/** The path of a model; for an engine with models of its own also the name of one of those. Throws BAD_MODEL. */
export function findModelFor(engine: string, text: string, cwd: string): string {
  const path = resolve(cwd, text);
  return hasOwnModels(engine) && isMissing(path) ? path : findModel(text, cwd);
}

/** --cache-dir, else coremlx in the user's cache folder. A relative XDG_CACHE_HOME counts as not set, as its specification says. */
export function cacheDirOf(flag: string | undefined, io: Pick<Io, "cwd" | "env">): string {
  if (flag !== undefined) return resolve(io.cwd, flag);
  const xdg = io.env["XDG_CACHE_HOME"];
  return xdg?.startsWith("/") ? join(xdg, "coremlx") : defaultCacheDir();
}

const firstSignMs = 400;

/** Waits; on a terminal it says for what, after a moment, and takes the line back at the end. */
export async function progress<T>(io: Io, label: string | undefined, work: Promise<T>): Promise<T> {
  if (label === undefined || !io.isTerminal.stderr) return work;
  const started = performance.now();
  let isShown = false;
  const timer = setInterval(() => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    io.stderr(`\r${label} … ${seconds} s`);
    isShown = true;
  }, firstSignMs);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (isShown) io.stderr("\r\u001b[K");
  }
}
