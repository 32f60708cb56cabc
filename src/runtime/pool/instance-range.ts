// How many instances of one model a machine is good for, before anything is measured.

import { CoremlxError } from "../../core/errors.ts";
import { isVirtualBrand, parseChip, type PoolDefaults, poolDefaultsOf } from "../../engines/device/chips.ts";

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
export function rangeFor({ platform, cpu, cores }: Machine): PoolDefaults {
  if (platform !== "darwin") {
    const count = Math.min(Math.max(cores, 1), mostOnCores);
    return { usual: count, most: count };
  }
  const chip = parseChip(cpu);
  // "Apple M1 (Virtual)" has no Neural Engine.
  if (chip === undefined || isVirtualBrand(cpu)) return { usual: 1, most: 1 };
  return poolDefaultsOf(chip);
}
