// Calls that wait, and whose runs lie ready behind those under way: an instance goes on with them at once, while this thread
// still sees to the answer before. To everybody else such a call waits like any other.

import type { InstanceLease, PreparedRun } from "./model-pool-options.ts";
import type { PoolMember } from "./pool-member.ts";
import { isBefore } from "./priority-queue.ts";
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
    let run: PreparedRun | undefined;
    const call = this.#queue.stageNext((prepare) => (run = prepare?.(instance)) !== undefined);
    if (call === undefined || run === undefined) return false;
    const prepared = run;
    const entry: Entry<I> = { call, run: prepared, ending: undefined };
    this.#entries.set(instance, entry);
    call.onLeave = () => {
      if (prepared.withdraw()) this.#entries.delete(instance);
      else entry.ending = prepared.abandon();
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
    for (const other of this.#entries.values()) if (isBefore(other.call, call)) other.call.overtaken++;
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

  /** Whose turn it is, taken out: a call that lies ready elsewhere and has not begun, or one that waits for anybody. */
  takeNext(): Taken<InstanceLease<I>> | undefined {
    const { first } = this.#queue;
    const ranked = [...this.#entries].toSorted(([, a], [, b]) => (isBefore(a.call, b.call) ? -1 : 1));
    for (const [instance, { call, run, ending }] of ranked) {
      if (first && isBefore(first, call)) break;
      if (ending || !run.withdraw()) continue;
      this.#entries.delete(instance);
      call.take();
      return call;
    }
    return this.#queue.takeNext();
  }

  /**
   * Lets a call that comes after the next one wait for any other again: the one behind the first of these instances, which
   * has room then.
   */
  yieldToNext(instances: Iterable<I>): I | undefined {
    const { first } = this.#queue;
    if (first === undefined) return undefined;
    for (const instance of instances) {
      const call = this.#entries.get(instance)?.call;
      if (call && isBefore(first, call) && this.release(instance)) return instance;
    }
    return undefined;
  }

  /**
   * Calls that lie behind a run which lasts longer than those beside it: who was overtaken so often waits for whoever comes
   * free first, and nobody comes before it any more.
   */
  recall(mostOvertaken: number): void {
    for (const [instance, { call, run, ending }] of this.#entries) {
      if (call.overtaken < mostOvertaken || ending || !run.withdraw()) continue;
      this.#entries.delete(instance);
      call.restoreForGood();
    }
  }
}
