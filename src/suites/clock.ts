// Time as the measurements see it: read, waited for, and ticking. Tests bring their own.

export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  now(): number;
  /** Waits until `timeMs`, never less, or until the signal aborts. Returns at once when that time has passed. */
  sleepUntil(timeMs: number, signal?: AbortSignal): Promise<void>;
  /** Lets whatever else is due go first: timers, answers, signals. */
  yield(): Promise<void>;
  /** Calls `tick` about every `intervalMs`, until disposed. */
  every(intervalMs: number, tick: () => void): Disposable;
}

/** Timers count whole milliseconds and come up to 0.1 ms late: the last piece is waited for turn by turn. */
const finestTimerMs = 1;

/** The longest a timer can be set for, about 24 days; longer sleeps take several. */
const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  async sleepUntil(timeMs, signal) {
    for (;;) {
      const leftMs = timeMs - performance.now();
      if (leftMs <= 0 || signal?.aborted) return;
      if (leftMs < finestTimerMs) await takeTurn();
      else await delay(Math.min(Math.floor(leftMs), longestTimerMs), signal);
    }
  },
  yield: takeTurn,
  every(intervalMs, tick) {
    const timer = setInterval(tick, intervalMs);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  },
};

function takeTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function delay(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}
