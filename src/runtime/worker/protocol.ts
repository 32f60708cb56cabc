// What the main thread and a worker say to each other. Everything here survives structured clone.

import type { DType } from "../../core/dtype.ts";
import type { ErrorCode } from "../../core/errors.ts";
import type { FunctionDescription, ModelDescription } from "../../core/model.ts";
import type { EventFields, EventName } from "../../core/event-names.ts";
import type { LogLevel } from "../../core/telemetry.ts";
import type { FeatureValues, Tensor } from "../../core/tensor.ts";
import type {
  CancelHandle,
  DeviceRequest,
  EngineName,
  GraphPorts,
  GraphShare,
} from "../../engines/engine.ts";
import type { EngineOptions } from "../../engines/select.ts";

/** Opens and loads a model; the worker owns it from then on. */
export interface LoadRequest {
  readonly type: "load";
  readonly path: string;
  readonly engine: EngineOptions;
  readonly functionName: string | undefined;
  readonly device: DeviceRequest;
  readonly threads: number | undefined;
  readonly withDigest: boolean;
}

export interface LoadReply {
  readonly digest: string | undefined;
  readonly description: ModelDescription;
  readonly function: FunctionDescription;
  readonly engine: EngineName;
  readonly engineVersion: string;
  readonly device: string;
  /** Time to read the file, to translate it for the engine (0 when warm), and to make it ready to run. */
  readonly openMs: number;
  readonly compileMs: number;
  readonly loadMs: number;
  /** warm: it had been compiled before. */
  readonly cache: "cold" | "warm";
  /** Compiling it in the background is worth it. */
  readonly wantsCompiling: boolean;
  /** What the compile cache had to say. */
  readonly events: readonly LoadEvent[];
  /** Of a model that is one graph: how to run it by tensors, also from other workers. */
  readonly graph: SharedGraph | undefined;
  /** Ends a `predict`, where the engine can. */
  readonly cancel: CancelHandle | undefined;
  /** Every instance loads the model for itself. */
  readonly loadsPerThread: boolean;
}

export interface LoadEvent {
  readonly level: LogLevel;
  readonly event: EventName;
  readonly fields: EventFields<EventName> | undefined;
}

export interface SharedGraph {
  readonly ports: GraphPorts;
  /** `undefined`: others cannot join. */
  readonly share: GraphShare | undefined;
  /** One for each run that may be handed over at once. */
  readonly cancels: readonly CancelHandle[];
}

/** Joins a graph that another worker of this process has loaded. */
export interface AdoptRequest {
  readonly type: "adopt";
  readonly share: GraphShare;
}

/** A tensor in memory that every thread of the process sees. Borrowed until the reply. */
export interface SharedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly address: number;
  readonly byteLength: number;
}

/** Runs a graph on memory that lies ready. A run like it can then be repeated through the mailbox. */
export interface RunRequest {
  readonly type: "run";
  readonly inputs: readonly SharedTensor[];
  /** Results that have a place; the others come back in the reply. */
  readonly outputs: readonly SharedTensor[];
}

/** The same with tensors that travel: for instances in a process of their own. */
export interface RunCopiesRequest {
  readonly type: "runCopies";
  readonly inputs: ReadonlyMap<string, Tensor>;
}

export interface RunReply {
  readonly results: FeatureValues;
  /** Inside the engine, without the hand-over between threads. */
  readonly runMs: number;
}

/** Runs a model that is more than one graph: features in, features out. */
export interface PredictRequest {
  readonly type: "predict";
  readonly inputs: FeatureValues;
  /** What is left of the caller's patience. */
  readonly timeoutMs?: number | undefined;
}

export interface PredictReply {
  readonly outputs: FeatureValues;
  readonly runMs: number;
}

export type Request =
  | LoadRequest
  | AdoptRequest
  | RunRequest
  | RunCopiesRequest
  | PredictRequest
  | { readonly type: "close" };

/** The answer to each request. */
export interface Replies {
  readonly load: LoadReply;
  readonly adopt: readonly CancelHandle[];
  readonly run: RunReply;
  readonly runCopies: RunReply;
  readonly predict: PredictReply;
  readonly close: undefined;
}

export interface Envelope {
  readonly id: number;
  readonly request: Request;
}

export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;
}

export type ReplyEnvelope =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: WireError };

/** A run through the mailbox that left nothing to say but that it is over is answered by its id alone. */
export type Reply = ReplyEnvelope | number;
