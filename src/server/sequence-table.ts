// States of a model between the requests of one sequence: who they belong to, whose turn it is, and when they are forgotten.

import { CoremlxError } from "../core/errors.ts";
import type { ModelState } from "../runtime/session.ts";

export interface SequenceStep {
  readonly key: string;
  readonly isStart: boolean;
  readonly isEnd: boolean;
}

/** What the table needs of a model's state. */
export type SequenceState = Pick<ModelState, "isUsable"> & AsyncDisposable;

export interface SequenceTableOptions<S extends SequenceState> {
  /** For messages. */
  readonly modelName: string;
  readonly newState: () => Promise<S>;
  readonly maxSequences: number;
  /** Requests of one sequence that may wait for each other. */
  readonly maxWaiting: number;
  /** A sequence that was not used for so long is forgotten. */
  readonly idleMs: number;
  /** Monotonic; default: performance.now. */
  readonly now?: (() => number) | undefined;
}

interface Sequence<S> {
  readonly state: S;
  /** Settles when the requests so far are done; never rejects. */
  tail: Promise<void>;
  underWay: number;
  usedMs: number;
}

/** Owns the states. Invariant: at most `maxSequences`, and each is used by one request at a time, in the order they came. */
export class SequenceTable<S extends SequenceState> implements AsyncDisposable {
  readonly #options: SequenceTableOptions<S>;
  readonly #now: () => number;
  readonly #sequences = new Map<string, Sequence<S>>();
  #isClosed = false;

  constructor(options: SequenceTableOptions<S>) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get size(): number {
    return this.#sequences.size;
  }

  /** `work` with the sequence's state, when its turn comes. Throws BAD_INPUT for a sequence that was not started, OVERLOADED. */
  async run<T>(step: SequenceStep, work: (state: S) => Promise<T>): Promise<T> {
    await this.forgetIdle();
    const sequence = await this.#take(step);
    const before = sequence.tail;
    const done = Promise.withResolvers<void>();
    sequence.tail = done.promise;
    try {
      await before;
      // A request before this one may have ended it.
      if (this.#sequences.get(step.key) !== sequence) throw this.#notStarted(step.key);
      return await work(sequence.state);
    } finally {
      sequence.underWay--;
      sequence.usedMs = this.#now();
      const isCurrent = this.#sequences.get(step.key) === sequence;
      if (isCurrent && (step.isEnd || !sequence.state.isUsable)) await this.#forget(step.key, sequence);
      done.resolve();
    }
  }

  /** For a timer too, so that memory comes back when nobody calls. */
  async forgetIdle(): Promise<void> {
    const oldestMs = this.#now() - this.#options.idleMs;
    for (const [key, sequence] of this.#sequences) {
      if (sequence.underWay === 0 && sequence.usedMs <= oldestMs) await this.#forget(key, sequence);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const sequences = [...this.#sequences.values()];
    this.#sequences.clear();
    await Promise.all(sequences.map(({ state }) => state[Symbol.asyncDispose]()));
  }

  /** Counted as under way from now on. */
  async #take({ key, isStart }: SequenceStep): Promise<Sequence<S>> {
    const known = this.#sequences.get(key);
    if (known !== undefined && !isStart) {
      if (known.underWay < this.#options.maxWaiting) {
        known.underWay++; // at once, before others look
        return known;
      }
      throw new CoremlxError("OVERLOADED", `Too many requests of sequence ${key} wait for each other`);
    }
    if (!isStart) throw this.#notStarted(key);
    // Started again: whoever still uses the old state keeps it until it is done.
    if (known !== undefined) await this.#forget(key, known);
    this.#refuseWhenFull();
    const state = await this.#options.newState();
    if (this.#isClosed || this.#sequences.has(key) || this.#isFull) {
      await state[Symbol.asyncDispose]();
      this.#refuseWhenFull();
      throw new CoremlxError("OVERLOADED", `Sequence ${key} was started by another request meanwhile`);
    }
    const sequence = { state, tail: Promise.resolve(), underWay: 1, usedMs: this.#now() };
    this.#sequences.set(key, sequence);
    return sequence;
  }

  get #isFull(): boolean {
    return this.#sequences.size >= this.#options.maxSequences;
  }

  #refuseWhenFull(): void {
    if (!this.#isFull) return;
    const { modelName, maxSequences } = this.#options;
    throw new CoremlxError(
      "OVERLOADED",
      `Model '${modelName}' has no room for more than ${maxSequences} sequences`,
    );
  }

  async #forget(key: string, sequence: Sequence<S>): Promise<void> {
    if (this.#sequences.get(key) === sequence) this.#sequences.delete(key);
    await sequence.state[Symbol.asyncDispose]();
  }

  #notStarted(key: string): CoremlxError {
    return new CoremlxError(
      "BAD_INPUT",
      `inference request for sequence ${key} to model '${this.#options.modelName}' must specify the START flag on the first request of the sequence`,
    );
  }
}
