// The calls of one model that wait for their turn: how many there may be, how long each waits, and whose turn it is.

import { CoremlxError } from "../../core/errors.ts";
import { interrupted, longestTimerMs } from "./deadline.ts";
import { PriorityQueue, type QueuePlace, type Rank } from "./priority-queue.ts";

export interface WaitQueueOptions {
  /** Calls that may wait at once. */
  readonly limit: number;
  /** How long one may wait; Infinity for as long as its own deadline lets it. */
  readonly timeoutMs: number;
  /** Told when somebody stops waiting without having had their turn. */
  readonly onLeave: () => void;
}

export interface WaitOptions<D> {
  readonly signal?: AbortSignal | undefined;
  readonly priority: number;
  /** Whatever whoever serves the call has to know of it. */
  readonly detail: D;
}

export interface WaitQueueStats {
  readonly waiting: number;
  readonly highWater: number;
  /** Turned away because too many waited already, */
  readonly refused: number;
  /** and because their turn did not come in time. */
  readonly timedOut: number;
}

/** A call that waited, and waits for nothing but this. */
export interface Taken<T> {
  resolve(turn: T): void;
  reject(error: unknown): void;
}

/** A call that waits where it was put, and may still leave. */
export interface StagedCall<T, D> extends Taken<T>, Rank {
  readonly detail: D;
  /** For whoever stages: how often another had its turn first that comes after this one. */
  overtaken: number;
  /** Told when it leaves without having had its turn. */
  onLeave: (() => void) | undefined;
  /** Back to its place among the others. */
  restore(): void;
  /** The same, and it is staged no more. */
  restoreForGood(): void;
  /** Its turn has come: whoever takes must resolve. */
  take(): void;
}

interface Waiter<T, D> extends Taken<T> {
  readonly detail: D;
  /** Since it was staged for the first time. */
  staged: StagedCall<T, D> | undefined;
  mayBeStaged: boolean;
  /** Ends its timer, and listens to its signal no more. */
  cleanUp(): void;
}

/** Invariant: who waits has a place in the queue or is staged; who left, in whatever way, has been answered. */
export class WaitQueue<T, D = undefined> {
  readonly #options: WaitQueueOptions;
  readonly #queue = new PriorityQueue<Waiter<T, D>>();
  readonly #staged = new Map<QueuePlace<Waiter<T, D>>, StagedCall<T, D>>();
  #highWater = 0;
  #refused = 0;
  #timedOut = 0;

  constructor(options: WaitQueueOptions) {
    this.#options = options;
  }

  /** Those who wait for anybody. */
  get size(): number {
    return this.#queue.size;
  }

  /** With those that are staged. */
  get waiting(): number {
    return this.#queue.size + this.#staged.size;
  }

  /** Whose turn is next, of those who wait for anybody. */
  get first(): Rank | undefined {
    return this.#queue.first;
  }

  get stats(): WaitQueueStats {
    return {
      waiting: this.waiting,
      highWater: this.#highWater,
      refused: this.#refused,
      timedOut: this.#timedOut,
    };
  }

  /** Settles with the caller's turn; rejects with OVERLOADED at once or after the time to wait, with INTERRUPTED by the signal. */
  wait({ signal, priority, detail }: WaitOptions<D>): Promise<T> {
    const { limit, timeoutMs, onLeave } = this.#options;
    if (this.waiting >= limit) return Promise.reject(this.#refuse());
    return new Promise<T>((resolve, reject) => {
      let timer: Timer | undefined;
      const leave = (reason: () => CoremlxError) => {
        const staged = this.#staged.get(place);
        if (!this.#staged.delete(place) && !this.#queue.remove(place)) return;
        waiter.cleanUp();
        reject(reason());
        staged?.onLeave?.();
        onLeave();
      };
      const onAbort = () => leave(interrupted);
      const waiter: Waiter<T, D> = {
        detail,
        staged: undefined,
        mayBeStaged: true,
        resolve,
        reject,
        cleanUp() {
          clearTimeout(timer);
          signal?.removeEventListener("abort", onAbort);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      if (timeoutMs <= longestTimerMs) {
        timer = setTimeout(() => leave(() => this.#expire()), timeoutMs);
      }
      const place = this.#queue.push(waiter, priority);
      this.#highWater = Math.max(this.#highWater, this.waiting);
    });
  }

  /**
   * Whose turn it is, taken out: whoever takes must resolve. The one place where a waiting call is taken out to run.
   * Dynamic batching plugs in here: a batcher takes the next call and those behind it whose inputs have the same
   * shapes, up to the model's largest batch, runs them as one on one turn, and shares the answer out among them. The
   * queue needs nothing new for that: it gives the calls in the order of service, one at a time.
   */
  takeNext(): Taken<T> | undefined {
    const next = this.#queue.shift();
    next?.cleanUp();
    return next;
  }

  /**
   * The next call, which goes on waiting with somebody in particular; `undefined` where it waits for anybody, or whoever that
   * is does not accept it.
   */
  stageNext(accept: (detail: D) => boolean): StagedCall<T, D> | undefined {
    const { first: place } = this.#queue;
    if (place === undefined || !place.item.mayBeStaged || !accept(place.item.detail)) return undefined;
    this.#queue.remove(place);
    const staged = (place.item.staged ??= this.#stagedAt(place));
    this.#staged.set(place, staged);
    return staged;
  }

  /** Everybody who waits gets the error. */
  turnAway(error: unknown): void {
    for (const [place, staged] of this.#staged) {
      this.#staged.delete(place);
      place.item.cleanUp();
      staged.reject(error);
      staged.onLeave?.();
    }
    for (let next = this.takeNext(); next !== undefined; next = this.takeNext()) next.reject(error);
    this.#options.onLeave();
  }

  #stagedAt(place: QueuePlace<Waiter<T, D>>): StagedCall<T, D> {
    const { item, priority, order } = place;
    const staged: StagedCall<T, D> = {
      detail: item.detail,
      priority,
      order,
      overtaken: 0,
      resolve: (turn) => item.resolve(turn),
      reject: (error) => item.reject(error),
      onLeave: undefined,
      restore: () => {
        if (!this.#staged.delete(place)) return;
        staged.onLeave = undefined;
        this.#queue.restore(place);
      },
      restoreForGood() {
        item.mayBeStaged = false;
        staged.restore();
      },
      take: () => {
        if (this.#staged.delete(place)) item.cleanUp();
      },
    };
    return staged;
  }

  #refuse(): CoremlxError {
    this.#refused++;
    const { waiting } = this;
    return new CoremlxError("OVERLOADED", `Cannot predict: ${waiting} calls are waiting already`, {
      hint: "Try again later, or allow more instances",
      details: { waiting, limit: this.#options.limit },
    });
  }

  #expire(): CoremlxError {
    this.#timedOut++;
    const { timeoutMs } = this.#options;
    return new CoremlxError("OVERLOADED", `Cannot predict: no instance became free within ${timeoutMs} ms`, {
      hint: "Try again later, or allow more instances or a longer wait",
      details: { timeoutMs, stage: "waiting" },
    });
  }
}
