// The words that an instance and its worker thread share. A run like the one before is handed over through them, without
// a message, and the worker that waits for one sleeps on a futex: it wakes from there in half the time that its event
// loop takes.

import type { SharedTensor } from "./protocol.ts";

/** Tensors of one run that have room here; a run of more travels in a message. */
export const mostTensors = 64;

// As 32-bit words. The bell changes with everything that is posted; the other two say what it was.
const [bell, messages, runs] = [0, 1, 2];
const wordBytes = 16;
// Behind them, as doubles: the id of the run, the time it took, and where its tensors lie.
const [idAt, runMsAt, addressesAt] = [0, 1, 2];

/** A run that has the names, types and shapes of the one before; only its memory is another. */
export interface RepeatedRun {
  readonly id: number;
  /** Of the inputs, then of the outputs. Good until the next call. */
  readonly addresses: Float64Array;
}

/**
 * Invariant: at most one run is posted and not taken, for an instance is lent to one caller at a time. The counts go up
 * before what they count can be seen, so that the worker never sleeps beside something that waits for it.
 */
export class Mailbox {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #numbers: Float64Array<SharedArrayBuffer>;
  readonly #addresses: Float64Array<SharedArrayBuffer>;
  #messagesTaken = 0;
  #runsTaken = 0;

  /** `buffer` is the other side's. */
  constructor(buffer = new SharedArrayBuffer(wordBytes + 8 * (addressesAt + mostTensors))) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, wordBytes / 4);
    this.#numbers = new Float64Array(buffer, wordBytes);
    this.#addresses = this.#numbers.subarray(addressesAt);
  }

  /** For the instance, before each message it posts. */
  announceMessage(): void {
    this.#ring(messages);
  }

  /** For the instance: no more than `mostTensors`. */
  postRun(id: number, inputs: readonly SharedTensor[], outputs: readonly SharedTensor[]): void {
    this.#numbers[idAt] = id;
    let at = 0;
    for (const { address } of inputs) this.#addresses[at++] = address;
    for (const { address } of outputs) this.#addresses[at++] = address;
    this.#ring(runs);
  }

  /** How long the run took that was answered last. */
  get runMs(): number {
    return this.#numbers[runMsAt] ?? 0;
  }
  /** For the worker, before it answers. */
  set runMs(value: number) {
    this.#numbers[runMsAt] = value;
  }

  /** For the worker: a message has come out of its event loop, and is answered next. */
  takeMessage(): void {
    this.#messagesTaken = (this.#messagesTaken + 1) | 0;
  }

  /** For the worker: sleeps until a run is posted. `undefined` where a message waits in the event loop instead. */
  takeRun(): RepeatedRun | undefined {
    for (;;) {
      const rung = Atomics.load(this.#words, bell);
      if (Atomics.load(this.#words, runs) !== this.#runsTaken) {
        this.#runsTaken = (this.#runsTaken + 1) | 0;
        return { id: this.#numbers[idAt] ?? 0, addresses: this.#addresses };
      }
      if (Atomics.load(this.#words, messages) !== this.#messagesTaken) return undefined;
      Atomics.wait(this.#words, bell, rung);
    }
  }

  #ring(count: number): void {
    Atomics.add(this.#words, count, 1);
    Atomics.add(this.#words, bell, 1);
    Atomics.notify(this.#words, bell);
  }
}
