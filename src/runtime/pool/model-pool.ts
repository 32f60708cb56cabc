// The instances of one model: lent one at a time, made when there is room, replaced when they break.

import { CoremlxError } from "../../core/errors.ts";
import type { RecycleReason } from "../../core/meter-names.ts";
import { isSurfaceError } from "../../engines/surface-error.ts";
import { AheadCalls, type CallQueue } from "./ahead-calls.ts";
import { interrupted } from "./deadline.ts";
import { Generation } from "./generation.ts";
import { IdleInstances } from "./idle-instances.ts";
import type { InstanceSearch } from "./instance-search.ts";
import type {
  AcquireOptions,
  InstanceLease,
  ModelPoolOptions,
  ModelPoolStats,
  PreparedRun,
} from "./model-pool-options.ts";
import { PoolJournal } from "./pool-journal.ts";
import type { InstanceSource, PoolMember } from "./pool-member.ts";
import type { Contender, Grant, Seat } from "./resource-scheduler.ts";
import { RestartLimit } from "./restart-limit.ts";
import { WaitQueue } from "./wait-queue.ts";

export type {
  AcquireOptions,
  InstanceLease,
  ModelPoolOptions,
  ModelPoolStats,
  PreparedRun,
} from "./model-pool-options.ts";
export type { InstanceSource, PoolMember } from "./pool-member.ts";

/** A call whose caller stopped waiting, and what it holds. */
interface Abandoned {
  readonly call: Promise<unknown>;
  readonly onOver: () => void;
  readonly grant: Grant | undefined;
}

/**
 * Invariant: an instance is idle, lent, draining, or parked while others are as many as are allowed at present; idle
 * ones wait beside waiting callers only where these wait for resources; at most `maximum` are alive or being made, beside replacements for some of them. Callers are served by
 * priority, then in the order they came. What is recycled serves until its replacement is ready.
 */
export class ModelPool<I extends PoolMember> implements AsyncDisposable {
  readonly #options: ModelPoolOptions<I>;
  readonly #journal: PoolJournal;
  readonly #restarts = new RestartLimit();
  #generation: Generation<I>;
  /** Still in use by somebody. */
  readonly #older = new Set<Generation<I>>();
  #lentBefore = 0;
  readonly #alive = new Set<I>();
  readonly #idle: IdleInstances<I>;
  /** Idle too, and not lent while fewer are allowed. */
  readonly #parked: IdleInstances<I>;
  readonly #draining = new Set<I>();
  /** Replaced while busy: they go when they come back. */
  readonly #leaving = new Set<I>();
  /** Given up in a call whose thread goes on. */
  readonly #hung = new Set<I>();
  /** Lent, the longest ago first. */
  readonly #lent = new Set<I>();
  readonly #queue: CallQueue<I>;
  readonly #ahead: AheadCalls<I>;
  readonly #seat: Seat | undefined;
  /** Instances on their way. They end before what they join does. */
  readonly #making = new Set<Promise<void>>();
  /** Replacements on their way, by what they replace; `undefined` for all. */
  readonly #replacing = new Map<I | undefined, Promise<void>>();
  /** From outside. */
  #ceiling: number;
  #allowed: number;
  #closed: CoremlxError | undefined;

  constructor(options: ModelPoolOptions<I>) {
    this.#options = options;
    this.#journal = new PoolJournal(options);
    this.#generation = this.#openGeneration(options);
    this.#ceiling = options.maximum;
    this.#allowed = Math.min(options.maximum, options.search?.size ?? options.maximum);
    const retirement = {
      idleMs: options.idleMs,
      // What the owner loaded the others use; and loading all anew costs more than one that waits.
      mayRetire: (instance: I) => instance !== this.#generation.owner && this.#alive.size > 1,
      onRetire: (instance: I) => this.#retire(instance),
    };
    this.#idle = new IdleInstances(retirement);
    this.#parked = new IdleInstances(retirement);
    this.#queue = new WaitQueue({
      limit: options.queueLimit,
      timeoutMs: options.queueTimeoutMs ?? Number.POSITIVE_INFINITY,
      onLeave: () => {
        this.#seat?.notify();
        this.#fillAhead();
      },
    });
    this.#ahead = new AheadCalls(this.#queue);
    this.#seat = options.join?.(this.#contender());
    this.#admit(options.first);
    this.#idle.push(options.first);
  }

  /** Those in service. */
  get instances(): Iterable<I> {
    return this.#alive;
  }

  /** Some are on their way out: replacements come, or what was loaded before is still in use. */
  get isReplacing(): boolean {
    return this.#replacing.size > 0 || this.#older.size > 0;
  }

  get stats(): ModelPoolStats {
    const { waiting, highWater, refused, timedOut } = this.#queue.stats;
    return {
      maximum: this.#options.maximum,
      queueLimit: this.#options.queueLimit,
      allowed: this.#allowed,
      instances: this.#alive.size,
      busy: this.#inService - this.#idle.size - this.#draining.size,
      idle: this.#idle.size,
      parked: this.#parked.size,
      draining: this.#draining.size,
      waiting,
      waitingHighWater: highWater,
      ...this.#journal.stats,
      abandonedThreads: this.#hung.size,
      refused,
      timedOut,
      ...(this.#seat && { seat: this.#seat.stats }),
      ...(this.#options.search && { search: this.#options.search.stats }),
    };
  }

  /**
   * Waits while all instances are busy, or the resources a call takes. Throws OVERLOADED when too many wait already or
   * the wait is too long, UNAVAILABLE after closing or when too many threads hang, INTERRUPTED by the signal.
   */
  acquire(options: AcquireOptions<I> = {}): Promise<InstanceLease<I>> {
    const { signal, priority = 0 } = options;
    if (this.#closed) return Promise.reject(this.#closed);
    if (signal?.aborted) return Promise.reject(interrupted());
    if (options.isFresh && this.#replacing.size > 0) {
      return Promise.all(this.#replacing.values()).then(() => this.acquire({ signal, priority }));
    }
    const ready = this.acquireIdle();
    if (ready) return Promise.resolve(ready);
    if (this.#alive.size === 0 && this.#isExhausted) return Promise.reject(this.#exhausted());
    const promise = this.#queue.wait({ signal, priority, detail: options.prepare });
    this.#grow();
    this.#seat?.notify();
    this.#fillAhead();
    return promise;
  }

  /** An instance that nobody uses, if there is one and nobody else's turn comes first: for callers who would rather not wait for a promise. */
  acquireIdle(): InstanceLease<I> | undefined {
    return this.#seat === undefined ? this.#lendIdle() : this.#lendInTurn(this.#seat);
  }

  /**
   * Puts a fresh instance in the place of one that still works. Where instances share what one of them loaded, memory
   * comes back only when all of them go: then the model is loaded once more, and all are replaced.
   */
  recycle(instance: I, reason: RecycleReason): void {
    if (!this.#alive.has(instance)) return;
    if (this.#generation.owner !== undefined) this.recycleAll(reason);
    else this.#startReplacing(instance, () => this.#replace(instance, reason));
  }

  /** The same for all of them. */
  recycleAll(reason: RecycleReason): void {
    const { reload } = this.#options;
    if (this.#generation.owner === undefined) {
      for (const instance of this.#alive) this.recycle(instance, reason);
    } else if (reload && !this.#isExhausted) {
      this.#startReplacing(undefined, () => this.#renew(reload, reason));
    }
  }

  /** Lets at most so many be in use from now on, at least one; those that are too many stop when they come back. */
  limitTo(ceiling: number): void {
    this.#ceiling = Math.max(ceiling, 1);
    this.#adjust();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = new CoremlxError("UNAVAILABLE", "The model is closed", { details: { stage: "closing" } });
    this.#restarts[Symbol.dispose]();
    this.#queue.turnAway(this.#closed);
    this.#seat?.leave();
    this.#alive.clear();
    this.#idle.clear();
    this.#parked.clear();
    await Promise.all([...this.#making, ...this.#replacing.values()]);
    await Promise.all([this.#generation, ...this.#older].map((generation) => generation.close(this.#hung)));
  }

  #openGeneration(source: InstanceSource<I>): Generation<I> {
    const generation: Generation<I> = new Generation(source, {
      isShared: this.#options.areIndependent !== true,
      onOver: () => this.#older.delete(generation),
    });
    return generation;
  }

  #admit(instance: I): void {
    this.#alive.add(instance);
    instance.onEnd = () => this.#noteEnd(instance);
  }

  #startReplacing(what: I | undefined, work: () => Promise<void>): void {
    if (this.#closed || this.#replacing.has(what) || this.#restarts.waitMs > 0) return;
    const replacing = work()
      .catch((error: unknown) => this.#noteFailedLoad(error))
      .finally(() => this.#replacing.delete(what));
    this.#replacing.set(what, replacing);
  }

  async #replace(instance: I, reason: RecycleReason): Promise<void> {
    const generation = this.#generation;
    if (generation.create === undefined) return;
    const fresh = await generation.make(generation.create);
    this.#restarts.loadSucceeded();
    this.#leave(instance, reason);
    // The one it is for may have broken meanwhile, and others may have come in its place.
    const hasRoom = this.#alive.size + this.#making.size < this.#options.maximum;
    if (this.#closed || !hasRoom) await generation.dismiss(fresh);
    else this.#welcome(fresh);
  }

  async #renew(reload: () => Promise<InstanceSource<I>>, reason: RecycleReason): Promise<void> {
    const source = await reload();
    this.#restarts.loadSucceeded();
    if (this.#closed) return source.first[Symbol.asyncDispose]();
    const old = this.#generation;
    const release = old.hold();
    this.#older.add(old);
    this.#generation = this.#openGeneration(source);
    this.#lentBefore = this.#journal.lent;
    for (const instance of this.#alive) this.#leave(instance, reason);
    this.#welcome(source.first);
    this.#grow();
    try {
      await this.#options.onReload?.(source.first);
    } finally {
      release();
    }
  }

  #welcome(fresh: I): void {
    this.#admit(fresh);
    this.#journal.made(fresh, this.#alive.size);
    this.#takeBack(fresh);
  }

  #leave(instance: I, reason: RecycleReason): void {
    if (!this.#alive.has(instance)) return;
    this.#journal.recycled(instance, reason);
    this.#putOut(instance);
  }

  #retire(instance: I): void {
    this.#journal.retired(instance, this.#options.idleMs);
    this.#putOut(instance);
  }

  /** Out of service in good order: now where it is idle, else when it comes back. */
  #putOut(instance: I): void {
    this.#alive.delete(instance);
    this.#draining.delete(instance);
    if (this.#idle.take(instance) || this.#parked.take(instance)) this.#dismiss(instance);
    else this.#leaving.add(instance);
    this.#unpark();
  }

  #dismiss(instance: I): void {
    const generation = [this.#generation, ...this.#older].find((each) => each.has(instance));
    void generation?.dismiss(instance);
  }

  get #inService(): number {
    return this.#alive.size - this.#parked.size;
  }

  /** Brings what is in use to what is allowed, as far as that is idle. */
  #adjust(): void {
    const { maximum, search } = this.#options;
    this.#allowed = Math.min(maximum, this.#ceiling, search?.size ?? maximum);
    while (this.#inService > this.#allowed) {
      const { oldest } = this.#idle;
      if (oldest === undefined || !this.#idle.take(oldest)) break;
      this.#parked.push(oldest);
    }
    for (let room = this.#allowed; room > 0; room--) this.#grow();
  }

  #unpark(): void {
    while (this.#inService < this.#allowed) {
      const parked = this.#parked.pop();
      if (parked === undefined) return;
      this.#takeBack(parked);
    }
  }

  #lendIdle(grant?: Grant): InstanceLease<I> | undefined {
    const ready = this.#idle.pop();
    return ready && this.#lend(ready, grant);
  }

  /** For a call that need not wait, also not for those of other models. */
  #lendInTurn(seat: Seat): InstanceLease<I> | undefined {
    if (this.#idle.size === 0 || this.#queue.size > 0) return undefined;
    const grant = seat.tryTake();
    return grant && this.#lendIdle(grant);
  }

  #contender(): Contender {
    const isWaiting = () => this.#queue.size > 0;
    const isReady = () => isWaiting() && this.#idle.size > 0;
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

  #lend(instance: I, grant?: Grant, prepared?: PreparedRun): InstanceLease<I> {
    this.#journal.lent++;
    instance.served++;
    this.#lent.add(instance);
    let isOver = false;
    const end = (then: () => void) => {
      if (isOver) return;
      isOver = true;
      then();
    };
    return {
      instance,
      prepared,
      abandon: (call, onOver) => end(() => this.#drain(instance, { call, onOver, grant })),
      [Symbol.dispose]: () =>
        end(() => {
          if (this.#options.search) this.#observe(this.#options.search);
          // The instance first: when the grant's end lets somebody have their turn, this model has an instance for it.
          this.#return(instance);
          grant?.end();
        }),
    };
  }

  /** Before an instance goes back: was all that is allowed in use? */
  #observe(search: InstanceSearch): void {
    const before = search.size;
    search.note(performance.now(), this.#inService === search.size && this.#idle.size === 0);
    if (search.size !== before) this.#adjust();
  }

  #return(instance: I): void {
    if (!instance.isEnded) this.#restarts.survived();
    this.#takeBack(instance);
  }

  #drain(instance: I, { call, onOver, grant }: Abandoned): void {
    this.#draining.add(instance);
    // What lies ready behind it goes elsewhere; where it has begun all the same, the end of this one is as good as here.
    if (this.#ahead.release(instance)) this.#fillAhead();
    grant?.giveUp();
    let isHung = false;
    const timer = setTimeout(() => {
      isHung = true;
      this.#draining.delete(instance);
      this.#giveUp(instance);
      if (instance.isKillable) grant?.end();
    }, this.#options.hangMs);
    const settle = (isSpent: boolean) => {
      clearTimeout(timer);
      onOver();
      if (!isHung) {
        this.#draining.delete(instance);
        if (isSpent) this.#replaceSpent(instance);
        else this.#takeBack(instance);
      } else if (!instance.isKillable) this.#welcomeBack(instance);
      grant?.end();
    };
    call.then(
      () => settle(false),
      (error: unknown) => settle(isSurfaceError(error)),
    );
  }

  /** Its engine gave a call up that still holds the model: it answers, and would refuse every further call. */
  #replaceSpent(instance: I): void {
    if (this.#generation.owner !== undefined || !this.#alive.has(instance)) return this.#takeBack(instance);
    this.#alive.delete(instance);
    this.#journal.poisoned(instance, this.#hung.size);
    this.#leaving.add(instance);
    this.#takeBack(instance);
    this.#grow();
  }

  #giveUp(instance: I): void {
    // One that is leaving has its replacement.
    const isReplaced = this.#leaving.delete(instance);
    this.#alive.delete(instance);
    this.#lent.delete(instance);
    if (instance.isKillable) {
      instance.abandon();
      this.#dismiss(instance);
    } else this.#hung.add(instance); // not terminated: its late completion must be heard, to release the call's memory
    if (!isReplaced) this.#journal.poisoned(instance, this.#hung.size);
    this.#unpark();
    if (!this.#isExhausted) return this.#grow();
    this.#options.onExhausted?.(`${this.#hung.size} threads hang`);
    this.#queue.turnAway(this.#exhausted());
  }

  /** A thread that was given up has come to an end after all. */
  #welcomeBack(instance: I): void {
    this.#hung.delete(instance);
    if (this.#closed || instance !== this.#generation.owner) {
      this.#leaving.add(instance);
      this.#takeBack(instance); // it may have gone on with a next run, before it was known that the last was over
      return this.#grow(); // there may be room for a thread again
    }
    // What it loaded is in use: it has to stay, and another goes in its place.
    this.#admit(instance);
    if (this.#alive.size > this.#options.maximum) {
      const surplus =
        this.#parked.oldest ?? this.#idle.oldest ?? [...this.#alive].find((other) => other !== instance);
      if (surplus) this.#retire(surplus);
    }
    this.#takeBack(instance);
  }

  /** Its process died while nobody used it; a busy one is seen to when it comes back. */
  #noteEnd(instance: I): void {
    if (this.#idle.take(instance) || this.#parked.take(instance)) this.#lose(instance);
  }

  #lose(instance: I): void {
    this.#alive.delete(instance);
    this.#restarts.crashed();
    this.#journal.crashed(instance, this.#hung.size);
    this.#dismiss(instance);
    this.#grow();
  }

  #takeBack(instance: I): void {
    this.#lent.delete(instance);
    if (this.#options.recycleAfter !== undefined && this.#alive.has(instance))
      this.#considerCount(instance, this.#options.recycleAfter);
    if (!this.#goOn(instance)) this.#lendOrRest(instance);
    this.#fillAhead();
  }

  #lendOrRest(instance: I): void {
    if (!this.#alive.has(instance)) {
      if (this.#leaving.delete(instance)) this.#dismiss(instance);
      return;
    }
    if (instance.isEnded) return this.#lose(instance);
    if (this.#inService > this.#allowed) return this.#parked.push(instance);
    const next = this.#seat === undefined ? this.#ahead.takeNext() : undefined;
    if (next) return next.resolve(this.#lend(instance));
    this.#idle.push(instance);
    this.#seat?.notify();
  }

  /** With the run that lies ready behind the last; one that is to go or to rest takes it up only where it has begun. */
  #goOn(instance: I): boolean {
    const isWanted = this.#alive.has(instance) && !instance.isEnded && this.#inService <= this.#allowed;
    if (!isWanted) this.#ahead.release(instance);
    const next = this.#ahead.claim(instance);
    if (next === undefined) return false;
    if (next.kind === "ending") {
      this.#drain(instance, { call: next.run, onOver: () => {}, grant: undefined });
      return true;
    }
    next.call.resolve(this.#lend(instance, undefined, next.run));
    this.#ahead.recall(this.#lent.size);
    return true;
  }

  /**
   * While all are busy and no more are on their way, the calls that wait lie ready behind those that were lent first. At any
   * time, who lies ready comes before who waits for anybody.
   */
  #fillAhead(): void {
    if (this.#seat !== undefined || this.#closed) return;
    // Ends: each time a call has given way to one that comes before it.
    for (;;) {
      const instance = this.#ahead.yieldToNext(this.#lent);
      if (instance === undefined) break;
      if (this.#hasRoomAhead(instance)) this.#ahead.stage(instance);
    }
    if (this.#idle.size > 0 || this.#making.size > 0 || this.#inService !== this.#allowed) return;
    for (const instance of this.#lent) {
      if (this.#queue.size === 0) return;
      if (this.#hasRoomAhead(instance) && !this.#ahead.stage(instance)) return;
    }
  }

  #hasRoomAhead(instance: I): boolean {
    const isStaying = this.#alive.has(instance) && !this.#draining.has(instance);
    return isStaying && instance.mayRunAhead === true && !this.#ahead.has(instance);
  }

  #considerCount(instance: I, limit: number): void {
    const isShared = this.#generation.owner !== undefined;
    const served = isShared ? this.#journal.lent - this.#lentBefore : instance.served;
    if (served >= limit) this.recycle(instance, "count");
  }

  /** One more instance, where callers wait or none is left, and there is room; a parked one first. */
  #grow(): void {
    const { reload } = this.#options;
    this.#unpark();
    if (this.#isExhausted) return; // one more thread might hang as well
    const wanted = Math.max(this.#queue.waiting - this.#idle.size, this.#alive.size === 0 ? 1 : 0);
    if (this.#closed || wanted <= this.#making.size || this.#alive.size + this.#making.size >= this.#allowed)
      return;
    const generation = this.#generation;
    if (this.#restarts.waitMs > 0) this.#restarts.later(() => this.#grow());
    else if (generation.create !== undefined) {
      const made = this.#make(generation, generation.create).finally(() => this.#making.delete(made));
      this.#making.add(made);
    } else if (reload && this.#alive.size === 0) {
      this.#startReplacing(undefined, () => this.#renew(reload, "other"));
    }
  }

  async #make(generation: Generation<I>, create: () => Promise<I>): Promise<void> {
    try {
      const instance = await generation.make(create);
      this.#restarts.loadSucceeded();
      if (this.#closed || generation !== this.#generation) await generation.dismiss(instance);
      else this.#welcome(instance);
    } catch (error) {
      this.#noteFailedLoad(error);
    }
  }

  #noteFailedLoad(error: unknown): void {
    if (this.#closed) return;
    this.#restarts.loadFailed();
    const { failures, waitMs } = this.#restarts;
    this.#journal.notMade(error, { failures, retryAfterMs: Math.ceil(waitMs) });
    if (this.#alive.size === 0) this.#queue.turnAway(error);
  }

  get #isExhausted(): boolean {
    return this.#hung.size > this.#options.maxAbandoned;
  }

  #exhausted(): CoremlxError {
    return new CoremlxError(
      "UNAVAILABLE",
      `Cannot predict: ${this.#hung.size} threads of this model hang, more than ${this.#options.maxAbandoned}`,
      { hint: "Start again; --isolation process survives hangs and crashes" },
    );
  }
}
