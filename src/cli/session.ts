// A session from the flags of a command, and a sign of life while something takes long.

import { join, resolve } from "node:path";
import { defaultCacheDir, openSession, type Session } from "../runtime/session.ts";
import { currentEnvironment } from "./environment.ts";
import type { Io } from "./output.ts";

export interface SessionFlags {
  readonly engine: string;
  readonly onnxruntime: string | undefined;
  readonly "cache-dir": string | undefined;
}

export function openCliSession(flags: SessionFlags): Promise<Session> {
  return openSession({
    engine: flags.engine,
    onnxruntimePath: flags.onnxruntime,
    cacheDir: cacheDirOf(flags["cache-dir"]),
  });
}

export function cacheDirOf(flag: string | undefined): string {
  if (flag !== undefined) return resolve(flag);
  const xdg = currentEnvironment()["XDG_CACHE_HOME"];
  return xdg === undefined || xdg === "" ? defaultCacheDir() : join(resolve(xdg), "coremlx");
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
