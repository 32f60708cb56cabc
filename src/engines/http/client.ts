// Calls to a server: each with a deadline and a bound on its answer, none of them redirected.

import { readBounded } from "../../core/bytes.ts";
import { CoremlxError, messageOf } from "../../core/errors.ts";
import { badAnswer, failureOf } from "./failure.ts";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Infinity, and what no timer can wait for: no limit. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

export interface PostOptions extends CallOptions {
  /** Bytes of JSON before the binary tensors. */
  readonly jsonLength: number;
}

export interface HttpAnswer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of JSON before the binary tensors; `undefined`: all of it. */
  readonly jsonLength: number | undefined;
}

interface Sending {
  readonly method: "GET" | "POST";
  readonly body?: Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
}

const lengthHeader = "inference-header-content-length";

/** About 25 days: a timer set for longer goes off at once. */
const longestTimerMs = 2 ** 31 - 1;

/** One server. Holds nothing open but what the runtime's own pool of connections keeps. */
export class ProtocolClient {
  /** Without a slash at the end. */
  readonly address: string;

  /** Throws USAGE for what is no address of a server. */
  constructor(address: string) {
    this.address = readAddress(address);
  }

  /** `what` says in an error what was asked for: `describe "Digits"`. */
  async getJson(path: string, what: string, options: CallOptions): Promise<unknown> {
    const { bytes } = await this.#call(path, { method: "GET" }, what, options);
    return parseJson(bytes, what);
  }

  async post(
    path: string,
    body: Uint8Array<ArrayBuffer>,
    what: string,
    options: PostOptions,
  ): Promise<HttpAnswer> {
    const headers = {
      "content-type": "application/octet-stream",
      [lengthHeader]: String(options.jsonLength),
    };
    return this.#call(path, { method: "POST", body, headers }, what, options);
  }

  async #call(path: string, init: Sending, what: string, options: CallOptions): Promise<HttpAnswer> {
    const { signal, timeoutMs, maxBytes } = options;
    signal?.throwIfAborted();
    const ending = new AbortController();
    const abort = () => ending.abort();
    signal?.addEventListener("abort", abort, { once: true });
    const timer = timeoutMs > longestTimerMs ? undefined : setTimeout(abort, Math.max(timeoutMs, 0));
    try {
      const headers = { ...init.headers, "accept-encoding": "identity" };
      // A redirect would send the inputs to somebody nobody named.
      const response = await fetch(this.address + path, {
        ...init,
        headers,
        redirect: "error",
        decompress: false,
        signal: ending.signal,
      });
      const bytes = await readAnswer(response, what, maxBytes);
      if (!response.ok) {
        const retryAfter = response.headers.get("retry-after");
        throw failureOf(what, { status: response.status, body: bytes, retryAfter });
      }
      if (response.headers.has("content-encoding")) throw badAnswer(what, "it is compressed");
      return { bytes, jsonLength: readLength(response, what) };
    } catch (error) {
      if (error instanceof CoremlxError) throw error;
      if (signal?.aborted) throw new CoremlxError("INTERRUPTED", "The call was cancelled", { cause: error });
      if (ending.signal.aborted) throw expired(this.address, what, timeoutMs);
      throw new CoremlxError(
        "UNAVAILABLE",
        `Cannot ${what}: no answer from ${this.address}: ${messageOf(error)}`,
        { cause: error, hint: "Look whether a server of the Open Inference Protocol v2 listens there" },
      );
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      ending.abort(); // what is left of an answer that was too long
    }
  }
}

export function parseJson(bytes: Uint8Array<ArrayBuffer>, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw badAnswer(what, "it is not JSON");
  }
}

function readAddress(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const isServer = url !== undefined && /^https?:$/.test(url.protocol) && url.search + url.hash === "";
  if (isServer && url.username + url.password === "") return url.href.replace(/\/+$/, "");
  // Not as it was given: it may hold a password.
  const why = isServer ? "it holds a name and password" : "write http://HOST:PORT";
  throw new CoremlxError("USAGE", `Cannot use the engine's address: ${why}`);
}

function expired(address: string, what: string, timeoutMs: number): CoremlxError {
  return new CoremlxError(
    "DEADLINE",
    `Cannot ${what}: no answer from ${address} within ${Math.round(timeoutMs)} ms`,
    { hint: "Give it more time with --timeout", details: { timeoutMs } },
  );
}

/** Stops as soon as there is more than anybody asked for, whatever the headers say. */
async function readAnswer(
  { body, headers }: Response,
  what: string,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const tooLong = () => badAnswer(what, `it has more than ${maxBytes} bytes`);
  if (Number(headers.get("content-length") ?? 0) > maxBytes) throw tooLong();
  return body === null ? new Uint8Array(new ArrayBuffer(0)) : readBounded(body, maxBytes, tooLong);
}

function readLength({ headers }: Response, what: string): number | undefined {
  const given = headers.get(lengthHeader);
  if (given === null) return undefined;
  if (/^\d{1,15}$/.test(given)) return Number(given);
  throw badAnswer(what, "its header length is no number");
}
