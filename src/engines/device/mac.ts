// A Mac, described: by libcoremlx where it is there, else by what macOS's own programs print.

import type { ThermalState } from "../../core/thermal.ts";
import { factsOf, isVirtualBrand, nameChip, parseChip } from "./chips.ts";
import {
  countOf,
  parseLowPowerMode,
  parsePowerSource,
  parseSwVers,
  parseSysctl,
  parseSystemProfiler,
  type ProfilerFacts,
} from "./mac-text.ts";
import type { CoreLevel, HostCondition, SystemFacts } from "./profile.ts";

/** What is asked of libcoremlx; `Coreml` of native/ is one. */
export interface MacLibrary {
  /** The JSON of cmlx_device_describe. */
  describeDevice(): string;
  /** The value as the system stores it; `undefined` where there is no such name. Without this, the program sysctl is asked. */
  readSysctl?(name: string): Uint8Array | undefined;
}

export interface MacSource {
  readonly library?: MacLibrary | undefined;
  /** What a program prints; "" where it cannot be run. */
  readonly run: (words: readonly string[]) => string;
  /** What system_profiler found, which takes a quarter of a second: kept for as long as the machine runs this system. */
  readonly remember: (key: string, find: () => ProfilerFacts) => ProfilerFacts;
}

const textNames = [
  "kern.osproductversion",
  "kern.osversion",
  "kern.bootsessionuuid",
  "hw.product",
  "hw.model",
  "machdep.cpu.brand_string",
] as const;
const numberNames = ["hw.memsize", "hw.physicalcpu", "hw.nperflevels", "kern.hv_vmm_present"] as const;
/** Two up to the M5, three since. */
const mostLevels = 4;
const levels = Array.from({ length: mostLevels }, (_, level) => level);

export function describeMac(source: MacSource): SystemFacts {
  const told = readLibrary(source.library);
  const values = new Map([...sysctlsOf(told), ...readSysctls(source)]);
  const versions =
    values.has("kern.osproductversion") && values.has("kern.osversion")
      ? { osVersion: values.get("kern.osproductversion"), osBuild: values.get("kern.osversion") }
      : parseSwVers(source.run(["/usr/bin/sw_vers"]));
  const brand = values.get("machdep.cpu.brand_string");
  const toldGpuCores = countOf(told["gpuCores"]);
  const profiler =
    brand === undefined || toldGpuCores === undefined ? askProfiler(source, values) : undefined;
  const cpu = brand ?? profiler?.cpu ?? "unknown";
  const chip = parseChip(cpu);
  const isVirtual = virtualOf(values.get("kern.hv_vmm_present"), cpu);
  const isAneAvailable = booleanOf(told["aneAvailable"]);
  const isNeuralEngineCapable = chip !== undefined && isVirtual !== true;
  const { osVersion, osBuild } = versions;
  return {
    system: osVersion && `macOS ${osVersion}${osBuild === undefined ? "" : ` (${osBuild})`}`,
    osVersion,
    osBuild,
    model: values.get("hw.product") ?? values.get("hw.model") ?? profiler?.model,
    cpu,
    chip: chip && nameChip(chip),
    cpuCores: countOf(values.get("hw.physicalcpu")) ?? profiler?.cpuCores,
    coreLevels: levelsOf(values),
    gpuCores: toldGpuCores ?? profiler?.gpuCores,
    isNeuralEngineCapable: isAneAvailable ?? isNeuralEngineCapable,
    neuralEngineCores:
      engineCoresOf(told) ?? (isNeuralEngineCapable ? factsOf(chip)?.neuralEngine : undefined),
    isAneAvailable: isAneAvailable ?? (isVirtual === true ? false : undefined),
    thermalSensors: thermalOf(told) === undefined ? [] : ["macOS thermal state"],
    cpuFeatures: [],
    memoryBytes: Number(values.get("hw.memsize") ?? Number.NaN) || undefined,
    isVirtual,
  };
}

export function readMacCondition({ library, run }: Pick<MacSource, "library" | "run">): HostCondition {
  const told = readLibrary(library);
  return {
    powerSource: powerOf(told["powerSource"]) ?? parsePowerSource(run(["/usr/bin/pmset", "-g", "batt"])),
    isLowPowerMode: booleanOf(told["isLowPowerMode"]) ?? parseLowPowerMode(run(["/usr/bin/pmset", "-g"])),
    thermalState: thermalOf(told),
  };
}

function readSysctls({ library, run }: MacSource): ReadonlyMap<string, string> {
  const perLevel = (part: string) => levels.map((level) => `hw.perflevel${level}.${part}`);
  const texts = [...textNames, ...perLevel("name")];
  const numbers = [...numberNames, ...perLevel("physicalcpu")];
  const read = library?.readSysctl?.bind(library);
  if (read === undefined) {
    // -i: names that this system does not have are left out in silence.
    return parseSysctl(run(["/usr/sbin/sysctl", "-i", ...texts, ...numbers]));
  }
  const values = new Map<string, string>();
  for (const name of texts) {
    const bytes = read(name);
    if (bytes !== undefined) values.set(name, new TextDecoder().decode(bytes).replace(/\0.*$/s, ""));
  }
  for (const name of numbers) {
    const value = numberOf(read(name));
    if (value !== undefined) values.set(name, String(value));
  }
  return values;
}

/** Little endian, of 4 or 8 bytes. */
function numberOf(bytes: Uint8Array | undefined): number | undefined {
  if (bytes === undefined || (bytes.length !== 4 && bytes.length !== 8)) return undefined;
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}

/** Level 0 is the fastest. Before macOS 13 they have no names, and there were two. */
function levelsOf(values: ReadonlyMap<string, string>): readonly CoreLevel[] {
  const unnamed = ["Performance", "Efficiency"];
  const found = levels.flatMap((level): CoreLevel[] => {
    const cores = countOf(values.get(`hw.perflevel${level}.physicalcpu`));
    const name = values.get(`hw.perflevel${level}.name`) ?? unnamed[level];
    return cores === undefined || name === undefined ? [] : [{ name, cores }];
  });
  return found.length > 1 ? found : []; // a single one says nothing
}

/** Once for each start of the machine and system: hardware does not change meanwhile. */
function askProfiler(source: MacSource, values: ReadonlyMap<string, string>): ProfilerFacts {
  const key = `${values.get("kern.bootsessionuuid") ?? ""} ${values.get("kern.osversion") ?? ""}`;
  const types = ["SPHardwareDataType", "SPDisplaysDataType"];
  return source.remember(key, () =>
    parseSystemProfiler(source.run(["/usr/sbin/system_profiler", "-json", ...types])),
  );
}

type Told = Readonly<Record<string, unknown>>;

/** What the library reads with sysctl itself: see swift/Bridge/Device.swift. */
const toldNames: Readonly<Record<string, string>> = {
  product: "hw.product",
  model: "hw.model",
  chip: "machdep.cpu.brand_string",
  osVersion: "kern.osproductversion",
  osBuild: "kern.osversion",
  memoryBytes: "hw.memsize",
  cores: "hw.physicalcpu",
  performanceCores: "hw.perflevel0.physicalcpu",
  efficiencyCores: "hw.perflevel1.physicalcpu",
  isVirtual: "kern.hv_vmm_present",
};

function sysctlsOf(told: Told): readonly (readonly [string, string])[] {
  return Object.entries(toldNames).flatMap(([member, name]) => {
    const value = told[member];
    if (typeof value === "boolean") return [[name, value ? "1" : "0"] as const];
    return typeof value === "string" || typeof value === "number" ? [[name, String(value)] as const] : [];
  });
}

function readLibrary(library: MacLibrary | undefined): Told {
  if (library === undefined) return {};
  const told: unknown = JSON.parse(library.describeDevice());
  return isTold(told) ? told : {};
}

function isTold(value: unknown): value is Told {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function booleanOf(value: unknown): boolean | undefined {
  return typeof value === "boolean" ? value : undefined;
}

function powerOf(value: unknown): HostCondition["powerSource"] {
  return value === "ac" || value === "battery" || value === "ups" ? value : undefined;
}

/** In the order of NSProcessInfoThermalState. */
const thermalStates: readonly ThermalState[] = ["nominal", "fair", "serious", "critical"];

function thermalOf(told: Told): ThermalState | undefined {
  const state = told["thermalState"];
  return typeof state === "number" ? thermalStates[state] : undefined;
}

function engineCoresOf(told: Told): number | undefined {
  const devices = told["devices"];
  if (!Array.isArray(devices)) return undefined;
  const engine = devices.filter(isTold).find(({ kind }) => kind === "ane");
  return countOf(engine?.["cores"]);
}

function virtualOf(present: string | undefined, cpu: string): boolean | undefined {
  if (isVirtualBrand(cpu)) return true;
  return present === undefined ? undefined : present !== "0";
}
