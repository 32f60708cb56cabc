// How long a run may take, judged by the last ones: so that a call for which the time has run out in the queue is not
// started, and one that the queue has left too little time is not held against the engine.

/** Runs that are remembered. */
const memory = 32;

/** Above the third longest of them: the two longest may be first runs, or held up by another program. */
const margin = 1.25;

/** A run that had this many times as long as it should need, and did not end, says something about the engine. */
const fairness = 2;

export class RunEstimate {
  readonly #tookMs = new Float64Array(new ArrayBuffer(8 * memory));
  #count = 0;

  /** 0 before the third run. */
  get neededMs(): number {
    let [first, second, third] = [0, 0, 0];
    for (const tookMs of this.#tookMs) {
      if (tookMs > first) [first, second, third] = [tookMs, first, second];
      else if (tookMs > second) [second, third] = [tookMs, second];
      else if (tookMs > third) third = tookMs;
    }
    return margin * third;
  }

  /** A run that ended, from its hand-over to its answer. */
  add(tookMs: number): void {
    this.#tookMs[this.#count++ % memory] = tookMs;
  }

  /** A run that was given up after that long: it would have taken longer. Else a model that has become slow would go on being started too late. */
  addUnfinished(atLeastMs: number): void {
    if (atLeastMs > this.neededMs) this.add(atLeastMs);
  }

  /** Whether a run that was given this long, and did not end, had more than it should need. */
  wasFair(givenMs: number): boolean {
    return givenMs >= fairness * this.neededMs;
  }
}
