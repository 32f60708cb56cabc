// A loaded model as callers have it: values in, values out, over a pool of instances and a pool of buffers.

import { basename } from "node:path";
import { convertFeature } from "../codecs/convert.ts";
import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription, FunctionDescription, ModelDescription } from "../core/model.ts";
import { suggest } from "../core/suggest.ts";
import type { Meters } from "../core/telemetry.ts";
import { type FeatureValue, type FeatureValues, isTensor, type Tensor } from "../core/tensor.ts";
import type { EngineName, LoadedGraph } from "../engines/engine.ts";
import { checkOutputs } from "../engines/check-outputs.ts";
import { FeaturePlan } from "../engines/feature-plan.ts";
import { isSurfaceError } from "../engines/surface-error.ts";
import type { BreakerControl, ModelBreaker } from "./breaker/breaker.ts";
import type { BufferPool } from "./buffers/buffer-pool.ts";
import { interrupted, type Patience, tooLate, within } from "./pool/deadline.ts";
import type { Instance } from "./pool/instance.ts";
import { InlineTrial } from "./pool/inline-trial.ts";
import { ModelMeter } from "./metrics/model-meter.ts";
import { type ModelPool, type InstanceLease } from "./pool/model-pool.ts";
import { RunEstimate } from "./pool/run-estimate.ts";
import type { OutputLease, OutputStore } from "./outputs/outputs.ts";
import type { LoadReply } from "./worker/protocol.ts";
import { type ResultMemory, RunMemory } from "./run-memory.ts";
import { ModelState, type StateTurn } from "./sequence/state.ts";
import type { ModelStats } from "./metrics/stats.ts";

export interface PredictionOptions {
  readonly signal?: AbortSignal | undefined;
  /** Covers waiting and running. Default 5 s; Infinity for none. */
  readonly timeoutMs?: number | undefined;
  /** Higher goes first among the calls that wait. Default 0. */
  readonly priority?: number | undefined;
  readonly state?: ModelState | undefined;
}

export interface Prediction {
  readonly outputs: FeatureValues;
  /** Waiting for an instance. */
  readonly queueMs: number;
  /** Inside the engine. */
  readonly runMs: number;
}

/** A prediction whose arrays lie in pooled memory: `using` gives it back, and they must not be used afterwards. */
export interface PredictionLease extends Prediction, Disposable {
  /** Outputs that lie in a mapped file other processes can read once it is published, by name. */
  readonly mapped: ReadonlyMap<string, OutputLease>;
}

/** What one run gave, before waiting and preparing are added up. */
interface Run extends Disposable {
  readonly outputs: FeatureValues;
  readonly mapped: ReadonlyMap<string, OutputLease>;
  /** Memory that ends with this. */
  readonly isPooled: (bytes: Uint8Array<ArrayBuffer>) => boolean;
  readonly inputMs: number;
  readonly runMs: number;
}

interface Turn {
  readonly lease: InstanceLease<Instance>;
  readonly queueMs: number;
  readonly left: Patience;
}

/** Less than that was no waiting: the instance was there. */
const briefMs = 1;

interface QueuedRun extends Run {
  readonly queueMs: number;
}

interface GraphRunOptions {
  readonly patience: Patience;
  readonly turn: StateTurn | undefined;
  readonly resultMemory: ResultMemory;
}

interface RunOptions extends PredictionOptions {
  /** On an instance that was made since things went wrong, where there can be one. */
  readonly isFresh?: boolean | undefined;
}

export interface SessionModelParts {
  readonly path: string;
  readonly reply: LoadReply;
  /** Owned from now on. */
  readonly pool: ModelPool<Instance>;
  readonly breaker: ModelBreaker;
  readonly buffers: BufferPool;
  readonly outputStore: OutputStore;
  readonly meters: Meters | undefined;
  /** Opens the graph in this thread; `undefined` where the model always runs in a worker. */
  readonly openInline: (() => Promise<LoadedGraph>) | undefined;
  readonly onClose: () => void;
}

export const defaultTimeoutMs = 5_000;

/** Safe to call from many places at once. Owns its pool of instances; borrows the session's buffers. */
export class SessionModel implements AsyncDisposable {
  readonly #parts: SessionModelParts;
  readonly #plan: FeaturePlan | undefined;
  readonly #meter: ModelMeter;
  readonly #estimate = new RunEstimate();
  #trial: InlineTrial | undefined;
  #inline: LoadedGraph | undefined;
  #openingInline: Promise<void> | undefined;
  #firstInferenceMs: number | undefined;
  #isClosed = false;

  constructor(parts: SessionModelParts) {
    this.#parts = parts;
    const { function: description, graph } = parts.reply;
    this.#plan = graph && new FeaturePlan(description, graph.ports);
    this.#meter = new ModelMeter({ model: modelNameOf(parts.path) }, { meters: parts.meters });
    this.#trial = parts.openInline && graph?.ports.states.length === 0 ? new InlineTrial() : undefined;
  }

  get path(): string {
    return this.#parts.path;
  }
  /** SHA-256 over the model's files, hexadecimal; when asked for at loading. */
  get digest(): string | undefined {
    return this.#parts.reply.digest;
  }
  get description(): ModelDescription {
    return this.#parts.reply.description;
  }
  get function(): FunctionDescription {
    return this.#parts.reply.function;
  }
  get inputs(): readonly FeatureDescription[] {
    return this.function.inputs;
  }
  get outputs(): readonly FeatureDescription[] {
    return this.function.outputs;
  }
  get states(): readonly FeatureDescription[] {
    return this.function.states;
  }
  get engine(): EngineName {
    return this.#parts.reply.engine;
  }
  get engineVersion(): string {
    return this.#parts.reply.engineVersion;
  }
  get device(): string {
    return this.#parts.reply.device;
  }
  /** It had been compiled before, and was loaded from the cache. */
  get isWarm(): boolean {
    return this.#parts.reply.cache === "warm";
  }
  get timings(): { readonly openMs: number; readonly loadMs: number } {
    const { openMs, loadMs } = this.#parts.reply;
    return { openMs, loadMs };
  }
  /** It was found small enough to run in this thread. */
  get isInline(): boolean {
    return this.#inline !== undefined;
  }
  /** So far, whatever became of them. */
  get predictions(): number {
    return this.#meter.count;
  }
  /** For operators; and to go on, after a restart, where the last process left off. */
  get breaker(): BreakerControl {
    return this.#parts.breaker;
  }
  get stats(): ModelStats {
    const { path, pool, breaker, buffers, reply } = this.#parts;
    const instances = pool.stats;
    const memory = buffers.stats;
    return {
      model: modelNameOf(path),
      ...(reply.digest === undefined ? {} : { digest: reply.digest }),
      engine: reply.engineVersion,
      device: reply.device,
      requests: this.#meter.requests,
      latency: this.#meter.latency,
      queue: {
        pending: instances.waiting,
        highWater: instances.waitingHighWater,
        limit: instances.queueLimit,
        rejected: instances.refused,
        timedOut: instances.timedOut,
      },
      instances: {
        idle: instances.idle,
        busy: instances.busy,
        poisoned: instances.draining,
        parked: instances.parked,
        limit: instances.maximum,
        allowed: instances.allowed,
        ...(instances.search && { search: instances.search }),
        replaced: instances.replaced,
        recycled: instances.recycled,
        byReason: instances.byReason,
        abandonedThreads: instances.abandonedThreads,
      },
      ...(instances.seat && { scheduling: instances.seat }),
      breaker: breaker.stats,
      quarantine: {
        count: memory.quarantinedCount,
        bytes: memory.quarantinedBytes,
        entered: memory.quarantined,
        released: memory.releasedLate,
        isFull: memory.isQuarantineFull,
      },
      load: {
        openMs: reply.openMs,
        loadMs: reply.loadMs,
        ...(this.#firstInferenceMs === undefined ? {} : { firstInferenceMs: this.#firstInferenceMs }),
        cache: reply.cache,
      },
    };
  }

  /**
   * The answer in memory of the caller's. Arrays of 64 KiB and more are read where they lie: leave them as they are until this
   * settles, and after DEADLINE or INTERRUPTED for good, because a run that was given up may go on reading.
   */
  async predict(inputs: FeatureValues, options: PredictionOptions = {}): Promise<FeatureValues> {
    return (await this.predictTimed(inputs, options)).outputs;
  }

  /** Results in memory of their own. Errors: BAD_INPUT, OVERLOADED, UNAVAILABLE, DEADLINE, INTERRUPTED, NATIVE. */
  async predictTimed(inputs: FeatureValues, options: PredictionOptions = {}): Promise<Prediction> {
    using run = await this.#predict(inputs, options, "owned");
    const outputs = new Map<string, FeatureValue>();
    for (const [name, value] of run.outputs) outputs.set(name, keepValue(value, run));
    return { outputs, queueMs: run.queueMs, runMs: run.runMs };
  }

  /** As `predictTimed`, with results in pooled memory. */
  async predictLeased(inputs: FeatureValues, options: PredictionOptions = {}): Promise<PredictionLease> {
    return this.#predict(inputs, options, "pooled");
  }

  async #predict(
    inputs: FeatureValues,
    options: PredictionOptions,
    resultMemory: ResultMemory,
  ): Promise<QueuedRun> {
    const { signal, timeoutMs = defaultTimeoutMs } = options;
    const started = performance.now();
    const patience: Patience = { signal, timeoutMs, deadline: started + timeoutMs };
    try {
      const converted = this.#convert(inputs);
      const pass = this.#parts.breaker.before();
      try {
        const run = pass.isProbe ? { ...options, isFresh: true } : options;
        const prediction = await this.#run(converted, patience, run, resultMemory);
        this.#parts.breaker.success(pass);
        this.#record(started, prediction);
        return prediction;
      } catch (error) {
        this.#parts.breaker.failure(pass, error);
        throw error;
      }
    } catch (error) {
      this.#meter.failed(error, performance.now() - started);
      throw error;
    }
  }

  /** From now on in this thread. Throws UNSUPPORTED for a model that needs more than one run of one graph, or an instance to itself. */
  async runInline(): Promise<void> {
    const { openInline } = this.#parts;
    if (openInline === undefined || this.states.length > 0) {
      const name = modelNameOf(this.path);
      throw new CoremlxError("UNSUPPORTED", `Cannot run "${name}" in the caller's thread`, {
        hint: "That takes a model of one graph without states, no isolation, no resources and no recycling",
      });
    }
    this.#trial = undefined;
    this.#inline ??= await openInline();
  }

  /** To what was loaded last; when that fails, back to the workers. For the pool, which closes what was loaded before. */
  async moveInline(): Promise<void> {
    await this.#openingInline;
    const before = this.#inline;
    if (before === undefined) return;
    this.#inline = undefined;
    this.#openInline();
    before[Symbol.dispose]();
    await this.#openingInline;
  }

  /** States for one sequence of predictions, zero at first. Throws UNSUPPORTED for a model that keeps none. */
  async newState(): Promise<ModelState> {
    return new ModelState(this.#plan?.ports.states ?? [], this.#parts.buffers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.onClose();
    this.#isClosed = true;
    // What borrows the graph goes before the graph.
    await this.#openingInline;
    const inline = this.#inline;
    this.#inline = undefined;
    inline?.[Symbol.dispose]();
    await this.#parts.pool[Symbol.asyncDispose]();
  }

  async #run(
    inputs: FeatureValues,
    patience: Patience,
    options: RunOptions,
    resultMemory: ResultMemory,
  ): Promise<QueuedRun> {
    if (this.#inline && this.#plan && options.state === undefined && !options.isFresh) {
      if (patience.signal?.aborted) throw interrupted();
      return { ...runInline(this.#plan, this.#inline, inputs), queueMs: 0 };
    }
    if (this.#plan === undefined) {
      const { lease, queueMs, left } = await this.#takeTurn(patience, options);
      const run = await this.#timed(left, this.#runFeatures(lease, inputs, left));
      return { ...run, queueMs };
    }
    // A stateful model without a state runs with one of its own, zero, for this one call. A given one is taken at once,
    // not when its turn comes: two calls with one state are a mistake, however they happen to interleave.
    const isStateful = this.#plan.ports.states.length > 0;
    const fresh = options.state === undefined && isStateful ? await this.newState() : undefined;
    const turn = (options.state ?? fresh)?.begin();
    try {
      const { lease, queueMs, left } = await this.#takeTurn(patience, options);
      const run = await this.#timed(
        left,
        this.#runGraph(this.#plan, lease, inputs, { patience: left, turn, resultMemory }),
      );
      turn?.commit();
      this.#considerInline(run.runMs);
      return { ...run, queueMs };
    } catch (error) {
      turn?.rollBack();
      throw error;
    } finally {
      await fresh?.[Symbol.asyncDispose]();
    }
  }

  #record(started: number, { queueMs, inputMs, runMs }: QueuedRun): void {
    const request = performance.now() - started;
    this.#firstInferenceMs ??= request;
    const output = Math.max(request - queueMs - inputMs - runMs, 0);
    this.#meter.succeeded({ request, queue: queueMs, input: inputMs, infer: runMs, output });
  }

  /** After enough short runs the graph moves into this thread. */
  #considerInline(runMs: number): void {
    const verdict = this.#trial?.add(runMs);
    if (verdict === undefined) return;
    this.#trial = undefined;
    if (verdict) this.#openInline();
  }

  #openInline(): void {
    this.#openingInline = this.#parts.openInline?.().then(
      (inline) => {
        if (this.#isClosed) inline[Symbol.dispose]();
        else this.#inline = inline;
      },
      () => {
        // Then it goes on in its worker: slower, not wrong.
      },
    );
  }

  /** An instance, and what is left of the patience; throws DEADLINE where the queue has left too little for a run. */
  async #takeTurn(patience: Patience, options: RunOptions): Promise<Turn> {
    const queued = performance.now();
    const lease = await this.#acquire(patience, options);
    const now = performance.now();
    const queueMs = now - queued;
    if (queueMs < briefMs) return { lease, queueMs, left: patience };
    const leftMs = patience.deadline - now;
    const { neededMs } = this.#estimate;
    if (leftMs < neededMs) {
      lease[Symbol.dispose]();
      throw tooLate("predict", patience, { queueMs, neededMs });
    }
    return {
      lease,
      queueMs,
      left: this.#estimate.wasFair(leftMs) ? patience : { ...patience, stage: "waiting" },
    };
  }

  /** Lets the estimate know how long it took. */
  async #timed(patience: Patience, work: Promise<Run>): Promise<Run> {
    const started = performance.now();
    try {
      const run = await work;
      this.#estimate.add(performance.now() - started);
      return run;
    } catch (error) {
      if (isExpired(error)) this.#estimate.addUnfinished(performance.now() - started);
      throw error;
    }
  }

  /**
   * An instance while there is time for a run; one that comes too late is returned at once. Who cannot be served any more
   * leaves the queue by a timer of its own: found out at its turn, it would keep the instance from the next.
   */
  async #acquire(patience: Patience, { priority, isFresh }: RunOptions): Promise<InstanceLease<Instance>> {
    const { signal } = patience;
    if (signal?.aborted) throw interrupted();
    const idle = isFresh ? undefined : this.#parts.pool.acquireIdle();
    if (idle) return idle;
    const giveUp = new AbortController();
    const either = signal ? AbortSignal.any([signal, giveUp.signal]) : giveUp.signal;
    const queued = performance.now();
    const { neededMs } = this.#estimate;
    const waiting = this.#parts.pool.acquire({ signal: either, priority, isFresh });
    try {
      return await within(waiting, "predict", {
        ...patience,
        deadline: patience.deadline - neededMs,
        stage: "waiting",
      });
    } catch (error) {
      giveUp.abort();
      waiting.then(
        (late) => late[Symbol.dispose](),
        () => {
          // It was refused, or taken out of the queue: nothing to return.
        },
      );
      if (isExpired(error)) {
        throw tooLate("predict", patience, { queueMs: performance.now() - queued, neededMs });
      }
      throw error;
    }
  }

  async #runGraph(
    plan: FeaturePlan,
    lease: InstanceLease<Instance>,
    inputs: FeatureValues,
    { patience, turn, resultMemory }: GraphRunOptions,
  ): Promise<Run> {
    const started = performance.now();
    const memory = new RunMemory(this.#parts);
    const { instance } = lease;
    try {
      const given = memory.encode(plan, inputs);
      const wanted = memory.placeResults(plan, resultMemory);
      if (turn) {
        given.push(...turn.inputs);
        wanted.push(...turn.outputs);
      }
      const inputMs = performance.now() - started;
      instance.prepareRun();
      const call = instance.run(given, wanted);
      const { results, runMs } = await within(call, "predict", patience).catch((error: unknown) => {
        if (!isGivenUp(error)) throw error;
        // The engine may still be at work: nothing of this call goes back before it has really ended.
        instance.cancel();
        const endMemory = memory.quarantine();
        const endTurn = turn?.abandon();
        lease.abandon(call, () => {
          endMemory();
          endTurn?.();
        });
        throw error;
      });
      lease[Symbol.dispose]();
      return {
        outputs: plan.decode(memory.collect(results)),
        mapped: memory.mapped,
        isPooled: (bytes) => memory.isPooled(bytes),
        inputMs,
        runMs,
        [Symbol.dispose]: () => memory[Symbol.dispose](),
      };
    } catch (error) {
      memory[Symbol.dispose]();
      this.#recycleAfter(error, instance);
      lease[Symbol.dispose]();
      throw error;
    }
  }

  async #runFeatures(
    lease: InstanceLease<Instance>,
    inputs: FeatureValues,
    patience: Patience,
  ): Promise<Run> {
    const call = lease.instance.call({ type: "predict", inputs });
    try {
      const { outputs, runMs } = await within(call, "predict", patience);
      checkOutputs(this.function, outputs);
      lease[Symbol.dispose]();
      return { outputs, mapped: noneMapped, isPooled: notPooled, inputMs: 0, runMs, [Symbol.dispose]() {} };
    } catch (error) {
      if (isGivenUp(error)) lease.abandon(call, () => {});
      this.#recycleAfter(error, lease.instance);
      lease[Symbol.dispose]();
      throw error;
    }
  }

  #recycleAfter(error: unknown, instance: Instance): void {
    if (isSurfaceError(error)) this.#parts.pool.recycle(instance, "surface");
  }

  #convert(inputs: FeatureValues): FeatureValues {
    const names = this.inputs.map((input) => input.name);
    for (const name of inputs.keys()) {
      if (names.includes(name)) continue;
      const hint = suggest(name, names, "The inputs are");
      throw new CoremlxError("BAD_INPUT", `Unknown input "${name}"`, {
        hint,
        details: { name, inputs: names },
      });
    }
    const converted = new Map<string, FeatureValue>();
    const missing: string[] = [];
    for (const input of this.inputs) {
      const value = inputs.get(input.name);
      if (value !== undefined) converted.set(input.name, convertFeature(value, input));
      else if (!input.isOptional) missing.push(input.name);
    }
    if (missing.length > 0) {
      const list = missing.map((name) => `"${name}"`).join(", ");
      throw new CoremlxError("BAD_INPUT", `Cannot predict: input ${list} is missing`, {
        hint: `Give it with --input ${missing[0]}=VALUE`,
        details: { missing },
      });
    }
    return converted;
  }
}

const notPooled = () => false;
const noneMapped: ReadonlyMap<string, OutputLease> = new Map();
const nowhere: ReadonlyMap<string, Tensor> = new Map();

/** In this thread: the caller's arrays are lent as they are, results come in memory of their own. */
function runInline(plan: FeaturePlan, graph: LoadedGraph, inputs: FeatureValues): Run {
  const started = performance.now();
  const tensors = plan.encode(inputs);
  const ready = performance.now();
  const results = graph.run(tensors, nowhere);
  const runMs = performance.now() - ready;
  return {
    outputs: plan.decode(results),
    mapped: noneMapped,
    isPooled: notPooled,
    inputMs: ready - started,
    runMs,
    [Symbol.dispose]() {},
  };
}

/** The model's name among others: its file's name without the ending. */
export function modelNameOf(path: string): string {
  return basename(path).replace(/\.(mlpackage|mlmodelc|mlmodel)$/i, "");
}

function isExpired(error: unknown): boolean {
  return error instanceof CoremlxError && error.code === "DEADLINE";
}

/** Our own waiting ended, not the engine's work: `within` gave up. */
function isGivenUp(error: unknown): boolean {
  return error instanceof CoremlxError && (error.code === "DEADLINE" || error.code === "INTERRUPTED");
}

/** The value in memory of the caller's. */
function keepValue(value: FeatureValue, { isPooled }: Run): FeatureValue {
  if (!isTensor(value) || !isPooled(value.bytes)) return value;
  const bytes = new Uint8Array(new ArrayBuffer(value.bytes.byteLength));
  bytes.set(value.bytes);
  return { ...value, bytes };
}
