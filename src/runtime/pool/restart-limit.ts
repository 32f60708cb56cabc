// How soon an instance may be made after others have failed: a model that crashes at each load must not be started as
// fast as the machine can.

const firstWaitMs = 100;
export const longestWaitMs = 10_000;

/**
 * The first failure costs nothing: most are single. From the second in a row on each doubles the wait. Loads and
 * predictions fail for reasons of their own, so that success in one says nothing about the other.
 */
export class RestartLimit implements Disposable {
  readonly #now: () => number;
  #timer: Timer | undefined;
  #failedLoads = 0;
  #crashes = 0;
  #lastFailure = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** In a row. */
  get failures(): number {
    return Math.max(this.#failedLoads, this.#crashes);
  }

  /** Until another may be made; 0: now. */
  get waitMs(): number {
    if (this.failures < 2) return 0;
    const wait = Math.min(firstWaitMs * 2 ** Math.min(this.failures - 2, 30), longestWaitMs);
    return Math.max(0, this.#lastFailure + wait - this.#now());
  }

  /** Calls `restart` when the wait is over, once for all who ask meanwhile. Keeps no process alive. */
  later(restart: () => void): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      restart();
    }, this.waitMs);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  loadFailed(): void {
    this.#failedLoads++;
    this.#lastFailure = this.#now();
  }

  loadSucceeded(): void {
    this.#failedLoads = 0;
  }

  crashed(): void {
    this.#crashes++;
    this.#lastFailure = this.#now();
  }

  /** An instance came back from a call alive. */
  survived(): void {
    this.#crashes = 0;
  }
}
