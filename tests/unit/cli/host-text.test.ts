import { expect, test } from "bun:test";
import { hostRows } from "../../../src/cli/host-text.ts";
import type { HostProfile } from "../../../src/runtime/session.ts";

const bare: HostProfile = {
  platform: "linux",
  kernel: "6.18.0",
  arch: "x64",
  system: undefined,
  osVersion: undefined,
  osBuild: undefined,
  model: undefined,
  cpu: "Example CPU",
  chip: undefined,
  cores: 2,
  cpuCores: undefined,
  coreLevels: [],
  gpuCores: undefined,
  isNeuralEngineCapable: false,
  neuralEngineCores: undefined,
  isAneAvailable: false,
  thermalSensors: [],
  cpuFeatures: [],
  memoryBytes: 8e9,
  isVirtual: undefined,
};
const unknown = { powerSource: undefined, isLowPowerMode: undefined, thermalState: undefined };

const mac: HostProfile = {
  ...bare,
  platform: "darwin",
  kernel: "25.5.0",
  arch: "arm64",
  system: "macOS 26.5 (25F71)",
  model: "Mac17,7",
  cores: 18,
  cpuCores: 18,
  coreLevels: [
    { name: "Super", cores: 6 },
    { name: "Performance", cores: 12 },
  ],
  gpuCores: 40,
  isNeuralEngineCapable: true,
  neuralEngineCores: 16,
  isAneAvailable: true,
  thermalSensors: ["macOS thermal state"],
  isVirtual: false,
};

test("a Mac says what it has and how it is", () => {
  const condition = { powerSource: "battery", isLowPowerMode: true, thermalState: "fair" } as const;
  expect(Object.fromEntries(hostRows(mac, condition))).toEqual({
    system: "macOS 26.5 (25F71), darwin 25.5.0, arm64",
    machine: "Mac17,7",
    cores: "6 super + 12 performance; this process may use 18 processors",
    GPU: "40 cores",
    "Neural Engine": "16 cores, offered by Core ML",
    memory: "8.0 GB",
    power: "battery, low power mode",
    heat: "fair; macOS thermal state",
  });
});

test("what nobody knows has no row", () => {
  expect(hostRows(bare, unknown)).toEqual([
    ["system", "linux 6.18.0, x64"],
    ["memory", "8.0 GB"],
  ]);
});

test.each([
  [{ isAneAvailable: undefined }, "16 cores; Core ML was not asked"],
  [{ isNeuralEngineCapable: false, isVirtual: true }, "none in a virtual machine"],
  [{ isNeuralEngineCapable: false }, "none"],
  [{ neuralEngineCores: undefined }, "present, offered by Core ML"],
])("the Neural Engine of %p: %s", (changes, expected) => {
  expect(Object.fromEntries(hostRows({ ...mac, ...changes }, unknown))["Neural Engine"]).toBe(expected);
});
