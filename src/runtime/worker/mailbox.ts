// The words that an instance and its worker thread share. A run like the one before is handed over through them, without
// a message, and the worker that waits for one sleeps on a futex: it wakes from there in half the time that its event
// loop takes. A second run may lie ready behind the one under way, so that the worker need not sleep between them.

import type { SharedTensor } from "./protocol.ts";

/** Tensors of one run that have room here; a run of more travels in a message. */
export const mostTensors = 64;

/** Runs that may be posted and not answered: one under way, one that lies ready. */
export const mostRuns = 2;

// As 32-bit words. The bell changes with everything that is posted; the others say what it was: how many messages, and of
// each run's place what lies there.
const [bell, messages, states] = [0, 1, 2];
const wordBytes = 16;
const [free, posted, taken] = [0, 1, 2];
// Behind them, as doubles and for each place: the id of the run, the time it took, and where its tensors lie.
const [idAt, runMsAt, addressesAt] = [0, 1, 2];
const placeLength = addressesAt + mostTensors;

/** A run that has the names, types and shapes of the one before; only its memory is another. */
export interface RepeatedRun {
  readonly id: number;
  /** Which of the two places it lies in, and which of the graph's cancels ends it. */
  readonly place: number;
  /** Of the inputs, then of the outputs. Good until the run is answered. */
  readonly addresses: Float64Array;
}

/**
 * Invariant: runs are posted, taken and answered in one order, each in the place after the one before; a place is posted
 * to again only once its run was answered or withdrawn. States and counts change before the bell does, so that the worker
 * never sleeps beside something that waits for it.
 */
export class Mailbox {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #places: readonly Float64Array<SharedArrayBuffer>[];
  #messagesTaken = 0;
  /** The place of the next run: on each side its own. */
  #next = 0;

  /** `buffer` is the other side's. */
  constructor(buffer = new SharedArrayBuffer(wordBytes + 8 * placeLength * mostRuns)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, wordBytes / 4);
    this.#places = Array.from(
      { length: mostRuns },
      (_, place) => new Float64Array(buffer, wordBytes + 8 * placeLength * place, placeLength),
    );
  }

  /** For the instance, before each message it posts. */
  announceMessage(): void {
    Atomics.add(this.#words, messages, 1);
    this.#ring();
  }

  /** For the instance: where the next run will lie. */
  get nextPlace(): number {
    return this.#next;
  }

  /** For the instance: no more than `mostTensors`, and no more than `mostRuns` that are not answered. */
  postRun(id: number, inputs: readonly SharedTensor[], outputs: readonly SharedTensor[]): void {
    const place = this.#next;
    const numbers = this.#numbersOf(place);
    numbers[idAt] = id;
    let at = addressesAt;
    for (const { address } of inputs) numbers[at++] = address;
    for (const { address } of outputs) numbers[at++] = address;
    Atomics.store(this.#words, states + place, posted);
    this.#next = (place + 1) % mostRuns;
    this.#ring();
  }

  /** For the instance: takes the run back that was posted last. Gives false where the worker has it already. */
  withdraw(): boolean {
    const place = (this.#next + mostRuns - 1) % mostRuns;
    const isBack = Atomics.compareExchange(this.#words, states + place, posted, free) === posted;
    if (isBack) this.#next = place;
    return isBack;
  }

  /** How long the run in that place took; for the worker to set before it answers. */
  runMs(place: number): number {
    return this.#numbersOf(place)[runMsAt] ?? 0;
  }
  setRunMs(place: number, runMs: number): void {
    this.#numbersOf(place)[runMsAt] = runMs;
  }

  /** For the worker: a message has come out of its event loop, and is answered next. */
  takeMessage(): void {
    this.#messagesTaken = (this.#messagesTaken + 1) | 0;
  }

  /** For the worker: sleeps until a run is posted. `undefined` where a message waits in the event loop instead. */
  takeRun(): RepeatedRun | undefined {
    for (;;) {
      const rung = Atomics.load(this.#words, bell);
      const place = this.#next;
      // Whatever lies there: one that was withdrawn may have been followed by another.
      if (Atomics.compareExchange(this.#words, states + place, posted, taken) === posted) {
        this.#next = (place + 1) % mostRuns;
        const numbers = this.#numbersOf(place);
        return { id: numbers[idAt] ?? 0, place, addresses: numbers.subarray(addressesAt) };
      }
      if (Atomics.load(this.#words, messages) !== this.#messagesTaken) return undefined;
      Atomics.wait(this.#words, bell, rung);
    }
  }

  #numbersOf(place: number): Float64Array<SharedArrayBuffer> {
    const numbers = this.#places[place];
    if (numbers === undefined) throw new RangeError(`A mailbox has no place ${place}`);
    return numbers;
  }

  #ring(): void {
    Atomics.add(this.#words, bell, 1);
    Atomics.notify(this.#words, bell);
  }
}
