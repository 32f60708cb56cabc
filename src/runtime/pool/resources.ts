// The named resources of a session, in whole units ("ane": 1, "cpu": 2), and what one prediction of a model takes of them.

import { CoremlxError } from "../../core/errors.ts";
import { suggest } from "../../core/suggest.ts";

/** Units by name. */
export type ResourceCounts = Readonly<Record<string, number>>;

export interface ResourceStats {
  readonly total: number;
  /** Lent to predictions that run. */
  readonly inUse: number;
  /** Held by calls that were given up and may still occupy the device. */
  readonly hung: number;
  /** Times that units of such a call were counted as free again before its end was known. */
  readonly writtenOff: number;
}

/** What one prediction takes, and how a model competes for it. */
export interface Claim {
  readonly model: string;
  /** Units of each resource, in the ledger's order. */
  readonly demand: readonly number[];
  /** The greatest part of any resource that one prediction takes, 0 to 1. */
  readonly share: number;
  readonly weight: number;
  /** Predictions there can be at once. */
  readonly mostAtOnce: number;
}

export interface ClaimOptions {
  readonly model: string;
  readonly resources?: ResourceCounts | undefined;
  readonly weight?: number | undefined;
  /** The most instances it may have. */
  readonly instances: number;
}

export const resourceLimits = { resources: 32, nameLength: 64, units: 1_000_000, weight: 1_000 } as const;

/** One unit of it is taken by every prediction of a serial session. */
const serialName = "serial";

/** How many units there are, are free and are stuck. Invariant: 0 <= free + hung <= total, for each resource. */
export class ResourceLedger {
  readonly names: readonly string[];
  readonly #isSerial: boolean;
  readonly #total: readonly number[];
  readonly #free: number[];
  readonly #hung: number[];
  readonly #writtenOff: number[];

  /** Throws USAGE for a name or number that cannot be. */
  constructor(resources: ResourceCounts, options: { readonly isSerial: boolean }) {
    const entries = Object.entries(resources);
    if (entries.length > resourceLimits.resources) {
      throw usage(`${entries.length} resources are more than ${resourceLimits.resources}`);
    }
    for (const [name, count] of entries) checkResource(name, count);
    const all = options.isSerial ? [...entries, [serialName, 1] as const] : entries;
    this.#isSerial = options.isSerial;
    this.names = all.map(([name]) => name);
    this.#total = all.map(([, count]) => count);
    this.#free = [...this.#total];
    this.#hung = this.#total.map(() => 0);
    this.#writtenOff = this.#total.map(() => 0);
  }

  get stats(): Readonly<Record<string, ResourceStats>> {
    return Object.fromEntries(
      this.names.map((name, at): [string, ResourceStats] => {
        const [total = 0, free = 0, hung = 0] = [this.#total[at], this.#free[at], this.#hung[at]];
        return [name, { total, inUse: total - free - hung, hung, writtenOff: this.#writtenOff[at] ?? 0 }];
      }),
    );
  }

  /** What a model takes; `undefined` for one that takes nothing. Throws USAGE for what the session does not have. */
  claim({ model, resources = {}, weight = 1, instances }: ClaimOptions): Claim | undefined {
    checkWeight(model, weight);
    for (const [name, count] of Object.entries(resources)) this.#checkDemand(model, name, count);
    const demand = this.names.map((name) => {
      return name === serialName && this.#isSerial ? 1 : (ownNumber(resources, name) ?? 0);
    });
    if (demand.every((units) => units === 0)) return undefined;
    const share = Math.max(...demand.map((units, at) => units / (this.#total[at] ?? 1)));
    const fitting = demand.map((units, at) => Math.floor((this.#total[at] ?? 0) / units)); // Infinity where it takes none
    return { model, demand, share, weight, mostAtOnce: Math.min(instances, ...fitting) };
  }

  /** A copy, to try things on. */
  get free(): number[] {
    return [...this.#free];
  }

  /** What would be free, were nothing in use but by hung calls. */
  get inReach(): number[] {
    return this.#total.map((total, at) => total - (this.#hung[at] ?? 0));
  }

  take(demand: readonly number[]): void {
    add(this.#free, demand, -1);
  }

  giveBack(demand: readonly number[]): void {
    add(this.#free, demand, 1);
  }

  /** From in use to hung. */
  hang(demand: readonly number[]): void {
    add(this.#hung, demand, 1);
  }

  /** From hung to free. */
  recover(demand: readonly number[], { isKnownOver }: { readonly isKnownOver: boolean }): void {
    add(this.#hung, demand, -1);
    add(this.#free, demand, 1);
    if (isKnownOver) return;
    demand.forEach((units, at) => {
      if (units > 0) this.#writtenOff[at] = (this.#writtenOff[at] ?? 0) + 1;
    });
  }

  #checkDemand(model: string, name: string, count: number): void {
    const at = this.names.indexOf(name);
    if (at < 0 || (name === serialName && this.#isSerial)) {
      const known = this.names.filter((known_) => known_ !== serialName || !this.#isSerial);
      throw new CoremlxError("USAGE", `Cannot load "${model}": the session has no resource "${name}"`, {
        hint: suggest(name, known, "Its resources are"),
        details: { model, name, resources: known },
      });
    }
    const total = this.#total[at] ?? 0;
    if (Number.isInteger(count) && count >= 0 && count <= total) return;
    const reason =
      count > total ? `of which the session has ${total}` : "which must be a whole number of at least 0";
    throw new CoremlxError("USAGE", `Cannot load "${model}": it takes ${count} of "${name}", ${reason}`, {
      hint: `Ask for at most ${total}, or give the session more`,
      details: { model, name, asked: count, total },
    });
  }
}

/** Whether `free` holds it. */
export function fits(demand: readonly number[], free: readonly number[]): boolean {
  return demand.every((units, at) => units === 0 || units <= (free[at] ?? 0));
}

/** Adds `demand` times `sign`. */
export function add(counts: number[], demand: readonly number[], sign: 1 | -1): void {
  demand.forEach((units, at) => {
    counts[at] = (counts[at] ?? 0) + sign * units;
  });
}

function checkResource(name: string, count: number): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) || name.length > resourceLimits.nameLength) {
    throw usage(`"${name.slice(0, resourceLimits.nameLength)}" is no name of a resource`, {
      hint: `Use up to ${resourceLimits.nameLength} letters, digits, dots, dashes and underscores`,
    });
  }
  if (name === serialName) throw usage(`the resource "${serialName}" is the session's own`);
  if (Number.isInteger(count) && count >= 1 && count <= resourceLimits.units) return;
  throw usage(
    `resource "${name}" must be a whole number of 1 to ${resourceLimits.units} units, got ${count}`,
  );
}

function checkWeight(model: string, weight: number): void {
  const least = 1 / resourceLimits.weight;
  if (weight >= least && weight <= resourceLimits.weight) return;
  throw new CoremlxError(
    "USAGE",
    `Cannot load "${model}": its weight must be a number of ${least} to ${resourceLimits.weight}, got ${weight}`,
  );
}

function usage(reason: string, options: { readonly hint?: string } = {}): CoremlxError {
  return new CoremlxError("USAGE", `Cannot open a session: ${reason}`, options);
}

function ownNumber(counts: ResourceCounts, name: string): number | undefined {
  return Object.hasOwn(counts, name) ? counts[name] : undefined;
}
