// What this host offers to engines: its processor, its memory, its system; and the state it is in.

import { readdirSync, readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { describeLinux, type KernelFiles, readLinuxCondition } from "./device/linux.ts";
import { describeMac, type MacLibrary, type MacSource, readMacCondition } from "./device/mac.ts";
import type { HostCondition, HostProfile } from "./device/profile.ts";
import { rememberFacts } from "./device/remembered.ts";

export type { MacLibrary } from "./device/mac.ts";
export type { CoreLevel, HostCondition, HostProfile } from "./device/profile.ts";

export interface HostOptions {
  /** libcoremlx, where it is loaded: it knows more than macOS's programs say, and sooner. */
  readonly library?: MacLibrary | undefined;
  /** Where what took long to find out is kept. Default: in this process only. */
  readonly cacheDir?: string | undefined;
}

/** By whether the library was asked: what does not change while the machine runs is found out once. */
const found = new Map<boolean, HostProfile>();

export function describeHost(options: HostOptions = {}): HostProfile {
  const key = options.library !== undefined;
  let profile = found.get(key);
  if (profile === undefined) {
    profile = examineHost(options);
    found.set(key, profile);
  }
  return { ...profile, cores: availableParallelism() };
}

/** What decides how many predictions at once are sensible, in no time. */
export function identifyProcessor(): Pick<HostProfile, "platform" | "cpu" | "cores"> {
  const cpu = cpus()[0]?.model.trim() ?? "unknown";
  return { platform: platform(), cpu, cores: availableParallelism() };
}

/** Asks anew each time; on a Mac without the library that takes two programs, some 20 ms. */
export function readHostCondition(options: Pick<HostOptions, "library"> = {}): HostCondition {
  return platform() === "darwin"
    ? readMacCondition({ library: options.library, run: runProgram })
    : readLinuxCondition(kernelFiles);
}

function examineHost({ library, cacheDir }: HostOptions): HostProfile {
  const remember: MacSource["remember"] = (key, find) =>
    cacheDir === undefined ? find() : rememberFacts(cacheDir, key, find);
  const facts =
    platform() === "darwin"
      ? describeMac({ library, run: runProgram, remember })
      : describeLinux(kernelFiles);
  return {
    ...facts,
    platform: platform(),
    kernel: release(),
    arch: arch(),
    cores: availableParallelism(),
    cpu: facts.cpu === "unknown" ? (cpus()[0]?.model.trim() ?? "unknown") : facts.cpu,
    memoryBytes: facts.memoryBytes ?? totalmem(),
  };
}

const programTimeoutMs = 10_000;

function runProgram([name = "", ...args]: readonly string[]): string {
  try {
    const done = Bun.spawnSync([name, ...args], {
      stdin: "ignore",
      stderr: "ignore",
      env: { LC_ALL: "C" },
      timeout: programTimeoutMs,
      maxBuffer: 4 * 1_024 * 1_024,
    });
    return done.stdout.toString(); // sysctl fails for one name, and prints the others all the same
  } catch {
    return ""; // there is no such program
  }
}

const kernelFiles: KernelFiles = {
  readText(path) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return ""; // this kernel or machine does not have it
    }
  },
  namesIn(path) {
    try {
      return readdirSync(path).toSorted();
    } catch {
      return []; // likewise
    }
  },
};
