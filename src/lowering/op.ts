// One MIL op as its lowering sees it: checked access to values and constants, and errors which name the op.

import type { DType } from "../core/dtype.ts";
import { CoremlxError } from "../core/errors.ts";
import { numbersOf, type Tensor } from "../core/tensor.ts";
import type {
  MilBinding,
  MilBlock,
  MilNamedType,
  MilOp,
  MilOpset,
  MilTensor,
  MilValue,
} from "../formats/mil.ts";
import type { Graph } from "../onnx/graph.ts";
import type { Shape, Value } from "../onnx/types.ts";
import type { Scope } from "./scope.ts";

/** Results by position; an op without results gives []. */
export type Lowering = (op: Op, g: Graph) => Value | readonly Value[];
export type OpTable = Readonly<Record<string, Lowering>>;

const opsetNumber: Readonly<Record<MilOpset, number>> = {
  iOS15: 15,
  iOS16: 16,
  iOS17: 17,
  iOS18: 18,
  iOS26: 26,
};

export class Op {
  readonly #op: MilOp;
  readonly #scope: Scope;

  constructor(op: MilOp, scope: Scope) {
    this.#op = op;
    this.#scope = scope;
  }

  get type(): string {
    return this.#op.type;
  }
  /** The op's name in the program: its first result's name, else its "name" attribute. */
  get name(): string {
    return this.#op.outputs[0]?.name ?? this.#nameAttribute() ?? this.#op.type;
  }
  /** 15, 16, 17, 18 or 26: which version of the op is meant. */
  get opset(): number {
    return opsetNumber[this.#scope.opset];
  }
  get outputs(): readonly MilNamedType[] {
    return this.#op.outputs;
  }
  get blocks(): readonly MilBlock[] {
    return this.#op.blocks;
  }
  /** The scope the op stands in; control flow opens children of it. */
  get scope(): Scope {
    return this.#scope;
  }

  has(name: string): boolean {
    return this.#bindings(name).length > 0;
  }

  /** A required tensor argument. float16 values arrive widened where the graph works in float32. */
  value(name: string): Value {
    return this.optional(name) ?? this.bad(`input "${name}" is missing`);
  }
  optional(name: string): Value | undefined {
    const [binding] = this.#bindings(name);
    return binding === undefined ? undefined : this.#valueOf(binding, name);
  }
  /** A list argument. */
  values(name: string): readonly Value[] {
    return this.#bindings(name).flatMap((binding) => {
      const value = binding.kind === "value" ? binding.value : undefined;
      if (value?.kind === "tuple" || value?.kind === "list") {
        return value.values.map((item) => this.#valueOf({ kind: "value", value: item }, name));
      }
      return [this.#valueOf(binding, name)];
    });
  }
  /** The names a list argument refers to, where it refers to named values. */
  names(name: string): readonly string[] {
    return this.#bindings(name).map((binding) =>
      binding.kind === "name" ? binding.name : this.bad(`input "${name}" must name a value`),
    );
  }

  /** The same, with nothing where a value is written in place. */
  namesWhereNamed(name: string): readonly (string | undefined)[] {
    return this.#bindings(name).map((binding) => (binding.kind === "name" ? binding.name : undefined));
  }

  /** The constant behind an argument or attribute exactly as stored: unfolded, unwidened. `undefined` when absent. */
  constant(name: string): MilValue | undefined {
    const [binding] = this.#bindings(name);
    if (binding === undefined) return undefined;
    if (binding.kind === "value") return binding.value;
    return this.#scope.constant(binding.name);
  }
  /** A constant tensor that must be there. */
  tensor(name: string): MilTensor {
    const constant = this.constant(name);
    if (constant?.kind === "tensor") return constant;
    return this.bad(this.has(name) ? `"${name}" must be a constant tensor` : `input "${name}" is missing`);
  }

  /** Numbers of a constant, also of one that shape arithmetic computed. `undefined`: absent, or known only at run time. */
  numbers(name: string): readonly number[] | undefined {
    const constant = this.constant(name);
    if (constant?.kind === "tensor") return numbersOfMil(constant);
    if (constant !== undefined) return undefined;
    const known = this.optional(name);
    if (known?.constant === undefined) return known?.elements && allNumbers(known.elements);
    const { dtype } = known.constant;
    return dtype === "int4" || dtype === "uint4"
      ? undefined
      : [...numbersOf({ dtype, bytes: known.constant.bytes })];
  }
  ints(name: string, fallback?: readonly number[]): readonly number[] {
    const numbers = this.floats(name, fallback);
    const wrong = numbers.find((value) => !Number.isInteger(value));
    return wrong === undefined ? numbers : this.bad(`"${name}" must hold whole numbers, got ${wrong}`);
  }
  floats(name: string, fallback?: readonly number[]): readonly number[] {
    if (!this.has(name)) return fallback ?? this.bad(`input "${name}" is missing`);
    return this.numbers(name) ?? this.unsupported(`"${name}" computed at run time`);
  }
  int(name: string, fallback?: number): number {
    const value = this.float(name, fallback);
    return Number.isInteger(value) ? value : this.bad(`"${name}" must be a whole number, got ${value}`);
  }
  float(name: string, fallback?: number): number {
    if (!this.has(name)) return fallback ?? this.bad(`input "${name}" is missing`);
    const numbers = this.floats(name);
    const [first] = numbers;
    if (numbers.length !== 1 || first === undefined) {
      return this.bad(`"${name}" must be one number, got ${numbers.length}`);
    }
    return first;
  }
  bool(name: string, fallback?: boolean): boolean {
    return this.float(name, fallback === undefined ? undefined : Number(fallback)) !== 0;
  }
  bools(name: string, fallback?: readonly boolean[]): readonly boolean[] {
    return this.floats(name, fallback?.map(Number)).map((value) => value !== 0);
  }
  strings(name: string): readonly string[] {
    const constant = this.constant(name);
    if (constant?.kind === "strings") return constant.values;
    if (constant?.kind === "list" || constant?.kind === "tuple") {
      return constant.values.flatMap((item) =>
        item.kind === "strings" ? item.values : this.bad(`"${name}" must be strings`),
      );
    }
    return this.bad(this.has(name) ? `"${name}" must be strings` : `input "${name}" is missing`);
  }
  string(name: string, fallback?: string): string {
    if (!this.has(name)) return fallback ?? this.bad(`input "${name}" is missing`);
    const values = this.strings(name);
    const [first] = values;
    if (values.length !== 1 || first === undefined) return this.bad(`"${name}" must be one string`);
    return first;
  }
  oneOf<T extends string>(name: string, choices: readonly T[], fallback?: T): T {
    const text = this.string(name, fallback);
    return (
      choices.find((choice) => choice === text) ??
      this.bad(`"${name}" must be one of ${choices.join(", ")}, got ${JSON.stringify(text)}`)
    );
  }

  /** The graph's element type for a MIL dtype string ("fp16", "int32", "bool", …). */
  dtypeNamed(name: string): DType {
    return this.#scope.graphDType(milDTypes[name] ?? this.bad(`unknown dtype ${JSON.stringify(name)}`));
  }
  /** The graph's element type of a result as the program declares it; `undefined` where it declares none. */
  outputDType(index = 0): DType | undefined {
    const type = this.#op.outputs[index]?.type;
    if (type?.kind !== "tensor" || type.dtype === "string") return undefined;
    return isDense(type.dtype) ? this.#scope.graphDType(type.dtype) : undefined;
  }

  /** The shape of a value when every axis is known. */
  staticShape(value: Value): readonly number[] | undefined {
    return value.shape && allNumbers(value.shape);
  }
  rank(value: Value, what = "x"): number {
    return value.shape?.length ?? this.unsupported(`"${what}" of unknown rank`);
  }
  shape(value: Value, what = "x"): NonNullable<Shape> {
    return value.shape ?? this.unsupported(`"${what}" of unknown rank`);
  }
  /** An axis counted from the start; errors when it is outside the rank. */
  axis(axis: number, rank: number, what = "axis"): number {
    if (axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
    if (rank < 1) return this.bad(`a scalar has no "${what}" ${axis}`);
    return this.bad(`"${what}" must lie between ${-rank} and ${rank - 1}, got ${axis}`);
  }

  /** Valid, but not expressible here. */
  unsupported(what: string): never {
    throw this.#error("UNSUPPORTED", `${what} is not supported`);
  }
  /** Against the op's definition. */
  bad(why: string): never {
    throw this.#error("BAD_MODEL", why);
  }

  #error(code: "BAD_MODEL" | "UNSUPPORTED", why: string): CoremlxError {
    return new CoremlxError(code, `Cannot lower ${this.#op.type} "${this.name}": ${why}`, {
      details: { op: this.#op.type, name: this.name },
    });
  }

  #bindings(name: string): readonly MilBinding[] {
    const bindings = this.#op.inputs.get(name);
    if (bindings) return bindings;
    const attribute = this.#op.attributes.get(name);
    return attribute ? [{ kind: "value", value: attribute }] : [];
  }
  #valueOf(binding: MilBinding, name: string): Value {
    if (binding.kind === "name") {
      return (
        this.#scope.value(binding.name) ?? this.bad(`input "${name}" refers to unknown "${binding.name}"`)
      );
    }
    if (binding.value.kind === "tensor") return this.#scope.materialize(binding.value);
    return this.bad(`input "${name}" must be a tensor`);
  }
  #nameAttribute(): string | undefined {
    const name = this.#op.attributes.get("name");
    return name?.kind === "strings" ? name.values[0] : undefined;
  }
}

export const milDTypes: Readonly<Record<string, DType>> = {
  fp16: "float16",
  fp32: "float32",
  fp64: "float64",
  bf16: "bfloat16",
  bool: "bool",
  int8: "int8",
  int16: "int16",
  int32: "int32",
  int64: "int64",
  uint8: "uint8",
  uint16: "uint16",
  uint32: "uint32",
  uint64: "uint64",
};

const denseTypes = new Set<string>(Object.values(milDTypes));

export function isDense(dtype: string): dtype is DType {
  return denseTypes.has(dtype);
}

/** The elements of a constant tensor as numbers; packed types unpacked. */
export function numbersOfMil(tensor: MilTensor): readonly number[] {
  if (!isDense(tensor.dtype)) {
    throw new CoremlxError("UNSUPPORTED", `Cannot read constants of type ${tensor.dtype} as numbers`);
  }
  return [...numbersOf({ dtype: tensor.dtype, bytes: tensor.bytes })];
}

export function asTensor(tensor: MilTensor): Tensor | undefined {
  return isDense(tensor.dtype)
    ? { dtype: tensor.dtype, shape: tensor.shape, bytes: tensor.bytes }
    : undefined;
}

function allNumbers(dims: readonly (number | string | undefined)[]): readonly number[] | undefined {
  return dims.every((dim) => typeof dim === "number") ? dims : undefined;
}
