// What a call that never came back may still write to. It is kept out of circulation until that call is known to be
// over: its late completion, or the end of the process that ran it.

export interface QuarantineOptions {
  /** Above either of these the quarantine is full. */
  readonly limitBytes: number;
  readonly limitCount: number;
  /** `byteLength` came in or was let go; or the limit is passed. */
  readonly onChange?: ((change: "entered" | "released" | "full", byteLength: number) => void) | undefined;
}

export interface QuarantineStats {
  readonly count: number;
  readonly bytes: number;
  /** Since the start: how many came in, and how many were let go by a late completion. */
  readonly entered: number;
  readonly released: number;
  readonly isFull: boolean;
}

/** Held until `release`, which may be called again. */
export interface QuarantineTicket {
  readonly byteLength: number;
  readonly isReleased: boolean;
  /** The call is over: nothing native writes there any more. */
  release(): void;
}

/**
 * Counts what it holds. Nothing is ever refused: what a hung call may write to has to stay somewhere; once the limit
 * is passed `isFull` says so, and the owner must stop lending and end the engine's process. Invariant: `bytes` is the
 * sum over the tickets not yet released.
 */
export class Quarantine {
  readonly #options: QuarantineOptions;
  #count = 0;
  #bytes = 0;
  #entered = 0;
  #released = 0;

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#bytes > this.#options.limitBytes || this.#count > this.#options.limitCount;
  }

  get stats(): QuarantineStats {
    return {
      count: this.#count,
      bytes: this.#bytes,
      entered: this.#entered,
      released: this.#released,
      isFull: this.isFull,
    };
  }

  /** `onRelease` gets the thing back into circulation, or frees it. */
  hold(byteLength: number, onRelease: () => void): QuarantineTicket {
    const { onChange } = this.#options;
    const wasFull = this.isFull;
    this.#count++;
    this.#entered++;
    this.#bytes += byteLength;
    onChange?.("entered", byteLength);
    if (!wasFull && this.isFull) onChange?.("full", byteLength);
    let isReleased = false;
    return {
      byteLength,
      get isReleased() {
        return isReleased;
      },
      release: () => {
        if (isReleased) return;
        isReleased = true;
        this.#count--;
        this.#released++;
        this.#bytes -= byteLength;
        onChange?.("released", byteLength);
        onRelease();
      },
    };
  }
}
