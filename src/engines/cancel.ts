// Ending a run of another thread: each engine by its own means, without the engine itself.

import { CoremlLibrary } from "../native/coreml.ts";
import { clearTerminate, setTerminate } from "../native/onnxruntime.ts";
import type { CancelHandle } from "./engine.ts";

/** Asks the run under way to end; where none is, the next one ends at once. */
export function cancelRun(handle: CancelHandle): void {
  if (handle.kind === "ort") setTerminate(handle);
  else CoremlLibrary.open(handle.libraryPath).cancel(handle.canceller);
}

/** Takes back a `cancelRun` that came too late for its run. */
export function forgetCancel(handle: CancelHandle): void {
  if (handle.kind === "ort") clearTerminate(handle);
  else CoremlLibrary.open(handle.libraryPath).resetCanceller(handle.canceller);
}
