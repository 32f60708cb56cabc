// What works on this machine and what does not, found out by trying, with what to do about it.

import { accessSync, constants, existsSync } from "node:fs";
import { dirname } from "node:path";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { f32, numbersOf } from "../core/tensor.ts";
import { commit, version } from "../core/version.ts";
import { describeHost, type HostCondition, type HostProfile, readHostCondition } from "../engines/device.ts";
import { freeBytes } from "../native/disk-space.ts";
import { CoremlLibrary } from "../native/coreml.ts";
import { locateCoreml } from "../native/coreml-library.ts";
import { findOnnxRuntime } from "../native/library.ts";
import { OnnxRuntime } from "../native/onnxruntime.ts";
import { Graph } from "../onnx/graph.ts";
import { serializeModel } from "../onnx/serialize.ts";
import { Instance } from "./pool/instance.ts";

export interface Check {
  readonly name: string;
  /** ok: as it should be. note: works, and could be better. missing: does not work here. */
  readonly status: "ok" | "note" | "missing";
  readonly detail: string;
  readonly remedy?: string | undefined;
}

export interface Diagnosis {
  readonly tool: { readonly version: string; readonly commit: string | null; readonly bun: string };
  readonly host: HostProfile;
  readonly condition: HostCondition;
  readonly checks: readonly Check[];
  /** At least one engine runs models here. */
  readonly isUsable: boolean;
}

export interface DoctorOptions {
  readonly cacheDir: string;
  readonly onnxruntimePath?: string | undefined;
  /** libcoremlx to use in place of the built-in one. */
  readonly coremlPath?: string | undefined;
}

/** Below this the cache of compiled models soon has no room. */
const lowDiskBytes = 1e9;

export async function diagnose(options: DoctorOptions): Promise<Diagnosis> {
  const coreml = await openCoreml(options);
  const library = coreml.library?.isApple === true ? coreml.library : undefined;
  const host = describeHost({ cacheDir: options.cacheDir, library });
  const portable = await checkPortable(options);
  const checks = [
    portable,
    checkCoreml(coreml, host),
    await checkWorkers(),
    checkCache(options.cacheDir),
    checkProcessor(host),
  ];
  return {
    tool: { version, commit: commit ?? null, bun: Bun.version },
    host,
    condition: readHostCondition({ library }),
    checks,
    isUsable: portable.status !== "missing",
  };
}

/** Finds the library, loads it, and runs a graph. */
async function checkPortable({ cacheDir, onnxruntimePath }: DoctorOptions): Promise<Check> {
  const name = "portable engine";
  try {
    const { path, source } = await findOnnxRuntime({ path: onnxruntimePath, cacheDir });
    using runtime = OnnxRuntime.open(path);
    using session = runtime.createSession(reluModel(), { threads: 1 });
    const [result] = session.run(new Map([["x", f32([-1, 2])]])).values();
    if (result === undefined || String(numbersOf(result)) !== "0,2") {
      return {
        name,
        status: "missing",
        detail: "ONNX Runtime computes wrong numbers here",
        remedy: "Report this machine",
      };
    }
    const places = {
      option: `your own, ${path}`,
      cache: "unpacked in the cache, digest verified",
      temporary: "unpacked in the temporary folder, digest verified",
      memory: "in sealed memory",
      package: "from node_modules",
    };
    const detail = `ONNX Runtime ${runtime.version}, ${places[source]}; a graph was run`;
    return source === "memory"
      ? {
          name,
          status: "note",
          detail,
          remedy: `Let coremlx write to ${cacheDir}: each start unpacks the library again, 0.2 s`,
        }
      : { name, status: "ok", detail };
  } catch (error) {
    const remedy = error instanceof CoremlxError ? error.hint : undefined;
    return { name, status: "missing", detail: messageOf(error), remedy };
  }
}

/** Finds the library, and has it describe the machine. */
async function openCoreml({ cacheDir, coremlPath }: DoctorOptions): Promise<CoremlFound> {
  try {
    const path = await locateCoreml({ path: coremlPath, cacheDir });
    if (path === undefined) return { library: undefined };
    const library = CoremlLibrary.open(path);
    library.describeDevice();
    return { library };
  } catch (error) {
    return { library: undefined, failure: error };
  }
}

interface CoremlFound {
  readonly library: CoremlLibrary | undefined;
  readonly failure?: unknown;
}

function checkCoreml({ library, failure }: CoremlFound, { isAneAvailable }: HostProfile): Check {
  const name = "Core ML engine";
  if (failure !== undefined) {
    const remedy = failure instanceof CoremlxError ? failure.hint : undefined;
    return { name, status: "missing", detail: messageOf(failure), remedy };
  }
  if (library?.isApple === true) {
    const engine = isAneAvailable === true ? "with the Neural Engine" : "without a Neural Engine";
    return { name, status: "ok", detail: `libcoremlx answers, ${engine}` };
  }
  if (library !== undefined) {
    const remedy = "Use it for tests only: its answers and times mean nothing";
    return { name, status: "note", detail: "a stand-in for Core ML answers", remedy };
  }
  if (process.platform !== "darwin") {
    return {
      name,
      status: "missing",
      detail: "it needs macOS on Apple silicon",
      remedy: "Use the portable engine: it runs the same files here",
    };
  }
  return {
    name,
    status: "missing",
    detail: "this build has no Core ML bridge",
    remedy: "Use the portable engine",
  };
}

async function checkWorkers(): Promise<Check> {
  const name = "worker threads";
  const instance = new Instance();
  try {
    const started = performance.now();
    await instance.call({ type: "close" });
    return {
      name,
      status: "ok",
      detail: `one answered after ${(performance.now() - started).toFixed(0)} ms`,
    };
  } catch (error) {
    return {
      name,
      status: "missing",
      detail: messageOf(error),
      remedy: "Raise the limit on threads (ulimit -u)",
    };
  } finally {
    await instance[Symbol.asyncDispose]();
  }
}

function checkCache(cacheDir: string): Check {
  const name = "cache folder";
  const present = nearestExisting(cacheDir);
  try {
    accessSync(present, constants.W_OK);
  } catch {
    return {
      name,
      status: "note",
      detail: `${cacheDir} cannot be written`,
      remedy: "Name another one with --cache-dir or XDG_CACHE_HOME",
    };
  }
  const free = freeBytes(present);
  const detail = `${cacheDir}, ${(free / 1e9).toFixed(1)} GB free`;
  return free < lowDiskBytes
    ? { name, status: "note", detail, remedy: "Free some space, or run coremlx cache prune" }
    : { name, status: "ok", detail };
}

function checkProcessor({ cpu, cores, cpuFeatures, arch }: HostProfile): Check {
  const name = "processor";
  const detail = `${cpu}, ${cores} cores${cpuFeatures.length > 0 ? `, ${cpuFeatures.join(" ")}` : ""}`;
  return arch === "x64" && process.platform === "linux" && !cpuFeatures.includes("avx2")
    ? {
        name,
        status: "note",
        detail,
        remedy: "Without AVX2 models run several times slower: choose another machine",
      }
    : { name, status: "ok", detail };
}

function nearestExisting(path: string): string {
  return existsSync(path) || path === dirname(path) ? path : nearestExisting(dirname(path));
}

/** y = max(x, 0) over float32 [2]. */
function reluModel(): Uint8Array<ArrayBuffer> {
  const graph = new Graph();
  graph.output("y", graph.node("Relu", [graph.input("x", "float32", [2])]));
  return serializeModel(graph).bytes;
}
