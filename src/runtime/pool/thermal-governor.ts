// Fewer predictions at once while the machine is hot, more again once it has been cool for a while.

import { silent, type Telemetry } from "../../core/telemetry.ts";
import type { ThermalSource, ThermalState } from "../../core/thermal.ts";

export interface ThermalGovernorOptions {
  readonly source: ThermalSource;
  readonly telemetry?: Telemetry | undefined;
}

export interface ThermalStats {
  /** Absent where the source does not know. */
  readonly state?: ThermalState;
  /** Of its instances each model may use, at least one. */
  readonly share: number;
  readonly lowered: number;
  readonly raised: number;
}

export const thermalDefaults = {
  /** Between two readings, and between two steps down. */
  readEveryMs: 5_000,
  /** Of cool readings before each step up. A machine cools more slowly than it becomes hot under the same load. */
  raiseAfterMs: 30_000,
} as const;

/** Steps down, as shares of a model's instances. */
const shares = [1, 0.75, 0.5, 0.25, 0] as const;

/**
 * How far down each state drives: serious to half, critical to a single prediction at once. Fair keeps what there is:
 * the band between going down and going up, without which the two would follow each other for ever.
 */
const lowestStep: Readonly<Record<Exclude<ThermalState, "nominal" | "fair">, number>> = {
  serious: 2,
  critical: 4,
};

type Watcher = (share: number) => void;

/** Reads at once and then by a timer of its own, until it is disposed. Invariant: the share goes one step at a time. */
export class ThermalGovernor implements Disposable {
  readonly #options: ThermalGovernorOptions;
  readonly #telemetry: Telemetry;
  readonly #watchers = new Set<Watcher>();
  readonly #timer: Timer;
  #state: ThermalState | undefined;
  #step = 0;
  #coolSinceMs: number | undefined;
  #lowered = 0;
  #raised = 0;

  constructor(options: ThermalGovernorOptions) {
    this.#options = options;
    this.#telemetry = options.telemetry ?? silent;
    this.#read();
    this.#timer = setInterval(() => this.#read(), thermalDefaults.readEveryMs);
    this.#timer.unref();
  }

  /** Tells `watcher` the share, now and whenever it changes, until the result is disposed. */
  watch(watcher: Watcher): Disposable {
    this.#watchers.add(watcher);
    watcher(this.share);
    return { [Symbol.dispose]: () => void this.#watchers.delete(watcher) };
  }

  /** For the statistics of the process; empty where the source does not know. */
  get reading(): { readonly thermalState?: ThermalState } {
    return this.#state === undefined ? {} : { thermalState: this.#state };
  }

  get stats(): ThermalStats {
    return {
      ...(this.#state === undefined ? {} : { state: this.#state }),
      share: this.share,
      lowered: this.#lowered,
      raised: this.#raised,
    };
  }

  get share(): number {
    return shares[this.#step] ?? 0;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#watchers.clear();
  }

  /** Takes at most one step. */
  #read(): void {
    const nowMs = performance.now();
    const state = this.#options.source.read();
    this.#state = state;
    const isCool = state === "nominal" || state === undefined; // nobody says that it is hot
    if (isCool) this.#coolSinceMs ??= nowMs;
    else this.#coolSinceMs = undefined;
    if ((state === "serious" || state === "critical") && this.#step < lowestStep[state]) {
      this.#lowered++;
      this.#move(1, state);
    } else if (this.#coolSinceMs !== undefined && this.#step > 0) {
      if (nowMs - this.#coolSinceMs < thermalDefaults.raiseAfterMs) return;
      this.#coolSinceMs = nowMs;
      this.#raised++;
      this.#move(-1, state);
    }
  }

  #move(by: 1 | -1, state: ThermalState | undefined): void {
    this.#step += by;
    const { share } = this;
    for (const watcher of this.#watchers) watcher(share);
    if (by > 0) this.#telemetry.log("warn", "machine hot", { state, share });
    else this.#telemetry.log("info", "machine cooler", { state, share });
  }
}

/** Of `maximum` instances, at least one. */
export function allowedOf(maximum: number, share: number): number {
  return Math.max(1, Math.ceil(maximum * share));
}
