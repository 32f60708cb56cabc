// A loaded model as callers have it: values in, values out, over a pool of instances and a pool of buffers.

import { convertFeature } from "../codecs/convert.ts";
import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription, FunctionDescription, ModelDescription } from "../core/model.ts";
import { suggest } from "../core/suggest.ts";
import { type FeatureValue, type FeatureValues, isTensor, type Tensor } from "../core/tensor.ts";
import type { EngineName } from "../engines/engine.ts";
import { FeaturePlan } from "../engines/feature-plan.ts";
import type { BufferLease, BufferPool } from "./buffer-pool.ts";
import { type Patience, within } from "./deadline.ts";
import type { Instance } from "./instance.ts";
import type { InstanceLease, ModelPool, ModelPoolStats } from "./model-pool.ts";
import type { LoadReply, SharedTensor } from "./protocol.ts";
import { share } from "./shared-tensor.ts";
import { ModelState, type StateTurn } from "./state.ts";

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
export interface PredictionLease extends Prediction, Disposable {}

export interface ModelStats {
  readonly path: string;
  readonly pool: ModelPoolStats;
  readonly predictions: number;
  readonly failures: number;
}

export interface SessionModelParts {
  readonly path: string;
  readonly reply: LoadReply;
  /** Owned from now on. */
  readonly pool: ModelPool<Instance>;
  readonly buffers: BufferPool;
  readonly onClose: () => void;
}

export const defaultTimeoutMs = 5_000;

/** Safe to call from many places at once. Owns its pool of instances; borrows the session's buffers. */
export class SessionModel implements AsyncDisposable {
  readonly #parts: SessionModelParts;
  readonly #plan: FeaturePlan | undefined;
  #predictions = 0;
  #failures = 0;

  constructor(parts: SessionModelParts) {
    this.#parts = parts;
    const { function: description, graph } = parts.reply;
    this.#plan = graph && new FeaturePlan(description, graph.ports);
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
  get timings(): { readonly openMs: number; readonly loadMs: number } {
    const { openMs, loadMs } = this.#parts.reply;
    return { openMs, loadMs };
  }
  get stats(): ModelStats {
    const { path, pool } = this.#parts;
    return { path, pool: pool.stats, predictions: this.#predictions, failures: this.#failures };
  }

  async predict(inputs: FeatureValues, options: PredictionOptions = {}): Promise<FeatureValues> {
    return (await this.predictTimed(inputs, options)).outputs;
  }

  /** Results in memory of their own. Errors: BAD_INPUT, OVERLOADED, UNAVAILABLE, DEADLINE, INTERRUPTED, NATIVE. */
  async predictTimed(inputs: FeatureValues, options: PredictionOptions = {}): Promise<Prediction> {
    using lease = await this.predictLeased(inputs, options);
    return { outputs: new Map([...lease.outputs].map(copyOf)), queueMs: lease.queueMs, runMs: lease.runMs };
  }

  /** As `predictTimed`, without the last copy. */
  async predictLeased(inputs: FeatureValues, options: PredictionOptions = {}): Promise<PredictionLease> {
    const { signal, timeoutMs = defaultTimeoutMs } = options;
    const started = performance.now();
    const patience: Patience = { signal, timeoutMs, deadline: started + timeoutMs };
    const converted = this.#convert(inputs);
    this.#predictions++;
    try {
      const lease = await this.#acquire(patience, options.priority);
      const queueMs = performance.now() - started;
      const run = this.#plan
        ? await this.#runGraph(this.#plan, lease, converted, patience, options.state)
        : await this.#runFeatures(lease, converted, patience);
      return { ...run, queueMs };
    } catch (error) {
      this.#failures++;
      throw error;
    }
  }

  /** States for one sequence of predictions, zero at first. Throws UNSUPPORTED for a model that keeps none. */
  async newState(): Promise<ModelState> {
    return new ModelState(this.#plan?.ports.states ?? [], this.#parts.buffers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.onClose();
    await this.#parts.pool[Symbol.asyncDispose]();
  }

  /** An instance before the deadline. One that comes too late is returned at once. */
  async #acquire(patience: Patience, priority: number | undefined): Promise<InstanceLease<Instance>> {
    const { signal } = patience;
    const giveUp = new AbortController();
    const either = signal ? AbortSignal.any([signal, giveUp.signal]) : giveUp.signal;
    const waiting = this.#parts.pool.acquire({ signal: either, priority });
    try {
      return await within(waiting, "predict", patience);
    } catch (error) {
      giveUp.abort();
      waiting.then(
        (late) => late[Symbol.dispose](),
        () => {
          // It was refused, or taken out of the queue: nothing to return.
        },
      );
      throw error;
    }
  }

  async #runGraph(
    plan: FeaturePlan,
    lease: InstanceLease<Instance>,
    inputs: FeatureValues,
    patience: Patience,
    given: ModelState | undefined,
  ): Promise<Omit<PredictionLease, "queueMs">> {
    const { buffers } = this.#parts;
    const held: BufferLease[] = [];
    const release = () => {
      for (const buffer of held) buffer[Symbol.dispose]();
    };
    const lend = (dtype: Tensor["dtype"], shape: readonly number[]): BufferLease => {
      const buffer = buffers.acquire(dtype, shape);
      held.push(buffer);
      return buffer;
    };
    const { instance } = lease;
    // A stateful model without a state runs with one of its own, zero, for this one call.
    const fresh = given === undefined && plan.ports.states.length > 0 ? await this.newState() : undefined;
    let turn: StateTurn | undefined;
    try {
      const prepared = encodeShared(plan, inputs, lend);
      turn = (given ?? fresh)?.begin();
      const places = plan.results.flatMap(({ name, dtype, shape }) =>
        shape === undefined ? [] : [{ name, buffer: lend(dtype, shape) }],
      );
      instance.prepareRun();
      const call = instance.call({
        type: "run",
        inputs: [...prepared, ...(turn?.inputs ?? [])],
        outputs: [...places.map(({ name, buffer }) => share(name, buffer)), ...(turn?.outputs ?? [])],
      });
      const { results, runMs } = await within(call, "predict", patience).catch((error: unknown) => {
        if (!isGivenUp(error)) throw error;
        // The engine may still be writing: nothing of this call goes back before it has really ended.
        instance.cancel();
        const tickets = held.splice(0).map((buffer) => buffers.quarantine(buffer));
        const endTurn = turn?.abandon();
        turn = undefined;
        lease.abandon(call, () => {
          for (const ticket of tickets) ticket.release();
          endTurn?.();
        });
        throw error;
      });
      lease[Symbol.dispose]();
      turn?.commit();
      turn = undefined;
      const tensors = new Map(results);
      for (const { name, buffer } of places) tensors.set(name, buffer.tensor);
      return { outputs: plan.decode(tensors), runMs, [Symbol.dispose]: release };
    } catch (error) {
      release();
      turn?.rollBack();
      lease[Symbol.dispose]();
      throw error;
    } finally {
      await fresh?.[Symbol.asyncDispose]();
    }
  }

  async #runFeatures(
    lease: InstanceLease<Instance>,
    inputs: FeatureValues,
    patience: Patience,
  ): Promise<Omit<PredictionLease, "queueMs">> {
    const call = lease.instance.call({ type: "predict", inputs });
    try {
      const { outputs, runMs } = await within(call, "predict", patience);
      lease[Symbol.dispose]();
      return { outputs, runMs, [Symbol.dispose]() {} };
    } catch (error) {
      if (isGivenUp(error)) lease.abandon(call, () => {});
      lease[Symbol.dispose]();
      throw error;
    }
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

/** Our own waiting ended, not the engine's work: `within` gave up. */
function isGivenUp(error: unknown): boolean {
  return error instanceof CoremlxError && (error.code === "DEADLINE" || error.code === "INTERRUPTED");
}

type Lend = (dtype: Tensor["dtype"], shape: readonly number[]) => BufferLease;

/** The inputs as the graph takes them, all in lent memory. */
function encodeShared(plan: FeaturePlan, inputs: FeatureValues, lend: Lend): readonly SharedTensor[] {
  const buffers = new Map<Tensor, BufferLease>();
  const encoded = plan.encode(inputs, (dtype, shape) => {
    const buffer = lend(dtype, shape);
    buffers.set(buffer.tensor, buffer);
    return buffer.tensor;
  });
  return [...encoded].map(([name, tensor]) => {
    // Default values of optional inputs are made elsewhere.
    return share(name, buffers.get(tensor) ?? copyInto(lend(tensor.dtype, tensor.shape), tensor));
  });
}

function copyInto(buffer: BufferLease, tensor: Tensor): BufferLease {
  buffer.bytes.set(tensor.bytes);
  return buffer;
}

function copyOf([name, value]: [string, FeatureValue]): [string, FeatureValue] {
  if (!isTensor(value)) return [name, value];
  const bytes = new Uint8Array(new ArrayBuffer(value.bytes.byteLength));
  bytes.set(value.bytes);
  return [name, { ...value, bytes }];
}
