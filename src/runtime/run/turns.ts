// A call's turn on an instance: waited for, timed, and not begun where too little time is left for it.

import { CoremlxError } from "../../core/errors.ts";
import { isSurfaceError } from "../../engines/surface-error.ts";
import { interrupted, type Patience, tooLate, within } from "../pool/deadline.ts";
import type { Instance } from "../pool/instance.ts";
import type { InstanceLease, ModelPool, PreparedRun } from "../pool/model-pool.ts";
import type { Run } from "./run.ts";
import { RunEstimate } from "./run-estimate.ts";

export interface TurnOptions {
  /** Higher goes first among the calls that wait. */
  readonly priority?: number | undefined;
  /** On an instance that was made since things went wrong, where there can be one. */
  readonly isFresh?: boolean | undefined;
  /** Lets the run lie ready on an instance that is busy. */
  readonly prepare?: ((instance: Instance) => PreparedRun | undefined) | undefined;
}

interface Turn {
  readonly lease: InstanceLease<Instance>;
  readonly queueMs: number;
  readonly left: Patience;
}

/** Less than that was no waiting: the instance was there. */
const briefMs = 1;

/** A run that lies ready needs time for the one before it and for itself. */
const aheadRuns = 2;

/** Borrows the pool. Knows how long runs take, from those it has seen. */
export class Turns {
  readonly #pool: ModelPool<Instance>;
  readonly #estimate = new RunEstimate();

  constructor(pool: ModelPool<Instance>) {
    this.#pool = pool;
  }

  /** `work` may return the lease itself, or abandon it. Throws DEADLINE where the queue has left too little for a run. */
  async run(
    patience: Patience,
    options: TurnOptions,
    work: (lease: InstanceLease<Instance>, left: Patience) => Promise<Run>,
  ): Promise<Run & { readonly queueMs: number }> {
    const { lease, queueMs, left } = await this.#take(patience, options);
    const started = performance.now();
    try {
      const run = await work(lease, left);
      // One that lay ready had begun before its turn was known of.
      this.#estimate.add(Math.max(performance.now() - started, run.runMs));
      return { ...run, queueMs };
    } catch (error) {
      if (isExpired(error)) this.#estimate.addUnfinished(performance.now() - started);
      if (isSurfaceError(error)) this.#pool.recycle(lease.instance, "surface");
      throw error;
    } finally {
      lease[Symbol.dispose]();
    }
  }

  /** An instance, and what is left of the patience; throws DEADLINE where the queue has left too little for a run. */
  async #take(patience: Patience, options: TurnOptions): Promise<Turn> {
    const queued = performance.now();
    const lease = await this.#acquire(patience, options);
    const now = performance.now();
    const queueMs = now - queued;
    if (queueMs < briefMs) return { lease, queueMs, left: patience };
    const leftMs = patience.deadline - now;
    const { neededMs } = this.#estimate;
    if (leftMs < neededMs && lease.prepared === undefined) {
      lease[Symbol.dispose]();
      throw tooLate("predict", patience, { queueMs, neededMs });
    }
    return {
      lease,
      queueMs,
      left: this.#estimate.wasFair(leftMs) ? patience : { ...patience, stage: "waiting" },
    };
  }

  /**
   * An instance while there is time for a run; one that comes too late is returned at once. Who cannot be served any more
   * leaves the queue by a timer of its own: found out at its turn, it would keep the instance from the next.
   */
  async #acquire(
    patience: Patience,
    { priority, isFresh, prepare }: TurnOptions,
  ): Promise<InstanceLease<Instance>> {
    const { signal } = patience;
    if (signal?.aborted) throw interrupted();
    const idle = isFresh ? undefined : this.#pool.acquireIdle();
    if (idle) return idle;
    const giveUp = new AbortController();
    const either = signal ? AbortSignal.any([signal, giveUp.signal]) : giveUp.signal;
    const queued = performance.now();
    const { neededMs } = this.#estimate;
    // Who has time for no more than its own run would leave while it lies ready, and all that for nothing.
    const hasTime = () => patience.deadline - performance.now() >= aheadRuns * this.#estimate.neededMs;
    const waiting = this.#pool.acquire({
      signal: either,
      priority,
      isFresh,
      prepare: prepare && ((instance) => (hasTime() ? prepare(instance) : undefined)),
    });
    try {
      return await within(waiting, "predict", {
        ...patience,
        deadline: patience.deadline - neededMs,
        stage: "waiting",
      });
    } catch (error) {
      giveUp.abort();
      waiting.then(
        (late) => {
          if (late.prepared) late.abandon(late.prepared.abandon(), () => {});
          else late[Symbol.dispose]();
        },
        () => {
          // It was refused, or taken out of the queue: nothing to return.
        },
      );
      if (isExpired(error)) {
        throw tooLate("predict", patience, { queueMs: performance.now() - queued, neededMs });
      }
      throw error;
    }
  }
}

function isExpired(error: unknown): boolean {
  return error instanceof CoremlxError && error.code === "DEADLINE";
}
