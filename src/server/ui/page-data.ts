// What the page asks the server for, as both sides know it: the models with their numbers, and the form of one.

export type RowState = "UNAVAILABLE" | "LOADING" | "READY" | "UNLOADING";

export interface ModelNumbers {
  readonly device: string;
  readonly succeeded: number;
  readonly failed: number;
  readonly meanMs: number;
  readonly p99Ms: number;
  /** Requests that wait for an instance. */
  readonly pending: number;
  readonly busy: number;
  readonly instances: number;
}

export interface ModelRow {
  readonly name: string;
  readonly version: string;
  readonly state: RowState;
  /** Of a model that is loaded. */
  readonly numbers?: ModelNumbers;
}

export interface ServerState {
  readonly version: string;
  readonly isReady: boolean;
  /** Clients may load and unload models. */
  readonly mayControl: boolean;
  readonly models: readonly ModelRow[];
}

export type TensorKind = "array" | "image" | "number" | "text" | "list" | "dictionary";

export interface TensorForm {
  readonly name: string;
  readonly datatype: string;
  /** -1 where a size may vary. */
  readonly shape: readonly number[];
  /** Without -1, where the model says one. */
  readonly defaultShape: readonly number[];
  readonly kind: TensorKind;
  /** Of a dictionary: the tensor with its keys, where this one has the values. */
  readonly keys?: string;
  readonly description: string;
  readonly isOptional: boolean;
  /** A picture file will do. */
  readonly takesPicture: boolean;
}

export interface ModelForm {
  readonly name: string;
  readonly version: string;
  /** The only version there is, so that a call need not name it. */
  readonly isOnlyVersion: boolean;
  readonly platform: string;
  readonly description: string;
  readonly author: string;
  readonly license: string;
  readonly isStateful: boolean;
  /** Of a classifier, where there are not too many. */
  readonly labels?: readonly string[];
  readonly inputs: readonly TensorForm[];
  readonly outputs: readonly TensorForm[];
}
