// The names visible at one place of a program, and what they stand for in the graph.

import type { DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import { tensorOf } from "../core/tensor.ts";
import type { MilBlock, MilDim, MilOpset, MilTensor, MilValue } from "../formats/mil.ts";
import { constantNumbers } from "../onnx/elements.ts";
import type { Graph } from "../onnx/graph.ts";
import type { Value } from "../onnx/types.ts";
import { isDense } from "./op.ts";

/** float32: half-precision arithmetic is done in single precision. model: in the types the program declares. */
export type Precision = "float32" | "model";

/**
 * rounded: in single precision, with each result rounded to the type the program declares. That is what "model" means on a
 * CPU: ONNX Runtime has few half-precision kernels there, and where one that it replaces follows another it leaves the
 * rounding out.
 */
export type LoweringPrecision = Precision | "rounded";

/** How a program is lowered that is to run here in the precision that a user asks for. */
export function precisionToRun(precision: Precision | undefined): LoweringPrecision {
  return precision === "model" ? "rounded" : "float32";
}

/** What `classify` leaves for the host to do. */
export interface Classifier {
  readonly probabilities: Value;
  readonly labels: readonly string[] | readonly bigint[];
  readonly labelName: string;
  readonly probabilitiesName: string | undefined;
}

export interface ScopeOptions {
  readonly opset: MilOpset;
  readonly precision: LoweringPrecision;
  /** How nested blocks are lowered: the driver gives it, so that control flow need not import the driver. */
  readonly lowerBlock: (scope: Scope, block: MilBlock) => readonly Value[];
}

/** A value that is another one with zeros around it: before and after each axis. */
export interface ZeroPadded {
  readonly x: Value;
  readonly before: readonly number[];
  readonly after: readonly number[];
}

interface Shared extends ScopeOptions {
  classifier: Classifier | undefined;
  /** By the name of the padded value. */
  readonly padded: Map<string, ZeroPadded>;
}

/** Names resolve outwards, so that a block sees the blocks around it. States are mutable: the innermost version counts. */
export class Scope {
  readonly graph: Graph;
  readonly #parent: Scope | undefined;
  readonly #shared: Shared;
  readonly #values = new Map<string, Value>();
  readonly #constants = new Map<string, MilValue | (() => MilValue)>();
  readonly #states = new Map<string, Value>();
  readonly #fixedLists = new Set<string>();

  constructor(graph: Graph, options: ScopeOptions | { parent: Scope }) {
    this.graph = graph;
    this.#parent = "parent" in options ? options.parent : undefined;
    this.#shared =
      "parent" in options ? options.parent.#shared : { ...options, classifier: undefined, padded: new Map() };
  }

  get opset(): MilOpset {
    return this.#shared.opset;
  }
  get precision(): LoweringPrecision {
    return this.#shared.precision;
  }
  get classifier(): Classifier | undefined {
    return this.#shared.classifier;
  }

  /** A scope for a nested block, whose nodes go into `graph`. */
  child(graph: Graph): Scope {
    return new Scope(graph, { parent: this });
  }
  /** Lowers the ops of a nested block into this scope's graph; gives the values of its outputs. */
  lowerBlock(block: MilBlock): readonly Value[] {
    return this.#shared.lowerBlock(this, block);
  }

  define(name: string, value: Value): void {
    this.#values.set(name, value);
  }
  /** A function is asked once, when the constant is first needed: for weights that must be decoded. */
  defineConstant(name: string, value: MilValue | (() => MilValue)): void {
    this.#constants.set(name, value);
  }
  classify(classifier: Classifier): void {
    this.#shared.classifier = classifier;
  }

  /** The graph value of a name; a constant becomes one at its first use. */
  value(name: string): Value | undefined {
    const own = this.#values.get(name);
    if (own) return own;
    const constant = this.#ownConstant(name);
    if (constant?.kind === "tensor") {
      const value = this.materialize(constant);
      this.#values.set(name, value);
      return value;
    }
    return this.#parent?.value(name);
  }
  constant(name: string): MilValue | undefined {
    const own = this.#ownConstant(name);
    // A value of this scope hides an outer constant of the same name.
    return own !== undefined || this.#values.has(name) ? own : this.#parent?.constant(name);
  }
  #ownConstant(name: string): MilValue | undefined {
    const constant = this.#constants.get(name);
    if (typeof constant !== "function") return constant;
    const value = constant();
    this.#constants.set(name, value);
    return value;
  }

  /** The value of a state now. */
  readState(name: string): Value | undefined {
    return this.#states.get(name) ?? this.#parent?.readState(name);
  }
  writeState(name: string, value: Value): void {
    this.#states.set(name, value);
  }
  /** Says that the list of this name never changes its length. */
  markFixedList(name: string): void {
    this.#fixedLists.add(name);
  }
  isFixedList(name: string): boolean {
    if (this.#fixedLists.has(name)) return true;
    return !this.#values.has(name) && (this.#parent?.isFixedList(name) ?? false);
  }

  /** Remembers what a value is made of, for ops that pad by themselves. */
  notePadding(value: Value, padding: ZeroPadded): void {
    this.#shared.padded.set(value.name, padding);
  }
  zeroPadding(value: Value): ZeroPadded | undefined {
    return this.#shared.padded.get(value.name);
  }

  /** States this scope has written itself. */
  get writtenStates(): ReadonlyMap<string, Value> {
    return this.#states;
  }

  /** The element type a declared type has in the graph. */
  graphDType(dtype: DType): DType {
    return this.precision !== "model" && (dtype === "float16" || dtype === "bfloat16") ? "float32" : dtype;
  }

  /** A graph value for a constant, in the graph's element type. */
  materialize(tensor: MilTensor): Value {
    const { dtype, shape, bytes, source } = tensor;
    if (dtype === "int4" || dtype === "uint4") return this.graph.constant({ dtype, shape, bytes, source });
    if (!isDense(dtype)) {
      throw new CoremlxError(
        "UNSUPPORTED",
        `Cannot use a constant of type ${dtype} outside of a constexpr op`,
      );
    }
    const value = this.graph.constant({ dtype, shape, bytes, source });
    const wide = this.graph.cast(value, this.graphDType(dtype));
    return value.dtype === "float16" && this.precision === "float32"
      ? withoutOverflow(this.graph, wide)
      : wide;
  }
}

/**
 * A half-precision constant is infinite because what the framework meant did not fit: float32's least number as an
 * attention mask, mostly, which is multiplied by zero where nothing is masked. In single precision it fits again.
 */
function withoutOverflow(g: Graph, value: Value): Value {
  const { constant } = value;
  const numbers = constantNumbers(value);
  if (constant === undefined || !numbers?.some((number) => Math.abs(number) === Infinity)) return value;
  const most = largestFloat32;
  return g.constant(
    tensorOf(
      "float32",
      numbers.map((number) => Math.min(Math.max(number, -most), most)),
      constant.shape,
    ),
  );
}

const largestFloat32 = 3.4028234663852886e38;

/**
 * The sizes a program declares for a value. coremltools writes 0 for sizes that a reshape copies from an unknown one, so
 * that a 0 says nothing.
 */
export function declaredSizes(shape: readonly MilDim[] | undefined): readonly MilDim[] | undefined {
  return shape?.map((size) => (size === 0 ? undefined : size));
}
