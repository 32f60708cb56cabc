// The vocabulary of an ONNX graph: values, their types, nodes and attributes.

import type { DType } from "../core/dtype.ts";
import type { Graph } from "./graph.ts";

export type OnnxDType = DType | "int4" | "uint4";

/** A known size, or a symbol: equal symbols are equal sizes. */
export type Dim = number | string;
/** `undefined`: not even the rank is known. */
export type Shape = readonly Dim[] | undefined;

/** A tensor known before the run. Borrows `bytes` from whoever made it until the graph is serialised. */
export interface Constant {
  readonly dtype: OnnxDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Set when the same bytes lie in a file: they are then referenced there and not copied. */
  readonly source?: { readonly path: string; readonly offset: number } | undefined;
}

export interface ValueType {
  readonly dtype: OnnxDType;
  readonly shape: Shape;
  /** An ONNX sequence of tensors of this type. */
  readonly isSequence?: boolean | undefined;
}

export interface Value extends ValueType {
  /** Unique in the whole model, subgraphs included. */
  readonly name: string;
  readonly constant?: Constant | undefined;
  /** The shape rests on what a program says of itself, not on rules alone: right for a sane program, never to be trusted. */
  readonly isClaimed?: boolean | undefined;
  /** Of a small integer value, each as far as known: a number, the symbol of the axis it measures, or nothing. */
  readonly elements?: readonly (Dim | undefined)[] | undefined;
}

/** Whole numbers become INT, lists INTS; the names in `serialize.ts` that ONNX defines as floats become FLOAT(S). */
export type Attribute = number | bigint | string | readonly number[] | readonly string[] | Graph | Constant;
export type Attributes = Readonly<Record<string, Attribute | undefined>>;

export interface Node {
  readonly name: string;
  readonly op: string;
  /** "" is the standard operator set. */
  readonly domain: string;
  /** "" stands for an absent optional input. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

/** How a value or an attribute looks in an error message. */
export function describeType(type: ValueType): string {
  return `${type.dtype}${type.shape === undefined ? "[?]" : `[${type.shape.join(", ")}]`}`;
}
