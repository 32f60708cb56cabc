// How many per second, from a count that is looked at now and then.

interface Look {
  readonly count: number;
  readonly atMs: number;
}

export class RateMeter {
  readonly #last = new Map<string, Look>();
  readonly #rates = new Map<string, number>();

  note(key: string, count: number, atMs: number): void {
    const last = this.#last.get(key);
    this.#last.set(key, { count, atMs });
    // A smaller count is that of a model loaded again.
    if (last === undefined || count < last.count || atMs <= last.atMs) this.#rates.delete(key);
    else this.#rates.set(key, ((count - last.count) / (atMs - last.atMs)) * 1_000);
  }

  /** Undefined before the second look. */
  perSecond(key: string): number | undefined {
    return this.#rates.get(key);
  }
}
