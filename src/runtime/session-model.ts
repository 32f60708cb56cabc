// A loaded model as callers have it: values in, values out, over a pool of instances and a pool of buffers.

import { basename } from "node:path";
import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription, FunctionDescription, ModelDescription } from "../core/model.ts";
import type { Meters } from "../core/telemetry.ts";
import type { FeatureValue, FeatureValues } from "../core/tensor.ts";
import type { EngineName, LoadedGraph } from "../engines/engine.ts";
import { FeaturePlan } from "../engines/feature-plan.ts";
import type { BreakerControl, ModelBreaker } from "./breaker/breaker.ts";
import type { BufferPool } from "./buffers/buffer-pool.ts";
import { interrupted, type Patience, tooLate } from "./pool/deadline.ts";
import type { Instance } from "./pool/instance.ts";
import { InlineTrial } from "./run/inline-trial.ts";
import { ModelMeter } from "./metrics/model-meter.ts";
import type { ModelPool } from "./pool/model-pool.ts";
import { convertInputs } from "./run/inputs.ts";
import { GraphCall, keepValue, runFeatures, runInline, type Run } from "./run/run.ts";
import { type TurnOptions, Turns } from "./run/turns.ts";
import { describeModel } from "./metrics/model-stats.ts";
import type { OutputLease, OutputStore } from "./outputs/outputs.ts";
import type { LoadReply } from "./worker/protocol.ts";
import { type ResultMemory, RunMemory } from "./run/run-memory.ts";
import { ModelState, type StateTurn } from "./sequence/state.ts";
import type { LoadTimings, ModelStats } from "./metrics/stats.ts";

export interface PredictionOptions {
  readonly signal?: AbortSignal | undefined;
  /** Covers waiting and running. Default 5 s; Infinity for none. */
  readonly timeoutMs?: number | undefined;
  /** Higher goes first among the calls that wait. Default 0. */
  readonly priority?: number | undefined;
  readonly state?: ModelState | undefined;
  /** How long the call has waited elsewhere for its turn: part of its timeout, and of what the stats call queueing. Default 0. */
  readonly waitedMs?: number | undefined;
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

interface QueuedRun extends Run {
  readonly queueMs: number;
}

interface RunOptions extends PredictionOptions, Pick<TurnOptions, "isFresh"> {}

export interface SessionModelParts {
  readonly path: string;
  readonly name: string;
  readonly version: string | undefined;
  readonly reply: LoadReply;
  /** Owned from now on. */
  readonly pool: ModelPool<Instance>;
  readonly breaker: ModelBreaker;
  readonly buffers: BufferPool;
  readonly outputStore: OutputStore;
  readonly meters: Meters | undefined;
  /** Opens the graph in this thread; `undefined` where the model always runs in a worker. */
  readonly openInline: (() => Promise<LoadedGraph>) | undefined;
  /** Below that a run counts as small. */
  readonly inlineLimitMs: number | undefined;
  readonly onClose: () => void;
}

export const defaultTimeoutMs = 5_000;

/** Safe to call from many places at once. Owns its pool of instances; borrows the session's buffers. */
export class SessionModel implements AsyncDisposable {
  readonly #parts: SessionModelParts;
  readonly #plan: FeaturePlan | undefined;
  readonly #meter: ModelMeter;
  readonly #turns: Turns;
  #trial: InlineTrial | undefined;
  #inline: LoadedGraph | undefined;
  #openingInline: Promise<void> | undefined;
  #firstInferenceMs: number | undefined;
  #isClosed = false;

  constructor(parts: SessionModelParts) {
    this.#parts = parts;
    const { function: description, graph } = parts.reply;
    this.#turns = new Turns(parts.pool);
    this.#plan = graph && new FeaturePlan(description, graph.ports);
    const { name: model, version } = parts;
    const labels = version === undefined ? { model } : { model, version };
    this.#meter = new ModelMeter(labels, { meters: parts.meters });
    this.#trial =
      parts.openInline && graph?.ports.states.length === 0 ? new InlineTrial(parts.inlineLimitMs) : undefined;
  }

  get path(): string {
    return this.#parts.path;
  }
  /** What it is called in events and metrics. */
  get name(): string {
    return this.#parts.name;
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
  /** All of the model's; `function` is the one that was loaded. */
  get functions(): readonly FunctionDescription[] {
    return this.description.functions;
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
  get timings(): LoadTimings {
    const { openMs, compileMs, loadMs } = this.#parts.reply;
    return { openMs, compileMs, loadMs };
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
    return describeModel({
      ...this.#parts,
      meter: this.#meter,
      firstInferenceMs: this.#firstInferenceMs,
    });
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
    const { signal, timeoutMs = defaultTimeoutMs, waitedMs = 0 } = options;
    const started = performance.now() - waitedMs;
    const patience: Patience = { signal, timeoutMs, deadline: started + timeoutMs };
    try {
      const converted = convertInputs(inputs, this.inputs);
      if (waitedMs > 0 && waitedMs >= timeoutMs)
        throw tooLate("predict", patience, { queueMs: waitedMs, neededMs: 0 });
      const pass = this.#parts.breaker.before();
      try {
        const run = pass.isProbe ? { ...options, isFresh: true } : options;
        // In this thread without a turn of the event loop: it would count what others do meanwhile.
        const answered =
          this.#runHere(converted, { patience, options: run, resultMemory }) ??
          (await this.#run(converted, patience, run, resultMemory));
        this.#parts.breaker.success(pass);
        const prediction = waitedMs === 0 ? answered : { ...answered, queueMs: answered.queueMs + waitedMs };
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
      const { name } = this.#parts;
      throw new CoremlxError("UNSUPPORTED", `Cannot run "${name}" in the caller's thread`, {
        hint: "That takes a model of one graph without states, no isolation, no resources and no recycling",
      });
    }
    this.#trial = undefined;
    await this.#openingInline;
    if (this.#inline === undefined) await this.#openInline(openInline);
    if (this.#inline === undefined) throw new CoremlxError("UNAVAILABLE", "The model is closed");
  }

  /** To what was loaded last; when that fails, back to the workers. For the pool, which closes what was loaded before. */
  async moveInline(): Promise<void> {
    await this.#openingInline;
    const before = this.#inline;
    if (before === undefined) return;
    this.#inline = undefined;
    const { openInline } = this.#parts;
    if (openInline) this.#tryInline(openInline);
    before[Symbol.dispose]();
    await this.#openingInline;
  }

  /** States for one sequence of predictions, zero at first. Throws UNSUPPORTED for a model that keeps none. */
  async newState(): Promise<ModelState> {
    // Of a model that is no graph of tensors here: its states lie where a run cannot take them along.
    if (this.#plan === undefined && this.states.length > 0)
      throw new CoremlxError(
        "UNSUPPORTED",
        `Cannot make a state of "${this.name}": the ${this.engine} engine keeps states to itself`,
      );
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

  /** Undefined where it has to run elsewhere. */
  #runHere(
    inputs: FeatureValues,
    {
      patience,
      options,
      resultMemory,
    }: {
      readonly patience: Patience;
      readonly options: RunOptions;
      readonly resultMemory: ResultMemory;
    },
  ): QueuedRun | undefined {
    const plan = this.#plan;
    const inline = this.#inline;
    if (!inline || !plan || options.state !== undefined || options.isFresh) return undefined;
    if (patience.signal?.aborted) throw interrupted();
    const memory = new RunMemory(this.#parts);
    return { ...runInline({ plan, graph: inline, inputs, memory, resultMemory }), queueMs: 0 };
  }

  async #run(
    inputs: FeatureValues,
    patience: Patience,
    options: RunOptions,
    resultMemory: ResultMemory,
  ): Promise<QueuedRun> {
    const plan = this.#plan;
    if (plan === undefined) {
      const description = this.function;
      return this.#turns.run(patience, options, (lease, left) => {
        return runFeatures(lease, { description, inputs, patience: left });
      });
    }
    // A stateful model without a state runs with one of its own, zero, for this one call. A given one is taken at once,
    // not when its turn comes: two calls with one state are a mistake, however they happen to interleave.
    const isStateful = plan.ports.states.length > 0;
    const fresh = options.state === undefined && isStateful ? await this.newState() : undefined;
    let turn: StateTurn | undefined;
    try {
      turn = (options.state ?? fresh)?.begin();
      const call = new GraphCall({
        plan,
        inputs,
        openMemory: () => new RunMemory(this.#parts),
        resultMemory,
        state: turn,
      });
      const prepare = (instance: Instance) => call.prepare(instance);
      const run = await this.#turns.run(patience, { ...options, prepare }, (lease, left) =>
        call.run(lease, left),
      );
      turn?.commit();
      this.#considerInline(run.runMs);
      return run;
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
    const { openInline } = this.#parts;
    if (verdict && openInline) this.#tryInline(openInline);
  }

  #tryInline(open: () => Promise<LoadedGraph>): void {
    this.#openInline(open).catch(() => {
      // Then it goes on in its worker: slower, not wrong.
    });
  }

  /** Whoever closes or moves what is being joined waits for it; nothing is joined any more once the model closes. */
  #openInline(open: () => Promise<LoadedGraph>): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    const opening = open().then((inline) => {
      if (this.#isClosed || this.#inline !== undefined) inline[Symbol.dispose]();
      else this.#inline = inline;
    });
    this.#openingInline = opening.catch(() => {});
    return opening;
  }
}

/** The model's name among others: its file's name without the ending. */
export function modelNameOf(path: string): string {
  return basename(path).replace(/\.(mlpackage|mlmodelc|mlmodel)$/i, "");
}
