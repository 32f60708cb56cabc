import { expect, test } from "bun:test";
import { describeLinux, type KernelFiles, readLinuxCondition } from "../../../../src/engines/device/linux.ts";

/** Files by path; folders are what the paths say. */
function kernel(files: Readonly<Record<string, string>>): KernelFiles {
  return {
    readText: (path) => files[path] ?? "",
    namesIn(folder) {
      const inside = Object.keys(files).filter((path) => path.startsWith(`${folder}/`));
      return [...new Set(inside.map((path) => path.slice(folder.length + 1).split("/")[0] ?? ""))].toSorted();
    },
  };
}

const processor = (number: number, core: number, more = "") =>
  `processor\t: ${number}\nmodel name\t: 12th Gen Intel(R) Core(TM) i5-1240P\nphysical id\t: 0\ncore id\t\t: ${core}\nflags\t\t: fpu avx avx2 fma f16c avx_vnni${more}\n`;

// An i5-1240P has 4 performance cores of two threads and 8 efficiency cores: https://ark.intel.com (i5-1240P).
const hybrid = Array.from({ length: 16 }, (_, i) => processor(i, i < 8 ? Math.floor(i / 2) * 4 : 8 + i));

test("a laptop with two kinds of cores", () => {
  const files = kernel({
    "/proc/cpuinfo": hybrid.join("\n"),
    "/proc/meminfo": "MemTotal:       16116208 kB\nMemFree:         1 kB\n",
    "/etc/os-release": 'PRETTY_NAME="Fedora Linux 43 (Workstation Edition)"\nVERSION_ID=43\n',
    "/sys/class/dmi/id/product_name": "ThinkPad X1\n",
    "/sys/devices/cpu_core/cpus": "0-7\n",
    "/sys/devices/cpu_atom/cpus": "8-15\n",
    "/sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
    "/sys/class/thermal/thermal_zone1/type": "acpitz\n",
    "/sys/class/thermal/cooling_device0/type": "Processor\n",
  });
  expect(describeLinux(files)).toEqual({
    system: "Fedora Linux 43 (Workstation Edition)",
    osVersion: "43",
    osBuild: undefined,
    model: "ThinkPad X1",
    cpu: "12th Gen Intel(R) Core(TM) i5-1240P",
    chip: undefined,
    cpuCores: 12,
    coreLevels: [
      { name: "Performance", cores: 4 },
      { name: "Efficiency", cores: 8 },
    ],
    gpuCores: undefined,
    isNeuralEngineCapable: false,
    neuralEngineCores: undefined,
    isAneAvailable: false,
    thermalSensors: ["acpitz", "x86_pkg_temp"],
    cpuFeatures: ["avx", "avx2", "fma", "f16c", "avx_vnni"],
    memoryBytes: 16_502_996_992,
    isVirtual: false,
  });
});

test("a guest on x86-64 says that it is one", () => {
  const files = kernel({ "/proc/cpuinfo": processor(0, 0, " hypervisor") });
  expect(describeLinux(files)).toMatchObject({ isVirtual: true, cpuCores: 1, coreLevels: [] });
});

test("a processor of ARM names its features otherwise, and does not say whether it is a guest", () => {
  const files = kernel({
    "/proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\nCPU implementer\t: 0x61\n\n",
  });
  expect(describeLinux(files)).toMatchObject({
    cpu: "unknown",
    cpuFeatures: ["asimd", "asimddp", "i8mm"],
    isVirtual: undefined,
    cpuCores: undefined,
  });
});

test("nothing at all is an answer too", () => {
  expect(describeLinux(kernel({}))).toMatchObject({
    cpu: "unknown",
    system: undefined,
    memoryBytes: undefined,
  });
  expect(readLinuxCondition(kernel({}))).toEqual({
    powerSource: undefined,
    isLowPowerMode: undefined,
    thermalState: undefined,
  });
});

test.each([
  [
    "a plug",
    { "AC/type": "Mains", "AC/online": "1", "BAT0/type": "Battery", "BAT0/status": "Charging" },
    "ac",
  ],
  [
    "a battery",
    { "AC/type": "Mains", "AC/online": "0", "BAT0/type": "Battery", "BAT0/status": "Discharging" },
    "battery",
  ],
  ["a full battery whose plug says nothing", { "BAT0/type": "Battery", "BAT0/status": "Full" }, undefined],
] as const)("power from %s", (_name, supplies, powerSource) => {
  const files = Object.entries(supplies).map(([path, text]) => [
    `/sys/class/power_supply/${path}`,
    `${text}\n`,
  ]);
  const profile = { "/sys/firmware/acpi/platform_profile": "low-power\n" };
  expect(readLinuxCondition(kernel({ ...Object.fromEntries(files), ...profile }))).toEqual({
    powerSource,
    isLowPowerMode: true,
    thermalState: undefined,
  });
});
