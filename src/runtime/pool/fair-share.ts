// How much of the session's resources one model has had, in a time that runs slower the greater its weight: whose time
// is least is next.

/** What each call costs at least: keeps turns alternating among calls too short to measure. */
export const leastCallMs = 0.01;

/** How fast the longest call is forgotten, with each that ends. */
const forgetting = 0.9;

export interface FairShareOptions {
  /** The greatest part of any resource that one call takes, 0 to 1: what a millisecond of it costs at weight 1. */
  readonly share: number;
  readonly weight: number;
  /** Calls there may be at once. */
  readonly mostAtOnce: number;
}

/**
 * The virtual time of one model: for each of its calls, milliseconds of holding x share of the resource / weight. Calls
 * under way count up to now, so nobody has to guess how long they will take. Holding three times the weight, a model
 * holds resources for three times as long, whatever its calls take.
 */
export class FairShare {
  readonly #rate: number;
  readonly #mostAtOnce: number;
  /** Of calls that ended. */
  #virtualMs = 0;
  #running = 0;
  #startsMs = 0;
  #longestMs = 0;
  #heldMs = 0;

  constructor({ share, weight, mostAtOnce }: FairShareOptions) {
    this.#rate = share / weight;
    this.#mostAtOnce = mostAtOnce;
  }

  get running(): number {
    return this.#running;
  }
  /** Of calls that ended, as the clock counts. */
  get heldMs(): number {
    return this.#heldMs;
  }

  at(nowMs: number): number {
    return this.#virtualMs + this.#rate * (this.#running * nowMs - this.#startsMs);
  }

  start(nowMs: number): void {
    this.#running++;
    this.#startsMs += nowMs;
    this.#virtualMs += this.#rate * leastCallMs;
  }

  end(startedMs: number, nowMs: number): void {
    const virtualMs = this.#rate * (nowMs - startedMs);
    this.#running--;
    this.#startsMs -= startedMs;
    this.#heldMs += nowMs - startedMs;
    this.#virtualMs += virtualMs;
    this.#longestMs = Math.max(virtualMs, this.#longestMs * forgetting);
  }

  /**
   * For one that waits: it is never further behind the first of those it competes with than its own calls explain. So
   * what it used while nobody else wanted it is not held against it, and what others left unused is not saved up for them.
   */
  keepNear(floorMs: number): void {
    const lead = this.#longestMs * this.#mostAtOnce + this.#rate * leastCallMs;
    this.#virtualMs = Math.min(this.#virtualMs, floorMs + lead);
  }
}
