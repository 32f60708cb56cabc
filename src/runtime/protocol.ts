// What the main thread and a worker say to each other. Everything here survives structured clone.

import type { ModelDescription, FunctionDescription } from "../core/model.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { FeatureValues } from "../core/tensor.ts";
import type { DeviceRequest, EngineName } from "../engines/engine.ts";
import type { EngineOptions } from "../engines/select.ts";

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
  /** Time to read the file, and to make it ready to run. */
  readonly openMs: number;
  readonly loadMs: number;
}

export interface PredictRequest {
  readonly type: "predict";
  readonly inputs: FeatureValues;
  readonly stateId: number | undefined;
}

export interface PredictReply {
  readonly outputs: FeatureValues;
  /** Inside the engine, without the hand-over between threads. */
  readonly runMs: number;
}

export type Request =
  | LoadRequest
  | PredictRequest
  | { readonly type: "newState" }
  | { readonly type: "readState"; readonly stateId: number }
  | { readonly type: "writeState"; readonly stateId: number; readonly values: FeatureValues }
  | { readonly type: "dropState"; readonly stateId: number }
  | { readonly type: "close" };

/** The answer to each request. */
export interface Replies {
  readonly load: LoadReply;
  readonly predict: PredictReply;
  readonly newState: number;
  readonly readState: FeatureValues;
  readonly writeState: undefined;
  readonly dropState: undefined;
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
