// Small models run in the server's own thread. Many of their runs at once would keep it from everything else: a request for
// health would wait behind all of them. So after a while of runs the thread looks at its sockets again.

/** What a run is measured with, and how the thread gets back to its sockets; tests bring their own. */
export interface TurnClock {
  readonly now: () => number;
  /** Calls back when the sockets have been looked at. */
  readonly afterSockets: (callback: () => void) => void;
}

const realClock: TurnClock = {
  now: () => performance.now(),
  afterSockets: (callback) => void setImmediate(callback),
};

/** Runs are served in the order they came. Invariant: while some wait, a callback is due. */
export class ThreadTurns {
  readonly #budgetMs: number;
  readonly #clock: TurnClock;
  readonly #waiting: (() => void)[] = [];
  /** Of the present turn; a run may be the last to begin in it. */
  #usedMs = 0;
  #isDue = false;

  constructor(budgetMs: number, clock: TurnClock = realClock) {
    this.#budgetMs = budgetMs;
    this.#clock = clock;
  }

  /** `work` does its run at once when it is called, now or in one of the next turns, and is told how long it waited. */
  run<T>(work: (waitedMs: number) => Promise<T>): Promise<T> {
    const asked = this.#clock.now();
    if (this.#waiting.length === 0 && this.#usedMs < this.#budgetMs) return this.#begin(work, asked);
    return new Promise((resolve) => {
      this.#waiting.push(() => resolve(this.#begin(work, asked)));
    });
  }

  #begin<T>(work: (waitedMs: number) => Promise<T>, asked: number): Promise<T> {
    const started = this.#clock.now();
    const result = work(started - asked);
    this.#usedMs += this.#clock.now() - started;
    this.#expectTurn();
    return result;
  }

  #expectTurn(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#clock.afterSockets(() => {
      this.#isDue = false;
      this.#usedMs = 0;
      while (this.#usedMs < this.#budgetMs) {
        const next = this.#waiting.shift();
        if (next === undefined) return;
        next();
      }
    });
  }
}
