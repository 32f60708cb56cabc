// Whether a graph is run in the caller's own thread: for models so small that handing them to a worker costs more than running them.

/** Runs above this are worth a worker: a hand-over costs 12 to 37 µs awake, 100 and more from idle. */
export const inlineLimitMs = 0.1;

/** Runs that are measured before the decision. */
const sampleCount = 32;

/** Whether a model is small enough, from the times of its first runs. */
export class InlineTrial {
  readonly #limitMs: number;
  readonly #times: number[] = [];

  constructor(limitMs: number = inlineLimitMs) {
    this.#limitMs = limitMs;
  }

  /** `undefined` while more runs are needed. The first runs warm up and are not judged. */
  add(runMs: number): boolean | undefined {
    this.#times.push(runMs);
    if (this.#times.length < 2 * sampleCount) return undefined;
    const judged = this.#times.slice(sampleCount).toSorted((a, b) => a - b);
    return (judged[Math.floor(judged.length / 2)] ?? Number.POSITIVE_INFINITY) < this.#limitMs;
  }
}
