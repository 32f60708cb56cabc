// A MIL program in memory, the same whether it came from protobuf or from a compiled model's text.

import type { ElementType } from "../core/dtype.ts";

/** The opset of a function by Apple's release name; it selects the semantics version of every op in it. */
export type MilOpset = "iOS15" | "iOS16" | "iOS17" | "iOS18" | "iOS26";

/** `undefined` is a dimension known only at run time. */
export type MilDim = number | undefined;

export type MilType =
  | {
      readonly kind: "tensor";
      readonly dtype: ElementType | "string";
      /** `undefined`: even the rank is unknown. Rank 0 is a scalar. */
      readonly shape: readonly MilDim[] | undefined;
    }
  | { readonly kind: "list"; readonly element: MilType; readonly length: MilDim }
  | { readonly kind: "tuple"; readonly elements: readonly MilType[] }
  | { readonly kind: "dictionary"; readonly key: MilType; readonly value: MilType }
  | { readonly kind: "state"; readonly wrapped: MilType };

/** Where mapped bytes lie on disk, so that ONNX Runtime can map the same file. */
export interface WeightSource {
  /** Absolute real path of the blob file. */
  readonly path: string;
  /** File offset of the data itself, not of its metadata. */
  readonly offset: number;
}

/** A constant tensor. Borrows `bytes` from the model when `source` is set: the model must outlive it. */
export interface MilTensor {
  readonly kind: "tensor";
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  /** Row-major, little endian; bool is one byte an element; packed types as `core/dtype.ts` says. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly source: WeightSource | undefined;
}

export type MilValue =
  | MilTensor
  | { readonly kind: "strings"; readonly shape: readonly number[]; readonly values: readonly string[] }
  | { readonly kind: "list" | "tuple"; readonly values: readonly MilValue[] }
  | { readonly kind: "dictionary"; readonly entries: readonly (readonly [MilValue, MilValue])[] };

/** An argument is the name of an earlier value, or a value written in place. */
export type MilBinding =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "value"; readonly value: MilValue };

export interface MilNamedType {
  readonly name: string;
  readonly type: MilType;
}

export interface MilOp {
  /** "conv", "const", "write_state", … */
  readonly type: string;
  /** Several bindings are a list argument; a one-element list looks like a scalar: the op's signature decides. */
  readonly inputs: ReadonlyMap<string, readonly MilBinding[]>;
  readonly outputs: readonly MilNamedType[];
  readonly blocks: readonly MilBlock[];
  /** "name", a const's "val", and the parameters of constexpr ops up to iOS17. */
  readonly attributes: ReadonlyMap<string, MilValue>;
}

export interface MilBlock {
  readonly inputs: readonly MilNamedType[];
  /** In execution order. */
  readonly operations: readonly MilOp[];
  readonly outputs: readonly string[];
}

export interface MilFunction {
  readonly name: string;
  readonly opset: MilOpset;
  readonly inputs: readonly MilNamedType[];
  readonly block: MilBlock;
  readonly attributes: ReadonlyMap<string, MilValue>;
}

export interface MilProgram {
  readonly functions: ReadonlyMap<string, MilFunction>;
  readonly attributes: ReadonlyMap<string, MilValue>;
}
