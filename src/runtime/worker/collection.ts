// When a worker collects its garbage. Its engine's own threshold lies 30 MB and more above what is in use: with some 2.5 KB
// of small objects a run, a pool of four workers grew by 100 MB in its first hour, and looked like a leak.

/** What one collection takes, 6 to 15 ms, is then at most a thousandth or so of the time, whatever a run takes. */
const quietMs = 10_000;
const quietRuns = 500;

export interface CollectionOptions {
  readonly now: () => number;
  readonly collect: () => void;
}

const real: CollectionOptions = { now: () => performance.now(), collect: () => Bun.gc(true) };

/** The first is due after few runs, for loading a model leaves more behind than running it. */
export class Collection {
  readonly #options: CollectionOptions;
  #runs = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(options: CollectionOptions = real) {
    this.#options = options;
  }

  /** After each run, once it is answered. */
  countRun(): void {
    if (++this.#runs < quietRuns) return;
    const nowMs = this.#options.now();
    if (nowMs < this.#notBeforeMs) return;
    this.#runs = 0;
    this.#notBeforeMs = nowMs + quietMs;
    this.#options.collect();
  }
}
