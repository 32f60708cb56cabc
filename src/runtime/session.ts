// The facade over everything below: open a session, load models, predict. The CLI, the server and the suites use nothing else.

import { availableParallelism, homedir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { CoremlxError, messageOf } from "../core/errors.ts";
import { silent, type Telemetry } from "../core/telemetry.ts";
import type { ThermalSource } from "../core/thermal.ts";
import {
  describeHost,
  type HostCondition,
  type HostProfile,
  identifyProcessor,
  readHostCondition,
} from "../engines/device.ts";
import type { ComputePlan } from "../engines/compute-plan.ts";
import type { DeviceRequest } from "../engines/engine.ts";
import type { EngineOptions } from "../engines/select.ts";
import { type BreakerLimits, ModelBreaker } from "./breaker/breaker.ts";
import { BufferPool } from "./buffers/buffer-pool.ts";
import { CacheFiller } from "./cache-filler.ts";
import type { CompileModelOptions, CompileResult } from "./compile.ts";
import type { ExportedFile, ExportOptions } from "./export.ts";
import type { InspectOptions, Inspection } from "./inspect.ts";
import { within } from "./pool/deadline.ts";
import type { Isolation } from "./worker/channel.ts";
import { Instance } from "./pool/instance.ts";
import { type InstanceCount, mostInstances } from "./pool/instance-range.ts";
import { InstanceSearch } from "./pool/instance-search.ts";
import { ModelPool } from "./pool/model-pool.ts";
import { MemoryRecycler } from "./pool/memory-recycler.ts";
import { ModelSource } from "./pool/model-source.ts";
import { ResourceScheduler } from "./pool/resource-scheduler.ts";
import { type ResourceCounts, ResourceLedger } from "./pool/resources.ts";
import { allowedOf, ThermalGovernor } from "./pool/thermal-governor.ts";
import type { LoadReply, LoadRequest } from "./worker/protocol.ts";
import { OutputStore } from "./outputs/outputs.ts";
import { modelNameOf, SessionModel } from "./session-model.ts";
import type { SessionStats } from "./metrics/stats.ts";

export type { LoadTimings, ModelStats, SessionStats } from "./metrics/stats.ts";
export type {
  Prediction,
  PredictionLease,
  PredictionOptions,
  SessionModel,
} from "./session-model.ts";
export { defaultTimeoutMs, modelNameOf } from "./session-model.ts";
export type { ModelState } from "./sequence/state.ts";

export type { CoreLevel, HostCondition, HostProfile } from "../engines/device.ts";
export type { CompiledFunction, CompileResult } from "./compile.ts";
export type { ExportedFile, ExportOptions } from "./export.ts";
export type { InspectOptions, Inspection } from "./inspect.ts";

export type SessionCompileOptions = Pick<
  CompileModelOptions,
  "functionName" | "precision" | "outputFolder" | "verify" | "maxCacheBytes"
>;

export interface SessionOptions {
  /** "auto" (default), "coreml", "portable", "tape:FILE" or "http://HOST:PORT". */
  readonly engine?: string | undefined;
  readonly onnxruntimePath?: string | undefined;
  /** libcoremlx to use in place of the built-in one. On Linux it is a stand-in, for tests. */
  readonly coremlPath?: string | undefined;
  /** Default: the user's cache folder. */
  readonly cacheDir?: string | undefined;
  readonly precision?: "float32" | "model" | undefined;
  /**
   * Look models up in the compile cache, and fill it: another process of low priority compiles what took long to load, and
   * may outlive this one. Default true.
   */
  readonly cache?: boolean | undefined;
  /** Results up to this size travel in buffers, larger ones in mapped files. Default: 10 MB. */
  readonly maxInlineBytes?: number | undefined;
  /** Private folder of mapped results that are published. Default: inside the cache folder. */
  readonly outputDir?: string | undefined;
  /** Bytes of tensor memory the session may hold. Default: a quarter of the machine's memory. */
  readonly bufferBytes?: number | undefined;
  /** Units of what the models share, by a name of your choice: { ane: 1, cpu: 2 }. Default: nothing is shared. */
  readonly resources?: ResourceCounts | undefined;
  /** One prediction at a time, over all models. Default false. */
  readonly serial?: boolean | undefined;
  /** How long the resources of a call that was given up are kept from the others, unless it ends before. Default 10 s. */
  readonly hungHoldMs?: number | undefined;
  /** How hot the machine is: while it is hot, fewer predictions run at once. Default: nobody knows. */
  readonly thermal?: ThermalSource | undefined;
  readonly telemetry?: Telemetry | undefined;
}

export interface LoadModelOptions {
  /** What it is called in events and metrics. Default: its file's name without the ending. */
  readonly name?: string | undefined;
  /** Beside the name, where there are several. */
  readonly version?: string | undefined;
  readonly functionName?: string | undefined;
  readonly device?: DeviceRequest | undefined;
  /**
   * Predictions that may run at once; instances beyond the first are made when they are needed. "auto": as many as are
   * found worth having under full load, up to what the machine is good for. Default: by chip or cores, 1 to 4.
   */
  readonly instances?: InstanceCount | undefined;
  /** "process": each instance in a process of its own, which survives crashes and copies tensors. Default "worker". */
  readonly isolation?: Isolation | undefined;
  /**
   * Threads of one prediction. Default: 1 where several instances or "auto" are asked for, else all cores. "share": as many as
   * keep all cores busy when all instances run.
   */
  readonly threads?: number | "share" | undefined;
  /** Callers that may wait for an instance. Default 1024. */
  readonly queueLimit?: number | undefined;
  /** How long a caller may wait for an instance, within its own timeout; then OVERLOADED. Default: no bound of its own. */
  readonly queueTimeoutMs?: number | undefined;
  /** What one running prediction takes of the session's resources. Default: nothing. */
  readonly resources?: ResourceCounts | undefined;
  /** How much of its resources' time the model gets, against others who wait for them too. Default 1. */
  readonly weight?: number | undefined;
  /** How long an instance beyond the first may be idle. Default 30 s. */
  readonly idleMs?: number | undefined;
  /** How long a call that was given up may still run before its thread counts as hung. Default 2 s. */
  readonly hangMs?: number | undefined;
  /**
   * Growth of memory, steady and with the number of predictions, for which instances are replaced by fresh ones: see
   * docs/telemetry.md. Default 256 MB; Infinity for never.
   */
  readonly recycleGrowthBytes?: number | undefined;
  /** How often that is looked at. Default 2 s. */
  readonly memorySampleMs?: number | undefined;
  /**
   * Predictions after which instances are replaced by fresh ones; of each process, or of all threads together. Default:
   * never, for memory that grows and broken surfaces are noticed. Such a model is never run in the caller's thread.
   */
  readonly recycleAfter?: number | undefined;
  /**
   * Run in the caller's thread: "auto" a model that was found small, "always" any model of one graph without states, `false`
   * (default) none. The thread is blocked for as long as a run takes: neither a deadline nor a signal ends it.
   */
  readonly inline?: "auto" | "always" | false | undefined;
  /** What "auto" takes for small: the median of its first runs. Default 0.1 ms. */
  readonly inlineLimitMs?: number | undefined;
  /** When the model counts as broken. */
  readonly breaker?: Partial<BreakerLimits> | undefined;
  /** Hung threads put up with before the model is unavailable. Default 4. */
  readonly maxAbandoned?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Compute the digest while loading; reads every byte of the model. */
  readonly withDigest?: boolean | undefined;
}

const poolDefaults = { queueLimit: 1_024, idleMs: 30_000, hangMs: 2_000, maxAbandoned: 4 };

const defaultHungHoldMs = 10_000;

/** What a session is made of; tests bring instances that misbehave. */
export interface SessionSeams {
  readonly openInstance?: ((isolation: Isolation) => Instance) | undefined;
}

/** Throws USAGE for resources that cannot be. */
export async function openSession(options: SessionOptions = {}, seams: SessionSeams = {}): Promise<Session> {
  return new Session(options, seams);
}

/** Owns the models it loads: closing it closes them. */
export class Session implements AsyncDisposable {
  readonly #options: SessionOptions;
  readonly #models = new Set<SessionModel>();
  readonly #buffers: BufferPool;
  readonly #outputs: OutputStore;
  readonly #openInstance: (isolation: Isolation) => Instance;
  readonly #ledger: ResourceLedger;
  readonly #scheduler: ResourceScheduler;
  readonly #governor: ThermalGovernor | undefined;
  readonly #filler: CacheFiller;
  readonly #cacheCounts = { hits: 0, misses: 0 };
  readonly #startedEpochMs = Date.now();

  constructor(options: SessionOptions, seams: SessionSeams = {}) {
    this.#options = options;
    this.#openInstance = seams.openInstance ?? ((isolation) => new Instance(isolation));
    const { bufferBytes, telemetry, resources = {}, serial: isSerial = false } = options;
    this.#ledger = new ResourceLedger(resources, { isSerial });
    this.#scheduler = new ResourceScheduler({
      ledger: this.#ledger,
      hungHoldMs: options.hungHoldMs ?? defaultHungHoldMs,
      telemetry,
    });
    this.#governor = options.thermal && new ThermalGovernor({ source: options.thermal, telemetry });
    this.#filler = new CacheFiller({ telemetry });
    this.#buffers = new BufferPool({ telemetry, capacityBytes: bufferBytes ?? Math.floor(totalmem() / 4) });
    this.#outputs = new OutputStore({
      folder: options.outputDir ?? join(this.#cacheDir, "outputs"),
      buffers: this.#buffers,
      maxInlineBytes: options.maxInlineBytes,
      telemetry,
    });
  }

  get stats(): SessionStats {
    const { mapped } = this.#outputs.stats;
    return {
      schemaVersion: 1,
      startedEpochMs: this.#startedEpochMs,
      models: [...this.#models].map((model) => model.stats),
      bufferPool: this.#buffers.stats,
      outputs: {
        files: mapped.lentCount + mapped.idleCount + mapped.quarantinedCount,
        bytes: mapped.heldBytes,
        lent: mapped.lentCount,
        quarantined: mapped.quarantinedCount,
      },
      resources: this.#scheduler.stats,
      compileCache: { ...this.#cacheCounts },
      ...(this.#governor && { thermal: this.#governor.stats }),
      process: { residentBytes: process.memoryUsage.rss(), ...this.#governor?.reading },
    };
  }

  /** Reads, lowers and loads a model in a thread of its own. Errors: BAD_MODEL, NOT_FOUND, UNSUPPORTED, NATIVE, INTERRUPTED; USAGE for options that cannot be. */
  async load(path: string, options: LoadModelOptions = {}): Promise<SessionModel> {
    const engine = this.#engineOptions();
    const { instances, isolation = "worker" } = options;
    const maximum = mostInstances(instances, identifyProcessor());
    const { telemetry = silent } = this.#options;
    const { resources, weight, name = modelNameOf(path), version } = options;
    const claim = this.#ledger.claim({ model: name, resources, weight, instances: maximum });
    const most = Math.min(maximum, claim?.mostAtOnce ?? maximum);
    const request: LoadRequest = {
      type: "load",
      path: resolve(path),
      engine,
      functionName: options.functionName,
      device: options.device ?? "auto",
      threads: threadsFor(options, maximum),
      withDigest: options.withDigest ?? false,
    };
    const { signal } = options;
    const patience = { signal, deadline: Number.POSITIVE_INFINITY, timeoutMs: 0 };
    const source = await ModelSource.open(
      { request, isolation, openInstance: this.#openInstance },
      (loading) => within(loading, "load", patience),
    ).catch((error: unknown) => {
      const code = error instanceof CoremlxError ? error.code : "INTERNAL";
      telemetry.log("warn", "model not loaded", { model: name, code, reason: messageOf(error) });
      throw error;
    });
    this.#noteCache(source.reply, request, signal);
    const pool: ModelPool<Instance> = new ModelPool({
      ...source.source,
      model: name,
      areIndependent: source.areIndependent,
      reload: () => source.reload(),
      onReload: () => model.moveInline(),
      onExhausted: (reason) => breaker.open(reason),
      recycleAfter: options.recycleAfter,
      maximum: most,
      search: instances === "auto" ? new InstanceSearch({ most }) : undefined,
      join: claim && ((contender) => this.#scheduler.join(claim, contender)),
      queueLimit: options.queueLimit ?? poolDefaults.queueLimit,
      queueTimeoutMs: options.queueTimeoutMs,
      idleMs: options.idleMs ?? poolDefaults.idleMs,
      hangMs: options.hangMs ?? poolDefaults.hangMs,
      maxAbandoned: options.maxAbandoned ?? poolDefaults.maxAbandoned,
      telemetry,
    });
    // The next probe is to run on an instance that has nothing to do with what went wrong.
    const onOpen = () => pool.recycleAll("breaker");
    const breaker = new ModelBreaker({ ...options.breaker, model: name, telemetry, onOpen });
    const model: SessionModel = new SessionModel({
      path,
      name,
      version,
      reply: source.reply,
      pool,
      breaker,
      buffers: this.#buffers,
      outputStore: this.#outputs,
      meters: telemetry.meters,
      // A run in this thread would ask nobody for its turn.
      inlineLimitMs: options.inlineLimitMs,
      openInline: isInlineWanted(options) && claim === undefined ? source.openInline : undefined,
      onClose: () => {
        recycler?.[Symbol.dispose]();
        unwatchHeat?.[Symbol.dispose]();
        if (this.#models.delete(model)) telemetry.log("info", "model closed", { model: name });
      },
    });
    this.#models.add(model);
    const recycler = this.#watchMemory(model, pool, options);
    const unwatchHeat = this.#governor?.watch((share) => pool.limitTo(allowedOf(most, share)));
    const { cache, device, engineVersion } = source.reply;
    const { openMs, compileMs, loadMs } = source.reply;
    const [open, compile, load] = [openMs, compileMs, loadMs].map(Math.round);
    const times = { openMs: open, compileMs: compile, loadMs: load };
    const facts = { engine: engineVersion, device, isolation, cache, ...times };
    telemetry.log("info", "model loaded", { model: name, ...facts });
    if (options.inline !== "always") return model;
    try {
      await model.runInline();
      return model;
    } catch (error) {
      await model[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Everything a model's file says, without loading it. Throws BAD_MODEL for anything that is no model. */
  async inspect(path: string, options: InspectOptions = {}): Promise<Inspection> {
    const { inspectModel } = await import("./inspect.ts");
    return inspectModel(path, options);
  }

  /**
   * Where the operations of a loaded model would run, by Core ML's forecast; `undefined` where there is none. Blocks this
   * thread meanwhile.
   */
  async plan(
    model: Pick<SessionModel, "path" | "function" | "device"> & { readonly engine: string },
  ): Promise<ComputePlan | undefined> {
    if (model.engine !== "coreml") return undefined;
    try {
      const plan = {
        functionName: model.function.name,
        device: deviceRequestOf(model.device),
        engine: this.#engineOptions(),
      };
      return (await this.inspect(model.path, { plan })).plan;
    } catch (error) {
      if (error instanceof CoremlxError && error.code === "UNSUPPORTED") return undefined; // needs macOS 14.4
      throw error;
    }
  }

  /** Into the compile cache, or a folder, so that the next load is warm. Blocks this thread meanwhile. Errors: as `load`, and IO. */
  async compile(path: string, options: SessionCompileOptions = {}): Promise<CompileResult> {
    const { compileModel } = await import("./compile.ts");
    const { telemetry, precision } = this.#options;
    return compileModel(path, {
      ...this.#engineOptions(),
      ...options,
      precision: options.precision ?? precision,
      telemetry,
    });
  }

  /** The graph that the portable engine runs, as an ONNX file. Throws UNSUPPORTED for anything but an ML program, and IO. */
  async export(path: string, file: string, options: ExportOptions = {}): Promise<readonly ExportedFile[]> {
    const { exportToFile } = await import("./export.ts");
    return exportToFile(path, file, {
      ...options,
      precision: options.precision ?? this.#options.precision,
    });
  }

  /** This machine: its model, processor, memory and system. */
  device(): HostProfile {
    return describeHost({ cacheDir: this.#cacheDir });
  }

  /** The state it is in: power and heat. */
  deviceCondition(): HostCondition {
    return readHostCondition();
  }

  /** Waits until the compile cache holds, as far as it can, what this session has loaded so far. */
  async settleCache(): Promise<void> {
    await this.#filler.settle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#governor?.[Symbol.dispose]();
    await Promise.all([...this.#models].map((model) => model[Symbol.asyncDispose]()));
    this.#scheduler[Symbol.dispose]();
    this.#filler[Symbol.dispose]();
    this.#outputs[Symbol.dispose]();
    this.#buffers[Symbol.dispose]();
  }

  #watchMemory(
    model: SessionModel,
    pool: ModelPool<Instance>,
    { recycleGrowthBytes: limitBytes, memorySampleMs: sampleMs, isolation }: LoadModelOptions,
  ): Disposable | undefined {
    if (limitBytes === Number.POSITIVE_INFINITY) return undefined;
    return new MemoryRecycler({
      model: model.name,
      pool,
      areProcesses: isolation === "process",
      limitBytes,
      sampleMs,
      predictions: () => model.predictions,
      isAlone: () => this.#models.size === 1,
      pooledBytes: () => this.#buffers.stats.heldBytes,
      telemetry: this.#options.telemetry,
    });
  }

  #noteCache(
    reply: LoadReply,
    { path, functionName, engine }: LoadRequest,
    signal: AbortSignal | undefined,
  ): void {
    const { telemetry = silent } = this.#options;
    // What is wrong with the cache costs time, never an answer: no warnings.
    for (const { level, event, fields } of reply.events)
      telemetry.log(level === "warn" ? "info" : level, event, fields);
    if (engine.cache === false) return;
    if (reply.cache === "warm") this.#cacheCounts.hits++;
    else this.#cacheCounts.misses++;
    if (reply.wantsCompiling) this.#filler.request({ path, functionName, engine }, signal);
  }

  #engineOptions(): EngineOptions {
    const { engine = "auto", onnxruntimePath, coremlPath, precision, cache } = this.#options;
    return { engine, onnxruntimePath, coremlPath, cacheDir: this.#cacheDir, precision, cache };
  }

  get #cacheDir(): string {
    return this.#options.cacheDir ?? defaultCacheDir();
  }
}

function threadsFor({ threads, instances }: LoadModelOptions, most: number): number {
  const cores = availableParallelism();
  if (threads === "share") return Math.max(1, Math.floor(cores / most));
  return threads ?? (instances === undefined || most === 1 ? cores : 1);
}

/** What a model that is loaded was allowed to use, from the name of it: "cpu+ane". */
function deviceRequestOf(device: string): DeviceRequest {
  const [hasGpu, hasAne] = ["gpu", "ane"].map((each) => device.split(/\W+/).includes(each));
  if (hasGpu && hasAne) return "all";
  return hasAne ? "ane" : hasGpu ? "gpu" : "cpu";
}

/** A model in this thread has no instance to count, and none to give up. */
function isInlineWanted({ inline, recycleAfter }: LoadModelOptions): boolean {
  return (inline === "auto" || inline === "always") && recycleAfter === undefined;
}

/** The user's cache folder for coremlx; on a Mac not Apple's own place for the program's name. */
export function defaultCacheDir(): string {
  return process.platform === "darwin"
    ? join(homedir(), "Library", "Caches", "org.coremlx.coremlx")
    : join(homedir(), ".cache", "coremlx");
}
