// How long a run may take, judged by the last ones: so that a call for which the time has run out in the queue is not
// started, and one that the queue has left too little time is not held against the engine.

/** Weights of a new run in the mean and in the mean deviation, and deviations above the mean: as TCP times its retransmissions. */
const meanWeight = 1 / 8;
const deviationWeight = 1 / 4;
const deviations = 4;

/** A run that had this many times as long as it should need, and did not end, says something about the engine. */
const fairness = 2;

export class RunEstimate {
  #meanMs: number | undefined;
  #deviationMs = 0;

  /** The mean plus four mean deviations; 0 before the first run. */
  get neededMs(): number {
    return (this.#meanMs ?? 0) + deviations * this.#deviationMs;
  }

  /** A run that ended, from its hand-over to its answer. */
  add(tookMs: number): void {
    if (this.#meanMs === undefined) {
      this.#meanMs = tookMs;
      this.#deviationMs = tookMs / 2;
      return;
    }
    const error = tookMs - this.#meanMs;
    this.#deviationMs += deviationWeight * (Math.abs(error) - this.#deviationMs);
    this.#meanMs += meanWeight * error;
  }

  /** A run that was given up after that long: it would have taken longer. Else a model that has become slow would go on being started too late. */
  addUnfinished(atLeastMs: number): void {
    if (atLeastMs > (this.#meanMs ?? 0)) this.add(atLeastMs);
  }

  /** Whether a run that was given this long, and did not end, had more than it should need. */
  wasFair(givenMs: number): boolean {
    return givenMs >= fairness * this.neededMs;
  }
}
