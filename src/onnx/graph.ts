// An ONNX graph under construction. Constants are folded and every value is typed as nodes are added.

import type { DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import { elementCount, tensorOf } from "../core/tensor.ts";
import { onnxType } from "./data-type.ts";
import { foldNode } from "./fold.ts";
import { inferTypes } from "./infer.ts";
import type { Attributes, Constant, Dim, Node, OnnxDType, Shape, Value, ValueType } from "./types.ts";
import { describeType } from "./types.ts";

export { onnxType } from "./data-type.ts";

export interface NodeOptions {
  /** Default 1. */
  readonly outputs?: number;
  readonly domain?: string;
  /** For ops whose result types the table cannot know (If, Loop, sequences). */
  readonly types?: readonly ValueType[];
}

/** State shared by a graph and its subgraphs. */
interface Root {
  readonly names: Set<string>;
  readonly constants: Map<string, Value>;
  readonly initializers: Map<string, Constant>;
  /** Results of casts from int64 to int32, by name, and what was cast. */
  readonly narrowed: Map<string, Value>;
  nextUnknown: number;
}

/**
 * Invariants: names are unique over the graph and all its subgraphs; nodes stand in execution order; initializers
 * live in the outermost graph, where subgraphs see them.
 */
export class Graph {
  readonly nodes: Node[] = [];
  readonly inputs: Value[] = [];
  readonly outputs: Value[] = [];
  /** Prefix of the names of nodes added from now on: the MIL op they come from. */
  scope = "";
  readonly #root: Root;
  readonly #isSubgraph: boolean;

  constructor(parent?: Graph) {
    this.#isSubgraph = parent !== undefined;
    this.#root = parent
      ? parent.#root
      : {
          names: new Set(),
          constants: new Map(),
          initializers: new Map(),
          narrowed: new Map(),
          nextUnknown: 0,
        };
    if (parent) this.scope = parent.scope;
  }

  /** By value name, in order of first use. */
  get initializers(): ReadonlyMap<string, Constant> {
    return this.#root.initializers;
  }

  /** A body for If or Loop. It sees this graph's values. */
  subgraph(): Graph {
    return new Graph(this);
  }

  /** A size nobody knows before the run, different from every other. */
  unknownDim(): string {
    return `unknown_${this.#root.nextUnknown++}`;
  }

  input(
    name: string,
    dtype: OnnxDType,
    shape: Shape,
    options: { readonly isSequence?: boolean } = {},
  ): Value {
    // Sizes of the outermost inputs are checked by ONNX Runtime before a run, those of a body's inputs never.
    const isClaimed = this.#isSubgraph ? true : undefined;
    const value: Value = { name: this.#unique(name), dtype, shape, isClaimed, ...options };
    this.inputs.push(value);
    return value;
  }

  /** Makes `value` a result of the graph, under `name` where that is free. Returns the value as the graph gives it out. */
  output(name: string, value: Value): Value {
    const result: Value = { ...typeOf(value), name: this.#unique(name) };
    this.#push("Identity", "", [this.#use(value)], [result], {});
    this.outputs.push(result);
    return result;
  }

  /** Adds a node with one result. */
  node(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Attributes = {},
    options: NodeOptions = {},
  ): Value {
    const [value] = this.nodeList(op, inputs, attributes, { ...options, outputs: 1 });
    if (value === undefined) throw new CoremlxError("INTERNAL", `ONNX op ${op} gave no result`);
    return value;
  }

  /** Adds a node with several results. */
  nodeList(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Attributes = {},
    options: NodeOptions = {},
  ): readonly Value[] {
    const count = options.outputs ?? 1;
    const types =
      options.types ?? inferTypes({ op, inputs, attributes, count, unknownDim: () => this.unknownDim() });
    if (types.length < count) {
      throw new CoremlxError("INTERNAL", `ONNX op ${op} is typed with ${types.length} results, not ${count}`);
    }
    const folded =
      options.types === undefined && count === 1 ? foldNode(op, inputs, attributes, types[0]) : {};
    if (folded.constant) return [this.constant(folded.constant)];
    const isClaimed =
      options.types !== undefined || inputs.some((input) => input?.isClaimed === true) ? true : undefined;
    // Field by field: a caller's type may be a whole value, whose name and constant are not this result's.
    const results = types.slice(0, count).map(
      ({ dtype, shape, isSequence }): Value => ({
        name: this.#unique(this.scope === "" ? op : `${this.scope}/${op}`),
        dtype,
        shape: bounded(op, dtype, shape),
        isSequence,
        isClaimed,
        elements: folded.elements,
      }),
    );
    this.#push(
      op,
      options.domain ?? "",
      inputs.map((input) => (input ? this.#use(input) : "")),
      results,
      attributes,
    );
    return results;
  }

  /** A tensor known now. Equal small constants share one initializer; an unused one is not written. */
  constant(constant: Constant): Value {
    const count = elementCount(constant.shape);
    const key =
      count <= 64 ? `${constant.dtype}|${constant.shape.join()}|${constant.bytes.join()}` : undefined;
    const known = key === undefined ? undefined : this.#root.constants.get(key);
    if (known) return known;
    const value: Value = {
      name: this.#unique(this.scope === "" ? "constant" : `${this.scope}/constant`),
      dtype: constant.dtype,
      shape: constant.shape,
      constant,
    };
    if (key !== undefined) this.#root.constants.set(key, value);
    return value;
  }

  scalar(value: number, dtype: DType): Value {
    if (dtype.endsWith("int64") && !Number.isInteger(value)) {
      throw new CoremlxError("BAD_MODEL", `Cannot use ${value} among ${dtype} numbers`);
    }
    return this.constant(tensorOf(dtype, [value], []));
  }

  vector(values: readonly number[], dtype: DType = "int64"): Value {
    return this.constant(
      tensorOf(
        dtype,
        values.map((value) => (dtype === "int64" ? safeInt64(value) : value)),
      ),
    );
  }

  /** The value in another element type; itself where it has that type already. */
  cast(value: Value, dtype: DType): Value {
    if (value.dtype === dtype) return value;
    // Sizes and positions are int64 in ONNX and int32 in the programs we lower: there and back is no work.
    const wide = this.#root.narrowed.get(value.name);
    if (wide !== undefined && wide.dtype === dtype) return wide;
    const result = this.node("Cast", [value], { to: onnxType[dtype] });
    if (value.dtype === "int64" && dtype === "int32") this.#root.narrowed.set(result.name, value);
    return result;
  }

  /** The value with a shape known better, from another source. A number beats a symbol; contradictions keep what was inferred. */
  refine(value: Value, shape: readonly (Dim | undefined)[] | undefined): Value {
    if (shape === undefined || value.constant !== undefined) return value;
    if (value.shape === undefined) {
      return { ...value, shape: shape.map((dim) => dim ?? this.unknownDim()) };
    }
    if (value.shape.length !== shape.length) return value;
    if (value.shape.every((dim, axis) => typeof dim === "number" || shape[axis] === undefined)) return value;
    return {
      ...value,
      shape: value.shape.map((dim, axis) => (typeof dim === "number" ? dim : (shape[axis] ?? dim))),
    };
  }

  /** The same for sizes that a program says its value has. */
  claim(value: Value, shape: readonly (Dim | undefined)[] | undefined): Value {
    const refined = this.refine(value, shape);
    return refined === value ? value : { ...refined, isClaimed: true };
  }

  #push(
    op: string,
    domain: string,
    inputs: readonly string[],
    outputs: readonly Value[],
    attributes: Attributes,
  ) {
    const [first] = outputs;
    this.nodes.push({
      name: first?.name ?? op,
      op,
      domain,
      inputs,
      outputs: outputs.map((output) => output.name),
      attributes,
    });
  }

  /** The name to refer to a value by; a constant becomes an initializer at its first use. */
  #use(value: Value): string {
    if (value.constant) this.#root.initializers.set(value.name, value.constant);
    return value.name;
  }

  #unique(wanted: string): string {
    const { names } = this.#root;
    let name = wanted;
    for (let i = 1; names.has(name); i++) name = `${wanted}_${i}`;
    names.add(name);
    return name;
  }
}

/** A result with more elements is damage or an attack: the run would end for want of memory, and the process with it. */
const maxElements = 2 ** 30;

function bounded(op: string, dtype: OnnxDType, shape: Shape): Shape {
  const count = elementCount((shape ?? []).filter((dim) => typeof dim === "number"));
  if (count <= maxElements) return shape;
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot run ONNX op ${op}: its result ${describeType({ dtype, shape })} has more than ${maxElements} elements`,
    { details: { op, shape } },
  );
}

function typeOf({ dtype, shape, isSequence }: Value): ValueType {
  return isSequence === undefined ? { dtype, shape } : { dtype, shape, isSequence };
}

/** Beyond what a double counts exactly, the ends of int64 are meant ("to the end" in Slice). */
function safeInt64(value: number): number | bigint {
  if (value >= Number.MAX_SAFE_INTEGER) return 2n ** 63n - 1n;
  if (value <= Number.MIN_SAFE_INTEGER) return -(2n ** 63n);
  return value;
}
