// The number of instances found by measurement: each size is tried on the calls there are, and the smallest that is as
// good as the best stays.

export interface InstanceSearchOptions {
  /** Sizes from 1 to this are tried. */
  readonly most: number;
}

export interface InstanceSearchStats {
  readonly state: "searching" | "settled";
  /** In use now. */
  readonly size: number;
  /** Searches that came to an end. */
  readonly settled: number;
  /** Predictions a second by size, the median of its trials; of the last search that came to an end. */
  readonly throughput: readonly { readonly size: number; readonly perSecond: number }[];
}

/** A trial lasts this long and has at least so many predictions, but does not last for ever. */
const trialMs = 200;
const fewestCalls = 16;
const longestTrialMs = 5_000;
const leastCalls = 4;

/** Up and down in turn, so that what drifts does so for all. */
const trialsEach = 3;

/** A size within this of the best is as good; more where the best one's own trials differ by more, up to the second. */
const usualNoise = 0.05;
const mostNoise = 0.15;

/** After so long it is measured again: other programs, heat and the calls themselves change. */
const settledMs = 600_000;

/**
 * Watches returns of instances and says how many there should be. Only full load counts: while an instance is idle,
 * calls come more slowly than they could be served, and throughput says nothing about the size. Invariant: 1 <= size <= most.
 */
export class InstanceSearch {
  readonly #plan: readonly number[];
  readonly #most: number;
  #step = 0;
  #trial: Trial | undefined;
  #measured: { readonly size: number; readonly perSecond: number }[] = [];
  #result: { readonly size: number; readonly atMs: number } | undefined;
  #settled = 0;
  #throughput: InstanceSearchStats["throughput"] = [];

  constructor({ most }: InstanceSearchOptions) {
    const up = Array.from({ length: most }, (_, i) => i + 1);
    this.#most = most;
    this.#plan = Array.from({ length: trialsEach }, (_, round) =>
      round % 2 === 0 ? up.toReversed() : up,
    ).flat();
  }

  get size(): number {
    return this.#result?.size ?? this.#plan[this.#step] ?? this.#most;
  }

  get stats(): InstanceSearchStats {
    return {
      state: this.#result === undefined ? "searching" : "settled",
      size: this.size,
      settled: this.#settled,
      throughput: this.#throughput,
    };
  }

  /** An instance came back. `isFull`: there are as many as there should be, and the others are all busy. */
  note(nowMs: number, isFull: boolean): void {
    if (this.#result !== undefined) {
      if (nowMs - this.#result.atMs < settledMs) return;
      this.#result = undefined;
    }
    if (this.#most === 1) return this.#settle(nowMs);
    if (!isFull) {
      this.#trial = undefined;
      return;
    }
    // The first returns after a change are of calls that began before it.
    this.#trial ??= { skip: this.size, calls: 0, startMs: nowMs };
    const trial = this.#trial;
    if (trial.skip > 0) {
      trial.skip--;
      trial.startMs = nowMs;
      return;
    }
    trial.calls++;
    const lastedMs = nowMs - trial.startMs;
    const isEnough = lastedMs >= trialMs && trial.calls >= fewestCalls;
    if (!isEnough && (lastedMs < longestTrialMs || trial.calls < leastCalls)) return;
    this.#measured.push({ size: this.size, perSecond: (trial.calls / lastedMs) * 1_000 });
    this.#trial = undefined;
    this.#step++;
    if (this.#step === this.#plan.length) this.#settle(nowMs);
  }

  #settle(nowMs: number): void {
    const sizes = Array.from({ length: this.#most }, (_, i) => i + 1);
    const rates = (size: number) => {
      return this.#measured.filter((trial) => trial.size === size).map(({ perSecond }) => perSecond);
    };
    this.#throughput =
      this.#measured.length === 0 ? [] : sizes.map((size) => ({ size, perSecond: median(rates(size)) }));
    const best = this.#throughput.reduce(
      (a, b) => (b.perSecond > a.perSecond ? b : a),
      this.#throughput[0] ?? { size: 1, perSecond: 0 },
    );
    const spread = Math.max(...rates(best.size)) - Math.min(...rates(best.size));
    const noise = Math.min(Math.max(usualNoise, spread / best.perSecond / 2 || 0), mostNoise);
    const good = this.#throughput.find(({ perSecond }) => perSecond >= best.perSecond * (1 - noise));
    this.#result = { size: good?.size ?? 1, atMs: nowMs };
    this.#settled++;
    this.#step = 0;
    this.#measured = [];
  }
}

interface Trial {
  skip: number;
  calls: number;
  startMs: number;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
