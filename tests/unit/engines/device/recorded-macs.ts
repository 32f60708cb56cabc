// What Macs printed, from public reports: the values alone, each with its source. Some were published as system_profiler's
// text or named in prose, and are written here as sysctl prints them. What nobody published is left out here too, so that
// what a machine does not tell is tested as well.

export interface RecordedMac {
  readonly name: string;
  /** Where the values were published. */
  readonly source: string;
  /** Lines of sysctl. */
  readonly sysctl: readonly string[];
  readonly swVers?: string;
  /** Of system_profiler. */
  readonly hardware?: Readonly<Record<string, unknown>>;
  readonly displays?: readonly Readonly<Record<string, unknown>>[];
  readonly expected: {
    readonly model?: string;
    readonly cpu: string;
    readonly chip?: string;
    readonly osVersion?: string;
    readonly osBuild?: string;
    readonly cpuCores?: number;
    readonly levels: readonly (readonly [string, number])[];
    readonly gpuCores?: number;
    readonly neuralEngineCores?: number;
    readonly isVirtual?: boolean;
    readonly memoryBytes?: number;
  };
}

const levels = (...rows: readonly (readonly [cores: number, name?: string])[]) =>
  rows.flatMap(([cores, name], level) => [
    `hw.perflevel${level}.physicalcpu: ${cores}`,
    ...(name === undefined ? [] : [`hw.perflevel${level}.name: ${name}`]),
  ]);

export const recordedMacs: readonly RecordedMac[] = [
  {
    name: "MacBook Air M1, before levels had names",
    source:
      "github.com/seanmonstar/num_cpus/issues/104 (sysctl), github.com/exelban/stats/issues/394 (displays)",
    sysctl: ["hw.physicalcpu: 8", "hw.logicalcpu: 8", "machdep.cpu.brand_string: Apple M1"],
    displays: [{ _name: "kHW_AppleM1Item", spdisplays_metalfamily: "spdisplays_mtlgpufamilyapple7" }],
    expected: { cpu: "Apple M1", chip: "M1", cpuCores: 8, levels: [], neuralEngineCores: 16 },
  },
  {
    name: "MacBook Pro M1 Pro",
    source:
      "github.com/Dr-Noob/cpufetch/issues/139 (sysctl), 183 (hardware: MacBookPro18,1, 10 cores, 16 GB)",
    sysctl: [
      "hw.physicalcpu: 10",
      "hw.perflevel1.physicalcpu: 2",
      "hw.perflevel0.physicalcpu: 8",
      "hw.model: MacBookPro18,1",
      "machdep.cpu.brand_string: Apple M1 Pro",
    ],
    expected: {
      model: "MacBookPro18,1",
      cpu: "Apple M1 Pro",
      chip: "M1 Pro",
      cpuCores: 10,
      levels: [
        ["Performance", 8],
        ["Efficiency", 2],
      ],
      neuralEngineCores: 16,
    },
  },
  {
    name: "Mac Studio M1 Ultra",
    source:
      "github.com/Dr-Noob/cpufetch/issues/145 (hardware), github.com/philipturner/applegpuinfo/issues/1 (GPU)",
    sysctl: ["hw.model: Mac13,2", ...levels([16], [4]), "machdep.cpu.brand_string: Apple M1 Ultra"],
    displays: [{ _name: "Apple M1 Ultra", sppci_cores: "48" }],
    expected: {
      model: "Mac13,2",
      cpu: "Apple M1 Ultra",
      chip: "M1 Ultra",
      levels: [
        ["Performance", 16],
        ["Efficiency", 4],
      ],
      gpuCores: 48,
      neuralEngineCores: 32,
    },
  },
  {
    name: "MacBook Pro M2 Pro",
    source: "github.com/Dr-Noob/cpufetch/issues/183",
    sysctl: ["hw.model: Mac14,10", ...levels([8], [4]), "machdep.cpu.brand_string: Apple M2 Pro"],
    expected: {
      model: "Mac14,10",
      cpu: "Apple M2 Pro",
      chip: "M2 Pro",
      levels: [
        ["Performance", 8],
        ["Efficiency", 4],
      ],
      neuralEngineCores: 16,
    },
  },
  {
    name: "a Mac with M4 Pro, 12 cores, 24 GB",
    source: "github.com/archspec/archspec/issues/201",
    sysctl: [
      "hw.memsize: 25769803776",
      "hw.physicalcpu: 12",
      ...levels([8, "Performance"], [4, "Efficiency"]),
      "machdep.cpu.brand_string: Apple M4 Pro",
    ],
    expected: {
      cpu: "Apple M4 Pro",
      chip: "M4 Pro",
      cpuCores: 12,
      levels: [
        ["Performance", 8],
        ["Efficiency", 4],
      ],
      neuralEngineCores: 16,
      memoryBytes: 25_769_803_776,
    },
  },
  {
    name: "MacBook Pro M4 Max",
    source: "github.com/wandb/wandb/pull/12680: Mac16,5, 12 + 4 cores, 40 GPU cores, 64 GB",
    sysctl: [
      "hw.model: Mac16,5",
      "hw.memsize: 68719476736",
      ...levels([12, "Performance"], [4, "Efficiency"]),
      "machdep.cpu.brand_string: Apple M4 Max",
    ],
    hardware: { chip_type: "Apple M4 Max", machine_model: "Mac16,5", number_processors: "proc 16:12:4" },
    displays: [{ _name: "Apple M4 Max", sppci_cores: "40" }],
    expected: {
      model: "Mac16,5",
      cpu: "Apple M4 Max",
      chip: "M4 Max",
      cpuCores: 16,
      levels: [
        ["Performance", 12],
        ["Efficiency", 4],
      ],
      gpuCores: 40,
      neuralEngineCores: 16,
      memoryBytes: 68_719_476_736,
    },
  },
  {
    name: "MacBook Pro M5 Pro: super and performance cores, none for efficiency",
    source: "github.com/pytorch/cpuinfo/pull/424 (15 cores: 5 super, 10 performance)",
    sysctl: [...levels([5, "Super"], [10, "Performance"]), "machdep.cpu.brand_string: Apple M5 Pro"],
    expected: {
      cpu: "Apple M5 Pro",
      chip: "M5 Pro",
      levels: [
        ["Super", 5],
        ["Performance", 10],
      ],
      neuralEngineCores: 16,
    },
  },
  {
    name: "MacBook Pro M5 Max, macOS 26",
    source:
      "github.com/vladkens/macmon/pull/49 (Mac17,7, proc 18:6:0:12), github.com/exelban/stats/issues/3047 (GPU)",
    sysctl: [
      "hw.model: Mac17,7",
      ...levels([6, "Super"], [12, "Performance"]),
      "machdep.cpu.brand_string: Apple M5 Max",
    ],
    hardware: { chip_type: "Apple M5 Max", machine_model: "Mac17,7", number_processors: "proc 18:6:0:12" },
    displays: [{ _name: "Apple M5 Max", sppci_cores: "40" }],
    expected: {
      model: "Mac17,7",
      cpu: "Apple M5 Max",
      chip: "M5 Max",
      cpuCores: 18,
      levels: [
        ["Super", 6],
        ["Performance", 12],
      ],
      gpuCores: 40,
      neuralEngineCores: 16,
    },
  },
  {
    name: "a hosted runner, which is a virtual machine",
    source:
      "github.com/AsahiLinux/m1n1/issues/383 (VirtualMac2,1, Apple M1 (Virtual), 3 cores), square/anvil/pull/981 (14.4.1, 23E224)",
    sysctl: ["hw.model: VirtualMac2,1", "hw.physicalcpu: 3", "machdep.cpu.brand_string: Apple M1 (Virtual)"],
    swVers: "ProductName:\t\tmacOS\nProductVersion:\t\t14.4.1\nBuildVersion:\t\t23E224\n",
    expected: {
      model: "VirtualMac2,1",
      cpu: "Apple M1 (Virtual)",
      chip: "M1",
      osVersion: "14.4.1",
      osBuild: "23E224",
      cpuCores: 3,
      levels: [],
      isVirtual: true,
    },
  },
  {
    name: "an early M1 that hides its name",
    source: "github.com/archspec/archspec/issues/38",
    sysctl: ["machdep.cpu.core_count: 8", "machdep.cpu.brand_string: Apple processor"],
    expected: { cpu: "Apple processor", levels: [] },
  },
  {
    name: "a MacBook Pro with a processor of Intel",
    source: "github.com/ashfurrow/xcode-hardware-performance/pull/124",
    sysctl: ["machdep.cpu.brand_string: Intel(R) Core(TM) i9-9980HK CPU @ 2.40GHz"],
    expected: { cpu: "Intel(R) Core(TM) i9-9980HK CPU @ 2.40GHz", levels: [] },
  },
];
