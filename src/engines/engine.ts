// What can run a Model. Implementations: portable (ONNX Runtime), coreml (Apple's framework), tape, http.

import type { FunctionDescription, ModelDescription } from "../core/model.ts";
import type { FeatureValues, Tensor } from "../core/tensor.ts";
import type { Telemetry } from "../core/telemetry.ts";
import type { Model } from "../formats/model.ts";
import type { Lowered, Port } from "../lowering/lower.ts";
import type { ComputePlan } from "./compute-plan.ts";

export type EngineName = "coreml" | "portable" | "http" | "tape";
export type DeviceRequest = "auto" | "cpu" | "gpu" | "ane" | "all";

export interface LoadOptions {
  /** Default: the model's default function. */
  readonly functionName?: string | undefined;
  readonly device?: DeviceRequest | undefined;
  /** Threads one prediction may use (portable); default: all cores. */
  readonly threads?: number | undefined;
  readonly telemetry?: Telemetry | undefined;
}

export type PlanOptions = Pick<LoadOptions, "functionName" | "device">;

export interface LoadCompiledOptions extends LoadOptions {
  readonly withDigest?: boolean | undefined;
}

export interface WantsCompilingOptions {
  readonly functionName?: string | undefined;
  /** How long opening and loading took without the cache. */
  readonly tookMs: number;
  /** Of the model's files. */
  readonly byteLength: number;
  readonly telemetry?: Telemetry | undefined;
}

/** Owns everything the loaded model needs. */
export interface CompiledModel extends AsyncDisposable {
  readonly loaded: LoadedModel;
  readonly description: ModelDescription;
  readonly digest: string | undefined;
  readonly openMs: number;
  readonly loadMs: number;
}

export interface Engine extends AsyncDisposable {
  readonly name: EngineName;
  /** Each thread loads a model for itself, for one that is loaded does one thing at a time. Default: threads share it. */
  readonly loadsPerThread?: boolean | undefined;
  /** "ONNX Runtime 1.27.0", "Core ML 9 (25A123)". */
  readonly version: string;
  /** Borrows the model: it must stay open until the loaded model is disposed. */
  load(model: Model, options?: LoadOptions): Promise<LoadedModel>;
  /**
   * A model from its path alone, where it was compiled before and has not changed since; undefined where not. Engines
   * that keep nothing leave it out.
   */
  loadCompiled?(path: string, options?: LoadCompiledOptions): CompiledModel | undefined;
  /** A model that the engine has under the name at the end of a path where no file is. `undefined`: there is a file. */
  loadNamed?(path: string, options?: LoadCompiledOptions): Promise<CompiledModel | undefined>;
  /**
   * Whether `loadCompiled` found nothing, and making what it looks for is worth a process in the background. Answers
   * in no time; engines that keep nothing leave it out.
   */
  wantsCompiling?(path: string, options: WantsCompilingOptions): boolean;
  /** Where the model's operations would run. Engines that cannot tell leave it out. */
  plan?(model: Model, options?: PlanOptions): Promise<ComputePlan>;
}

export interface FeaturePort extends Port {
  /** A picture goes through as it is, not as planes. */
  readonly isWhole?: boolean | undefined;
}

/** The graph's inputs, outputs and states, and the features they carry. Plain data. */
export interface GraphPorts extends Omit<Lowered, "graph" | "inputs" | "outputs"> {
  readonly inputs: readonly FeaturePort[];
  readonly outputs: readonly FeaturePort[];
  /** Results are features already, also those that are no tensors; optional inputs may be left out. */
  readonly carriesFeatures?: boolean | undefined;
}

/** A loaded graph as another thread may borrow it: plain numbers, good until its owner disposes it. */
export interface GraphShare {
  readonly session: number;
  readonly libraryPath: string;
}

/** Ends a run, from any thread of this process: plain data, good until the graph or model is disposed. */
export type CancelHandle =
  | {
      readonly kind: "ort";
      readonly runOptions: number;
      readonly setTerminate: number;
      readonly unsetTerminate: number;
    }
  | { readonly kind: "coreml"; readonly libraryPath: string; readonly canceller: number };

/** A model that is one graph of tensors: what the runtime runs without copies. */
export interface LoadedGraph extends Disposable {
  /** `undefined`: other threads load it for themselves. */
  readonly share: GraphShare | undefined;
  /**
   * One for each run that may be handed over at once: with two, the second can lie ready while the first is under way,
   * and each is ended alone. Without any, a run ends when the engine has.
   */
  readonly cancels: readonly CancelHandle[];
  /**
   * Blocks until the results are there. Results named in `outputs` are written there, the others come back in memory of
   * their own. `cancel`: which of the cancels ends it; default the first. Throws BAD_INPUT, INTERRUPTED after a cancel,
   * NATIVE.
   */
  run(
    inputs: ReadonlyMap<string, Tensor>,
    outputs: ReadonlyMap<string, Tensor>,
    cancel?: number,
  ): FeatureValues;
}

/** One state of a stateful model: zero at creation, changed by every prediction it is given to. Never shared between sequences. */
export interface State extends Disposable {
  /** A copy of every state's present value, by name. */
  read(): FeatureValues;
  /** Replaces the named states; the rest stay. */
  write(values: FeatureValues): void;
}

export interface PredictOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default for a stateful model: a fresh zero state for this one call. */
  readonly state?: State | undefined;
  /** Ends the call, where the engine can end one that is under way. Default: none. */
  readonly timeoutMs?: number | undefined;
}

export interface LoadedModel extends AsyncDisposable {
  readonly function: FunctionDescription;
  /** The device that really runs it: "cpu" on portable; on Core ML what it may use. */
  readonly device: string;
  /** Ends a `predict` of another thread, where the engine can. */
  readonly cancel?: CancelHandle | undefined;
  /** Time it took to translate it for the engine; 0 where that had been done before. */
  readonly compileMs: number;
  /** `undefined`: the model is more than one graph (a pipeline), and only `predict` runs it. Owned by the model. */
  readonly graph: { readonly ports: GraphPorts; readonly loaded: LoadedGraph } | undefined;
  /** Inputs must already have the declared types (codecs/convert.ts does that); shapes are checked here. */
  predict(inputs: FeatureValues, options?: PredictOptions): Promise<FeatureValues>;
  newState(): State;
}
