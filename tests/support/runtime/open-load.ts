// More calls than a model can answer, sent when they are due whatever the answers do, and what became of each.

import { CoremlxError } from "../../../src/core/errors.ts";
import { Histogram } from "../../../src/suites/histogram.ts";

export interface OpenLoadOptions {
  readonly ratePerSecond: number;
  readonly durationMs: number;
  readonly send: () => Promise<unknown>;
  /** Called at every turn of the sender, some thousand times a second. */
  readonly onTurn?: (() => void) | undefined;
}

/** All times from when a call was due: a sender that is late makes them longer. */
export interface OpenLoadTally {
  readonly sent: number;
  readonly answered: Histogram;
  readonly refused: Histogram;
  /** Accepted, and not answered before the deadline. */
  readonly expired: Histogram;
  /** Any other way to end, which an overload gives no reason for. */
  readonly odd: readonly string[];
  /** How late calls were sent: what the sender itself kept waiting. */
  readonly sendDelay: Histogram;
  readonly sendingMs: number;
}

const mostOdd = 20;

/** Resolves when the last call has settled. */
export async function sendAtRate(options: OpenLoadOptions): Promise<OpenLoadTally> {
  const { ratePerSecond, durationMs, send, onTurn } = options;
  const [answered, refused, expired, sendDelay] = [
    new Histogram(),
    new Histogram(),
    new Histogram(),
    new Histogram(),
  ];
  const odd: string[] = [];
  const gapMs = 1_000 / ratePerSecond;
  const startMs = performance.now();
  let sent = 0;
  let underWay = 0;
  const allSettled = Promise.withResolvers<void>();
  const settle = () => {
    if (--underWay === 0) allSettled.resolve();
  };
  const note = (dueMs: number, error: unknown) => {
    const tookMs = performance.now() - dueMs;
    const code = error instanceof CoremlxError ? error.code : String(error);
    if (code === "OVERLOADED") refused.add(tookMs);
    else if (code === "DEADLINE") expired.add(tookMs);
    else if (odd.length < mostOdd) odd.push(String(error));
  };
  underWay++; // the sender itself
  for (;;) {
    const nowMs = performance.now();
    const endMs = Math.min(nowMs, startMs + durationMs);
    while (startMs + sent * gapMs < endMs) {
      const dueMs = startMs + sent++ * gapMs;
      sendDelay.add(performance.now() - dueMs);
      underWay++;
      send()
        .then(
          () => answered.add(performance.now() - dueMs),
          (error: unknown) => note(dueMs, error),
        )
        .finally(settle);
    }
    onTurn?.();
    if (nowMs >= startMs + durationMs) break;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const sendingMs = performance.now() - startMs;
  settle();
  await allSettled.promise;
  return { sent, answered, refused, expired, odd, sendDelay, sendingMs };
}
