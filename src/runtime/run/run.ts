// One run of a model: of its graph or of all of it by an instance, or of its graph in the caller's thread.

import { CoremlxError } from "../../core/errors.ts";
import type { FunctionDescription } from "../../core/model.ts";
import { type FeatureValue, type FeatureValues, isTensor } from "../../core/tensor.ts";
import { checkOutputs } from "../../engines/check-outputs.ts";
import type { LoadedGraph } from "../../engines/engine.ts";
import type { FeaturePlan } from "../../engines/feature-plan.ts";
import type { OutputLease } from "../outputs/outputs.ts";
import { type Patience, within } from "../pool/deadline.ts";
import type { Instance } from "../pool/instance.ts";
import type { InstanceLease, PreparedRun } from "../pool/model-pool.ts";
import type { StateTurn } from "../sequence/state.ts";
import type { RunReply, SharedTensor } from "../worker/protocol.ts";
import type { ResultMemory, RunMemory } from "./run-memory.ts";

/** What one run gave, before waiting is added up. */
export interface Run extends Disposable {
  readonly outputs: FeatureValues;
  readonly mapped: ReadonlyMap<string, OutputLease>;
  /** Memory that ends with this. */
  readonly isPooled: (bytes: Uint8Array<ArrayBuffer>) => boolean;
  readonly inputMs: number;
  readonly runMs: number;
}

export interface GraphCallOptions {
  readonly plan: FeaturePlan;
  readonly inputs: FeatureValues;
  /** Each is owned from then on. */
  readonly openMemory: () => RunMemory;
  readonly resultMemory: ResultMemory;
  readonly state: StateTurn | undefined;
}

interface PlacedRun {
  readonly memory: RunMemory;
  readonly given: readonly SharedTensor[];
  readonly wanted: readonly SharedTensor[];
  readonly inputMs: number;
}

/** A run that an instance has. */
interface HandedOver {
  readonly memory: RunMemory;
  readonly inputMs: number;
  readonly reply: Promise<RunReply>;
  readonly cancel: () => boolean;
}

/** One call of a graph. Its run is handed over when its turn has come, or lies ready on an instance before. */
export class GraphCall {
  readonly #options: GraphCallOptions;
  #prepared: HandedOver | undefined;
  /** It cannot lie ready: its run is another than those before, or cannot be placed. */
  #isUnlike = false;

  constructor(options: GraphCallOptions) {
    this.#options = options;
  }

  /** For the pool: see `AcquireOptions.prepare`. Never throws: what is wrong with the call is said when its turn comes. */
  prepare(instance: Instance): PreparedRun | undefined {
    if (this.#isUnlike || !instance.mayRunAhead) return undefined;
    const placed = this.#tryPlace();
    const ahead = placed && instance.runAhead(placed.given, placed.wanted);
    if (placed === undefined || ahead === undefined) {
      this.#isUnlike = true;
      placed?.memory[Symbol.dispose]();
      return undefined;
    }
    const handed = { ...placed, reply: ahead.reply, cancel: () => ahead.cancel() };
    this.#prepared = handed;
    return {
      withdraw: () => {
        if (!ahead.withdraw()) return false;
        this.#prepared = undefined;
        placed.memory[Symbol.dispose]();
        return true;
      },
      abandon: () => {
        this.#prepared = undefined;
        const over = this.#giveUp(handed);
        return handed.reply.then(over, over);
      },
    };
  }

  /** Returns the lease as soon as the engine is done, and abandons it with what it still may touch; after an error it is the caller's. */
  async run(lease: InstanceLease<Instance>, patience: Patience): Promise<Run> {
    const handed = (lease.prepared && this.#prepared) ?? this.#handOver(lease.instance);
    const { memory, inputMs, reply } = handed;
    try {
      const { results, runMs } = await within(reply, "predict", patience).catch((error: unknown) => {
        if (isGivenUp(error)) lease.abandon(reply, this.#giveUp(handed));
        throw error;
      });
      lease[Symbol.dispose]();
      return { ...resultsOf(this.#options.plan, memory, results), inputMs, runMs };
    } catch (error) {
      memory[Symbol.dispose]();
      throw error;
    }
  }

  #place(): PlacedRun {
    const { plan, inputs, openMemory, resultMemory, state } = this.#options;
    const started = performance.now();
    const memory = openMemory();
    try {
      const given = memory.encode(plan, inputs);
      const wanted = memory.placeResults(plan, resultMemory);
      if (state) {
        given.push(...state.inputs);
        wanted.push(...state.outputs);
      }
      return { memory, given, wanted, inputMs: performance.now() - started };
    } catch (error) {
      memory[Symbol.dispose]();
      throw error;
    }
  }

  #tryPlace(): PlacedRun | undefined {
    try {
      return this.#place();
    } catch {
      return undefined; // it is thrown again, and heard, when the call has its turn
    }
  }

  #handOver(instance: Instance): HandedOver {
    const { memory, given, wanted, inputMs } = this.#place();
    return { memory, inputMs, reply: instance.run(given, wanted), cancel: () => instance.cancel() };
  }

  /** The engine may still be at work: nothing of this call goes back before it has really ended. */
  #giveUp({ memory, cancel }: HandedOver): () => void {
    cancel();
    const endMemory = memory.quarantine();
    const endState = this.#options.state?.abandon();
    return () => {
      endMemory();
      endState?.();
    };
  }
}

export interface FeatureRun {
  readonly description: FunctionDescription;
  readonly inputs: FeatureValues;
  readonly patience: Patience;
}

/** For a model that is more than one graph: its values travel. The lease as in `GraphCall.run`. */
export async function runFeatures(
  lease: InstanceLease<Instance>,
  { description, inputs, patience }: FeatureRun,
): Promise<Run> {
  const { instance } = lease;
  instance.prepareRun();
  const timeoutMs = Number.isFinite(patience.deadline) ? patience.deadline - performance.now() : undefined;
  const call = instance.call({ type: "predict", inputs, timeoutMs });
  try {
    const { outputs, runMs } = await within(call, "predict", patience);
    checkOutputs(description, outputs);
    lease[Symbol.dispose]();
    return { ...unpooled, outputs, inputMs: 0, runMs };
  } catch (error) {
    if (isGivenUp(error)) {
      instance.cancel();
      lease.abandon(call, () => {});
    }
    throw error;
  }
}

export interface InlineRun {
  readonly plan: FeaturePlan;
  readonly graph: LoadedGraph;
  readonly inputs: FeatureValues;
  /** Owned from now on. */
  readonly memory: RunMemory;
  readonly resultMemory: ResultMemory;
}

/** In this thread: the caller's arrays are lent as they are, and large results are written where they stay. */
export function runInline({ plan, graph, inputs, memory, resultMemory }: InlineRun): Run {
  const started = performance.now();
  try {
    const tensors = plan.encode(inputs);
    const places = memory.placeLargeResults(plan, resultMemory);
    const ready = performance.now();
    const results = graph.run(tensors, places);
    const runMs = performance.now() - ready;
    return { ...resultsOf(plan, memory, results), inputMs: ready - started, runMs };
  } catch (error) {
    memory[Symbol.dispose]();
    throw error;
  }
}

function resultsOf(plan: FeaturePlan, memory: RunMemory, results: FeatureValues) {
  return {
    outputs: plan.decode(memory.collect(results)),
    mapped: memory.mapped,
    isPooled: (bytes: Uint8Array<ArrayBuffer>) => memory.isPooled(bytes),
    [Symbol.dispose]: () => memory[Symbol.dispose](),
  };
}

/** A value of a run in memory that outlives the run. */
export function keepValue(value: FeatureValue, { isPooled }: Run): FeatureValue {
  if (!isTensor(value) || !isPooled(value.bytes)) return value;
  const bytes = new Uint8Array(new ArrayBuffer(value.bytes.byteLength));
  bytes.set(value.bytes);
  return { ...value, bytes };
}

const unpooled = { mapped: new Map<string, OutputLease>(), isPooled: () => false, [Symbol.dispose]() {} };

/** Our own waiting ended, not the engine's work: `within` gave up. */
function isGivenUp(error: unknown): boolean {
  return error instanceof CoremlxError && (error.code === "DEADLINE" || error.code === "INTERRUPTED");
}
