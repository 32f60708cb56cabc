// Models that compete in a scheduler, in simulated time: each call holds its grant for as long as its model says.

import {
  type Contender,
  type Grant,
  ResourceScheduler,
  type Seat,
} from "../../../src/runtime/pool/resource-scheduler.ts";
import { type ResourceCounts, ResourceLedger } from "../../../src/runtime/pool/resources.ts";

export interface SimulatedModel {
  readonly name: string;
  readonly takes: ResourceCounts;
  readonly weight?: number;
  readonly instances?: number;
  /** Of one call. */
  readonly callMs: number | (() => number);
  /** Calls that wait whatever happens; default: always some. */
  readonly isBacklogged?: boolean;
}

export interface Track {
  readonly seat: Seat;
  served: number;
  heldMs: number;
  /** Most time between two turns while calls waited. */
  longestWaitMs: number;
}

interface Event {
  readonly atMs: number;
  readonly order: number;
  happen(): void;
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs === b.atMs ? a.order < b.order : a.atMs < b.atMs;
}

/** Time passes only in `run`. */
export class ScheduledLoad {
  readonly scheduler: ResourceScheduler;
  readonly #ledger: ResourceLedger;
  readonly #events: Event[] = [];
  #nowMs = 1_000;
  #order = 0;

  constructor(resources: ResourceCounts) {
    this.#ledger = new ResourceLedger(resources, { isSerial: false });
    this.scheduler = new ResourceScheduler({
      ledger: this.#ledger,
      hungHoldMs: 60_000,
      now: () => this.#nowMs,
    });
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  add(model: SimulatedModel): Track & { pending: number } {
    const { name, takes, weight, instances = 1, callMs, isBacklogged = true } = model;
    let idle = instances;
    let turnMs = this.#nowMs;
    const track = { pending: 0, served: 0, heldMs: 0, longestWaitMs: 0 };
    const serve = (grant: Grant) => {
      idle--;
      if (!isBacklogged) track.pending--;
      track.served++;
      track.longestWaitMs = Math.max(track.longestWaitMs, this.#nowMs - turnMs);
      turnMs = this.#nowMs;
      const lengthMs = typeof callMs === "number" ? callMs : callMs();
      this.at(this.#nowMs + lengthMs, () => {
        idle++;
        track.heldMs += lengthMs;
        grant.end();
      });
    };
    const contender: Contender = {
      get isWaiting() {
        return isBacklogged || track.pending > 0;
      },
      get isReady() {
        return idle > 0 && (isBacklogged || track.pending > 0);
      },
      serve,
    };
    const claim = this.#ledger.claim({ model: name, resources: takes, weight, instances });
    if (claim === undefined) throw new Error(`${name} takes nothing`);
    return Object.assign(track, { seat: this.scheduler.join(claim, contender) });
  }

  at(atMs: number, happen: () => void): void {
    this.#events.push({ atMs, order: this.#order++, happen });
  }

  /** Lets so much time pass. */
  run(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#events.reduce<Event | undefined>(
        (first, event) => (first === undefined || isBefore(event, first) ? event : first),
        undefined,
      );
      if (next === undefined || next.atMs > endMs) break;
      this.#events.splice(this.#events.indexOf(next), 1);
      this.#nowMs = next.atMs;
      next.happen();
    }
    this.#nowMs = endMs;
  }
}
