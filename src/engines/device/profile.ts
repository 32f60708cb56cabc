// What is known about a machine. Whatever nobody could tell is `undefined`, never a guess.

import type { ThermalState } from "../../core/thermal.ts";

/** Cores of one kind. */
export interface CoreLevel {
  /** As the system calls it: "Super", "Performance", "Efficiency". */
  readonly name: string;
  readonly cores: number;
}

/** What stays the same from one start of the machine to the next. */
export interface HostProfile {
  readonly platform: string;
  readonly kernel: string;
  readonly arch: string;
  /** "macOS 26.5 (25F71)", "Debian GNU/Linux 12 (bookworm)" */
  readonly system: string | undefined;
  /** "26.5" */
  readonly osVersion: string | undefined;
  /** "25F71" */
  readonly osBuild: string | undefined;
  /** "Mac16,5"; elsewhere what the maker calls it. */
  readonly model: string | undefined;
  /** As the processor says: "Apple M4 Max". */
  readonly cpu: string;
  /** Of Apple: "M4 Max". */
  readonly chip: string | undefined;
  /** That this process may use. */
  readonly cores: number;
  /** That the machine has. */
  readonly cpuCores: number | undefined;
  /** Where they differ; the fastest first. */
  readonly coreLevels: readonly CoreLevel[];
  readonly gpuCores: number | undefined;
  /** The chip has a Neural Engine, and no hypervisor hides it. */
  readonly isNeuralEngineCapable: boolean;
  readonly neuralEngineCores: number | undefined;
  /** Core ML offers it; `undefined` where Core ML was not asked. */
  readonly isAneAvailable: boolean | undefined;
  /** What tells how hot the machine is. */
  readonly thermalSensors: readonly string[];
  /** Vector extensions that decide the kernels of ONNX Runtime. */
  readonly cpuFeatures: readonly string[];
  readonly memoryBytes: number;
  /** A guest of a hypervisor: its times say little about the hardware. */
  readonly isVirtual: boolean | undefined;
}

/** What each system tells in its own way. */
export type SystemFacts = Omit<HostProfile, "platform" | "kernel" | "arch" | "cores" | "memoryBytes"> & {
  readonly memoryBytes: number | undefined;
};

/** What changes while the machine runs. */
export interface HostCondition {
  readonly powerSource: "ac" | "battery" | "ups" | undefined;
  readonly isLowPowerMode: boolean | undefined;
  readonly thermalState: ThermalState | undefined;
}
