// The statistics extension: a model's numbers under Triton's names, for the tools that read them before and after a load.

import { type Static, Type } from "@sinclair/typebox";
import type { ModelStats } from "../../runtime/session.ts";

const duration = Type.Object({
  count: Type.Integer({ minimum: 0 }),
  ns: Type.Integer({ minimum: 0 }),
});

const modelStatistics = Type.Object({
  name: Type.String(),
  version: Type.String(),
  last_inference: Type.Integer({ minimum: 0, description: "milliseconds since 1970; 0 before the first" }),
  inference_count: Type.Integer({ minimum: 0 }),
  execution_count: Type.Integer({ minimum: 0 }),
  inference_stats: Type.Object({
    success: duration,
    fail: duration,
    queue: duration,
    compute_input: duration,
    compute_infer: duration,
    compute_output: duration,
    cache_hit: duration,
    cache_miss: duration,
  }),
  batch_stats: Type.Array(
    Type.Object({
      batch_size: Type.Integer({ minimum: 1 }),
      compute_input: duration,
      compute_infer: duration,
      compute_output: duration,
    }),
  ),
  memory_usage: Type.Array(
    Type.Object({ type: Type.String(), id: Type.Integer(), byte_size: Type.Integer() }),
  ),
});

export const statisticsSchema = Type.Object({ model_stats: Type.Array(modelStatistics) });

export type ModelStatistics = Static<typeof modelStatistics>;

export function describeStatistics(name: string, version: string, stats: ModelStats): ModelStatistics {
  const { succeeded, failed, failedTotalMs, lastEpochMs, phases } = stats.requests;
  const compute = {
    compute_input: durationOf(phases.input),
    compute_infer: durationOf(phases.infer),
    compute_output: durationOf(phases.output),
  };
  return {
    name,
    version,
    last_inference: Math.round(lastEpochMs ?? 0),
    inference_count: succeeded,
    execution_count: succeeded,
    inference_stats: {
      success: durationOf(phases.request),
      fail: durationOf({ count: failed, totalMs: failedTotalMs }),
      queue: durationOf(phases.queue),
      ...compute,
      cache_hit: { count: 0, ns: 0 },
      cache_miss: { count: 0, ns: 0 },
    },
    batch_stats: succeeded === 0 ? [] : [{ batch_size: 1, ...compute }],
    memory_usage: [],
  };
}

function durationOf({ count, totalMs }: { readonly count: number; readonly totalMs: number }) {
  return { count, ns: Math.round(totalMs * 1_000_000) };
}
