// Lending of memory blocks: found again by key, then by size; bounded, trimmed from the least recently used end. What
// a block is (plain pages, a mapped file) is the source's business.

import { CoremlxError, messageOf } from "../../core/errors.ts";
import { silent, type Telemetry } from "../../core/telemetry.ts";
import { BlockPoolCounters, type BlockPoolStats } from "./block-pool-stats.ts";
import { Quarantine, type QuarantineTicket } from "./quarantine.ts";

/** Memory with an address that native code may write to until it is disposed. */
export interface Block extends Disposable {
  readonly address: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Detaches every view made so far. */
  revokeViews(): void;
}

export interface BlockSource<B extends Block> {
  /** What a block for `byteLength` bytes takes; blocks that take the same are interchangeable. At least 1. */
  blockBytes(byteLength: number): number;
  create(blockBytes: number): B;
  /** Whether a block that came back may be lent again; false and it is freed. Default: always. */
  recover?(block: B): boolean;
}

export interface BlockPoolLimits {
  /** Bytes of blocks that are lent, idle and in quarantine, together. */
  readonly capacityBytes: number;
  /** Blocks, likewise: the system allows a process some 65,000 mappings. */
  readonly maxBlocks: number;
  /** Idle blocks kept for one key; more are freed when they come back. */
  readonly maxIdlePerKey: number;
  /** Blocks lent under one key at once. */
  readonly maxLentPerKey: number;
  /** Above either of these the quarantine is full, and nothing is lent until it is not. */
  readonly quarantineBytes: number;
  readonly quarantineCount: number;
}

export interface BlockPoolOptions<B extends Block> extends BlockPoolLimits {
  /** For events: "buffers". */
  readonly name: string;
  readonly telemetry?: Telemetry | undefined;
  /** Opens its errors: "Cannot lend memory". */
  readonly action: string;
  readonly source: BlockSource<B>;
  /** Take views away when a block comes back, so that whoever still uses one finds nothing. Costs up to 0.1 ms. */
  readonly revokesViews: boolean;
  /** In milliseconds, for the age of idle blocks. */
  readonly now: () => number;
}

interface Entry<B extends Block> {
  readonly block: B;
  readonly blockBytes: number;
  /** Under whose key it was lent last. */
  shelf: Shelf<B>;
  idleSince: number;
}

/** One key's blocks. */
interface Shelf<B extends Block> {
  readonly key: string;
  /** The one used last is at the end. */
  readonly idle: Entry<B>[];
  lentCount: number;
}

const fewShelves = 256;

interface LoanEnds<B extends Block> {
  return(entry: Entry<B>, byteLength: number): void;
  quarantine(entry: Entry<B>, byteLength: number): QuarantineTicket;
}

/**
 * Invariant: lent + idle + quarantined bytes are those of exactly the blocks that live, never more than
 * `capacityBytes`; a block is in one of the three at a time. Belongs to one thread; addresses may travel.
 */
export class BlockPool<B extends Block> implements Disposable {
  readonly #options: BlockPoolOptions<B>;
  readonly #quarantine: Quarantine;
  readonly #counters = new BlockPoolCounters();
  /** Oldest first: a set remembers the order in which blocks became idle. */
  readonly #idle = new Set<Entry<B>>();
  readonly #shelves = new Map<string, Shelf<B>>();
  readonly #idleBySize = new Map<number, Set<Entry<B>>>();
  /** What every loan calls when it is over; one object, for a closure per loan costs more than the rest of it. */
  readonly #ends: LoanEnds<B> = {
    return: (entry, byteLength) => {
      this.#endLoan(entry, byteLength);
      this.#recover(entry);
    },
    quarantine: (entry, byteLength) => {
      this.#endLoan(entry, byteLength);
      return this.#quarantine.hold(entry.blockBytes, () => {
        entry.shelf = this.#shelfOf(entry.shelf.key); // the one it left may have been cleared away since
        this.#recover(entry);
      });
    },
  };
  #clearShelvesAt = fewShelves;
  #blocks = 0;
  #isClosed = false;

  constructor(options: BlockPoolOptions<B>) {
    this.#options = options;
    this.#quarantine = new Quarantine({
      limitBytes: options.quarantineBytes,
      limitCount: options.quarantineCount,
      onChange: (change, bytes) => this.#tellQuarantine(change, bytes),
    });
  }

  get stats(): BlockPoolStats {
    return this.#counters.snapshot(this.#quarantine.stats, this.#options.capacityBytes);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Bytes are not cleared. Throws OVERLOADED at a limit, UNSUPPORTED above the capacity, UNAVAILABLE when closed. */
  lend(key: string, byteLength: number): Loan<B> {
    const { source, maxLentPerKey } = this.#options;
    const blockBytes = source.blockBytes(byteLength);
    this.#refuse(key, blockBytes);
    const shelf = this.#shelfOf(key);
    if (shelf.lentCount >= maxLentPerKey) throw this.#overloaded(`${shelf.lentCount} of ${key} are lent`);

    const sameKey = shelf.idle.at(-1); // the one used last: its pages are warmest
    const found = sameKey ?? this.#idleBySize.get(blockBytes)?.values().next().value;
    if (found !== undefined) this.#takeIdle(found);
    const entry = found ?? this.#create(blockBytes, shelf);
    entry.shelf = shelf;
    shelf.lentCount++;
    const served = sameKey !== undefined ? "key" : found !== undefined ? "size" : "new";
    this.#counters.lent(served, blockBytes, byteLength);
    return new Loan(this.#ends, entry, byteLength);
  }

  /** Frees blocks that have been idle for that long. */
  trimIdle(olderThanMs: number): void {
    const before = this.#options.now() - olderThanMs;
    for (const entry of this.#idle) {
      if (entry.idleSince > before) return; // the rest is younger
      this.#takeIdle(entry);
      this.#free(entry, "trimmed");
    }
  }

  /** A leak: the holder is gone and cannot return it any more. The block stays lent, for its memory may be in use. */
  noteLeak(): void {
    this.#counters.leaked++;
  }

  /** Frees what is idle now, and everything else when it comes back: native code may be writing there. Again is fine. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#dropIdle(() => false);
  }

  #tellQuarantine(change: "entered" | "released" | "full", bytes: number): void {
    const { name: pool, telemetry = silent } = this.#options;
    const held = this.#quarantine.stats;
    const fields = { pool, heldCount: held.count, heldBytes: held.bytes };
    if (change === "full") telemetry.log("error", "quarantine full", fields);
    else telemetry.log("debug", `quarantine ${change}`, { ...fields, bytes });
  }

  #refuse(key: string, blockBytes: number): void {
    const { action, capacityBytes } = this.#options;
    if (this.#isClosed) throw new CoremlxError("UNAVAILABLE", `${action}: the pool is closed`);
    if (blockBytes > capacityBytes) {
      this.#counters.refused++;
      throw new CoremlxError(
        "UNSUPPORTED",
        `${action} for ${key}: it takes ${blockBytes} bytes, the pool has ${capacityBytes}`,
        { details: { key, neededBytes: blockBytes, capacityBytes } },
      );
    }
    if (!this.#quarantine.isFull) return;
    const { count, bytes } = this.#quarantine.stats;
    throw this.#overloaded(`${count} calls never came back and keep ${bytes} bytes`);
  }

  /** Keys come from outside: those without blocks are cleared away before they pile up, not each time they run empty. */
  #shelfOf(key: string): Shelf<B> {
    const found = this.#shelves.get(key);
    if (found !== undefined) return found;
    if (this.#shelves.size >= this.#clearShelvesAt) {
      for (const each of this.#shelves.values())
        if (each.lentCount === 0 && each.idle.length === 0) this.#shelves.delete(each.key);
      this.#clearShelvesAt = Math.max(2 * this.#shelves.size, fewShelves);
    }
    const shelf = { key, idle: [], lentCount: 0 };
    this.#shelves.set(key, shelf);
    return shelf;
  }

  #create(blockBytes: number, shelf: Shelf<B>): Entry<B> {
    const { source, action, capacityBytes, maxBlocks } = this.#options;
    const fits = () =>
      this.#counters.heldBytes(this.#quarantine.stats.bytes) + blockBytes <= capacityBytes &&
      this.#blocks < maxBlocks;
    if (!fits()) this.#dropIdle(fits);
    if (!fits()) {
      const { lentBytes, quarantinedBytes } = this.stats;
      throw this.#overloaded(
        `${blockBytes} bytes are wanted, ${lentBytes} of ${capacityBytes} are lent, ${quarantinedBytes} in quarantine, ${this.#blocks} of ${maxBlocks} blocks in use`,
      );
    }
    const block = this.#tryCreate(() => source.create(blockBytes), action);
    this.#blocks++;
    this.#counters.allocated(blockBytes);
    return { block, blockBytes, shelf, idleSince: 0 };
  }

  /** The system may be out of memory because of us: then once more, with nothing idle. */
  #tryCreate(create: () => B, action: string): B {
    try {
      return create();
    } catch (error) {
      if (!(error instanceof CoremlxError) || error.code !== "OVERLOADED") throw error;
      this.#dropIdle(() => false);
    }
    try {
      return create();
    } catch (error) {
      this.#counters.refused++;
      throw new CoremlxError("OVERLOADED", `${action}: ${messageOf(error)}`, { cause: error });
    }
  }

  #endLoan(entry: Entry<B>, byteLength: number): void {
    entry.shelf.lentCount--;
    this.#counters.ended(entry.blockBytes, byteLength);
  }

  #recover(entry: Entry<B>): void {
    const { source, maxIdlePerKey, revokesViews, now } = this.#options;
    const { idle } = entry.shelf;
    if (this.#isClosed || idle.length >= maxIdlePerKey || !isRecovered(source, entry.block)) {
      this.#free(entry, "dropped");
      return;
    }
    if (revokesViews) entry.block.revokeViews();
    entry.idleSince = now();
    idle.push(entry);
    const ofSize = this.#idleBySize.get(entry.blockBytes) ?? new Set();
    ofSize.add(entry);
    this.#idleBySize.set(entry.blockBytes, ofSize);
    this.#idle.add(entry);
    this.#counters.becameIdle(entry.blockBytes);
  }

  #takeIdle(entry: Entry<B>): void {
    this.#idle.delete(entry);
    const { idle } = entry.shelf;
    idle.splice(idle.lastIndexOf(entry), 1);
    const ofSize = this.#idleBySize.get(entry.blockBytes);
    ofSize?.delete(entry);
    if (ofSize?.size === 0) this.#idleBySize.delete(entry.blockBytes);
    this.#counters.leftIdle(entry.blockBytes);
  }

  #dropIdle(isEnough: () => boolean): void {
    for (const entry of this.#idle) {
      if (isEnough()) return;
      this.#takeIdle(entry);
      this.#free(entry, "trimmed");
    }
  }

  #free(entry: Entry<B>, why: "dropped" | "trimmed"): void {
    this.#blocks--;
    this.#counters.freed(entry.blockBytes, why);
    entry.block[Symbol.dispose]();
  }

  #overloaded(why: string): CoremlxError {
    this.#counters.refused++;
    return new CoremlxError("OVERLOADED", `${this.#options.action}: ${why}`, {
      hint: "Send less at once, or raise the capacity",
    });
  }
}

/** A block whose recovery fails is as good as one that cannot be recovered. */
function isRecovered<B extends Block>(source: BlockSource<B>, block: B): boolean {
  try {
    return source.recover?.(block) ?? true;
  } catch {
    return false; // it is freed, whatever the reason
  }
}

/** One block in somebody's hands. Ends once: returned or in quarantine; what follows does nothing. */
export class Loan<B extends Block> {
  readonly #ends: LoanEnds<B>;
  readonly #entry: Entry<B>;
  readonly #byteLength: number;
  #isOver = false;

  constructor(ends: LoanEnds<B>, entry: Entry<B>, byteLength: number) {
    this.#ends = ends;
    this.#entry = entry;
    this.#byteLength = byteLength;
  }

  get block(): B {
    return this.#entry.block;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  return(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ends.return(this.#entry, this.#byteLength);
  }

  /** Throws INTERNAL when the loan is over: its block may be in other hands by now. */
  quarantine(): QuarantineTicket {
    if (this.#isOver)
      throw new CoremlxError("INTERNAL", "Cannot put memory into quarantine: it was returned already");
    this.#isOver = true;
    return this.#ends.quarantine(this.#entry, this.#byteLength);
  }
}
