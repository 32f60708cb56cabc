// The instances of a pool that nobody uses, and how long they may stay so.

export interface IdleInstancesOptions<I> {
  readonly idleMs: number;
  /** Asked when its time is over, and told when it goes. */
  readonly mayRetire: (instance: I) => boolean;
  readonly onRetire: (instance: I) => void;
}

/** Invariant: while one waits that may retire, a timer runs. */
export class IdleInstances<I> {
  readonly #options: IdleInstancesOptions<I>;
  /** The longest idle first. */
  readonly #entries: { readonly instance: I; readonly since: number }[] = [];
  #timer: Timer | undefined;

  constructor(options: IdleInstancesOptions<I>) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.length;
  }

  /** The one that has been idle the longest. */
  get oldest(): I | undefined {
    return this.#entries[0]?.instance;
  }

  push(instance: I): void {
    this.#entries.push({ instance, since: performance.now() });
    this.#schedule();
  }

  /** The one used last: its memory is warmest. */
  pop(): I | undefined {
    return this.#entries.pop()?.instance;
  }

  /** Takes one out; false where it is not idle. */
  take(instance: I): boolean {
    const index = this.#entries.findIndex((entry) => entry.instance === instance);
    if (index >= 0) this.#entries.splice(index, 1);
    return index >= 0;
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#entries.length = 0;
  }

  #schedule(): void {
    if (this.#timer || !this.#entries.some(({ instance }) => this.#options.mayRetire(instance))) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#retire();
    }, this.#options.idleMs);
    this.#timer.unref();
  }

  #retire(): void {
    const { idleMs, mayRetire, onRetire } = this.#options;
    const oldest = performance.now() - idleMs;
    for (const { instance } of this.#entries.filter(({ since }) => since <= oldest)) {
      if (mayRetire(instance)) onRetire(instance);
    }
    this.#schedule();
  }
}
