// One run of a model: of its graph or of all of it by an instance, or of its graph in the caller's thread.

import { CoremlxError } from "../../core/errors.ts";
import type { FunctionDescription } from "../../core/model.ts";
import { type FeatureValue, type FeatureValues, isTensor, type Tensor } from "../../core/tensor.ts";
import { checkOutputs } from "../../engines/check-outputs.ts";
import type { LoadedGraph } from "../../engines/engine.ts";
import type { FeaturePlan } from "../../engines/feature-plan.ts";
import type { OutputLease } from "../outputs/outputs.ts";
import { type Patience, within } from "../pool/deadline.ts";
import type { Instance } from "../pool/instance.ts";
import type { InstanceLease } from "../pool/model-pool.ts";
import type { StateTurn } from "../sequence/state.ts";
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

export interface GraphRun {
  readonly plan: FeaturePlan;
  readonly inputs: FeatureValues;
  /** Owned from now on. */
  readonly memory: RunMemory;
  readonly resultMemory: ResultMemory;
  readonly state: StateTurn | undefined;
  readonly patience: Patience;
}

/** Returns the lease as soon as the engine is done, and abandons it with what it still may touch; after an error it is the caller's. */
export async function runGraph(lease: InstanceLease<Instance>, run: GraphRun): Promise<Run> {
  const { plan, memory, state, patience } = run;
  const { instance } = lease;
  const started = performance.now();
  try {
    const given = memory.encode(plan, run.inputs);
    const wanted = memory.placeResults(plan, run.resultMemory);
    if (state) {
      given.push(...state.inputs);
      wanted.push(...state.outputs);
    }
    const inputMs = performance.now() - started;
    instance.prepareRun();
    const call = instance.run(given, wanted);
    const { results, runMs } = await within(call, "predict", patience).catch((error: unknown) => {
      if (!isGivenUp(error)) throw error;
      // The engine may still be at work: nothing of this call goes back before it has really ended.
      instance.cancel();
      const endMemory = memory.quarantine();
      const endState = state?.abandon();
      lease.abandon(call, () => {
        endMemory();
        endState?.();
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
    throw error;
  }
}

export interface FeatureRun {
  readonly description: FunctionDescription;
  readonly inputs: FeatureValues;
  readonly patience: Patience;
}

/** For a model that is more than one graph: its values travel. The lease as in `runGraph`. */
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

/** In this thread: the caller's arrays are lent as they are, results come in memory of their own. */
export function runInline(plan: FeaturePlan, graph: LoadedGraph, inputs: FeatureValues): Run {
  const started = performance.now();
  const tensors = plan.encode(inputs);
  const ready = performance.now();
  const results = graph.run(tensors, nowhere);
  const runMs = performance.now() - ready;
  return { ...unpooled, outputs: plan.decode(results), inputMs: ready - started, runMs };
}

/** A value of a run in memory that outlives the run. */
export function keepValue(value: FeatureValue, { isPooled }: Run): FeatureValue {
  if (!isTensor(value) || !isPooled(value.bytes)) return value;
  const bytes = new Uint8Array(new ArrayBuffer(value.bytes.byteLength));
  bytes.set(value.bytes);
  return { ...value, bytes };
}

const nowhere: ReadonlyMap<string, Tensor> = new Map();
const unpooled = { mapped: new Map<string, OutputLease>(), isPooled: () => false, [Symbol.dispose]() {} };

/** Our own waiting ended, not the engine's work: `within` gave up. */
function isGivenUp(error: unknown): boolean {
  return error instanceof CoremlxError && (error.code === "DEADLINE" || error.code === "INTERRUPTED");
}
