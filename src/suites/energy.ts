// Energy that the processors took, where the kernel tells it: RAPL's counters under /sys/class/powercap (for root only, on most
// systems). They are of whole packages, whoever computes on them.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface EnergyMeter {
  /** Where its figures come from: "RAPL, 2 packages". */
  readonly source: string;
  /** Since the meter was opened. To be called more often than the counters run over: minutes, under full load. `undefined`: no longer known. */
  readJoules(): number | undefined;
}

interface Zone {
  readonly file: string;
  readonly rangeMicrojoules: number;
  last: number;
}

const powercap = "/sys/class/powercap";

/** `undefined`: nobody tells. */
export function openEnergyMeter(root = powercap): EnergyMeter | undefined {
  const zones = findZones(root);
  if (zones.length === 0) return undefined;
  let total = 0;
  let isBroken = false;
  return {
    source: `RAPL, ${zones.length} ${zones.length === 1 ? "package" : "packages"}`,
    readJoules() {
      for (const zone of zones) {
        const now = readNumber(zone.file);
        if (now === undefined) isBroken = true;
        else {
          // A counter begins again at 0 beyond its range.
          total += now >= zone.last ? now - zone.last : now + zone.rangeMicrojoules - zone.last;
          zone.last = now;
        }
      }
      return isBroken ? undefined : total / 1e6;
    },
  };
}

/** Packages only: what they consist of (cores, memory controllers) is in them. All of them, or none. */
function findZones(root: string): Zone[] {
  try {
    const names = readdirSync(root).filter((name) => /^[a-z-]*rapl:\d+$/.test(name));
    return names
      .filter((name) => readFileSync(join(root, name, "name"), "utf8").startsWith("package"))
      .map((name) => {
        const file = join(root, name, "energy_uj");
        const last = readNumber(file);
        const rangeMicrojoules = readNumber(join(root, name, "max_energy_range_uj"));
        if (last === undefined || rangeMicrojoules === undefined) throw new Error(`${name} cannot be read`);
        return { file, rangeMicrojoules, last };
      });
  } catch {
    return []; // no such folder, or not for us: not measured
  }
}

function readNumber(file: string): number | undefined {
  try {
    const value = Number(readFileSync(file, "utf8").trim());
    return Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
