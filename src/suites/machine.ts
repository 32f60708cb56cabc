// The machine under a measurement: what it is, and what its processors and memory did meanwhile.

import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from "node:os";
import { commit, version } from "../core/version.ts";
import { describeHost, readHostCondition } from "../engines/device.ts";
import { type EnergyMeter, openEnergyMeter } from "./energy.ts";
import { type DeviceResult, deviceOf } from "./device-schema.ts";

export interface Environment {
  readonly tool: { readonly version: string; readonly commit: string | null; readonly bun: string };
  readonly os: { readonly platform: string; readonly kernel: string; readonly arch: string };
  readonly cpu: { readonly model: string; readonly cores: number };
  readonly memoryBytes: number;
  /** Programs that ran or wanted to, on average over the minute before the measurement. */
  readonly loadAverage: number;
  readonly device: DeviceResult;
}

export function describeEnvironment(): Environment {
  return {
    tool: { version, commit: commit ?? null, bun: Bun.version },
    os: { platform: platform(), kernel: release(), arch: arch() },
    cpu: { model: cpus()[0]?.model.trim() ?? "unknown", cores: availableParallelism() },
    memoryBytes: totalmem(),
    loadAverage: loadavg()[0] ?? 0,
    device: deviceOf(describeHost(), readHostCondition()),
  };
}

/** Readings of this process and of the machine. Tests bring their own. */
export interface Probe {
  /** Resident memory of this process. */
  rssBytes(): number;
  /** Time this process has had a processor, all its threads together. */
  cpuMs(): { readonly userMs: number; readonly systemMs: number };
  /** Time all processors of the machine have been busy, whoever had them. Counted in steps of some 10 ms. */
  machineBusyMs(): number;
  /** Begins to count energy; `undefined` where nobody tells. */
  openEnergyMeter?(): EnergyMeter | undefined;
}

export const systemProbe: Probe = {
  rssBytes: () => process.memoryUsage.rss(),
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return { userMs: user / 1_000, systemMs: system / 1_000 };
  },
  machineBusyMs() {
    return cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0);
  },
  openEnergyMeter: () => openEnergyMeter(),
};
