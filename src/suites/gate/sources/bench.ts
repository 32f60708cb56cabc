// Figures of a bench: what the pools did under its load, and how fast it was.

import { parseBenchResult } from "../../schemas.ts";
import type { BenchResult } from "../../schemas.ts";
import type { Findings, Measure, Reading } from "../findings.ts";

export const benchMetrics = {
  "avoided-share": "share",
  "hit-share": "share",
  concurrent: "predictions",
  "p50-ms": "ms",
  "p99-ms": "ms",
  "throughput-per-second": "1/s",
  failures: "calls",
} as const;

type Steady = NonNullable<BenchResult["steady"]>;

export function readBench(value: unknown, file: string): Findings {
  const result = parseBenchResult(value, file);
  const { model, engine, environment, steady } = result;
  const measured = (read: (steady: Steady) => Reading | string): Measure => {
    return (digest) => {
      if (result.isInterrupted || steady === null) return "the bench was interrupted";
      if (digest !== undefined && digest !== model.digest) return "the bench is of another model";
      return read(steady);
    };
  };
  return {
    environment,
    models: [{ name: model.path, digest: model.digest }],
    engines: [engine],
    durationMs: steady?.elapsedMs ?? 0,
    measures: {
      "avoided-share": measured(() => readBuffers(result, "avoidedRatio")),
      "hit-share": measured(() => readBuffers(result, "hitRatio")),
      concurrent: measured((figures) => readConcurrent(result, figures)),
      "p50-ms": measured((figures) => readLatency(figures, "p50Ms")),
      "p99-ms": measured((figures) => readLatency(figures, "p99Ms")),
      "throughput-per-second": measured(({ throughputPerSecond, elapsedMs }) => ({
        value: throughputPerSecond,
        detail: `over ${(elapsedMs / 1_000).toFixed(1)} s`,
      })),
      failures: measured(({ failed, unsent, completed }) => ({
        value: failed + unsent,
        detail: `${completed} answers`,
      })),
    },
  };
}

function readBuffers({ pool }: BenchResult, ratio: "avoidedRatio" | "hitRatio"): Reading | string {
  const buffers = pool?.buffers;
  const value = buffers?.[ratio];
  if (buffers === null || buffers === undefined || typeof value !== "number") return "no buffer was lent";
  return { value, detail: `${buffers.acquired} loans after the first prediction` };
}

/** As many as there are callers, and instances that carry them, with every call answered. */
function readConcurrent({ configuration, pool }: BenchResult, steady: Steady): Reading | string {
  const { load } = configuration;
  if (load.mode !== "closed") return "the load had a rate, not callers";
  if (pool === null) return "the engine has no pool here";
  const { instances, refused } = pool;
  const lost = steady.failed + refused;
  const carried = lost === 0 ? Math.min(load.concurrency, instances) : 0;
  const detail = `${load.concurrency} callers on ${instances} instances, ${steady.completed} answers, ${lost} lost`;
  return { value: carried, detail };
}

function readLatency({ latency }: Steady, figure: "p50Ms" | "p99Ms"): Reading | string {
  return latency === null
    ? "no call was answered"
    : { value: latency[figure], detail: `${latency.count} calls` };
}
