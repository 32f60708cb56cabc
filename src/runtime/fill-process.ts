// The body of a process that makes one entry of the compile cache, out of everybody's way.

import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { compileCacheFolder, openCompileCache } from "../engines/cache.ts";
import { identifyLibrary } from "../engines/cache/key.ts";
import { fillCache } from "../engines/fill-cache.ts";
import { endProcessAfter } from "../native/libc.ts";
import { locateOnnxRuntime } from "../native/library.ts";
import { OnnxRuntime } from "../native/onnxruntime.ts";
import type { FillAnswer, FillRequest } from "./cache-filler.ts";

/** ResNet-50 takes 1 s on two old cores; who is not done by then hangs. */
const longestSeconds = 600;

/** Never returns. Whoever started it may be gone by the time it is done. */
export async function fillAsTold(): Promise<never> {
  const answer = await answerTo(process.argv[3] ?? "");
  try {
    process.stdout.write(JSON.stringify(answer));
  } catch {
    // nobody listens any more
  }
  process.exit(0);
}

async function answerTo(text: string): Promise<FillAnswer> {
  try {
    const request = JSON.parse(text) as FillRequest; // from this same program
    stepBack();
    return await fill(request);
  } catch (error) {
    return { reason: messageOf(error) };
  }
}

async function fill({ path, functionName, engine }: FillRequest): Promise<FillAnswer> {
  const { cacheDir, onnxruntimePath, precision } = engine;
  const folder = compileCacheFolder(cacheDir);
  // Whoever asked for this had it open a moment ago; now somebody has removed it.
  if (!existsSync(folder)) throw new CoremlxError("IO", `Cannot find the folder ${folder}`);
  const libraryPath = await locateOnnxRuntime({ path: onnxruntimePath, cacheDir });
  const outcome = await fillCache(path, {
    cache: openCompileCache({ folder }),
    runtime: OnnxRuntime.open(libraryPath),
    library: identifyLibrary(libraryPath),
    precision,
    functionName,
  });
  return outcome === "filled" ? {} : outcome;
}

/** Everybody else goes first, for the processors and for memory; and it ends, whatever happens. */
function stepBack(): void {
  endProcessAfter(longestSeconds);
  try {
    const { PRIORITY_LOW } = constants.priority;
    setPriority(PRIORITY_LOW);
    if (process.platform !== "linux") return;
    // There it is each thread's own; threads that are made from now on inherit it.
    for (const thread of readdirSync("/proc/self/task")) setPriority(Number(thread), PRIORITY_LOW);
    writeFileSync("/proc/self/oom_score_adj", "1000");
  } catch {
    // a sandbox may forbid it; then it is as important as others
  }
}
