// A Core ML file of any kind, opened: its interface and its contents.

import type { ModelDescription } from "../core/model.ts";
import type { Model as ModelMessage } from "./gen/Model_pb.ts";
import type { MilProgram } from "./mil.ts";

export type ModelBody =
  | { readonly kind: "mlProgram"; readonly program: MilProgram }
  | { readonly kind: "pipeline"; readonly stages: readonly PipelineStage[] }
  /** Neural networks, classical models and system models: the parsed message, kept as the file has it. */
  | { readonly kind: "message"; readonly message: ModelMessage }
  /** A compiled model whose contents only Core ML can read. */
  | { readonly kind: "private"; readonly reason: string };

export interface PipelineStage {
  readonly name: string;
  readonly description: ModelDescription;
  readonly body: ModelBody;
}

/** Weights by element type, for `inspect`. */
export interface WeightSummary {
  readonly dtype: string;
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
}

/** Owns the mapped weight files: dispose it after everything that borrows from it. Disposing twice is allowed. */
export interface Model extends Disposable {
  /** Absolute path, as opened. */
  readonly path: string;
  readonly container: "mlpackage" | "mlmodel" | "mlmodelc";
  readonly description: ModelDescription;
  readonly body: ModelBody;
  /** All files that make up the model, absolute, sorted by path: what a digest covers. */
  readonly files: readonly string[];
  readonly byteLength: number;
}
