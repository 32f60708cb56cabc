// What happens to a pool's instances: counted, and told as events.

import { CoremlxError, messageOf } from "../../core/errors.ts";
import type { RecycleReason } from "../../core/meter-names.ts";
import { silent, type Telemetry } from "../../core/telemetry.ts";
import type { PoolMember } from "./pool-member.ts";

/** Broken ones are replaced, working ones recycled. */
const isBreakage: Readonly<Record<RecycleReason, boolean>> = {
  poisoned: true,
  crashed: true,
  memory: false,
  surface: false,
  count: false,
  breaker: false,
  other: false,
};

export interface JournalStats {
  readonly lent: number;
  readonly created: number;
  readonly replaced: number;
  readonly recycled: number;
  /** Both, by reason. */
  readonly byReason: Readonly<Partial<Record<RecycleReason, number>>>;
  readonly retired: number;
}

export class PoolJournal {
  lent = 0;
  readonly #model: string | undefined;
  readonly #telemetry: Telemetry;
  readonly #byReason: Partial<Record<RecycleReason, number>> = {};
  #created = 1;
  #replaced = 0;
  #recycled = 0;
  #retired = 0;

  constructor(options: { readonly model?: string | undefined; readonly telemetry?: Telemetry | undefined }) {
    this.#model = options.model;
    this.#telemetry = options.telemetry ?? silent;
  }

  get stats(): JournalStats {
    return {
      lent: this.lent,
      created: this.#created,
      replaced: this.#replaced,
      recycled: this.#recycled,
      byReason: { ...this.#byReason },
      retired: this.#retired,
    };
  }

  made({ pid }: PoolMember, instances: number): void {
    this.#created++;
    this.#telemetry.log("debug", "instance made", { model: this.#model, instances, pid });
  }

  notMade(error: unknown, again: { readonly failures: number; readonly retryAfterMs: number }): void {
    const reason = messageOf(error);
    const fields = { model: this.#model, reason, ...again, ...deathOf(error) };
    this.#telemetry.log("error", "instance not made", fields);
  }

  recycled({ pid }: PoolMember, reason: RecycleReason): void {
    this.#count(reason);
    this.#telemetry.log("info", "instance recycled", { model: this.#model, reason, pid });
  }

  poisoned({ pid }: PoolMember, abandonedThreads: number): void {
    this.#count("poisoned");
    const fields = { model: this.#model, reason: "poisoned", pid, abandonedThreads };
    this.#telemetry.log("error", "instance replaced", fields);
  }

  crashed({ pid, endedBy }: PoolMember, abandonedThreads: number): void {
    this.#count("crashed");
    const error = endedBy?.message;
    const fields = {
      model: this.#model,
      reason: "crashed",
      pid,
      error,
      ...deathOf(endedBy),
      abandonedThreads,
    };
    this.#telemetry.log("error", "instance replaced", fields);
  }

  retired({ pid }: PoolMember, idleMs: number): void {
    this.#retired++;
    this.#telemetry.log("debug", "instance retired", { model: this.#model, pid, idleMs });
  }

  #count(reason: RecycleReason): void {
    this.#byReason[reason] = (this.#byReason[reason] ?? 0) + 1;
    if (isBreakage[reason]) this.#replaced++;
    else this.#recycled++;
  }
}

/** What the error of a dead process says beside its message: worker/channel.ts. */
function deathOf(error: unknown) {
  const details = error instanceof CoremlxError ? (error.details ?? {}) : {};
  const { code, signal, output } = details;
  return {
    ...(typeof code === "number" ? { exitCode: code } : {}),
    ...(typeof signal === "string" ? { signal } : {}),
    ...(typeof output === "string" && output !== "" ? { output } : {}),
  };
}
