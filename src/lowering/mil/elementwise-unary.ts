// MIL's element-wise ops of one operand. Semantics: coremltools, mil/ops/defs/iOS15/elementwise_unary.py.

import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { isFloatValue, parameterLike, scalarLike } from "../arguments.ts";
import type { Lowering, Op, OpTable } from "../op.ts";

export const elementwiseUnary = {
  abs: plain("Abs"),
  acos: plain("Acos"),
  asin: plain("Asin"),
  atan: plain("Atan"),
  atanh: plain("Atanh"),
  ceil: plain("Ceil"),
  cos: plain("Cos"),
  cosh: plain("Cosh"),
  erf: plain("Erf"),
  exp: plain("Exp"),
  floor: plain("Floor"),
  logical_not: plain("Not"),
  round: plain("Round"), // half to even, as MIL
  sign: plain("Sign"),
  sin: plain("Sin"),
  sinh: plain("Sinh"),
  sqrt: plain("Sqrt"),
  tan: plain("Tan"),
  tanh: plain("Tanh"),

  square(op, g) {
    const x = op.value("x");
    return g.node("Mul", [x, x]);
  },

  exp2(op, g) {
    const x = op.value("x");
    const exponent = isFloatValue(x) ? x : g.cast(x, "float32");
    const power = g.node("Pow", [scalarLike(g, exponent, 2), exponent]);
    return isFloatValue(x) ? power : g.cast(power, "int32");
  },

  rsqrt: (op, g) => g.node("Reciprocal", [g.node("Sqrt", [shifted(op, g, 1e-12)])]),
  inverse: (op, g) => g.node("Reciprocal", [shifted(op, g, 1e-4)]),
  log: (op, g) => g.node("Log", [shifted(op, g, isHalf(op) ? 0 : 1e-45)]),

  clip(op, g) {
    const x = op.value("x");
    return g.node("Clip", [x, parameterLike(op, g, "alpha", x), parameterLike(op, g, "beta", x)]);
  },

  threshold(op, g) {
    const x = op.value("x");
    return g.node("Max", [x, parameterLike(op, g, "alpha", x)]);
  },

  cast: (op, g) => g.cast(op.value("x"), op.dtypeNamed(op.string("dtype"))),
} satisfies OpTable;

function plain(onnxOp: string): Lowering {
  return (op, g) => g.node(onnxOp, [op.value("x")]);
}

/** x + epsilon, the form in which MIL keeps these ops away from zero. */
function shifted(op: Op, g: Graph, fallback: number): Value {
  const x = op.value("x");
  if (!op.has("epsilon") && fallback === 0) return x;
  if (op.numbers("epsilon")?.every((epsilon) => epsilon === 0)) return x;
  return g.node("Add", [x, parameterLike(op, g, "epsilon", x, fallback)]);
}

/** A half cannot hold log's default epsilon of 1e-45: there it is 0, also where we compute in single precision. */
function isHalf(op: Op): boolean {
  const type = op.outputs[0]?.type;
  return type?.kind === "tensor" && type.dtype === "float16";
}
