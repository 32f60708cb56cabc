// MIL's element-wise ops of two operands, and select. Semantics: coremltools, mil/ops/defs/iOS15/elementwise_binary.py.

import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { denseDType, isFloatValue, withTypes } from "../arguments.ts";
import type { Lowering, Op, OpTable } from "../op.ts";

export const elementwiseBinary = {
  add: plain("Add"),
  sub: plain("Sub"),
  mul: plain("Mul"),
  pow: plain("Pow"),
  maximum: plain("Max"),
  minimum: plain("Min"),
  greater: plain("Greater"),
  greater_equal: plain("GreaterOrEqual"),
  less: plain("Less"),
  less_equal: plain("LessOrEqual"),
  equal: plain("Equal"),
  logical_and: plain("And"),
  logical_or: plain("Or"),
  logical_xor: plain("Xor"),

  not_equal: (op, g) => g.node("Not", [g.node("Equal", operands(op, g))]),

  /** Whole numbers divide as reals and are then truncated. */
  real_div(op, g) {
    const [x, y] = operands(op, g);
    if (isFloatValue(x) || divides(op, y)) return g.node("Div", [x, y]);
    return g.cast(g.node("Div", [asReal(g, x), asReal(g, y)]), denseDType(x));
  },

  floor_div(op, g) {
    const [x, y] = operands(op, g);
    if (isFloatValue(x)) return floorQuotient(g, x, y);
    if (!divides(op, y)) return g.cast(floorQuotient(g, asReal(g, x), asReal(g, y)), denseDType(x));
    // ONNX's integer Div truncates, its Mod has the divisor's sign: taking the remainder off first makes it exact.
    return g.node("Div", [g.node("Sub", [x, g.node("Mod", [x, y])]), y]);
  },

  /** The remainder has the divisor's sign, as in Python. */
  mod(op, g) {
    const [x, y] = operands(op, g);
    if (isFloatValue(x)) return remainder(g, x, y);
    if (divides(op, y)) return g.node("Mod", [x, y]);
    return g.cast(remainder(g, asReal(g, x), asReal(g, y)), denseDType(x));
  },

  select(op, g) {
    const [a, b] = unify(g, op.value("a"), op.value("b"));
    const cond = g.cast(op.value("cond"), "bool");
    const pick = ([whenTrue, whenFalse]: readonly Value[]) => g.node("Where", [cond, whenTrue, whenFalse]);
    if (a.dtype === "bool") return withTypes(g, [a, b], ["uint8"], pick);
    return withTypes(g, [a, b], ["int32", "float32", "float16", "float64", "int64", "uint8"], pick);
  },
} satisfies OpTable;

function plain(onnxOp: string): Lowering {
  return (op, g) => g.node(onnxOp, operands(op, g));
}

function operands(op: Op, g: Graph): readonly [Value, Value] {
  return unify(g, op.value("x"), op.value("y"));
}

/** MIL gives both operands one type; a program that mixes whole numbers and floats means floats. */
function unify(g: Graph, x: Value, y: Value): readonly [Value, Value] {
  if (x.dtype === y.dtype) return [x, y];
  return isFloatValue(y) && !isFloatValue(x) ? [g.cast(x, denseDType(y)), y] : [x, g.cast(y, denseDType(x))];
}

/**
 * Whether whole numbers may be divided by y as whole numbers. ONNX Runtime ends the run at a divisor 0, and at -2^31
 * divided by -1 the processor ends the process: only constants without 0 and -1 are safe.
 */
function divides(op: Op, y: Value): boolean {
  if (y.constant === undefined) return false;
  return op.numbers("y")?.every((number) => number !== 0 && number !== -1) ?? false;
}

/** A double holds every int32, and the quotient of two to less than the distance from the next whole number. */
function asReal(g: Graph, value: Value): Value {
  return g.cast(value, "float64");
}

function floorQuotient(g: Graph, x: Value, y: Value): Value {
  return g.node("Floor", [g.node("Div", [x, y])]);
}

function remainder(g: Graph, x: Value, y: Value): Value {
  return g.node("Sub", [x, g.node("Mul", [floorQuotient(g, x, y), y])]);
}
