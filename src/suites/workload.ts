// Load on something that answers: so many callers at a time, or so many calls a second whatever the answers do.

import { randomSource } from "../codecs/generate.ts";
import type { Clock } from "./clock.ts";

export type Load =
  | {
      /** Each caller waits for its answer, then calls again. */
      readonly mode: "closed";
      readonly concurrency: number;
    }
  | {
      /** Calls are due by a schedule. One that comes late, because earlier ones took long, has waited all the same. */
      readonly mode: "open";
      readonly ratePerSecond: number;
      readonly arrivals: Arrivals;
      readonly seed: number;
    };

/** "fixed": the same gap each time; "poisson": as many independent clients call, gaps from a seeded source. */
export type Arrivals = "fixed" | "poisson";

/** Over after so many calls or so long, whichever comes first; with neither, at once. */
export interface Extent {
  readonly count?: number | undefined;
  readonly durationMs?: number | undefined;
}

/** What the one who answers knows about the time it took. */
export interface Answer {
  readonly runMs: number;
  readonly queueMs?: number | undefined;
}

/** One measured call. Its latency is `endMs - dueMs`. */
export interface Call<A extends Answer = Answer> {
  /** When it was meant to start: in a closed loop when it did. */
  readonly dueMs: number;
  readonly sentMs: number;
  readonly endMs: number;
  readonly answer: A | undefined;
  /** What was thrown; only without an answer. */
  readonly error: unknown;
}

export interface WorkloadOptions<A extends Answer = Answer> {
  readonly load: Load;
  /** Calls before the measurement; nobody hears of them. */
  readonly warmup: Extent;
  readonly measure: Extent;
  readonly clock: Clock;
  /** Ends the load at once; calls under way are left alone and count for nothing. */
  readonly signal?: AbortSignal | undefined;
  send(): Promise<A>;
  /** The warm-up is over; the first measured call starts now. */
  onStart?(startMs: number): void;
  /** Not to throw. */
  onCall(call: Call<A>): void;
  /** An answer of the warm-up, or after the end: for who has to give it back. Not to throw. */
  onUncounted?(answer: A): void;
}

export interface WorkloadResult {
  /** `undefined`: interrupted before the measurement began. */
  readonly startMs: number | undefined;
  /** When the last measured call ended, or the load was interrupted. */
  readonly endMs: number;
  /** Due calls of an open load that were not made, so many being under way. */
  readonly unsent: number;
  readonly isInterrupted: boolean;
}

/** More calls under way than any server admits: beyond, an open load would only eat memory. */
export const mostUnderWay = 10_000;

/** Answers that are there at once would otherwise keep timers and signals waiting for ever. */
const turnEveryMs = 20;

export async function runWorkload<A extends Answer>(options: WorkloadOptions<A>): Promise<WorkloadResult> {
  const { load, signal } = options;
  const run = new Run(options);
  const work = load.mode === "closed" ? callInTurn(run, load.concurrency) : callOnTime(run, load);
  await unlessAborted(work, signal);
  return run.finish();
}

/** The seeded gaps between the calls of an open load, in milliseconds. */
export function* arrivalGaps(load: Extract<Load, { readonly mode: "open" }>): Generator<number, never> {
  const meanMs = 1_000 / load.ratePerSecond;
  const next = randomSource(`arrivals/${load.seed}`);
  for (;;) yield load.arrivals === "fixed" ? meanMs : -Math.log((next() + 0.5) / 2 ** 32) * meanMs;
}

async function callInTurn<A extends Answer>(run: Run<A>, concurrency: number): Promise<void> {
  const caller = async (): Promise<void> => {
    for (;;) {
      const nowMs = run.clock.now();
      const phase = run.admit(nowMs);
      if (phase === "over") return;
      await run.call(nowMs, phase);
      await run.yieldAtTimes();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
}

async function callOnTime<A extends Answer>(
  run: Run<A>,
  load: Extract<Load, { readonly mode: "open" }>,
): Promise<void> {
  const underWay = new Set<Promise<void>>();
  let dueMs = run.clock.now();
  for (const gapMs of arrivalGaps(load)) {
    await run.clock.sleepUntil(dueMs, run.signal);
    await run.yieldAtTimes();
    const phase = run.admit(dueMs);
    if (phase === "over") break;
    if (underWay.size >= mostUnderWay) run.skip(phase);
    else {
      const call = run.call(dueMs, phase).finally(() => underWay.delete(call));
      underWay.add(call);
    }
    dueMs += gapMs;
  }
  await Promise.all(underWay);
}

type Phase = "warm-up" | "measured";

/** Which calls are made, which of them count, and when. */
class Run<A extends Answer> {
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  readonly #options: WorkloadOptions<A>;
  readonly #beginMs: number;
  #startMs: number | undefined;
  #endMs: number;
  #turnMs: number;
  #warmed = 0;
  #measured = 0;
  #unsent = 0;
  #isFinished = false;

  constructor(options: WorkloadOptions<A>) {
    this.#options = options;
    this.clock = options.clock;
    this.signal = options.signal;
    this.#beginMs = this.clock.now();
    this.#endMs = this.#beginMs;
    this.#turnMs = this.#beginMs;
  }

  /** What a call due at this time is for. */
  admit(dueMs: number): Phase | "over" {
    const { warmup, measure } = this.#options;
    if (this.signal?.aborted) return "over";
    if (this.#startMs === undefined) {
      if (isWithin(warmup, this.#warmed, dueMs - this.#beginMs)) {
        this.#warmed++;
        return "warm-up";
      }
      this.#startMs = dueMs;
      this.#endMs = dueMs;
      this.#options.onStart?.(dueMs);
    }
    if (!isWithin(measure, this.#measured, dueMs - this.#startMs)) return "over";
    this.#measured++;
    return "measured";
  }

  /** Never rejects. */
  async call(dueMs: number, phase: Phase): Promise<void> {
    const sentMs = this.clock.now();
    let answer: A | undefined;
    let error: unknown;
    try {
      answer = await this.#options.send();
    } catch (thrown) {
      error = thrown;
    }
    const endMs = this.clock.now();
    if (phase !== "measured" || this.#isFinished) {
      if (answer !== undefined) this.#options.onUncounted?.(answer);
      return;
    }
    this.#endMs = Math.max(this.#endMs, endMs);
    this.#options.onCall({ dueMs, sentMs, endMs, answer, error });
  }

  skip(phase: Phase): void {
    if (phase === "measured") this.#unsent++;
  }

  async yieldAtTimes(): Promise<void> {
    if (this.clock.now() - this.#turnMs < turnEveryMs) return;
    await this.clock.yield();
    this.#turnMs = this.clock.now();
  }

  finish(): WorkloadResult {
    this.#isFinished = true;
    const isInterrupted = this.signal?.aborted ?? false;
    return {
      startMs: this.#startMs,
      endMs: isInterrupted ? this.clock.now() : this.#endMs,
      unsent: this.#unsent,
      isInterrupted,
    };
  }
}

function isWithin({ count, durationMs }: Extent, done: number, elapsedMs: number): boolean {
  if (count === undefined && durationMs === undefined) return false;
  return done < (count ?? Number.POSITIVE_INFINITY) && elapsedMs < (durationMs ?? Number.POSITIVE_INFINITY);
}

async function unlessAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return work;
  const aborted = Promise.withResolvers<void>();
  const stop = () => aborted.resolve();
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
