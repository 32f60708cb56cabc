// Reusable tensor memory, by element type and shape.

import { formatShape } from "../../codecs/allocate.ts";
import { bitSize, byteSize, type DType } from "../../core/dtype.ts";
import { CoremlxError } from "../../core/errors.ts";
import { silent, type Telemetry } from "../../core/telemetry.ts";
import type { Tensor } from "../../core/tensor.ts";
import { mapPages, type Pages, wholePages } from "../../native/pages.ts";
import { type Block, BlockPool, type BlockPoolLimits, type Loan } from "./block-pool.ts";
import type { BlockPoolStats } from "./block-pool-stats.ts";
import { LeakDetector } from "./leak-detector.ts";
import type { QuarantineTicket } from "./quarantine.ts";

export type BufferPoolStats = BlockPoolStats;

export interface BufferPoolOptions extends Partial<BlockPoolLimits> {
  /**
   * Looks for leases that vanish unreturned (counted and logged, with the place that acquired them), and takes the
   * views away from those who returned theirs: an array used too late is empty. Costs up to 0.1 ms a lease.
   */
  readonly debug?: boolean | undefined;
  readonly telemetry?: Telemetry | undefined;
  /** Clock in milliseconds; default: performance.now. */
  readonly now?: (() => number) | undefined;
}

const gigabyte = 1024 ** 3;

export const bufferPoolDefaults: BlockPoolLimits = {
  capacityBytes: gigabyte,
  maxBlocks: 4_096,
  maxIdlePerKey: 16,
  maxLentPerKey: 1_024,
  quarantineBytes: gigabyte / 4,
  quarantineCount: 64,
};

/**
 * A loan of pooled memory; `using` returns it, and returning it twice is harmless. Bytes are not cleared. After the
 * return every property throws INTERNAL, and views taken before must not be used: they show the next holder's values.
 */
export interface BufferLease extends Disposable {
  readonly tensor: Tensor;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Of the first byte, on a page boundary. Good in every thread of the process, for as long as the lease. */
  readonly address: number;
  readonly isReturned: boolean;
}

/**
 * Owns its memory: whole pages outside the JavaScript heap, in powers of two. A lease takes a block that held the same
 * type and shape (a hit), else one of the same size, else a new one, for which the least recently used idle blocks go
 * when the capacity is reached. Invariant: lent + idle + quarantined bytes <= capacityBytes.
 *
 * Closing frees what is idle. What is lent stays good until it is returned, and what is in quarantine until its late
 * completion, and is freed then: native code may be writing there.
 */
export class BufferPool implements Disposable {
  readonly #pool: BlockPool<TensorPages>;
  readonly #leaks: LeakDetector<TensorPages> | undefined;

  constructor(options: BufferPoolOptions = {}) {
    const { debug = false, telemetry = silent, now = () => performance.now(), ...limits } = options;
    const pool = new BlockPool<TensorPages>({
      ...bufferPoolDefaults,
      ...limits,
      name: "buffers",
      telemetry,
      action: "Cannot lend a buffer",
      source: { blockBytes: powerOfTwoPages, create: (blockBytes) => new TensorPages(blockBytes) },
      revokesViews: debug,
      now,
    });
    this.#pool = pool;
    if (debug)
      this.#leaks = new LeakDetector({
        telemetry,
        event: "buffer leaked",
        onLeak: () => pool.noteLeak(),
      });
  }

  get stats(): BufferPoolStats {
    return this.#pool.stats;
  }

  /**
   * Never waits. Throws OVERLOADED where a limit is reached or the quarantine is full, UNSUPPORTED for more than the
   * whole pool holds, BAD_INPUT for a shape that is none, UNAVAILABLE after closing.
   */
  acquire(dtype: DType, shape: readonly number[]): BufferLease {
    const byteLength = checkByteLength(dtype, shape, "lend a buffer");
    const key = tensorKey(dtype, shape);
    const loan = this.#pool.lend(key, byteLength);
    const lease = new PooledLease(loan, loan.block.tensor(key, dtype, shape, byteLength), this.#leaks);
    this.#leaks?.watch(lease, loan, { key, acquiredAt: callerOf(new Error()) });
    return lease;
  }

  /**
   * Takes the memory out of circulation because a call that was given up may still write to it. The lease is over; the
   * ticket's `release` is for the late completion, or for the proof that there will be none. Throws INTERNAL when the
   * lease is over already: its memory may be in other hands by then.
   */
  quarantine(lease: BufferLease): QuarantineTicket {
    if (!(lease instanceof PooledLease))
      throw new CoremlxError("INTERNAL", "Cannot put a buffer into quarantine: it is no lease of a pool");
    return lease.quarantine();
  }

  /** Frees what has been idle for that long; 0: everything idle. */
  trimIdle(olderThanMs = 0): void {
    this.#pool.trimIdle(olderThanMs);
  }

  /** May be called again. */
  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]();
    this.#leaks?.close();
  }
}

/** A block and the tensor it was last lent as, so that a hit makes nothing new. */
class TensorPages implements Block {
  readonly #pages: Pages;
  #lastKey: string | undefined;
  #lastTensor: Tensor | undefined;

  constructor(blockBytes: number) {
    this.#pages = mapPages(blockBytes);
  }

  get address(): number {
    return this.#pages.address;
  }
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#pages.bytes;
  }

  /** `key` stands for type and shape. */
  tensor(key: string, dtype: DType, shape: readonly number[], byteLength: number): Tensor {
    const { bytes } = this; // a new one where somebody transferred the old one away
    const last = this.#lastTensor;
    if (last !== undefined && key === this.#lastKey && last.bytes.buffer === bytes.buffer) return last;
    const view = new Uint8Array(bytes.buffer, bytes.byteOffset, byteLength);
    const tensor = { dtype, shape: [...shape], bytes: view }; // a copy: the caller may change its array
    this.#lastKey = key;
    this.#lastTensor = tensor;
    return tensor;
  }

  revokeViews(): void {
    this.#pages.revokeViews();
  }

  [Symbol.dispose](): void {
    this.#pages[Symbol.dispose]();
  }
}

class PooledLease implements BufferLease {
  readonly #loan: Loan<TensorPages>;
  readonly #tensor: Tensor;
  readonly #leaks: LeakDetector<TensorPages> | undefined;

  constructor(loan: Loan<TensorPages>, tensor: Tensor, leaks: LeakDetector<TensorPages> | undefined) {
    this.#loan = loan;
    this.#tensor = tensor;
    this.#leaks = leaks;
  }

  get tensor(): Tensor {
    this.#assertHeld();
    return this.#tensor;
  }
  get bytes(): Uint8Array<ArrayBuffer> {
    this.#assertHeld();
    return this.#tensor.bytes;
  }
  get address(): number {
    this.#assertHeld();
    return this.#loan.block.address;
  }
  get isReturned(): boolean {
    return this.#loan.isOver;
  }

  quarantine(): QuarantineTicket {
    const ticket = this.#loan.quarantine();
    this.#leaks?.forget(this);
    return ticket;
  }

  [Symbol.dispose](): void {
    if (this.#loan.isOver) return;
    this.#loan.return();
    this.#leaks?.forget(this);
  }

  #assertHeld(): void {
    if (this.#loan.isOver)
      throw new CoremlxError("INTERNAL", "Cannot use a buffer that was returned to its pool");
  }
}

/** `float32 1 3 224 224`. A loop, for it takes a third of the time of `join`, and every loan needs one. */
export function tensorKey(dtype: DType, shape: readonly number[]): string {
  let key: string = dtype;
  for (const size of shape) key += ` ${size}`;
  return key;
}

const highestRank = 64;

/** Bytes of a tensor whose shape nobody has checked. Throws BAD_INPUT before any arithmetic can go wrong. */
export function checkByteLength(dtype: DType, shape: readonly number[], action: string): number {
  const refuse = (why: string) =>
    new CoremlxError("BAD_INPUT", `Cannot ${action} for ${dtype} ${formatShape(shape)}: ${why}`, {
      details: { dtype, shape: shape.slice(0, highestRank) },
    });
  if (!Object.hasOwn(bitSize, dtype) || bitSize[dtype] < 8)
    throw refuse(`"${dtype}" is no element type of tensors`);
  if (shape.length > highestRank) throw refuse(`${shape.length} axes are more than ${highestRank}`);
  let spread = byteSize(dtype); // over the axes that are not 0: an empty tensor may not claim the universe either
  let isEmpty = false;
  for (const [axis, size] of shape.entries()) {
    if (!Number.isSafeInteger(size) || size < 0) throw refuse(`axis ${axis} is ${size}`);
    if (size === 0) isEmpty = true;
    else spread *= size;
    if (spread > Number.MAX_SAFE_INTEGER) throw refuse("it has more bytes than can be counted");
  }
  return isEmpty ? 0 : spread;
}

function powerOfTwoPages(byteLength: number): number {
  const pages = wholePages(1);
  if (byteLength <= pages) return pages;
  return 2 ** Math.ceil(Math.log2(byteLength));
}

/** The stack without the pool's own frame. */
function callerOf(error: Error): string {
  return error.stack?.split("\n").slice(2).join("\n") ?? "";
}
