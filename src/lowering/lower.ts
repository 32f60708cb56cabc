// Model -> ONNX graph: a function of a program, op by op, in program order. Pure: no files, no native code.

import type { DType } from "../core/dtype.ts";
import { CoremlxError, messageOf, reworded } from "../core/errors.ts";
import type { MilBlock, MilFunction, MilNamedType, MilOp } from "../formats/mil.ts";
import { Graph } from "../onnx/graph.ts";
import type { Shape, Value } from "../onnx/types.ts";
import { isDense, type Lowering, Op } from "./op.ts";
import { milOps } from "./registry.ts";
import { declaredSizes, type LoweringPrecision, Scope } from "./scope.ts";

export interface LowerOptions {
  /** Default "float32". */
  readonly precision?: LoweringPrecision | undefined;
}

/** An input or output of the graph and the feature it carries. */
export interface Port {
  readonly feature: string;
  /** The name inside the graph. */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

export interface StatePort {
  readonly feature: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly input: string;
  /** `undefined`: the program only reads it. */
  readonly output: string | undefined;
}

export interface Lowered {
  readonly graph: Graph;
  readonly inputs: readonly Port[];
  /** Without what `classifier` makes. */
  readonly outputs: readonly Port[];
  readonly states: readonly StatePort[];
  readonly classifier: LoweredClassifier | undefined;
}

/** The host turns a probability vector into a label and a dictionary. */
export interface LoweredClassifier {
  /** Graph output holding one probability per label. */
  readonly probabilities: string;
  readonly labels: readonly string[] | readonly bigint[];
  readonly labelName: string;
  readonly probabilitiesName: string | undefined;
}

/** Throws UNSUPPORTED naming every op without a lowering, with counts, before any work. */
export function lower(fn: MilFunction, options: LowerOptions = {}): Lowered {
  return lowerTapped(fn, [], options).lowered;
}

/**
 * The same, with values from inside the program as further outputs of the graph, in the type they have there. What is
 * constant, a sequence or within a nested block is left out. Throws as `lower` does.
 */
export function lowerTapped(
  fn: MilFunction,
  names: readonly string[],
  options: LowerOptions = {},
): { readonly lowered: Lowered; readonly taps: readonly Port[] } {
  refuseMissing(fn);
  const graph = new Graph();
  const scope = new Scope(graph, { opset: fn.opset, precision: options.precision ?? "float32", lowerBlock });
  const inputs: Port[] = [];
  const stateInputs: StateInput[] = [];
  for (const input of fn.inputs) {
    if (input.type.kind === "state") stateInputs.push(defineState(scope, input));
    else inputs.push(defineInput(scope, input));
  }
  scope.lowerBlock(fn.block);

  const { classifier } = scope;
  const hosted = new Set([classifier?.labelName, classifier?.probabilitiesName]);
  graph.scope = "";
  const outputs = fn.block.outputs
    .filter((name) => !hosted.has(name))
    .map((name) => defineOutput(scope, name, declaredOutput(fn.block, name)));
  const states = stateInputs.map((state) => finishState(scope, state));
  const lowered = {
    graph,
    inputs,
    outputs,
    states,
    classifier: classifier && finishClassifier(graph, classifier),
  };
  return { lowered, taps: names.flatMap((name) => tap(scope, name)) };
}

function tap(scope: Scope, name: string): readonly Port[] {
  const value = scope.value(name);
  if (value === undefined || value.constant !== undefined || value.isSequence === true) return [];
  const { dtype } = value;
  if (dtype === "int4" || dtype === "uint4") return [];
  const output = scope.graph.output(name, unclaimed(scope.graph, value));
  return [{ feature: name, name: output.name, dtype, shape: output.shape }];
}

/** Lowers a block's ops into the scope's graph; gives the values of its outputs. */
function lowerBlock(scope: Scope, block: MilBlock): readonly Value[] {
  for (const milOp of block.operations) {
    if (milOp.type === "const") {
      const value = milOp.attributes.get("val") ?? new Op(milOp, scope).bad('attribute "val" is missing');
      for (const output of milOp.outputs) scope.defineConstant(output.name, value);
      continue;
    }
    const op = new Op(milOp, scope);
    scope.graph.scope = op.name;
    try {
      define(scope, op, loweringOf(milOp.type)(op, scope.graph));
    } catch (error) {
      throw namingOp(op, error);
    }
  }
  const { classifier } = scope;
  return block.outputs.flatMap((name) => {
    if (name === classifier?.labelName || name === classifier?.probabilitiesName) return [];
    return [resolve(scope, name)];
  });
}

/** Types of ops in a function, nested blocks included, that have no lowering, with how often each occurs. */
export function missingOps(fn: MilFunction): ReadonlyMap<string, number> {
  const missing = new Map<string, number>();
  const visit = (block: MilBlock): void => {
    for (const op of block.operations) {
      if (op.type !== "const" && !milOps.has(op.type)) {
        const name = nameOfMissing(op);
        missing.set(name, (missing.get(name) ?? 0) + 1);
      }
      op.blocks.forEach(visit);
    }
  };
  visit(fn.block);
  return missing;
}

/** Custom layers are code outside of the model: each class is missing on its own. */
function nameOfMissing(op: MilOp): string {
  if (op.type !== "custom_layer") return op.type;
  const name = op.attributes.get("class_name");
  const [className] = name?.kind === "strings" ? name.values : [];
  return className === undefined ? op.type : `${op.type} ${JSON.stringify(className)}`;
}

function refuseMissing(fn: MilFunction): void {
  const missing = [...missingOps(fn)].toSorted(([, a], [, b]) => b - a);
  if (missing.length === 0) return;
  const list = missing.map(([type, count]) => `${type} (${count})`).join(", ");
  throw new CoremlxError("UNSUPPORTED", `Cannot run function "${fn.name}": no lowering for ${list}`, {
    hint: "Run the model on a Mac with --engine coreml",
    details: { missing: Object.fromEntries(missing) },
  });
}

function loweringOf(type: string): Lowering {
  const lowering = milOps.get(type);
  if (lowering) return lowering;
  throw new CoremlxError("UNSUPPORTED", `Cannot lower ${type}: no lowering for it`);
}

/** Says which op of the program was being lowered; an error that an op raised itself says it already. */
function namingOp(op: Op, error: unknown): CoremlxError {
  const { type, name } = op;
  if (!(error instanceof CoremlxError)) {
    const why = `Cannot lower ${type} "${name}": ${messageOf(error)}`;
    return new CoremlxError("INTERNAL", why, { cause: error, details: { op: type, name } });
  }
  const { details, message } = error;
  if (message.startsWith("Cannot lower ")) return error;
  const [first = "", ...rest] = message;
  return reworded(error, `Cannot lower ${type} "${name}": ${first.toLowerCase()}${rest.join("")}`, {
    details: { ...details, op: type, name, ...(details?.["op"] ? { onnxOp: details["op"] } : {}) },
  });
}

function define(scope: Scope, op: Op, results: Value | readonly Value[]): void {
  const values = "name" in results ? [results] : results;
  op.outputs.forEach(({ name, type }, index) => {
    const value = values[index];
    if (value === undefined) return;
    if (type.kind !== "tensor") return scope.define(name, value);
    const claimed = scope.graph.claim(value, declaredSizes(type.shape));
    scope.define(name, movesOnly.has(op.type) ? claimed : round(scope, claimed, type.dtype));
  });
}

/** Their results hold what went in, which is rounded already. */
const movesOnly = new Set([
  "concat",
  "expand_dims",
  "gather",
  "identity",
  "max_pool",
  "pad",
  "relu",
  "reshape",
  "slice_by_index",
  "slice_by_size",
  "split",
  "squeeze",
  "stack",
  "tile",
  "transpose",
]);

/** To a narrower type that the program declares and the graph does not have, where that is asked for. */
function round(scope: Scope, value: Value, declared: string): Value {
  const isNarrow = declared === "float16" || declared === "bfloat16";
  if (scope.precision !== "rounded" || !isNarrow || value.dtype !== "float32") return value;
  return scope.graph.cast(scope.graph.cast(value, declared), "float32");
}

function resolve(scope: Scope, name: string): Value {
  const value = scope.value(name);
  if (value) return value;
  throw new CoremlxError("BAD_MODEL", `Cannot lower this program: its output "${name}" is never computed`);
}

function defineInput(scope: Scope, input: MilNamedType): Port {
  const { name, type } = input;
  if (type.kind !== "tensor" || type.dtype === "string" || !isDense(type.dtype)) {
    const kind = type.kind === "tensor" ? type.dtype : type.kind;
    throw new CoremlxError("UNSUPPORTED", `Cannot lower input "${name}": type ${kind} is not supported`);
  }
  const shape = type.shape?.map((dim, axis) => dim ?? `${name}_d${axis}`);
  const value = scope.graph.input(name, type.dtype, shape);
  scope.define(name, scope.graph.cast(value, scope.graphDType(type.dtype)));
  return { feature: name, name: value.name, dtype: type.dtype, shape };
}

function defineOutput(scope: Scope, name: string, declared: DType | undefined): Port {
  const { graph } = scope;
  const value = resolve(scope, name);
  const dtype = declared ?? denseType(name, value);
  // Results of rank 0 surface with shape [1]: format.md, ArrayFeatureType.
  const cast = graph.cast(value, dtype);
  const shaped = cast.shape?.length === 0 ? graph.node("Reshape", [cast, graph.vector([1])]) : cast;
  const output = graph.output(name, unclaimed(graph, shaped));
  return { feature: name, name: output.name, dtype, shape: output.shape };
}

/** Sizes that rest on the program's word are not passed on as known: whoever makes room for a result would trust them. */
function unclaimed(graph: Graph, value: Value): Value {
  return value.isClaimed === true ? { ...value, shape: value.shape?.map(() => graph.unknownDim()) } : value;
}

/** The type a block's output is declared with by the op that computes it. */
function declaredOutput(block: MilBlock, name: string): DType | undefined {
  for (const op of block.operations) {
    for (const output of op.outputs) {
      if (output.name !== name || output.type.kind !== "tensor" || output.type.dtype === "string") continue;
      return isDense(output.type.dtype) ? output.type.dtype : undefined;
    }
  }
  return undefined;
}

function denseType(name: string, value: Value): DType {
  if (value.dtype !== "int4" && value.dtype !== "uint4") return value.dtype;
  throw new CoremlxError(
    "UNSUPPORTED",
    `Cannot give out "${name}": type ${value.dtype} is not an interface type`,
  );
}

interface StateInput {
  readonly port: StatePort;
  /** What the program reads before it writes. */
  readonly initial: Value;
}

function defineState(scope: Scope, input: MilNamedType): StateInput {
  const { name, type } = input;
  const wrapped = type.kind === "state" ? type.wrapped : type;
  if (wrapped.kind !== "tensor" || wrapped.dtype === "string" || !isDense(wrapped.dtype)) {
    throw new CoremlxError("UNSUPPORTED", `Cannot lower state "${name}": it is not a numeric tensor`);
  }
  const shape = (wrapped.shape ?? []).map((dim) => {
    if (dim !== undefined) return dim;
    throw new CoremlxError("BAD_MODEL", `Cannot lower state "${name}": a state needs a fixed shape`);
  });
  const value = scope.graph.input(name, wrapped.dtype, shape);
  const initial = scope.graph.cast(value, scope.graphDType(wrapped.dtype));
  scope.writeState(name, initial);
  const port = { feature: name, dtype: wrapped.dtype, shape, input: value.name, output: undefined };
  return { port, initial };
}

function finishState(scope: Scope, { port, initial }: StateInput): StatePort {
  const { graph } = scope;
  const value = scope.readState(port.feature);
  if (value === undefined || value.name === initial.name) return port;
  return { ...port, output: graph.output(`${port.feature}__out`, graph.cast(value, port.dtype)).name };
}

function finishClassifier(graph: Graph, classifier: NonNullable<Scope["classifier"]>): LoweredClassifier {
  const { probabilities, ...rest } = classifier;
  const name = `${classifier.probabilitiesName ?? classifier.labelName}__vector`;
  return { ...rest, probabilities: graph.output(name, graph.cast(probabilities, "float32")).name };
}
