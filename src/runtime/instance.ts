// Our side of one worker: requests with a deadline, and an end that cannot hang.

import { CoremlxError } from "../core/errors.ts";
import type { Envelope, Replies, ReplyEnvelope, Request, WireError } from "./protocol.ts";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** How long a worker may take to give back its memory before it is cut off. */
const closeGraceMs = 2_000;

/** About 25 days. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * One worker thread, one model. Invariant: every call settles, also when the worker dies, hangs or is closed.
 * After a deadline the native call may still be running: the instance is poisoned and refuses further calls.
 */
export class Instance implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #broken: CoremlxError | undefined;

  constructor() {
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url).href);
    this.#worker.onmessage = (event: MessageEvent<ReplyEnvelope>) => this.#settle(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#break(new CoremlxError("NATIVE", `The worker failed: ${event.message}`));
    };
    this.#worker.addEventListener("close", () => {
      this.#break(new CoremlxError("UNAVAILABLE", "The worker has ended"));
    });
  }

  get isBroken(): boolean {
    return this.#broken !== undefined;
  }

  call<T extends Request["type"]>(
    request: Extract<Request, { readonly type: T }>,
    options: CallOptions = {},
  ): Promise<Replies[T]> {
    const { signal, timeoutMs } = options;
    if (this.#broken) return Promise.reject(this.#broken);
    if (signal?.aborted) return Promise.reject(interrupted());
    const id = this.#nextId++;
    return new Promise<Replies[T]>((resolve, reject) => {
      // A timer for longer would go off at once.
      const isTimed = timeoutMs !== undefined && timeoutMs <= longestTimerMs;
      const timer = isTimed ? setTimeout(() => expire(), timeoutMs) : undefined;
      const onAbort = () => this.#abandon(id, interrupted());
      const expire = () => this.#abandon(id, deadline(request.type, timeoutMs ?? 0));
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiting.set(id, {
        resolve(value) {
          done();
          // The worker answers each request with the reply of its type; structured clone loses the static type.
          resolve(value as Replies[T]);
        },
        reject(error) {
          done();
          reject(error);
        },
      });
      this.#worker.postMessage({ id, request } satisfies Envelope);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#broken) {
      await this.call({ type: "close" }, { timeoutMs: closeGraceMs }).catch(() => {
        // Closing is best effort: terminate below ends the worker either way.
      });
    }
    this.#break(new CoremlxError("UNAVAILABLE", "The model is closed"));
    this.#worker.terminate();
  }

  #settle(reply: ReplyEnvelope): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.ok) waiting?.resolve(reply.value);
    else waiting?.reject(fromWire(reply.error));
  }

  #abandon(id: number, error: CoremlxError): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    this.#broken ??= new CoremlxError(
      "UNAVAILABLE",
      "Cannot predict: an earlier call was abandoned while it ran",
    );
    waiting?.reject(error);
  }

  #break(error: CoremlxError): void {
    this.#broken ??= error;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const call of waiting) call.reject(error);
  }
}

function fromWire(error: WireError): CoremlxError {
  return new CoremlxError(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.details === undefined ? {} : { details: error.details }),
  });
}

function interrupted(): CoremlxError {
  return new CoremlxError("INTERRUPTED", "The call was cancelled");
}

function deadline(what: string, timeoutMs: number): CoremlxError {
  return new CoremlxError("DEADLINE", `Cannot ${what}: no answer within ${timeoutMs} ms`, {
    hint: "Give it more time with --timeout",
    details: { timeoutMs },
  });
}
