// How many instances of one model a machine is good for, before anything is measured.

import { CoremlxError } from "../../core/errors.ts";

export interface InstanceRange {
  /** Where nobody says. */
  readonly usual: number;
  /** Where a search for the best number ends. */
  readonly most: number;
}

/** "auto": found by measurement. */
export type InstanceCount = number | "auto";

/** What is asked of the host's profile. */
export interface Machine {
  readonly platform: string;
  readonly cpu: string;
  readonly cores: number;
}

const mostOnCores = 4;

/** More than any machine has cores. */
const mostAsked = 1_024;

/** The most there may be. Throws USAGE for a number that cannot be. */
export function mostInstances(asked: InstanceCount | undefined, machine: Machine): number {
  if (asked === undefined) return rangeFor(machine).usual;
  if (asked === "auto") return rangeFor(machine).most;
  if (Number.isInteger(asked) && asked >= 1 && asked <= mostAsked) return asked;
  throw new CoremlxError(
    "USAGE",
    `Cannot load a model with ${asked} instances: it must be a whole number of 1 to ${mostAsked}`,
  );
}

/** By chip on a Mac, by cores elsewhere. More predictions in flight than that are seldom more throughput. */
export function rangeFor({ platform, cpu, cores }: Machine): InstanceRange {
  if (platform !== "darwin") {
    const count = Math.min(Math.max(cores, 1), mostOnCores);
    return { usual: count, most: count };
  }
  // "Apple M4 Pro"; "Apple M1 (Virtual)" has no Neural Engine.
  const generation = /^Apple M(\d+)(?!.*Virtual)/.exec(cpu)?.[1];
  if (generation === undefined) return { usual: 1, most: 1 };
  return Number(generation) < 3 ? { usual: 2, most: 3 } : { usual: 3, most: 4 };
}
