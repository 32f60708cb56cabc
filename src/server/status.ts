// How a failure looks to a client: the status, and the text, from which nothing of the machine can be learnt.

import { CoremlxError, type ErrorCode } from "../core/errors.ts";

const statusByCode: Readonly<Record<ErrorCode, number>> = {
  USAGE: 400,
  BAD_INPUT: 400,
  BAD_MODEL: 400,
  NOT_FOUND: 404,
  UNSUPPORTED: 501,
  CRITERIA_FAILED: 500,
  OVERLOADED: 429,
  UNAVAILABLE: 503,
  DEADLINE: 504,
  INTERRUPTED: 503,
  IO: 500,
  NATIVE: 500,
  INTERNAL: 500,
};

/** Statuses that no code of ours stands for. */
export type RefusalStatus = 401 | 403 | 404 | 405 | 413 | 415 | 421 | 503 | 504;

interface RefusalDetails {
  readonly status: RefusalStatus;
  readonly headers: Readonly<Record<string, string>>;
}

const refusals = new WeakMap<CoremlxError, RefusalDetails>();

/** A request that is turned away for what it is, not for what a model says about it. */
export function refuse(
  status: RefusalStatus,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): CoremlxError {
  const codes: Partial<Record<RefusalStatus, ErrorCode>> = { 503: "UNAVAILABLE", 504: "DEADLINE" };
  const error = new CoremlxError(codes[status] ?? "BAD_INPUT", message);
  refusals.set(error, { status, headers });
  return error;
}

export function statusOf(error: unknown): number {
  if (!(error instanceof CoremlxError)) return 500;
  return refusals.get(error)?.status ?? statusByCode[error.code];
}

/** Texts of these codes may hold paths, or what a library says about itself: they are for the log. */
const publicText: Partial<Record<ErrorCode, string>> = {
  IO: "The server could not use its files",
  NATIVE: "The engine could not run the model",
  INTERNAL: "Something went wrong inside the server",
  INTERRUPTED: "The request was given up",
};

export function errorText(error: unknown): string {
  if (!(error instanceof CoremlxError)) return "Something went wrong inside the server";
  return publicText[error.code] ?? error.message;
}

const defaultRetryMs = 1_000;

/** `{"error": …}` with the status of its code; 429 and 503 say when to come again. */
export function errorResponse(error: unknown): Response {
  const status = statusOf(error);
  const headers = new Headers({ "content-type": "application/json" });
  if (error instanceof CoremlxError) {
    for (const [name, value] of Object.entries(refusals.get(error)?.headers ?? {})) headers.set(name, value);
  }
  if (status === 429 || status === 503) headers.set("retry-after", String(retryAfterSeconds(error)));
  return new Response(JSON.stringify({ error: errorText(error) }), { status, headers });
}

function retryAfterSeconds(error: unknown): number {
  const told = error instanceof CoremlxError ? error.details?.["retryAfterMs"] : undefined;
  const ms = typeof told === "number" && Number.isFinite(told) ? told : defaultRetryMs;
  return Math.max(1, Math.ceil(ms / 1_000));
}
