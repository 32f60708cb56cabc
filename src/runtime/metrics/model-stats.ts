// What one model tells of itself: put together from its pool, its breaker, its meter and the memory it shares.

import type { ModelBreaker } from "../breaker/breaker.ts";
import type { BufferPool } from "../buffers/buffer-pool.ts";
import type { Instance } from "../pool/instance.ts";
import type { ModelPool } from "../pool/model-pool.ts";
import type { LoadReply } from "../worker/protocol.ts";
import type { ModelMeter } from "./model-meter.ts";
import type { ModelStats } from "./stats.ts";

export interface ModelStatsSources {
  readonly name: string;
  readonly version: string | undefined;
  readonly reply: LoadReply;
  readonly pool: ModelPool<Instance>;
  readonly breaker: ModelBreaker;
  /** Of the whole session. */
  readonly buffers: BufferPool;
  readonly meter: ModelMeter;
  readonly firstInferenceMs: number | undefined;
}

export function describeModel(sources: ModelStatsSources): ModelStats {
  const { name, version, reply, pool, breaker, buffers, meter, firstInferenceMs } = sources;
  const instances = pool.stats;
  const memory = buffers.stats;
  return {
    model: name,
    ...(version === undefined ? {} : { version }),
    ...(reply.digest === undefined ? {} : { digest: reply.digest }),
    engine: reply.engineVersion,
    device: reply.device,
    requests: meter.requests,
    latency: meter.latency,
    queue: {
      pending: instances.waiting,
      highWater: instances.waitingHighWater,
      limit: instances.queueLimit,
      rejected: instances.refused,
      timedOut: instances.timedOut,
    },
    instances: {
      idle: instances.idle,
      busy: instances.busy,
      poisoned: instances.draining,
      parked: instances.parked,
      limit: instances.maximum,
      allowed: instances.allowed,
      ...(instances.search && { search: instances.search }),
      replaced: instances.replaced,
      recycled: instances.recycled,
      byReason: instances.byReason,
      abandonedThreads: instances.abandonedThreads,
    },
    ...(instances.seat && { scheduling: instances.seat }),
    breaker: breaker.stats,
    quarantine: {
      count: memory.quarantinedCount,
      bytes: memory.quarantinedBytes,
      entered: memory.quarantined,
      released: memory.releasedLate,
      isFull: memory.isQuarantineFull,
    },
    load: {
      openMs: reply.openMs,
      compileMs: reply.compileMs,
      loadMs: reply.loadMs,
      ...(firstInferenceMs === undefined ? {} : { firstInferenceMs }),
      cache: reply.cache,
    },
  };
}
