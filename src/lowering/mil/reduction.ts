// MIL's reductions. Semantics: coremltools, mil/ops/defs/iOS15/reduction.py and iOS17/reduction.py.

import type { DType } from "../../core/dtype.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { denseDType, isFloatValue, withTypes } from "../arguments.ts";
import type { Lowering, Op, OpTable } from "../op.ts";

// Halves are taken through float32, as ONNX Runtime would: some of its own detours end the process at a tensor of nothing.
const floats = ["float32", "float64"] as const satisfies readonly DType[];
const numeric = ["int32", ...floats, "int64"] as const satisfies readonly DType[];

export const reduction = {
  reduce_sum: reduce("ReduceSum", numeric, unchanged),
  reduce_mean: reduce("ReduceMean", numeric, unchanged),
  reduce_max: reduce("ReduceMax", numeric, unchanged),
  reduce_min: reduce("ReduceMin", numeric, unchanged),
  reduce_prod: reduce("ReduceProd", numeric, unchanged),
  reduce_l1_norm: reduce("ReduceL1", numeric, (g, x) => g.node("Abs", [x])),
  reduce_sum_square: reduce("ReduceSumSquare", numeric, (g, x) => g.node("Mul", [x, x])),
  // On whole numbers ONNX Runtime takes roots, exponentials and logarithms as whole numbers too.
  reduce_l2_norm: reduce("ReduceL2", floats, (g, x) => g.node("Abs", [x])),
  reduce_log_sum: reduce("ReduceLogSum", floats, (g, x) => g.node("Log", [x])),
  reduce_log_sum_exp: reduce("ReduceLogSumExp", floats, unchanged),

  reduce_argmax: position("ArgMax"),
  reduce_argmin: position("ArgMin"),
} satisfies OpTable;

/** `ofOne`: what the reduction makes of a single element, for an empty list of axes. */
function reduce(onnxOp: string, types: readonly DType[], ofOne: (g: Graph, x: Value) => Value): Lowering {
  return (op, g) => {
    const x = op.value("x");
    const axes = op.has("axes") ? axesOf(op, x) : undefined;
    const keepdims = Number(op.bool("keep_dims", false));
    return withTypes(g, [x], isFloatValue(x) ? floats : types, ([typed = x]) => {
      if (axes === undefined) return g.node(onnxOp, [typed], { keepdims });
      if (axes.length === 0) return ofOne(g, typed);
      return g.node(onnxOp, [typed, g.vector(axes)], { keepdims });
    });
  };
}

function unchanged(_: Graph, x: Value): Value {
  return x;
}

function position(onnxOp: string): Lowering {
  return (op, g) => {
    const x = op.value("x");
    const axis = op.int("axis", -1);
    if (x.shape !== undefined) op.axis(axis, x.shape.length);
    const keepdims = Number(op.bool("keep_dims", false));
    const dtype = op.opset >= 17 ? op.dtypeNamed(op.string("output_dtype", "int32")) : "int32";
    const typed = g.cast(x, x.dtype === "bool" ? "uint8" : denseDType(x));
    return g.cast(g.node(onnxOp, [typed], { axis, keepdims }), dtype);
  };
}

function axesOf(op: Op, x: Value): readonly number[] {
  const axes = op.ints("axes");
  if (x.shape === undefined) return axes;
  const rank = x.shape.length;
  const counted = axes.map((axis) => op.axis(axis, rank, "axes"));
  if (new Set(counted).size < counted.length) op.bad(`"axes" names an axis twice: ${axes.join(", ")}`);
  return counted;
}
