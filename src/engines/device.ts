// What this host offers to engines: its processor, its memory, its system.

import { readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";

export interface HostProfile {
  readonly platform: string;
  readonly kernel: string;
  readonly arch: string;
  /** "Debian GNU/Linux 12 (bookworm)" */
  readonly system: string | undefined;
  readonly cpu: string;
  readonly cores: number;
  /** Vector extensions that decide the kernels of ONNX Runtime. */
  readonly cpuFeatures: readonly string[];
  readonly memoryBytes: number;
  /** A guest of a hypervisor: its times say little about the hardware. */
  readonly isVirtual: boolean | undefined;
}

const vectorFeatures = [
  "avx",
  "avx2",
  "fma",
  "f16c",
  "avx512f",
  "avx512_vnni",
  "avx_vnni",
  "amx_int8",
  "asimd",
  "asimddp",
  "i8mm",
  "sve",
];

export function describeHost(): HostProfile {
  const cpuInfo = readText("/proc/cpuinfo");
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuInfo)?.[1]?.split(" "));
  const release_ = readText("/etc/os-release");
  return {
    platform: platform(),
    kernel: release(),
    arch: arch(),
    system: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(release_)?.[1],
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    cpuFeatures: vectorFeatures.filter((feature) => flags.has(feature)),
    memoryBytes: totalmem(),
    isVirtual: cpuInfo === "" ? undefined : flags.has("hypervisor"),
  };
}

/** Empty where there is no such file. */
function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // another system keeps its facts elsewhere
  }
}
