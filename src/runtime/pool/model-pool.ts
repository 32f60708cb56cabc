// The instances of one model: lent one at a time, made when there is room, replaced when they break.

import { CoremlxError, messageOf } from "../../core/errors.ts";
import { silent, type Telemetry } from "../../core/telemetry.ts";
import { interrupted } from "./deadline.ts";
import type { Contender, Grant, Seat, SeatStats } from "./resource-scheduler.ts";
import { WaitQueue } from "./wait-queue.ts";

/** What the pool needs to know of an instance. */
export interface PoolMember extends AsyncDisposable {
  /** It will answer nothing more. */
  readonly isEnded: boolean;
  /** Giving it up ends what it does; else its thread goes on. */
  readonly isKillable: boolean;
  /** Gives up on it while it may still be busy. */
  abandon(): void;
}

export interface ModelPoolOptions<I extends PoolMember> {
  /** The instance that loaded the model. It stays until the end: the others borrow what it loaded. */
  readonly first: I;
  /** Makes one more; undefined where the model cannot be shared: then there is only the first. */
  readonly create: (() => Promise<I>) | undefined;
  readonly maximum: number;
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

export interface AcquireOptions {
  readonly signal?: AbortSignal | undefined;
  /** Higher goes first; equals in the order they came. Default 0. */
  readonly priority?: number | undefined;
}

export interface ModelPoolStats {
  readonly maximum: number;
  readonly queueLimit: number;
  readonly instances: number;
  readonly busy: number;
  readonly idle: number;
  /** Given up by their caller and still running. */
  readonly draining: number;
  readonly waiting: number;
  readonly waitingHighWater: number;
  readonly lent: number;
  readonly created: number;
  readonly replaced: number;
  readonly recycled: number;
  readonly retired: number;
  readonly abandonedThreads: number;
  readonly refused: number;
  readonly timedOut: number;
  /** Where it takes resources of the session. */
  readonly seat?: SeatStats;
}

/** A loan of one instance; `using` returns it, and returning it twice is harmless. */
export interface InstanceLease<I extends PoolMember> extends Disposable {
  readonly instance: I;
  /**
   * For a caller who stops waiting: the instance comes back when `call` settles, or is replaced when that takes too
   * long. `onOver` is told once nothing native can touch the call's memory any more.
   */
  abandon(call: Promise<unknown>, onOver: () => void): void;
}

/** A call whose caller stopped waiting, and what it holds. */
interface Abandoned {
  readonly call: Promise<unknown>;
  readonly onOver: () => void;
  readonly grant: Grant | undefined;
}

/**
 * Invariant: an instance is idle, lent, or draining; idle ones wait beside waiting callers only where these wait for
 * resources; at most `maximum` are alive or being made. Callers are served by priority, then in the order they came.
 */
export class ModelPool<I extends PoolMember> implements AsyncDisposable {
  readonly #options: ModelPoolOptions<I>;
  readonly #telemetry: Telemetry;
  readonly #alive = new Set<I>();
  /** The longest idle first; the latest used is lent first. */
  readonly #idle: { readonly instance: I; readonly since: number }[] = [];
  readonly #draining = new Set<I>();
  readonly #recycling = new Set<I>();
  readonly #queue: WaitQueue<InstanceLease<I>>;
  readonly #seat: Seat | undefined;
  /** Instances on their way. They end before what they join does. */
  readonly #making = new Set<Promise<void>>();
  #timer: Timer | undefined;
  #closed: CoremlxError | undefined;
  #counts = { lent: 0, created: 1, replaced: 0, recycled: 0, retired: 0, abandoned: 0 };

  constructor(options: ModelPoolOptions<I>) {
    this.#options = options;
    this.#telemetry = options.telemetry ?? silent;
    this.#queue = new WaitQueue({
      limit: options.queueLimit,
      timeoutMs: options.queueTimeoutMs ?? Number.POSITIVE_INFINITY,
      onLeave: () => this.#seat?.notify(),
    });
    this.#seat = options.join?.(this.#contender());
    this.#alive.add(options.first);
    this.#idle.push({ instance: options.first, since: performance.now() });
  }

  get stats(): ModelPoolStats {
    const { lent, created, replaced, recycled, retired, abandoned } = this.#counts;
    const { waiting, highWater, refused, timedOut } = this.#queue.stats;
    return {
      maximum: this.#options.maximum,
      queueLimit: this.#options.queueLimit,
      instances: this.#alive.size,
      busy: this.#alive.size - this.#idle.length - this.#draining.size,
      idle: this.#idle.length,
      draining: this.#draining.size,
      waiting,
      waitingHighWater: highWater,
      lent,
      created,
      replaced,
      recycled,
      retired,
      abandonedThreads: abandoned,
      refused,
      timedOut,
      ...(this.#seat && { seat: this.#seat.stats }),
    };
  }

  /**
   * Waits while all instances are busy, or the resources a call takes. Throws OVERLOADED when too many wait already or
   * the wait is too long, UNAVAILABLE after closing or when too many threads hang, INTERRUPTED by the signal.
   */
  acquire(options: AcquireOptions = {}): Promise<InstanceLease<I>> {
    const { signal, priority = 0 } = options;
    if (this.#closed) return Promise.reject(this.#closed);
    if (signal?.aborted) return Promise.reject(interrupted());
    const ready = this.acquireIdle();
    if (ready) return Promise.resolve(ready);
    if (this.#alive.size === 0 && this.#counts.abandoned > this.#options.maxAbandoned) {
      return Promise.reject(this.#exhausted());
    }
    const promise = this.#queue.wait({ signal, priority });
    this.#grow();
    this.#seat?.notify();
    return promise;
  }

  /** An instance that nobody uses, if there is one and nobody else's turn comes first: for callers who would rather not wait for a promise. */
  acquireIdle(): InstanceLease<I> | undefined {
    return this.#seat === undefined ? this.#lendIdle() : this.#lendInTurn(this.#seat);
  }

  /** Replaces an instance at its return: after a surface error, or when its memory grows. */
  recycle(instance: I): void {
    if (this.#alive.has(instance) && instance !== this.#options.first) this.#recycling.add(instance);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = new CoremlxError("UNAVAILABLE", "The model is closed", { details: { stage: "closing" } });
    clearTimeout(this.#timer);
    this.#queue.turnAway(this.#closed);
    this.#seat?.leave();
    const { first } = this.#options;
    const guests = [...this.#alive].filter((instance) => instance !== first);
    const hung = this.#counts.abandoned > 0;
    this.#alive.clear();
    this.#idle.length = 0;
    await Promise.all([...guests.map((instance) => instance[Symbol.asyncDispose]()), ...this.#making]);
    // A hung thread may still read what the first instance owns: then it has to stay.
    if (hung) first.abandon();
    else await first[Symbol.asyncDispose]();
  }

  #lendIdle(grant?: Grant): InstanceLease<I> | undefined {
    const ready = this.#idle.pop();
    return ready && this.#lend(ready.instance, grant);
  }

  /** For a call that need not wait, also not for those of other models. */
  #lendInTurn(seat: Seat): InstanceLease<I> | undefined {
    if (this.#idle.length === 0 || this.#queue.size > 0) return undefined;
    const grant = seat.tryTake();
    return grant && this.#lendIdle(grant);
  }

  #contender(): Contender {
    const isWaiting = () => this.#queue.size > 0;
    const isReady = () => isWaiting() && this.#idle.length > 0;
    return {
      get isWaiting() {
        return isWaiting();
      },
      get isReady() {
        return isReady();
      },
      serve: (grant) => {
        const lease = this.#lendIdle(grant);
        if (lease) this.#queue.takeNext()?.resolve(lease);
        else grant.end();
      },
    };
  }

  #lend(instance: I, grant?: Grant): InstanceLease<I> {
    this.#counts.lent++;
    let isOver = false;
    const end = (then: () => void) => {
      if (isOver) return;
      isOver = true;
      then();
    };
    return {
      instance,
      abandon: (call, onOver) => end(() => this.#drain(instance, { call, onOver, grant })),
      [Symbol.dispose]: () =>
        end(() => {
          // The instance first: when the grant's end lets somebody have their turn, this model has an instance for it.
          this.#takeBack(instance);
          grant?.end();
        }),
    };
  }

  #drain(instance: I, { call, onOver, grant }: Abandoned): void {
    this.#draining.add(instance);
    grant?.giveUp();
    let isHung = false;
    const timer = setTimeout(() => {
      isHung = true;
      this.#draining.delete(instance);
      this.#giveUp(instance);
      if (instance.isKillable) grant?.end();
    }, this.#options.hangMs);
    const settled = () => {
      clearTimeout(timer);
      onOver();
      if (!isHung) {
        this.#draining.delete(instance);
        this.#takeBack(instance);
      } else if (!instance.isKillable) this.#welcomeBack(instance);
      grant?.end();
    };
    call.then(settled, settled);
  }

  #giveUp(instance: I): void {
    if (instance.isKillable) {
      this.#alive.delete(instance);
      this.#counts.replaced++;
      instance.abandon();
      this.#grow();
      return;
    }
    this.#counts.abandoned++;
    this.#alive.delete(instance);
    this.#telemetry.log("error", "A prediction hangs: its worker is given up and replaced", {
      abandonedThreads: this.#counts.abandoned,
    });
    // Not terminated: the call's late completion must still be heard, to release its memory.
    if (this.#counts.abandoned > this.#options.maxAbandoned) {
      this.#queue.turnAway(this.#exhausted());
      return;
    }
    this.#counts.replaced++;
    this.#grow();
  }

  /** A thread that was given up has come to an end after all. */
  #welcomeBack(instance: I): void {
    this.#counts.abandoned--;
    if (instance !== this.#options.first || this.#closed) return void instance[Symbol.asyncDispose]();
    this.#alive.add(instance);
    this.#takeBack(instance);
  }

  #takeBack(instance: I): void {
    if (!this.#alive.has(instance)) return;
    if (instance.isEnded || this.#recycling.delete(instance)) {
      this.#counts[instance.isEnded ? "replaced" : "recycled"]++;
      this.#alive.delete(instance);
      void instance[Symbol.asyncDispose]();
      this.#grow();
      return;
    }
    const next = this.#seat === undefined ? this.#queue.takeNext() : undefined;
    if (next) return next.resolve(this.#lend(instance));
    this.#idle.push({ instance, since: performance.now() });
    this.#scheduleRetirement();
    this.#seat?.notify();
  }

  /** One more instance, where callers wait and there is room. */
  #grow(): void {
    const { create, maximum } = this.#options;
    if (this.#closed || create === undefined || this.#queue.size <= this.#idle.length + this.#making.size)
      return;
    if (this.#alive.size + this.#making.size >= maximum) return;
    const made = this.#make(create).finally(() => this.#making.delete(made));
    this.#making.add(made);
  }

  async #make(create: () => Promise<I>): Promise<void> {
    try {
      const instance = await create();
      if (this.#closed) return await instance[Symbol.asyncDispose]();
      this.#counts.created++;
      this.#alive.add(instance);
      this.#takeBack(instance);
    } catch (error) {
      this.#telemetry.log("error", "Cannot make another instance", { reason: messageOf(error) });
      if (this.#alive.size === 0) this.#queue.turnAway(error);
    }
  }

  #scheduleRetirement(): void {
    if (this.#timer || this.#alive.size < 2) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#retireIdle();
    }, this.#options.idleMs);
    this.#timer.unref();
  }

  #retireIdle(): void {
    const oldest = performance.now() - this.#options.idleMs;
    for (const entry of this.#idle.filter(
      ({ instance, since }) => instance !== this.#options.first && since <= oldest,
    )) {
      this.#idle.splice(this.#idle.indexOf(entry), 1);
      this.#alive.delete(entry.instance);
      this.#counts.retired++;
      void entry.instance[Symbol.asyncDispose]();
    }
    if (this.#idle.some(({ instance }) => instance !== this.#options.first)) this.#scheduleRetirement();
  }

  #exhausted(): CoremlxError {
    return new CoremlxError(
      "UNAVAILABLE",
      `Cannot predict: ${this.#counts.abandoned} threads of this model hang, more than ${this.#options.maxAbandoned}`,
      { hint: "Start again; --isolation process survives hangs and crashes" },
    );
  }
}
