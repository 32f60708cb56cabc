import { describe, expect, test } from "bun:test";
import { factsOf, parseChip } from "../../../../src/engines/device/chips.ts";
import {
  describeMac,
  type MacLibrary,
  type MacSource,
  readMacCondition,
} from "../../../../src/engines/device/mac.ts";
import { parseSystemProfiler } from "../../../../src/engines/device/mac-text.ts";
import { type RecordedMac, recordedMacs } from "./recorded-macs.ts";

/** A Mac whose programs print what was recorded, and nothing else. */
function recorded(mac: Partial<RecordedMac>, library?: MacLibrary): MacSource & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    library,
    run([program = "", ...args]) {
      const name = program.slice(program.lastIndexOf("/") + 1);
      asked.push(name);
      if (name === "sysctl") {
        const lines = mac.sysctl ?? [];
        return lines.filter((line) => args.includes(line.slice(0, line.indexOf(":")))).join("\n");
      }
      if (name === "sw_vers") return mac.swVers ?? "";
      if (name !== "system_profiler") return "";
      return JSON.stringify({
        SPHardwareDataType: [mac.hardware ?? {}],
        SPDisplaysDataType: mac.displays ?? [],
      });
    },
    remember: (_key, find) => find(),
  };
}

describe("a Mac that was recorded is described", () => {
  test.each(recordedMacs.map((mac) => [mac.name, mac] as const))("%s", (_name, mac) => {
    const { levels, ...values } = mac.expected;
    const isVirtual = values.isVirtual ?? undefined;
    const isCapable = values.chip !== undefined && isVirtual !== true;
    const { osVersion, osBuild } = values;
    expect(describeMac(recorded(mac))).toEqual({
      system: osVersion && `macOS ${osVersion} (${osBuild})`,
      osVersion,
      osBuild,
      model: values.model,
      cpu: values.cpu,
      chip: values.chip,
      cpuCores: values.cpuCores,
      coreLevels: levels.map(([name, cores]) => ({ name, cores })),
      gpuCores: values.gpuCores,
      isNeuralEngineCapable: isCapable,
      neuralEngineCores: values.neuralEngineCores,
      isAneAvailable: isVirtual === true ? false : undefined,
      thermalSensors: [],
      cpuFeatures: [],
      memoryBytes: values.memoryBytes,
      isVirtual,
    });
  });

  test.each(
    recordedMacs.filter(({ expected }) => expected.levels.length > 0).map((mac) => [mac.name, mac] as const),
  )("as our table has it: %s", (_name, { expected }) => {
    const chip = parseChip(expected.cpu);
    const facts = chip && factsOf(chip);
    expect(facts?.cpu).toContainEqual(expected.levels.map(([, cores]) => cores));
    if (expected.gpuCores !== undefined) expect(facts?.gpu).toContain(expected.gpuCores);
  });
});

// As cmlx_device_describe writes it; see swift/Tests/BridgeTests/MachineTests.swift.
const told = {
  model: "Mac16,5",
  chip: "Apple M4 Max",
  gpuCores: 40,
  isLowPowerMode: true,
  powerSource: "battery",
  thermalState: 2,
  aneAvailable: true,
  devices: [
    { kind: "cpu" },
    { kind: "gpu", name: "Apple M4 Max", registryID: "4294968356" },
    { kind: "ane", cores: 16 },
  ],
};
const library: MacLibrary = { describeDevice: () => JSON.stringify(told) };
const m4 = recordedMacs.find(({ expected }) => expected.chip === "M4 Max") ?? {};

describe("with libcoremlx", () => {
  test("the frameworks are believed, and system_profiler is not waited for", () => {
    const source = recorded({ ...m4, swVers: "ProductVersion: 26.5\nBuildVersion: 25F71" }, library);
    expect(describeMac(source)).toMatchObject({
      system: "macOS 26.5 (25F71)",
      gpuCores: 40,
      isNeuralEngineCapable: true,
      neuralEngineCores: 16,
      isAneAvailable: true,
      thermalSensors: ["macOS thermal state"],
    });
    expect(source.asked).toEqual(["sysctl", "sw_vers"]);
  });

  test("sysctl is read as the system stores it, without a program", () => {
    const text = (value: string) => new TextEncoder().encode(`${value}\0`);
    const number = (value: number, bytes: 4 | 8) => {
      const view = new DataView(new ArrayBuffer(bytes));
      if (bytes === 4) view.setUint32(0, value, true);
      else view.setBigUint64(0, BigInt(value), true);
      return new Uint8Array(view.buffer);
    };
    const values: Readonly<Record<string, Uint8Array>> = {
      "kern.osproductversion": text("27.0.1"),
      "kern.osversion": text("26A101"),
      "machdep.cpu.brand_string": text("Apple M6"),
      "hw.product": text("Mac18,1"),
      "hw.model": text("J000AP"),
      "hw.memsize": number(34_359_738_368, 8),
      "hw.physicalcpu": number(12, 4),
      "hw.perflevel0.physicalcpu": number(2, 4),
      "hw.perflevel0.name": text("Super"),
      "hw.perflevel1.physicalcpu": number(4, 4),
      "hw.perflevel1.name": text("Performance"),
      "hw.perflevel2.physicalcpu": number(6, 4),
      "hw.perflevel2.name": text("Efficiency"),
      "kern.hv_vmm_present": number(0, 4),
    };
    const source = recorded({}, { ...library, readSysctl: (name) => values[name] });
    // A chip newer than our table: what the system says is shown, the rest is not made up.
    expect(describeMac(source)).toMatchObject({
      system: "macOS 27.0.1 (26A101)",
      model: "Mac18,1",
      chip: "M6",
      cpuCores: 12,
      coreLevels: [
        { name: "Super", cores: 2 },
        { name: "Performance", cores: 4 },
        { name: "Efficiency", cores: 6 },
      ],
      memoryBytes: 34_359_738_368,
      isVirtual: false,
    });
    expect(source.asked).toEqual([]);
  });

  test("what it says is enough where no program can be run", () => {
    const text = JSON.stringify({
      ...told,
      product: "Mac16,6",
      osVersion: "26.5",
      osBuild: "25F71",
      memoryBytes: 68_719_476_736,
      cores: 16,
      performanceCores: 12,
      efficiencyCores: 4,
      isVirtual: false,
    });
    const source = { ...recorded({}, { describeDevice: () => text }), run: () => "" };
    expect(describeMac(source)).toEqual({
      system: "macOS 26.5 (25F71)",
      osVersion: "26.5",
      osBuild: "25F71",
      model: "Mac16,6",
      cpu: "Apple M4 Max",
      chip: "M4 Max",
      cpuCores: 16,
      coreLevels: [
        { name: "Performance", cores: 12 },
        { name: "Efficiency", cores: 4 },
      ],
      gpuCores: 40,
      isNeuralEngineCapable: true,
      neuralEngineCores: 16,
      isAneAvailable: true,
      thermalSensors: ["macOS thermal state"],
      cpuFeatures: [],
      memoryBytes: 68_719_476_736,
      isVirtual: false,
    });
  });

  test("its word on the Neural Engine counts more than the name of the chip", () => {
    const none = {
      describeDevice: () => JSON.stringify({ aneAvailable: false, devices: [{ kind: "cpu" }] }),
    };
    expect(describeMac(recorded(m4, none))).toMatchObject({
      isAneAvailable: false,
      isNeuralEngineCapable: false,
    });
  });

  test("the state of the machine is read from it", () => {
    expect(readMacCondition(recorded({}, library))).toEqual({
      powerSource: "battery",
      isLowPowerMode: true,
      thermalState: "serious",
    });
  });
});

test("without libcoremlx the state of the machine is what pmset prints", () => {
  const run = (words: readonly string[]) =>
    words.includes("batt")
      ? "Now drawing from 'AC Power'\n -InternalBattery-0 (id=1)\t38%; charging; 2:11 remaining present: true\n"
      : "System-wide power settings:\nCurrently in use:\n lowpowermode         0\n sleep                1\n";
  expect(readMacCondition({ library: undefined, run })).toEqual({
    powerSource: "ac",
    isLowPowerMode: false,
    thermalState: undefined,
  });
});

test("what system_profiler finds is kept by start of the machine and build of the system", () => {
  const keys: string[] = [];
  const mac = {
    sysctl: ["kern.osversion: 25F71", "kern.bootsessionuuid: A-B", "machdep.cpu.brand_string: Apple M4"],
  };
  const remember: MacSource["remember"] = (key, find) => {
    keys.push(key);
    return find();
  };
  describeMac({ ...recorded(mac), remember });
  expect(keys).toEqual(["A-B 25F71"]);
});

describe("what system_profiler prints", () => {
  // macOS 26 and 27 put the kinds of cores in different orders: an M2 Ultra, an M2 Pro, an M5 Max.
  test.each([
    ["proc 10:4:6", 10],
    ["proc 24:16:8:0", 24],
    ["proc 12:0:8:4", 12],
    ["proc 18:6:0:12", 18],
    [8, 8],
    ["proc ten", undefined],
    ["proc 0", undefined],
    [-1, undefined],
    [1e9, undefined],
    [null, undefined],
  ])("%p is %p cores", (number_processors, cpuCores) => {
    const text = JSON.stringify({ SPHardwareDataType: [{ number_processors }] });
    expect(parseSystemProfiler(text).cpuCores).toBe(cpuCores);
  });

  test.each([
    "",
    "not found",
    "[]",
    "null",
    '{"SPHardwareDataType": 3}',
    '{"SPDisplaysDataType": [null, 1]}',
  ])("%p says nothing", (text) => {
    expect(parseSystemProfiler(text)).toEqual({
      model: undefined,
      cpu: undefined,
      cpuCores: undefined,
      gpuCores: undefined,
    });
  });
});
