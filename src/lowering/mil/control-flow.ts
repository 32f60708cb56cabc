// MIL's control_flow ops: cond is ONNX If, while_loop is ONNX Loop. Semantics: coremltools,
// mil/ops/defs/iOS15/control_flow.py.

import type { DType } from "../../core/dtype.ts";
import type { MilBlock, MilDim, MilNamedType } from "../../formats/mil.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Dim, Shape, Value, ValueType } from "../../onnx/types.ts";
import { denseDType } from "../arguments.ts";
import { isDense, type Op, type OpTable } from "../op.ts";
import { declaredSizes, type Scope } from "../scope.ts";

export const controlFlow = {
  cond(op, g) {
    const [yes, no] = op.blocks;
    if (yes === undefined || no === undefined)
      return op.bad(`it must have two blocks, got ${op.blocks.length}`);
    const [known] = op.numbers("pred") ?? [];
    if (known !== undefined) return inline(op, g, known === 0 ? no : yes);
    return branch(op, g, { pred: truth(g, op.value("pred")), yes, no });
  },

  while_loop(op, g) {
    const [condition, body] = op.blocks;
    if (condition === undefined || body === undefined) {
      return op.bad(`it must have two blocks, got ${op.blocks.length}`);
    }
    const initial = op.values("loop_vars");
    for (const [what, count] of [
      ["inputs of its condition", condition.inputs.length],
      ["inputs of its body", body.inputs.length],
      ["outputs of its body", body.outputs.length],
      ["results", op.outputs.length],
    ] as const) {
      if (count !== initial.length) op.bad(`${initial.length} loop variables do not fit ${count} ${what}`);
    }
    if (condition.outputs.length !== 1)
      op.bad(`its condition must have one output, got ${condition.outputs.length}`);
    if (writtenStates([condition]).size > 0) op.unsupported("a state written by a loop condition");
    if (2 * copiesIn(condition) > maxCopies)
      op.unsupported("a loop in the condition of a loop in a condition");
    return loop(op, g, { condition, body, initial });
  },
} satisfies OpTable;

/** The block whose condition is known, as part of the surrounding graph. */
function inline(op: Op, g: Graph, block: MilBlock): readonly Value[] {
  checkOutputs(op, block);
  const scope = op.scope.child(g);
  const values = scope.lowerBlock(block);
  for (const [state, value] of scope.writtenStates) op.scope.writeState(state, value);
  keepFixedLists(
    op,
    block.outputs.map((name) => scope.isFixedList(name)),
  );
  return values;
}

interface Branches {
  readonly pred: Value;
  readonly yes: MilBlock;
  readonly no: MilBlock;
}

/** Results are the blocks' outputs, then the states that either of them writes. */
function branch(op: Op, g: Graph, { pred, yes, no }: Branches): readonly Value[] {
  const states = [...writtenStates([yes, no])];
  const [first, second] = [yes, no].map((block) => {
    checkOutputs(op, block);
    const graph = g.subgraph();
    const scope = op.scope.child(graph);
    const values = [...scope.lowerBlock(block), ...states.map((state) => stateOf(op, scope, state))];
    return { graph, values, fixed: block.outputs.map((name) => scope.isFixedList(name)) };
  });
  if (first === undefined || second === undefined || first.values.length === 0) return [];
  const types = first.values.map((value, index): ValueType => {
    const declared = tensorTypeOf(op.outputs[index]);
    const dtype = declared ? op.scope.graphDType(declared.dtype) : denseDType(value);
    const other = second.values[index]?.shape;
    return { dtype, shape: commonShape(g, { a: value.shape, b: other, declared: declared?.shape }) };
  });
  for (const { graph, values } of [first, second]) giveOut(graph, values, types);
  const bodies = { then_branch: first.graph, else_branch: second.graph };
  const results = g.nodeList("If", [pred], bodies, { outputs: types.length, types });
  keepFixedLists(
    op,
    first.fixed.map((isFixed, index) => isFixed && (second.fixed[index] ?? false)),
  );
  return keepStates(op, results, states);
}

interface LoopParts {
  readonly condition: MilBlock;
  readonly body: MilBlock;
  readonly initial: readonly Value[];
}

/**
 * ONNX asks for the condition before the first iteration and at the end of each, so the condition block stands in the
 * graph twice. Carried are the loop variables, then the states that the body writes.
 */
function loop(op: Op, g: Graph, { condition, body, initial }: LoopParts): readonly Value[] {
  const states = [...writtenStates([body])];
  const names = op.namesWhereNamed("loop_vars");
  const fixed = body.inputs.map(({ type }, index) => {
    const name = type.kind === "list" ? names[index] : undefined;
    return name !== undefined && op.scope.isFixedList(name);
  });
  keepFixedLists(op, fixed);
  const variables = initial.map((start, index): Variable => {
    const name = body.inputs[index]?.name ?? op.name;
    const type = carriedType(op, g, { input: body.inputs[index], start, isFixed: fixed[index] ?? false });
    return { name, type, start: g.cast(start, denseDType(type)) };
  });
  const memories = states.map((name): Variable => {
    const start = stateOf(op, op.scope, name);
    return { name, type: { dtype: start.dtype, shape: start.shape }, start };
  });
  const carried = [...variables, ...memories];
  const starts = carried.map(({ start }) => start);
  const unrolled = unroll(op, g, {
    condition,
    body,
    given: { values: starts.slice(0, initial.length), fixed },
  });
  if (unrolled) return unrolled;
  const proceeds = evaluate(op, op.scope.child(g), condition, { values: starts, fixed });
  g.scope = op.name;

  const inner = g.subgraph();
  inner.input("iteration", "int64", []);
  inner.input("proceeds", "bool", []);
  const inputs = carried.map(({ name, type }) => inner.input(name, type.dtype, type.shape));
  const scope = op.scope.child(inner);
  bind(scope, body, { values: inputs, fixed });
  states.forEach((state, index) => {
    const value = inputs[initial.length + index];
    if (value) scope.writeState(state, value);
  });
  const results = scope.lowerBlock(body);
  const after = [...results, ...states.map((state) => stateOf(op, scope, state))].map((value, index) =>
    inner.cast(value, denseDType(carried[index]?.type ?? value)),
  );
  const asking = op.scope.child(inner);
  for (const state of states) asking.writeState(state, stateOf(op, scope, state));
  const again = evaluate(op, asking, condition, { values: after, fixed });
  const types = carried.map(({ type }) => type);
  giveOut(inner, [again, ...after], [{ dtype: "bool", shape: [] }, ...types]);

  const final = types.map((type) => ({ ...type, shape: unlinked(g, type.shape) }));
  const wanted = [undefined, proceeds, ...starts];
  const outputs = g.nodeList("Loop", wanted, { body: inner }, { outputs: final.length, types: final });
  return keepStates(op, outputs, states);
}

interface Unrolling {
  readonly condition: MilBlock;
  readonly body: MilBlock;
  readonly given: Arguments;
}

/**
 * A loop is unrolled while it stays below so many ops. A Loop costs ONNX Runtime some 10 µs, each of its iterations 3 µs
 * beside the 0.5 µs of a small node (256 iterations of 2 and of 10 additions, 1 thread), and no fusion crosses its edge.
 */
const maxUnrolledOps = 256;

/**
 * The iterations one after the other, where it is known how many there are: the recurrent layers of converters mostly
 * run once. `undefined`: not known, or too many; then nothing has changed.
 */
function unroll(op: Op, g: Graph, { condition, body, given }: Unrolling): readonly Value[] | undefined {
  if (hasLoop(condition) || hasLoop(body)) return undefined;
  const graph = g.subgraph();
  const scope = op.scope.child(graph);
  const limit = maxUnrolledOps / Math.max(1, body.operations.length);
  let { values } = given;
  for (let iteration = 0; iteration <= limit; iteration++) {
    const proceeds = evaluate(op, scope.child(graph), condition, { ...given, values });
    if (proceeds.constant === undefined) return undefined;
    if (proceeds.constant.bytes[0] === 0) {
      g.nodes.push(...graph.nodes);
      for (const [state, value] of scope.writtenStates) op.scope.writeState(state, value);
      return values;
    }
    const inner = scope.child(graph);
    bind(inner, body, { ...given, values });
    values = inner.lowerBlock(body);
    for (const [state, value] of inner.writtenStates) scope.writeState(state, value);
  }
  return undefined;
}

function hasLoop(block: MilBlock): boolean {
  return block.operations.some(({ type, blocks }) => type === "while_loop" || blocks.some(hasLoop));
}

interface Variable {
  readonly name: string;
  readonly type: ValueType;
  readonly start: Value;
}

interface Carried {
  readonly input: MilNamedType | undefined;
  readonly start: Value;
  readonly isFixed: boolean;
}

/** How often a loop condition may stand in the graph: loops within loop conditions multiply. */
const maxCopies = 4;

/** How often the innermost op of a block comes to stand in the graph. */
function copiesIn(block: MilBlock): number {
  let most = 1;
  for (const { type, blocks } of block.operations) {
    blocks.forEach((inner, index) => {
      const isCondition = type === "while_loop" && index === 0;
      most = Math.max(most, (isCondition ? 2 : 1) * copiesIn(inner));
    });
  }
  return most;
}

/** What all iterations have in common: sizes the block does not declare may change from one to the next. */
function carriedType(op: Op, g: Graph, { input, start, isFixed }: Carried): ValueType {
  const declared = tensorTypeOf(input);
  if (declared === undefined) return op.unsupported(`loop variable "${input?.name}" of its type`);
  const dtype = op.scope.graphDType(declared.dtype);
  const open = (shape: readonly MilDim[]): readonly Dim[] => shape.map((size) => size ?? g.unknownDim());
  if (input?.type.kind === "list") {
    const length = isFixed ? start.shape?.[0] : undefined;
    return { dtype, shape: declared.shape && [length ?? g.unknownDim(), ...open(declared.shape)] };
  }
  const { shape } = declared;
  const isMisfit =
    shape !== undefined &&
    start.shape !== undefined &&
    (shape.length !== start.shape.length ||
      shape.some(
        (size, axis) =>
          size !== undefined && typeof start.shape?.[axis] === "number" && size !== start.shape[axis],
      ));
  if (isMisfit) {
    op.bad(
      `loop variable "${input?.name}" has shape [${shape.join(", ")}] and starts with [${start.shape?.join(", ")}]`,
    );
  }
  return { dtype, shape: shape && open(shape) };
}

interface Arguments {
  readonly values: readonly Value[];
  readonly fixed: readonly boolean[];
}

/** Gives a block its inputs; values beyond them are states. */
function bind(scope: Scope, block: MilBlock, { values, fixed }: Arguments): void {
  block.inputs.forEach(({ name }, index) => {
    const value = values[index];
    if (value) scope.define(name, value);
    if (fixed[index]) scope.markFixedList(name);
  });
}

/** The truth of a loop's condition for some values of its variables. */
function evaluate(op: Op, scope: Scope, condition: MilBlock, given: Arguments): Value {
  bind(scope, condition, given);
  const [result] = scope.lowerBlock(condition);
  return truth(scope.graph, result ?? op.bad("its condition has no output"));
}

/** A bool scalar. */
function truth(g: Graph, value: Value): Value {
  const flag = g.cast(value, "bool");
  return flag.shape?.length === 0 ? flag : g.node("Reshape", [flag, g.vector([])]);
}

/** Makes values the results of a block's graph, in the element types that all blocks agree on. */
function giveOut(graph: Graph, values: readonly Value[], types: readonly ValueType[]): void {
  values.forEach((value, index) => {
    graph.output(`${value.name}__out`, graph.cast(value, denseDType(types[index] ?? value)));
  });
}

function checkOutputs(op: Op, block: MilBlock): void {
  if (block.outputs.length === op.outputs.length) return;
  op.bad(`${op.outputs.length} results do not fit the ${block.outputs.length} outputs of a block`);
}

/** States that the blocks write, at any depth. */
function writtenStates(blocks: readonly MilBlock[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const block of blocks) {
    for (const { type, inputs, blocks: nested } of block.operations) {
      const input = type === "write_state" ? "input" : type === "coreml_update_state" ? "state" : undefined;
      for (const binding of (input === undefined ? undefined : inputs.get(input)) ?? []) {
        if (binding.kind === "name") names.add(binding.name);
      }
      for (const name of writtenStates(nested)) names.add(name);
    }
  }
  return names;
}

function stateOf(op: Op, scope: Scope, name: string): Value {
  return scope.readState(name) ?? op.bad(`"${name}" is not a state`);
}

/** Writes the states that follow an op's results; gives the results. */
function keepStates(op: Op, results: readonly Value[], states: readonly string[]): readonly Value[] {
  const count = op.outputs.length;
  states.forEach((state, index) => {
    const value = results[count + index];
    if (value) op.scope.writeState(state, value);
  });
  return results.slice(0, count);
}

function keepFixedLists(op: Op, fixed: readonly boolean[]): void {
  op.outputs.forEach(({ name }, index) => {
    if (fixed[index]) op.scope.markFixedList(name);
  });
}

/** The element type and shape of a tensor, or of a list's elements. */
function tensorTypeOf(
  named: MilNamedType | undefined,
): { readonly dtype: DType; readonly shape: readonly MilDim[] | undefined } | undefined {
  const type = named?.type.kind === "list" ? named.type.element : named?.type;
  if (type?.kind !== "tensor" || type.dtype === "string" || !isDense(type.dtype)) return undefined;
  return { dtype: type.dtype, shape: declaredSizes(type.shape) };
}

interface Shapes {
  readonly a: Shape;
  readonly b: Shape;
  readonly declared: readonly MilDim[] | undefined;
}

/** What two branches agree on, and what the program declares beyond. */
function commonShape(g: Graph, { a, b, declared }: Shapes): Shape {
  if (a === undefined || b === undefined || a.length !== b.length) return undefined;
  const sizes = declared?.length === a.length ? declared : [];
  return a.map((dim, axis) => (dim === b[axis] ? dim : (sizes[axis] ?? g.unknownDim())));
}

/** The same ranks and known sizes, with symbols of its own. */
function unlinked(g: Graph, shape: Shape): Shape {
  return shape?.map((dim) => (typeof dim === "number" ? dim : g.unknownDim()));
}
