// A Linux machine, described by what the kernel shows in /proc and /sys.

import type { CoreLevel, HostCondition, SystemFacts } from "./profile.ts";

/** The files of the kernel. Tests bring their own. */
export interface KernelFiles {
  /** "" where there is no such file. */
  readText(path: string): string;
  /** None where there is no such folder. */
  namesIn(path: string): readonly string[];
}

export const vectorFeatures = [
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

export function describeLinux(files: KernelFiles): SystemFacts {
  const processors = parseProcessors(files.readText("/proc/cpuinfo"));
  const flags = new Set((processors[0]?.get("flags") ?? processors[0]?.get("Features"))?.split(" "));
  const release = files.readText("/etc/os-release");
  const field = (name: string) => new RegExp(`^${name}="?([^"\\n]*)"?$`, "m").exec(release)?.[1];
  const memory = /^MemTotal:\s*(\d+) kB$/m.exec(files.readText("/proc/meminfo"))?.[1];
  return {
    system: field("PRETTY_NAME"),
    osVersion: field("VERSION_ID"),
    osBuild: field("BUILD_ID"),
    model: files.readText("/sys/class/dmi/id/product_name").trim() || undefined,
    cpu: processors[0]?.get("model name") ?? "unknown",
    chip: undefined,
    cpuCores: countCores(processors),
    coreLevels: levelsOf(files, processors),
    gpuCores: undefined,
    isNeuralEngineCapable: false,
    neuralEngineCores: undefined,
    isAneAvailable: false,
    thermalSensors: files
      .namesIn("/sys/class/thermal")
      .filter((name) => /^thermal_zone\d+$/.test(name))
      .map((name) => files.readText(`/sys/class/thermal/${name}/type`).trim())
      .filter((type) => type !== "")
      .toSorted(),
    cpuFeatures: vectorFeatures.filter((feature) => flags.has(feature)),
    memoryBytes: memory === undefined ? undefined : Number(memory) * 1_024,
    // Processors of other makers do not say.
    isVirtual: processors[0]?.has("flags") === true ? flags.has("hypervisor") : undefined,
  };
}

export function readLinuxCondition(files: KernelFiles): HostCondition {
  const profile = files.readText("/sys/firmware/acpi/platform_profile").trim();
  return {
    powerSource: powerSourceOf(files),
    isLowPowerMode: profile === "" ? undefined : profile === "low-power",
    thermalState: undefined, // each machine has limits of its own, and names for them
  };
}

type Processor = ReadonlyMap<string, string>;

function parseProcessors(text: string): readonly Processor[] {
  return text
    .split("\n\n")
    .map((block) => {
      const rows = [...block.matchAll(/^([^\t:]+?)\s*:[ \t]*(.*)$/gm)];
      return new Map(rows.map(([, name = "", value = ""]) => [name, value.trim()]));
    })
    .filter((processor) => processor.has("processor"));
}

/** Two processors of one core share its number. */
function countCores(processors: readonly Processor[]): number | undefined {
  if (!processors.every((processor) => processor.has("core id"))) return undefined;
  const cores = new Set(processors.map((one) => `${one.get("physical id")} ${one.get("core id")}`));
  return cores.size === 0 ? undefined : cores.size;
}

/** Of Intel's processors with two kinds of cores. */
function levelsOf(files: KernelFiles, processors: readonly Processor[]): readonly CoreLevel[] {
  const kinds = [
    ["Performance", "cpu_core"],
    ["Efficiency", "cpu_atom"],
  ] as const;
  const found = kinds.flatMap(([name, unit]): CoreLevel[] => {
    const numbers = parseList(files.readText(`/sys/devices/${unit}/cpus`));
    const cores = countCores(processors.filter((one) => numbers.has(Number(one.get("processor")))));
    return cores === undefined ? [] : [{ name, cores }];
  });
  return found.length > 1 ? found : [];
}

/** More than any kernel allows. */
const mostProcessors = 8_192;

/** "0-15,20" */
function parseList(text: string): ReadonlySet<number> {
  const numbers = new Set<number>();
  for (const [, from = "", to = from] of text.matchAll(/(\d+)(?:-(\d+))?/g)) {
    for (let i = Number(from); i <= Math.min(Number(to), mostProcessors); i++) numbers.add(i);
  }
  return numbers;
}

function powerSourceOf(files: KernelFiles): HostCondition["powerSource"] {
  const folder = "/sys/class/power_supply";
  const supplies = files.namesIn(folder).map((name) => ({
    type: files.readText(`${folder}/${name}/type`).trim(),
    isOnline: files.readText(`${folder}/${name}/online`).trim() === "1",
    status: files.readText(`${folder}/${name}/status`).trim(),
  }));
  if (supplies.some(({ type, isOnline }) => (type === "Mains" || type === "USB") && isOnline)) return "ac";
  if (supplies.some(({ type, status }) => type === "Battery" && status === "Discharging")) return "battery";
  return undefined;
}
