// Which model's waiting call goes next when the models of a session share named resources, as in Triton's rate limiter.

import { silent, type Telemetry } from "../../core/telemetry.ts";
import { longestTimerMs } from "./deadline.ts";
import { FairShare } from "./fair-share.ts";
import { add, type Claim, fits, type ResourceLedger, type ResourceStats } from "./resources.ts";

export interface ResourceSchedulerOptions {
  readonly ledger: ResourceLedger;
  /** How long the units of a call that was given up stay away, unless it ends before. */
  readonly hungHoldMs: number;
  readonly telemetry?: Telemetry | undefined;
  /** Monotonic clock in milliseconds; default: performance.now. */
  readonly now?: (() => number) | undefined;
}

/** What competes: the pool of one model. */
export interface Contender {
  /** Calls of it wait. */
  readonly isWaiting: boolean;
  /** And an instance is free for one of them. */
  readonly isReady: boolean;
  /** Runs the next of them. It owns the grant. */
  serve(grant: Grant): void;
}

/** The units one running call holds. */
export interface Grant {
  /** They are free again. May be called twice. */
  end(): void;
  /** Nobody waits for the call any more, which may still occupy the device: its units come back when it ends, or after a time. */
  giveUp(): void;
}

export interface SeatStats {
  readonly weight: number;
  readonly resources: Readonly<Record<string, number>>;
  /** Calls that got what they take. */
  readonly granted: number;
  /** How long its calls have held it, together. */
  readonly heldMs: number;
}

/** One model's place among the others. */
export interface Seat {
  readonly stats: SeatStats;
  /** For one call that need not wait: nobody's turn comes first, or what is left after theirs is enough. */
  tryTake(): Grant | undefined;
  /** Something changed: a call waits or left, an instance is free. */
  notify(): void;
  /** Waits for nothing more. Grants stay until they end. */
  leave(): void;
}

/**
 * Invariant: nobody who is ready, fits and is next has to wait. Turns go by the shares' virtual time. Whoever is next for
 * all it takes has that put aside as it becomes free, and the others take what is left: a call that takes much is not
 * starved by many that take little. Nothing is put aside for one that others come before, nor for what only a hung call
 * could give back.
 */
export class ResourceScheduler implements Disposable {
  readonly #options: ResourceSchedulerOptions;
  readonly #ledger: ResourceLedger;
  readonly #telemetry: Telemetry;
  readonly #now: () => number;
  readonly #seats = new Set<SeatState>();
  readonly #holds = new Set<Timer>();
  #turns = 0;

  constructor(options: ResourceSchedulerOptions) {
    this.#options = options;
    this.#ledger = options.ledger;
    this.#telemetry = options.telemetry ?? silent;
    this.#now = options.now ?? (() => performance.now());
  }

  get stats(): Readonly<Record<string, ResourceStats>> {
    return this.#ledger.stats;
  }

  join(claim: Claim, contender: Contender): Seat {
    const share = new FairShare(claim);
    const seat: SeatState = {
      claim,
      contender,
      share,

      virtualMs: 0,
      lastTurn: 0,
      granted: 0,
    };
    this.#seats.add(seat);
    const resources = Object.fromEntries(
      this.#ledger.names.flatMap((name, at): [string, number][] => {
        const units = claim.demand[at] ?? 0;
        return units === 0 ? [] : [[name, units]];
      }),
    );
    return {
      get stats() {
        return { weight: claim.weight, resources, granted: seat.granted, heldMs: share.heldMs };
      },
      tryTake: () => this.#tryTake(seat),
      notify: () => this.#serveAll(),
      leave: () => {
        this.#seats.delete(seat);
        this.#serveAll();
      },
    };
  }

  [Symbol.dispose](): void {
    for (const timer of this.#holds) clearTimeout(timer);
    this.#holds.clear();
  }

  #tryTake(seat: SeatState): Grant | undefined {
    return this.#next(seat) === seat ? this.#grant(seat) : undefined;
  }

  #serveAll(): void {
    for (let seat = this.#next(); seat !== undefined; seat = this.#next()) {
      seat.contender.serve(this.#grant(seat));
    }
  }

  /** Whose call can run now: of those that are ready, and of `asking`, which stands for a call that does not wait yet. */
  #next(asking?: SeatState): SeatState | undefined {
    const queued = [...this.#seats].filter((seat) => seat === asking || isQueued(seat));
    if (queued.length === 0) return undefined;
    const nowMs = this.#now();
    this.#measure(nowMs);
    for (const seat of queued) {
      const floorMs = this.#floorOf(seat);
      if (floorMs !== undefined) seat.share.keepNear(floorMs);
      seat.virtualMs = seat.share.at(nowMs);
    }
    queued.sort((a, b) => a.virtualMs - b.virtualMs || a.lastTurn - b.lastTurn);
    const { free, inReach } = this.#ledger;
    for (const seat of queued) {
      const { demand } = seat.claim;
      const isReady = seat === asking || seat.contender.isReady;
      if (isReady && fits(demand, free)) return seat;
      if (!fits(demand, inReach)) continue;
      add(inReach, demand, -1);
      if (isReady) add(free, demand, -1);
    }
    return undefined;
  }

  #measure(nowMs: number): void {
    for (const seat of this.#seats) seat.virtualMs = seat.share.at(nowMs);
  }

  /** The least time among those under way or waiting that want something it wants; `undefined` when there are none. */
  #floorOf(seat: SeatState): number | undefined {
    let floorMs: number | undefined;
    for (const other of this.#seats) {
      const isActive = other.share.running > 0 || other.contender.isWaiting;
      if (other === seat || !isActive || !compete(seat.claim, other.claim)) continue;
      floorMs = Math.min(floorMs ?? Number.POSITIVE_INFINITY, other.virtualMs);
    }
    return floorMs;
  }

  #grant(seat: SeatState): Grant {
    const { claim, share } = seat;
    const startedMs = this.#now();
    seat.lastTurn = ++this.#turns;
    seat.granted++;
    share.start(startedMs);
    this.#ledger.take(claim.demand);
    let state: "running" | "hung" | "over" = "running";
    let hold: Timer | undefined;
    const recover = (isKnownOver: boolean) => {
      state = "over";
      clearTimeout(hold);
      if (hold) this.#holds.delete(hold);
      this.#ledger.recover(claim.demand, { isKnownOver });
      this.#serveAll();
    };
    const stop = () => share.end(startedMs, this.#now());
    return {
      end: () => {
        if (state === "hung") return recover(true);
        if (state === "over") return;
        state = "over";
        stop();
        this.#ledger.giveBack(claim.demand);
        this.#serveAll();
      },
      giveUp: () => {
        if (state !== "running") return;
        state = "hung";
        stop(); // what it goes on for is not its model's doing
        this.#ledger.hang(claim.demand);
        hold = setTimeout(
          () => {
            const { hungHoldMs: afterMs } = this.#options;
            this.#telemetry.log("warn", "resources lent again", { model: claim.model, afterMs });
            recover(false);
          },
          Math.min(this.#options.hungHoldMs, longestTimerMs),
        );
        hold.unref();
        this.#holds.add(hold);
        this.#serveAll();
      },
    };
  }
}

interface SeatState {
  readonly claim: Claim;
  readonly contender: Contender;
  readonly share: FairShare;
  /** Of the share, as of the last look. */
  virtualMs: number;
  /** Among equals, whoever has not had a turn for longest goes first. */
  lastTurn: number;
  granted: number;
}

/** It competes for the next turn: now, or once one of its instances comes back. */
function isQueued({ contender, share }: SeatState): boolean {
  return contender.isReady || (contender.isWaiting && share.running > 0);
}

function compete(a: Claim, b: Claim): boolean {
  return a.demand.some((units, at) => units > 0 && (b.demand[at] ?? 0) > 0);
}
