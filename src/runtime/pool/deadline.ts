// Waiting no longer than a deadline or a caller's patience.

import { CoremlxError } from "../../core/errors.ts";
import type { FailureStage } from "../breaker/breaker-faults.ts";

export interface Patience {
  readonly signal?: AbortSignal | undefined;
  /** Until when, on the clock of performance.now; Infinity for no limit. */
  readonly deadline: number;
  /** The whole time that was allowed, for the message. */
  readonly timeoutMs: number;
  /** What the time is spent on; a deadline that passed in a queue says nothing about the engine. Default "running". */
  readonly stage?: FailureStage | undefined;
}

/** About 25 days: a timer set for longer goes off at once. */
export const longestTimerMs = 2 ** 31 - 1;

/** The outcome of `work`, or DEADLINE or INTERRUPTED as soon as that is reached. `work` itself goes on. */
export function within<T>(work: Promise<T>, what: string, patience: Patience): Promise<T> {
  const { signal, deadline } = patience;
  if (signal === undefined && !Number.isFinite(deadline)) return work;
  return new Promise<T>((resolve, reject) => {
    const remaining = deadline - performance.now();
    const timer =
      remaining > longestTimerMs
        ? undefined
        : setTimeout(() => finish(() => reject(expired(what, patience))), Math.max(remaining, 0));
    const onAbort = () => finish(() => reject(interrupted()));
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      settle();
    };
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    work.then(
      (value) => finish(() => resolve(value)),
      (error: unknown) => finish(() => reject(error)),
    );
  });
}

export function interrupted(): CoremlxError {
  return new CoremlxError("INTERRUPTED", "The call was cancelled");
}

/** Why a call is not started: what the queue has left of its patience is less than a run needs, or nothing. */
export function tooLate(
  what: string,
  patience: Patience,
  { queueMs, neededMs }: { readonly queueMs: number; readonly neededMs: number },
): CoremlxError {
  const { timeoutMs, deadline } = patience;
  if (neededMs === 0 || performance.now() >= deadline)
    return expired(what, { ...patience, stage: "waiting" });
  const [waited, needed] = [Math.round(queueMs), Math.ceil(neededMs)];
  return new CoremlxError(
    "DEADLINE",
    `Cannot ${what}: ${waited} of ${timeoutMs} ms went by in the queue, and a run may take ${needed} ms`,
    {
      hint: "Send less at once, allow more instances, or give it more time with --timeout",
      details: { timeoutMs, stage: "waiting", queueMs, neededMs },
    },
  );
}

function expired(what: string, { timeoutMs, stage = "running" }: Patience): CoremlxError {
  return new CoremlxError("DEADLINE", `Cannot ${what}: no answer within ${timeoutMs} ms`, {
    hint: "Give it more time with --timeout",
    details: { timeoutMs, stage },
  });
}
