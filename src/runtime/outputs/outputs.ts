// Where a prediction's results lie: small ones in pooled buffers, large ones in mapped files that other processes can
// read without a copy.

import type { DType } from "../../core/dtype.ts";
import { CoremlxError } from "../../core/errors.ts";
import { silent, type Telemetry } from "../../core/telemetry.ts";
import {
  createMappedFile,
  defaultMappedFileKind,
  type MappedFile,
  type MappedFileKind,
} from "../../native/mapped-file.ts";
import { longestTimerMs } from "../pool/deadline.ts";
import { BlockPool, type BlockPoolLimits, type Loan } from "../buffers/block-pool.ts";
import type { BlockPoolStats } from "../buffers/block-pool-stats.ts";
import { type BufferPool, checkByteLength, tensorKey } from "../buffers/buffer-pool.ts";
import { OutputFolder, sweepOutputs } from "./output-folder.ts";
import { LeakDetector } from "../buffers/leak-detector.ts";
import {
  InlineLease,
  type LeaseOwner,
  MappedLease,
  type MappedOutput,
  type OutputLease,
  ownLease,
} from "./output-lease.ts";
import type { QuarantineTicket } from "../buffers/quarantine.ts";
import type { SharedOutput } from "./shared-output.ts";

export type { InlineOutput, MappedOutput, OutputLease } from "./output-lease.ts";

export interface OutputStoreOptions {
  /** Private to coremlx: mode 0700, made where it is missing, and only when an output is published. */
  readonly folder: string;
  /** For results that travel inline. Borrowed. */
  readonly buffers: BufferPool;
  /** Results up to this size travel inline. */
  readonly maxInlineBytes?: number | undefined;
  /** Default on Linux "memory" (sealed, no disk), elsewhere "file". "file" also reaches readers in other containers. */
  readonly kind?: MappedFileKind | undefined;
  /** Bounds of the mapped files; what is left out has its default. */
  readonly limits?: Partial<BlockPoolLimits> | undefined;
  /** Idle mapped files are freed after that long, and outputs that were handed over are taken back. */
  readonly maxAgeMs?: number | undefined;
  readonly telemetry?: Telemetry | undefined;
  /** Clock in milliseconds; default: performance.now. */
  readonly now?: (() => number) | undefined;
}

/** 10 MB: beyond, page faults and copies begin to cost more than a file's upkeep. */
export const defaultMaxInlineBytes = 10_000_000;
export const defaultMaxAgeMs = 60_000;

/** Of mapped outputs. Sizes are exact, so a pool of few large blocks. */
export const outputDefaults: BlockPoolLimits = {
  capacityBytes: 2 * 1024 ** 3,
  maxBlocks: 256,
  maxIdlePerKey: 8,
  maxLentPerKey: 256,
  quarantineBytes: 1024 ** 3,
  quarantineCount: 16,
};

export interface OutputStats {
  /** Results that went into pooled buffers. */
  readonly inline: number;
  /** Results that went into mapped files; the files themselves. */
  readonly mapped: BlockPoolStats;
  /** Published since the start. */
  readonly published: number;
  /** Handed over and not yet taken back. */
  readonly handedOver: number;
  readonly handedOverBytes: number;
  /** Subfolders of dead processes that were removed. */
  readonly swept: number;
}

/**
 * Owns its mapped files and their subfolder. Invariant: a file in somebody's hands here is never lent again before it
 * is returned, and one that another process still has open is never written again at all: it is unlinked and left to
 * that process, whose memory it then is. So a reader sees one result, whole, for as long as it likes.
 *
 * Closing removes every published name at once. What is lent stays good until it is returned; what is in quarantine,
 * until its late completion.
 */
export class OutputStore implements Disposable {
  readonly #buffers: BufferPool;
  readonly #folderPath: string;
  readonly #maxInlineBytes: number;
  readonly #maxAgeMs: number;
  readonly #now: () => number;
  readonly #pool: BlockPool<MappedFile>;
  readonly #leaks: LeakDetector<MappedFile>;
  readonly #swept: number;
  /** Oldest first, with the time from which it may be taken back. */
  readonly #handedOver = new Map<MappedLease, number>();
  #folder: OutputFolder | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #inlineCount = 0;
  #publishedCount = 0;

  /** Sweeps what dead processes left in the folder. Throws IO when there is one and it is not private. */
  constructor(options: OutputStoreOptions) {
    const { kind = defaultMappedFileKind, telemetry = silent, now = () => performance.now() } = options;
    this.#buffers = options.buffers;
    this.#folderPath = options.folder;
    this.#maxInlineBytes = options.maxInlineBytes ?? defaultMaxInlineBytes;
    this.#maxAgeMs = options.maxAgeMs ?? defaultMaxAgeMs;
    this.#now = now;
    this.#swept = sweepOutputs(options.folder);
    if (this.#swept > 0) telemetry.log("info", "outputs swept", { folders: this.#swept });
    const pool = new BlockPool<MappedFile>({
      ...outputDefaults,
      ...options.limits,
      name: "mapped outputs",
      telemetry,
      action: "Cannot lend a mapped output",
      source: {
        blockBytes: (byteLength) => Math.max(byteLength, 1), // exact, for readers see the file's size
        create: (byteLength) => createMappedFile({ kind, byteLength }),
        recover: (file) => file.withdraw(),
      },
      revokesViews: false,
      now,
    });
    this.#pool = pool;
    this.#leaks = new LeakDetector({
      telemetry,
      event: "mapped output leaked",
      onLeak: (file) => {
        pool.noteLeak();
        file.withdraw();
      },
    });
  }

  get stats(): OutputStats {
    return {
      inline: this.#inlineCount,
      mapped: this.#pool.stats,
      published: this.#publishedCount,
      handedOver: this.#handedOver.size,
      handedOverBytes: this.#handedOver.keys().reduce((sum, lease) => sum + lease.byteLength, 0),
      swept: this.#swept,
    };
  }

  /**
   * Never waits. Outputs that were handed over go, oldest first, when there is no room otherwise. Throws OVERLOADED,
   * UNSUPPORTED, BAD_INPUT, UNAVAILABLE as a BufferPool does, and IO when a mapped file cannot be made.
   */
  acquire(dtype: DType, shape: readonly number[]): OutputLease {
    const byteLength = checkByteLength(dtype, shape, "lend an output");
    if (byteLength <= this.#maxInlineBytes) {
      const lease = new InlineLease(this.#buffers.acquire(dtype, shape));
      this.#inlineCount++;
      return lease;
    }
    const loan = this.#lend(tensorKey(dtype, shape), byteLength);
    const tensor = { dtype, shape: [...shape], bytes: loan.block.bytes };
    const lease = new MappedLease({ loan, tensor, owner: this.#owner });
    this.#leaks.watch(lease, loan, { bytes: byteLength });
    return lease;
  }

  /**
   * Publishes a result and keeps it for its readers instead of the caller, whose lease is over: until `maxAgeMs` have
   * passed, the room is needed, `takeBack` or the end. Throws as `publish` does; the lease is then still the caller's.
   */
  handOver(lease: MappedOutput): SharedOutput {
    const mine = ownLease(lease);
    const shared = mine.publish();
    const kept = mine.split();
    this.#leaks.forget(mine);
    this.#handedOver.set(kept, this.#now() + this.#maxAgeMs);
    this.#armTimer();
    return shared;
  }

  /** Ends what was handed over under this path. false: there is none. */
  takeBack(path: string): boolean {
    for (const lease of this.#handedOver.keys()) {
      if (lease.publish().path !== path) continue;
      this.#endHandedOver(lease);
      return true;
    }
    return false;
  }

  /**
   * Takes the memory out of circulation because a call that was given up may still write to it. The lease is over; the
   * ticket's `release` is for the late completion, or for the proof that there will be none.
   */
  quarantine(lease: OutputLease): QuarantineTicket {
    if (lease instanceof InlineLease) return this.#buffers.quarantine(lease.buffer);
    return ownLease(lease).quarantine();
  }

  /** Ends what is too old: files nobody uses, outputs handed over long ago. A timer calls it too. */
  trim(): void {
    const now = this.#now();
    for (const [lease, until] of this.#handedOver) if (until <= now) this.#endHandedOver(lease);
    this.#pool.trimIdle(this.#maxAgeMs);
  }

  /** May be called again. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pool[Symbol.dispose]();
    for (const lease of this.#handedOver.keys()) this.#endHandedOver(lease);
    this.#leaks.close();
    this.#folder?.[Symbol.dispose]();
    this.#folder = undefined;
  }

  readonly #owner: LeaseOwner = {
    publish: (file) => {
      if (this.#pool.isClosed)
        throw new CoremlxError("UNAVAILABLE", "Cannot publish an output: the store is closed");
      this.#folder ??= OutputFolder.claim(this.#folderPath);
      const names = file.publish(this.#folder.path);
      this.#publishedCount++;
      return names;
    },
    ended: (lease) => {
      this.#leaks.forget(lease);
      this.#armTimer();
    },
  };

  #lend(key: string, byteLength: number): Loan<MappedFile> {
    for (;;) {
      try {
        return this.#pool.lend(key, byteLength);
      } catch (error) {
        const [oldest] = this.#handedOver.keys();
        const isOverloaded = error instanceof CoremlxError && error.code === "OVERLOADED";
        if (oldest === undefined || !isOverloaded || this.#pool.stats.isQuarantineFull) throw error;
        this.#endHandedOver(oldest);
      }
    }
  }

  #endHandedOver(lease: MappedLease): void {
    this.#handedOver.delete(lease);
    lease[Symbol.dispose]();
  }

  /** One timer while anything can grow old; it keeps no process alive. */
  #armTimer(): void {
    if (this.#timer !== undefined || this.#pool.isClosed || this.#maxAgeMs > longestTimerMs) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.trim();
      if (this.#handedOver.size > 0 || this.#pool.stats.idleCount > 0) this.#armTimer();
    }, this.#maxAgeMs);
    this.#timer.unref();
  }
}
