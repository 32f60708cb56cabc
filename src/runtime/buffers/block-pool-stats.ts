// What a pool of memory counts, and what the counts say.

import type { QuarantineStats } from "./quarantine.ts";

/** Counts since the pool was made, and what it holds now. All bytes are bytes of blocks unless they say otherwise. */
export interface BlockPoolStats {
  /** Loans made: `hits` + `misses`. */
  readonly acquired: number;
  /** Served by a block that was last lent under the same key. */
  readonly hits: number;
  /** All others: `resized` (an idle block of the same size, last lent under another key) + `allocations`. */
  readonly misses: number;
  readonly resized: number;
  readonly allocations: number;
  /** Loans that needed no new memory: `hits` + `resized`. */
  readonly allocationsAvoided: number;
  /** hits / acquired; 0 before the first. */
  readonly hitRatio: number;
  /** allocationsAvoided / acquired; 0 before the first. */
  readonly avoidedRatio: number;
  /** Bytes asked for by the loans that needed no new memory. */
  readonly bytesSaved: number;
  readonly allocatedBytes: number;
  readonly freedBytes: number;
  /** Loans refused: a limit, no memory, a full quarantine. */
  readonly refused: number;
  /** Blocks freed when they came back: too many idle under the key, still in foreign hands, or the pool is closed. */
  readonly dropped: number;
  /** Idle blocks freed: to make room, for their age, or at the end. */
  readonly trimmed: number;
  /** Loans whose holder vanished without returning them. They count as lent. Only known where leaks are looked for. */
  readonly leaked: number;

  readonly lentCount: number;
  readonly lentBytes: number;
  /** What the holders of the lent blocks asked for. */
  readonly lentRequestedBytes: number;
  readonly idleCount: number;
  readonly idleBytes: number;
  readonly quarantinedCount: number;
  readonly quarantinedBytes: number;
  readonly isQuarantineFull: boolean;
  /** Since the start: into quarantine, and out of it by a late completion. */
  readonly quarantined: number;
  readonly releasedLate: number;
  /** lent + idle + quarantined. */
  readonly heldBytes: number;
  /** The most that was ever held. */
  readonly highWaterBytes: number;
  readonly capacityBytes: number;
  /** Share of the lent blocks that nobody asked for, 0 to 1: what rounding sizes up costs now. */
  readonly fragmentation: number;
  /** The same over every loan so far, each counted once. */
  readonly averageFragmentation: number;
}

/** The counters behind the statistics. Invariant: what is held is what was allocated and not freed. */
export class BlockPoolCounters {
  leaked = 0;
  refused = 0;
  #hits = 0;
  #resized = 0;
  #allocations = 0;
  #bytesSaved = 0;
  #allocatedBytes = 0;
  #freedBytes = 0;
  #dropped = 0;
  #trimmed = 0;
  #lentCount = 0;
  #lentBytes = 0;
  #lentRequestedBytes = 0;
  #everLentBytes = 0;
  #everRequestedBytes = 0;
  #idleCount = 0;
  #idleBytes = 0;
  #highWaterBytes = 0;

  /** What would count against the capacity. */
  heldBytes(quarantinedBytes: number): number {
    return this.#lentBytes + this.#idleBytes + quarantinedBytes;
  }

  allocated(blockBytes: number): void {
    this.#allocations++;
    this.#allocatedBytes += blockBytes;
    this.#highWaterBytes = Math.max(this.#highWaterBytes, this.#allocatedBytes - this.#freedBytes);
  }

  freed(blockBytes: number, why: "dropped" | "trimmed"): void {
    this.#freedBytes += blockBytes;
    if (why === "dropped") this.#dropped++;
    else this.#trimmed++;
  }

  lent(served: "key" | "size" | "new", blockBytes: number, requestedBytes: number): void {
    if (served === "key") this.#hits++;
    if (served === "size") this.#resized++;
    if (served !== "new") this.#bytesSaved += requestedBytes;
    this.#lentCount++;
    this.#lentBytes += blockBytes;
    this.#lentRequestedBytes += requestedBytes;
    this.#everLentBytes += blockBytes;
    this.#everRequestedBytes += requestedBytes;
  }

  ended(blockBytes: number, requestedBytes: number): void {
    this.#lentCount--;
    this.#lentBytes -= blockBytes;
    this.#lentRequestedBytes -= requestedBytes;
  }

  becameIdle(blockBytes: number): void {
    this.#idleCount++;
    this.#idleBytes += blockBytes;
  }

  leftIdle(blockBytes: number): void {
    this.#idleCount--;
    this.#idleBytes -= blockBytes;
  }

  snapshot(quarantine: QuarantineStats, capacityBytes: number): BlockPoolStats {
    const allocationsAvoided = this.#hits + this.#resized;
    const acquired = allocationsAvoided + this.#allocations;
    return {
      acquired,
      hits: this.#hits,
      misses: acquired - this.#hits,
      resized: this.#resized,
      allocations: this.#allocations,
      allocationsAvoided,
      hitRatio: share(this.#hits, acquired),
      avoidedRatio: share(allocationsAvoided, acquired),
      bytesSaved: this.#bytesSaved,
      allocatedBytes: this.#allocatedBytes,
      freedBytes: this.#freedBytes,
      refused: this.refused,
      dropped: this.#dropped,
      trimmed: this.#trimmed,
      leaked: this.leaked,
      lentCount: this.#lentCount,
      lentBytes: this.#lentBytes,
      lentRequestedBytes: this.#lentRequestedBytes,
      idleCount: this.#idleCount,
      idleBytes: this.#idleBytes,
      quarantinedCount: quarantine.count,
      quarantinedBytes: quarantine.bytes,
      isQuarantineFull: quarantine.isFull,
      quarantined: quarantine.entered,
      releasedLate: quarantine.released,
      heldBytes: this.heldBytes(quarantine.bytes),
      highWaterBytes: this.#highWaterBytes,
      capacityBytes,
      fragmentation: share(this.#lentBytes - this.#lentRequestedBytes, this.#lentBytes),
      averageFragmentation: share(this.#everLentBytes - this.#everRequestedBytes, this.#everLentBytes),
    };
  }
}

/** The counts and ratios between two moments, say after a warm-up; what is held is as of `after`. */
export function statsSince(before: BlockPoolStats, after: BlockPoolStats): BlockPoolStats {
  const acquired = after.acquired - before.acquired;
  const hits = after.hits - before.hits;
  const allocationsAvoided = after.allocationsAvoided - before.allocationsAvoided;
  return {
    ...after,
    acquired,
    hits,
    misses: after.misses - before.misses,
    resized: after.resized - before.resized,
    allocations: after.allocations - before.allocations,
    allocationsAvoided,
    hitRatio: share(hits, acquired),
    avoidedRatio: share(allocationsAvoided, acquired),
    bytesSaved: after.bytesSaved - before.bytesSaved,
    allocatedBytes: after.allocatedBytes - before.allocatedBytes,
    freedBytes: after.freedBytes - before.freedBytes,
    refused: after.refused - before.refused,
    dropped: after.dropped - before.dropped,
    trimmed: after.trimmed - before.trimmed,
    leaked: after.leaked - before.leaked,
    quarantined: after.quarantined - before.quarantined,
    releasedLate: after.releasedLate - before.releasedLate,
  };
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
