// What a soak tells while it runs: figures for a live line, and the lines of its series.

import type { SoakBlock, SoakWindow } from "./schema.ts";

export type SoakProgress =
  | { readonly phase: "load" | "references" | "warm-up"; readonly model?: string }
  | {
      readonly phase: "measured";
      readonly share: number;
      readonly elapsedMs: number;
      readonly completed: number;
      readonly failed: number;
      readonly wrong: number;
      readonly ratePerSecond: number;
      /** Of all models in the window so far. */
      readonly p50Ms: number;
      readonly p99Ms: number;
      readonly slopeBytesPerHour: number | undefined;
      readonly residentBytes: number;
      readonly pools: readonly PoolLine[];
    };

export interface PoolLine {
  readonly model: string;
  readonly breaker: string;
  readonly busy: number;
  readonly alive: number;
  readonly waiting: number;
}

/** One line of the series. */
export type SeriesLine =
  | { readonly type: "start"; readonly at: string; readonly elapsedMs: number }
  | ({ readonly type: "block"; readonly at: string; readonly pools: readonly PoolLine[] } & SoakBlock)
  | ({ readonly type: "window"; readonly at: string } & SoakWindow)
  | { readonly type: "end"; readonly at: string; readonly elapsedMs: number; readonly outcome: string };
