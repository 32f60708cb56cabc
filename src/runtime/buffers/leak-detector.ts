// Finds leases that were dropped without being returned.

import type { EventFields, Telemetry } from "../../core/telemetry.ts";
import type { Block, Loan } from "./block-pool.ts";

type LeakEvent = "buffer leaked" | "mapped output leaked";

interface Watched<B extends Block> {
  readonly loan: Loan<B>;
  readonly fields: EventFields<LeakEvent>;
}

export interface LeakDetectorOptions<B extends Block> {
  readonly telemetry: Telemetry;
  readonly event: LeakEvent;
  readonly onLeak: (block: B) => void;
}

/**
 * Never keeps a lease alive, but keeps its block, lent: views may outlive the lease, and nobody can tell. Closing
 * returns those blocks, which takes the views away.
 */
export class LeakDetector<B extends Block> {
  readonly #registry: FinalizationRegistry<Watched<B>>;
  readonly #leaked: Loan<B>[] = [];
  #isClosed = false;

  constructor(options: LeakDetectorOptions<B>) {
    this.#registry = new FinalizationRegistry(({ loan, fields }) => {
      if (loan.isOver) return;
      options.onLeak(loan.block);
      options.telemetry.log("warn", options.event, fields);
      if (this.#isClosed) loan.return();
      else this.#leaked.push(loan);
    });
  }

  watch(lease: object, loan: Loan<B>, fields: EventFields<LeakEvent>): void {
    this.#registry.register(lease, { loan, fields }, lease);
  }

  forget(lease: object): void {
    this.#registry.unregister(lease);
  }

  close(): void {
    this.#isClosed = true;
    for (const loan of this.#leaked) loan.return();
    this.#leaked.length = 0;
  }
}
