// When a model's breaker should open: too many faults in a row, or too large a share of the calls of late. cockatiel
// counts those in a row. Its SamplingBreaker is not used: it forgets one slice of its window per call, so that faults
// from an hour ago still count after a silence, and it reads the wall clock, which steps.

import { CircuitState, ConsecutiveBreaker, type IBreaker } from "cockatiel";

export interface EvidenceOptions {
  /** Faults in a row that open the breaker. */
  readonly consecutiveFaults: number;
  /** Opens above this share of faults, 0 to 1, once the window holds `minimumCalls`. */
  readonly faultRate: number;
  readonly minimumCalls: number;
  readonly windowMs: number;
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
}

/** What was counted, in a form that survives JSON. */
export interface EvidenceSnapshot {
  readonly consecutive: number;
  /** Slices of the window that hold calls; `age` 0 is the youngest. */
  readonly slices: readonly { readonly age: number; readonly successes: number; readonly faults: number }[];
}

/** The window moves on in tenths of its length. */
export const windowSlices = 10;

const nothing: EvidenceSnapshot = { consecutive: 0, slices: [] };

/** Invariant: `successes` and `faults` are the sums over the slices younger than the window. */
export class BreakerEvidence implements IBreaker {
  readonly #options: EvidenceOptions;
  readonly #sliceMs: number;
  readonly #inARow: ConsecutiveBreaker;
  #successesBySlice = zeros();
  #faultsBySlice = zeros();
  #slice: number;
  #successes = 0;
  #faults = 0;

  constructor(options: EvidenceOptions) {
    this.#options = options;
    this.#sliceMs = options.windowMs / windowSlices;
    this.#inARow = new ConsecutiveBreaker(options.consecutiveFaults);
    this.#slice = this.#sliceNow();
  }

  success(state: CircuitState): void {
    if (state === CircuitState.HalfOpen) this.state = nothing;
    this.#inARow.success();
    const at = this.#moveOn();
    this.#successesBySlice[at] = (this.#successesBySlice[at] ?? 0) + 1;
    this.#successes++;
  }

  /** True when the breaker should open. */
  failure(state: CircuitState): boolean {
    const isRowTooLong = this.#inARow.failure();
    const at = this.#moveOn();
    this.#faultsBySlice[at] = (this.#faultsBySlice[at] ?? 0) + 1;
    this.#faults++;
    return state !== CircuitState.Closed || isRowTooLong || this.#isRateTooHigh();
  }

  /** Why it opened, for people: "5 faults in a row". */
  describe(): string {
    const inARow = this.#inARow.state;
    if (inARow >= this.#options.consecutiveFaults)
      return inARow === 1 ? "a fault" : `${inARow} faults in a row`;
    const calls = this.#successes + this.#faults;
    return `${this.#faults} faults in ${calls} calls within ${this.#options.windowMs} ms`;
  }

  get state(): EvidenceSnapshot {
    this.#moveOn();
    const slices = Array.from({ length: windowSlices }, (_, age) => {
      const at = indexOf(this.#slice - age);
      return { age, successes: this.#successesBySlice[at] ?? 0, faults: this.#faultsBySlice[at] ?? 0 };
    });
    return {
      consecutive: this.#inARow.state,
      slices: slices.filter(({ successes, faults }) => successes + faults > 0),
    };
  }

  set state({ consecutive, slices }: EvidenceSnapshot) {
    this.#inARow.state = consecutive;
    this.#successesBySlice = zeros();
    this.#faultsBySlice = zeros();
    this.#successes = 0;
    this.#faults = 0;
    this.#slice = this.#sliceNow();
    for (const { age, successes, faults } of slices) {
      this.#successesBySlice[indexOf(this.#slice - age)] = successes;
      this.#faultsBySlice[indexOf(this.#slice - age)] = faults;
      this.#successes += successes;
      this.#faults += faults;
    }
  }

  #isRateTooHigh(): boolean {
    const { minimumCalls, faultRate } = this.#options;
    const calls = this.#successes + this.#faults;
    return calls >= minimumCalls && this.#faults > faultRate * calls;
  }

  /** Forgets the slices that have left the window; returns where the present one is counted. */
  #moveOn(): number {
    const present = this.#sliceNow();
    const passed = Math.min(present - this.#slice, windowSlices);
    for (let step = 1; step <= passed; step++) {
      const at = indexOf(this.#slice + step);
      this.#successes -= this.#successesBySlice[at] ?? 0;
      this.#faults -= this.#faultsBySlice[at] ?? 0;
      this.#successesBySlice[at] = 0;
      this.#faultsBySlice[at] = 0;
    }
    if (passed > 0) this.#slice = present;
    return indexOf(this.#slice);
  }

  #sliceNow(): number {
    return Math.floor(this.#options.now() / this.#sliceMs);
  }
}

/** Also for slices before the clock's zero. */
function indexOf(slice: number): number {
  return ((slice % windowSlices) + windowSlices) % windowSlices;
}

function zeros(): number[] {
  return Array.from({ length: windowSlices }, () => 0);
}
