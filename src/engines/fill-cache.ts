// Filling the compile cache by itself: after a cold load that took long, another process makes the entry, so that the
// load at hand is not held up and whatever goes wrong there is not its affair.

import type { Telemetry } from "../core/telemetry.ts";
import type { Precision } from "../lowering/scope.ts";
import { cacheFailure, type CompileCache, compileCacheFolder, tryOpenCompileCache } from "./cache.ts";
import { digestBytes } from "./cache/files.ts";
import { settlesInMs, type Snapshot, takeSnapshot } from "./cache/model-index.ts";
import { keyOf, type LoadKnownOptions, loadKept } from "./load-file.ts";

/**
 * What loading must have taken for an entry to be worth it. Warm loads take 10 to 35 ms, whatever the model; models up to
 * 120 kB load in about as long once the code for it is there, and in 50 to 80 ms when it is not. Those of 1 MB and more take
 * from 100 to 700.
 */
export const worthMs = 80;
/** Of the model's files: on a machine that is busy even the smallest takes long, and is not worth a process. */
export const worthBytes = 500_000;

export interface FillSettings {
  readonly functionName?: string | undefined;
  readonly precision?: Precision | undefined;
  readonly runtime: LoadKnownOptions["runtime"];
  /** `identifyLibrary` of the runtime's library. */
  readonly library: string;
}

export interface WantsFillingOptions extends FillSettings {
  readonly cacheDir: string;
  readonly tookMs: number;
  readonly byteLength: number;
  readonly telemetry?: Telemetry | undefined;
}

/** Whether somebody should call `fillCache`. Never throws. */
export function wantsFilling(path: string, options: WantsFillingOptions): boolean {
  const { cacheDir, tookMs, byteLength, telemetry } = options;
  if (tookMs < worthMs || byteLength < worthBytes) return false;
  const cache = tryOpenCompileCache({ folder: compileCacheFolder(cacheDir), telemetry });
  const snapshot = cache && takeSnapshot(path, []);
  if (cache === undefined || snapshot === undefined) return false;
  const reason = cache.attempts.objection(nameOf(snapshot, options), stateOf(snapshot));
  if (reason !== undefined) telemetry?.log("debug", "compile cache not filled", { path, reason });
  return reason === undefined;
}

export interface FillOptions extends FillSettings {
  readonly cache: CompileCache;
}

export interface FillFailure {
  readonly reason: string;
}

/** Makes the entry of one function unless it is there; else says why not, and leaves a note for the next one who asks. */
export async function fillCache(path: string, options: FillOptions): Promise<"filled" | FillFailure> {
  const { cache } = options;
  try {
    const snapshot = takeSnapshot(path, []);
    if (snapshot === undefined) return { reason: "the state of its files cannot be noted" };
    const begun = cache.attempts.begin(nameOf(snapshot, options), stateOf(snapshot));
    if ("objection" in begun) return { reason: begun.objection };
    using attempt = begun;
    await Bun.sleep(settlesInMs(snapshot));
    const reason = await tryToKeep(path, options);
    if (reason === undefined) attempt.succeed();
    else attempt.fail(reason);
    return reason === undefined ? "filled" : { reason };
  } catch (error) {
    return { reason: cacheFailure(error) };
  }
}

async function tryToKeep(path: string, options: FillOptions): Promise<string | undefined> {
  try {
    const result = await loadKept(path, options);
    if (typeof result === "string") return result;
    await result[Symbol.asyncDispose]();
    return undefined;
  } catch (error) {
    return cacheFailure(error);
  }
}

/** What is tried: as the key of the entry, but with the model's place for its digest, which nobody knows yet. */
function nameOf(
  { root }: Snapshot,
  { functionName = "", precision, library, runtime }: FillSettings,
): string {
  return keyOf(root, functionName, { precision, library, runtime });
}

function stateOf({ lines }: Snapshot): string {
  return digestBytes(new TextEncoder().encode(lines.join("\n")));
}
