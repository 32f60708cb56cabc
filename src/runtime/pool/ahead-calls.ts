// Calls that wait, and whose runs lie ready behind those under way: an instance goes on with them at once, while this thread
// still sees to the answer before. To everybody else such a call waits like any other.

import type { InstanceLease, PreparedRun } from "./model-pool-options.ts";
import type { PoolMember } from "./pool-member.ts";
import type { StagedCall, Taken, WaitQueue } from "./wait-queue.ts";

/** Hands the call's run over to an instance that is busy; `undefined` where that cannot be done. */
export type Prepare<I> = (instance: I) => PreparedRun | undefined;

export type CallQueue<I extends PoolMember> = WaitQueue<InstanceLease<I>, Prepare<I> | undefined>;

interface Entry<I extends PoolMember> {
  readonly call: StagedCall<InstanceLease<I>, Prepare<I> | undefined>;
  readonly run: PreparedRun;
  /** Its caller left when it could no longer be taken back: it is to end, and nobody waits for it. */
  ending: Promise<unknown> | undefined;
}

/** What an instance has gone on with. */
export type Claimed<I extends PoolMember> =
  | { readonly kind: "call"; readonly call: Taken<InstanceLease<I>>; readonly run: PreparedRun }
  | { readonly kind: "ending"; readonly run: Promise<unknown> };

/** Invariant: at most one run lies ready behind each instance; its call is in the queue, or is gone and the run is ending. */
export class AheadCalls<I extends PoolMember> {
  readonly #queue: CallQueue<I>;
  /** In the order they were handed over. */
  readonly #entries = new Map<I, Entry<I>>();

  constructor(queue: CallQueue<I>) {
    this.#queue = queue;
  }

  has(instance: I): boolean {
    return this.#entries.has(instance);
  }

  /** Puts the run of the next call behind that of the instance; false where it cannot be. */
  stage(instance: I): boolean {
    const call = this.#queue.stageNext();
    if (call === undefined) return false;
    const run = call.detail?.(instance);
    if (run === undefined) {
      call.restore();
      return false;
    }
    const entry: Entry<I> = { call, run, ending: undefined };
    this.#entries.set(instance, entry);
    call.onLeave = () => {
      if (run.withdraw()) this.#entries.delete(instance);
      else entry.ending = run.abandon();
    };
    return true;
  }

  /** The instance's own run is over: what it goes on with, if anything. */
  claim(instance: I): Claimed<I> | undefined {
    const entry = this.#entries.get(instance);
    if (entry === undefined) return undefined;
    this.#entries.delete(instance);
    const { call, run, ending } = entry;
    if (ending) return { kind: "ending", run: ending };
    call.take();
    return { kind: "call", call, run };
  }

  /** The call behind an instance waits for any other again, unless its run has begun. */
  release(instance: I): boolean {
    const entry = this.#entries.get(instance);
    if (entry === undefined || entry.ending || !entry.run.withdraw()) return false;
    this.#entries.delete(instance);
    entry.call.restore();
    return true;
  }

  /** For an instance that has nothing else to do: the call that was handed over first and has not begun, taken out. */
  takeFirst(): Taken<InstanceLease<I>> | undefined {
    for (const [instance, { call, run, ending }] of this.#entries) {
      if (ending || !run.withdraw()) continue;
      this.#entries.delete(instance);
      call.take();
      return call;
    }
    return undefined;
  }

  /** Lets a call of a lower priority than the next one's go back to the others; gives the instance that has room then. */
  yieldToNext(): I | undefined {
    const { nextPriority = Number.NEGATIVE_INFINITY } = this.#queue;
    const lower = [...this.#entries].filter(([, { call }]) => call.priority < nextPriority);
    lower.sort(([, a], [, b]) => a.call.priority - b.call.priority);
    return lower.find(([instance]) => this.release(instance))?.[0];
  }
}
