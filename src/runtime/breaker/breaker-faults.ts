// Which failures say that the engine is unwell. Bad requests, full queues and callers who leave say nothing about it.

import { CoremlxError, type ErrorCode } from "../../core/errors.ts";

/**
 * Where a call was when it failed, under `details.stage` of its error. Only "running" speaks of an engine: a deadline
 * that passed in the queue ("waiting"), a model being closed ("closing") and an open breaker ("breaker") do not.
 */
export type FailureStage = "waiting" | "running" | "closing" | "breaker";

const isFaultByCode: Readonly<Record<ErrorCode, boolean>> = {
  NATIVE: true,
  INTERNAL: true,
  DEADLINE: true,
  UNAVAILABLE: true, // of an instance that died or was poisoned
  USAGE: false,
  BAD_INPUT: false,
  BAD_MODEL: false,
  NOT_FOUND: false,
  UNSUPPORTED: false,
  CRITERIA_FAILED: false,
  OVERLOADED: false,
  INTERRUPTED: false,
  IO: false,
};

/** Whether an error that a call ended with counts against the engine. A foreign error counts as INTERNAL. */
export function isEngineFault(error: unknown): boolean {
  if (!(error instanceof CoremlxError)) return !isAbort(error);
  return isFaultByCode[error.code] && (error.details?.["stage"] ?? "running") === "running";
}

/** What `AbortSignal.throwIfAborted` throws. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
