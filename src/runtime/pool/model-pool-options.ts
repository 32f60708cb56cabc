// What a pool of instances is made with, what it says of itself, and what it lends.

import type { Telemetry } from "../../core/telemetry.ts";
import type { InstanceSearch, InstanceSearchStats } from "./instance-search.ts";
import type { JournalStats } from "./pool-journal.ts";
import type { InstanceSource, PoolMember } from "./pool-member.ts";
import type { Contender, Seat, SeatStats } from "./resource-scheduler.ts";

export interface ModelPoolOptions<I extends PoolMember> extends InstanceSource<I> {
  /** For logs. */
  readonly model?: string | undefined;
  /** Each instance has loaded the model for itself. Default: the first has, and the others borrow from it. */
  readonly areIndependent?: boolean | undefined;
  /** Loads the model once more, to replace instances that share what one of them loaded. */
  readonly reload?: (() => Promise<InstanceSource<I>>) | undefined;
  /** Who else uses what the first one loaded moves over, before that is closed. */
  readonly onReload?: ((first: I) => Promise<void>) | undefined;
  /** More threads hang than are put up with. */
  readonly onExhausted?: ((reason: string) => void) | undefined;
  /** Loans after which instances are recycled: of each, or of all that share one load. Default: never. */
  readonly recycleAfter?: number | undefined;
  readonly maximum: number;
  /** Looks for how many of these are worth having; `undefined`: all. */
  readonly search?: InstanceSearch | undefined;
  /** Callers that may wait at once. */
  readonly queueLimit: number;
  /** How long a caller may wait. Default Infinity: as long as its own deadline lets it. */
  readonly queueTimeoutMs?: number | undefined;
  /** How long an instance beyond the first may be idle before it goes. */
  readonly idleMs: number;
  /** How long a call that was given up may go on before its instance counts as hung. */
  readonly hangMs: number;
  /** Hung threads of this model that are put up with; with one more, the model is unavailable. */
  readonly maxAbandoned: number;
  /** Joins those who share the session's resources; `undefined`: its calls take none, and wait for an instance only. */
  readonly join?: ((pool: Contender) => Seat) | undefined;
  readonly telemetry?: Telemetry | undefined;
}

/** A run that an instance has been handed before its call's turn has come there. */
export interface PreparedRun {
  /** Takes it back; false where it has begun, or is over. */
  withdraw(): boolean;
  /** Nobody waits for it any more: ends it as soon as may be, and settles then. */
  abandon(): Promise<unknown>;
}

export interface AcquireOptions<I extends PoolMember> {
  readonly signal?: AbortSignal | undefined;
  /** Higher goes first; equals in the order they came. Default 0. */
  readonly priority?: number | undefined;
  /** Waits for replacements that are on their way rather than take what they replace. */
  readonly isFresh?: boolean | undefined;
  /** Hands the run over to an instance that is busy, so that it lies ready there; `undefined` where that cannot be. */
  readonly prepare?: ((instance: I) => PreparedRun | undefined) | undefined;
}

export interface ModelPoolStats extends JournalStats {
  readonly maximum: number;
  /** That may be in use at present: the search or heat may want fewer. */
  readonly allowed: number;
  readonly queueLimit: number;
  readonly instances: number;
  readonly busy: number;
  readonly idle: number;
  /** Idle, and more than are allowed at present. */
  readonly parked: number;
  /** Given up by their caller and still running. */
  readonly draining: number;
  readonly waiting: number;
  readonly waitingHighWater: number;
  readonly abandonedThreads: number;
  readonly refused: number;
  readonly timedOut: number;
  /** Where it takes resources of the session. */
  readonly seat?: SeatStats;
  /** Where the number of instances is found by measurement. */
  readonly search?: InstanceSearchStats;
}

/** A loan of one instance; `using` returns it, and returning it twice is harmless. */
export interface InstanceLease<I extends PoolMember> extends Disposable {
  readonly instance: I;
  /** What was handed to the instance before, and has begun by now: then this is to be waited for, or abandoned. */
  readonly prepared: PreparedRun | undefined;
  /**
   * For a caller who stops waiting: the instance comes back when `call` settles, or is replaced when that takes too
   * long. `onOver` is told once nothing native can touch the call's memory any more.
   */
  abandon(call: Promise<unknown>, onOver: () => void): void;
}
