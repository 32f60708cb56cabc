// ONNX Runtime, opened for one thread: its environment, and the sessions loaded into it.

import type { Pointer } from "bun:ffi";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import { addressOf, allocate, cString, stableByteLength } from "./memory.ts";
import { OrtApi } from "./ort-api.ts";
import { OrtSession, type SessionHandle } from "./ort-session.ts";

export type { OrtSession, RunOptions, SessionHandle, TerminateHandle } from "./ort-session.ts";
export { clearTerminate, setTerminate } from "./ort-session.ts";
export type { Dimension, TensorInfo } from "./ort-tensor.ts";

export interface SessionOptions {
  /** Threads one run may use. Default: all cores; 1 serves better where several runs go on at once. */
  readonly threads?: number | undefined;
  /** Where the graph's external data lies: only files truly inside this folder are read. */
  readonly externalDataFolder?: string | undefined;
  /** Leaves weights as stored, mapped instead of copied: a fraction of the memory, up to 17 % slower. */
  readonly lowMemory?: boolean | undefined;
  /** ONNX Runtime's own session settings, stronger than ours. */
  readonly config?: Readonly<Record<string, string>> | undefined;
  /** Default: "all". "none" runs the graph as it is written. */
  readonly optimization?: keyof typeof optimizationLevels | undefined;
  /** Also writes the graph as it is after optimization; see `OptimizedFiles`. */
  readonly saveOptimized?: OptimizedFiles | undefined;
  /** Keeps the memory of a run for the next one. Default: true. */
  readonly arena?: boolean | undefined;
  /** Records a profile into `<profilePrefix>_<date>.json`; `endProfiling` completes it. */
  readonly profilePrefix?: string | undefined;
}

/**
 * Two new files in one folder, and the second only where a weight is large enough. They fit this ONNX Runtime on this
 * kind of CPU alone. Graphs with bodies (If, Loop) do not always survive it: load the result before trusting it.
 */
export interface OptimizedFiles {
  readonly folder: string;
  readonly graphName: string;
  /** Weights of `minWeightBytes` and more go there, so that they can be mapped. */
  readonly weightsName: string;
  readonly minWeightBytes: number;
}

const severityFatal = 4; // it writes to stderr by itself; what goes wrong comes back as a status anyway
const arenaAllocator = 1;
const defaultMemory = 0;
const mostThreads = 1024;
const optimizationLevels = { none: 0, basic: 1, extended: 2, all: 99 } as const;

/** Owns its sessions: they are disposed before it. Other threads open their own; the process shares what is behind. */
export class OnnxRuntime implements Disposable {
  readonly version: string;
  readonly #api: OrtApi;
  readonly #environment: Pointer;
  readonly #memoryInfo: Pointer;
  readonly #allocator: Pointer;
  readonly #sessions = new Set<OrtSession>();
  #isDisposed = false;

  /** Throws NATIVE when the file is no ONNX Runtime, or one that is too old. */
  static open(libraryPath: string): OnnxRuntime {
    return new OnnxRuntime(new OrtApi(libraryPath));
  }

  private constructor(api: OrtApi) {
    this.#api = api;
    this.version = api.version;
    const { functions } = api;
    const action = "start ONNX Runtime";
    const name = cString("coremlx");
    const environment = api.taken(functions.CreateEnv(severityFatal, addressOf(name), api.out), action);
    this.#environment = environment as Pointer;
    const memoryInfo = functions.CreateCpuMemoryInfo(arenaAllocator, defaultMemory, api.out);
    this.#memoryInfo = api.taken(memoryInfo, action) as Pointer;
    this.#allocator = api.taken(functions.GetAllocatorWithDefaultOptions(api.out), action) as Pointer;
  }

  /**
   * Loads an ONNX model, and blocks for as long as that takes. The bytes are needed no longer afterwards. Throws
   * NATIVE with the library's reason, UNSUPPORTED where it has no kernel for an op.
   */
  createSession(model: Uint8Array<ArrayBuffer>, options: SessionOptions = {}): OrtSession {
    this.#assertOpen();
    if (model.byteLength === 0) throw new CoremlxError("BAD_MODEL", "Cannot load the model: it has 0 bytes");
    const api = this.#api;
    const bytes = model.byteLength < stableByteLength ? allocate(model.byteLength) : model;
    if (bytes !== model) bytes.set(model);
    const settings = this.#createSettings(options);
    try {
      const { functions, out } = api;
      const create = functions.CreateSessionFromArray;
      const result = create(this.#environment, addressOf(bytes), bytes.byteLength, settings, out);
      return this.#adopt(api.taken(result, "load the model") as Pointer, true);
    } finally {
      api.functions.ReleaseSessionOptions(settings);
    }
  }

  /** A session that another thread made, to run it from here at the same time. Its owner must outlive this use. */
  borrowSession(handle: Pick<SessionHandle, "session">): OrtSession {
    this.#assertOpen();
    return this.#adopt(handle.session as Pointer, false);
  }

  /** May be called again. */
  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    for (const session of this.#sessions) session[Symbol.dispose]();
    this.#isDisposed = true;
    this.#api.functions.ReleaseMemoryInfo(this.#memoryInfo);
    this.#api.functions.ReleaseEnv(this.#environment);
  }

  #adopt(session: Pointer, isOwned: boolean): OrtSession {
    const adopted = new OrtSession({
      api: this.#api,
      memoryInfo: this.#memoryInfo,
      allocator: this.#allocator,
      session,
      isOwned,
      onDispose: (gone) => this.#sessions.delete(gone),
    });
    this.#sessions.add(adopted);
    return adopted;
  }

  /** An OrtSessionOptions that the caller releases. */
  #createSettings(options: SessionOptions): Pointer {
    const api = this.#api;
    const { functions } = api;
    const action = "prepare a session";
    const { threads = Math.min(availableParallelism(), mostThreads) } = options;
    if (!Number.isInteger(threads) || threads < 1 || threads > mostThreads) {
      throw new CoremlxError("BAD_INPUT", `Cannot use ${threads} threads: choose 1 to ${mostThreads}`);
    }
    const settings = api.taken(functions.CreateSessionOptions(api.out), action) as Pointer;
    try {
      api.check(functions.SetSessionLogSeverityLevel(settings, severityFatal), action);
      api.check(functions.SetIntraOpNumThreads(settings, threads), action);
      api.check(functions.SetInterOpNumThreads(settings, 1), action);
      const level = optimizationLevels[options.optimization ?? "all"];
      api.check(functions.SetSessionGraphOptimizationLevel(settings, level), action);
      if (options.saveOptimized !== undefined) {
        const { folder, graphName } = options.saveOptimized;
        const path = cString(join(folder, graphName));
        api.check(functions.SetOptimizedModelFilePath(settings, addressOf(path)), action);
      }
      if (options.arena === false) api.check(functions.DisableCpuMemArena(settings), action);
      if (options.profilePrefix !== undefined) {
        const prefix = cString(options.profilePrefix);
        api.check(functions.EnableProfiling(settings, addressOf(prefix)), action);
      }
      for (const [key, value] of Object.entries(configOf(options))) {
        const [cKey, cValue] = [cString(key), cString(value)];
        api.check(
          functions.AddSessionConfigEntry(settings, addressOf(cKey), addressOf(cValue)),
          `set "${key}" of a session`,
        );
      }
      return settings;
    } catch (error) {
      functions.ReleaseSessionOptions(settings);
      throw error;
    }
  }

  #assertOpen(): void {
    if (this.#isDisposed) throw new CoremlxError("INTERNAL", "Cannot use an ONNX Runtime that was disposed");
  }
}

function configOf(options: SessionOptions): Record<string, string> {
  const { externalDataFolder, lowMemory = false, saveOptimized, config } = options;
  return {
    // Waiting threads sleep. Spinning costs a core while idle and a third of the throughput when several runs compete.
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
    ...(lowMemory
      ? {
          "session.disable_prepacking": "1",
          "session.qdq_matmulnbits_accuracy_level": "1", // weights stay packed, the arithmetic stays float32
        }
      : // Else weights that are only stored quantised are multiplied as int8, 1-2 % off what the model says.
        { "session.disable_quant_qdq": "1" }),
    ...(externalDataFolder === undefined
      ? {}
      : { "session.model_external_initializers_file_folder_path": externalDataFolder }),
    ...(saveOptimized === undefined
      ? {}
      : {
          "session.optimized_model_external_initializers_file_name": saveOptimized.weightsName,
          "session.optimized_model_external_initializers_min_size_in_bytes": String(
            saveOptimized.minWeightBytes,
          ),
        }),
    ...config,
  };
}
