// Failures of a server as ours: its statuses as codes, and what it says, which is a stranger's text.

import { CoremlxError, type ErrorCode } from "../../core/errors.ts";

const codeByStatus: Readonly<Record<number, ErrorCode>> = {
  400: "BAD_INPUT",
  401: "UNAVAILABLE",
  403: "UNAVAILABLE",
  404: "NOT_FOUND",
  408: "DEADLINE",
  413: "BAD_INPUT",
  415: "UNSUPPORTED",
  429: "OVERLOADED",
  501: "UNSUPPORTED",
  502: "UNAVAILABLE",
  503: "UNAVAILABLE",
  504: "DEADLINE",
};

const shownCharacters = 500;

export interface Refusal {
  readonly status: number;
  readonly body: Uint8Array<ArrayBuffer>;
  /** The Retry-After header. */
  readonly retryAfter: string | null;
}

/** `what`: "run \"Digits\"". */
export function failureOf(what: string, { status, body, retryAfter }: Refusal): CoremlxError {
  const seconds = Number(retryAfter ?? Number.NaN);
  return new CoremlxError(
    codeByStatus[status] ?? "NATIVE",
    `The server cannot ${what}: ${reasonOf(body, status)}`,
    { details: { status, ...(seconds >= 0 && { retryAfterMs: seconds * 1_000 }) } },
  );
}

/** A server that answers, in a way that cannot be understood. */
export function badAnswer(what: string, why: string): CoremlxError {
  return new CoremlxError("NATIVE", `Cannot use the server's answer to "${what}": ${why}`);
}

function reasonOf(body: Uint8Array<ArrayBuffer>, status: number): string {
  try {
    const answer: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof answer === "object" && answer !== null && "error" in answer) {
      const { error } = answer;
      if (typeof error === "string" && error !== "") return error.slice(0, shownCharacters);
    }
  } catch {
    // Something between us and the server may have answered in its place, in HTML.
  }
  return `status ${status}`;
}
