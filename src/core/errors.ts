// Every failure a user can meet has a code. The edges (cli/, server/) turn codes into exit codes and HTTP statuses.

export type ErrorCode =
  | "USAGE" // a flag or command is wrong
  | "BAD_INPUT" // a tensor, file or request is wrong, missing or unreadable
  | "BAD_MODEL" // the file is not a model, or is damaged
  | "NOT_FOUND" // no such model, version, function, state
  | "UNSUPPORTED" // valid, and we cannot run it here
  | "CRITERIA_FAILED" // a gate, parity or regression says no
  | "OVERLOADED" // a queue or pool is full
  | "UNAVAILABLE" // not ready, draining, breaker open
  | "DEADLINE" // no answer in time
  | "INTERRUPTED" // by the caller or a signal
  | "IO" // the file system refused
  | "NATIVE" // a library call failed
  | "INTERNAL"; // our own mistake

export interface ErrorOptions {
  readonly cause?: unknown;
  /** What the user can do about it, as one imperative sentence. */
  readonly hint?: string | undefined;
  /** Machine-readable facts: the name, the expected and the actual value. Must survive JSON. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

export class CoremlxError extends Error {
  override readonly name = "CoremlxError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details;
  }
}

/** The same error as seen from further out: under another message, with its hint and details, caused by the first. */
export function reworded(
  error: CoremlxError,
  message: string,
  changes: { readonly code?: ErrorCode; readonly details?: ErrorOptions["details"] } = {},
): CoremlxError {
  const { code, hint, details } = error;
  return new CoremlxError(changes.code ?? code, message, {
    cause: error,
    hint,
    details: changes.details ?? details,
  });
}

/** The text of anything that can be thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The errno name ("ENOENT") of a system error, else undefined. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
