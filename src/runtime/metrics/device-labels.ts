// The machine, as the labels of coremlx_device_info.

import type { HostProfile } from "../../engines/device.ts";
import type { DeviceLabels } from "./metrics.ts";

export interface EngineFacts {
  /** "portable" */
  readonly engine?: string | undefined;
  /** Of coremlx. */
  readonly version?: string | undefined;
}

/** What is unknown stays out. */
export function deviceLabels(host: HostProfile, { engine, version }: EngineFacts = {}): DeviceLabels {
  return {
    chip: host.chip ?? host.cpu,
    os: host.system ?? `${host.platform} ${host.kernel}`,
    arch: host.arch,
    ...(engine !== undefined && { engine }),
    ...(version !== undefined && { version }),
  };
}
