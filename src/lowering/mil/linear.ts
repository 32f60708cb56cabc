// MIL's matrix products. Semantics: coremltools, mil/ops/defs/iOS15/linear.py and iOS17/linear.py.

import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { castLike, isFloatValue } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";

export const linear = {
  /** x [*, D_in] times the transpose of weight [D_out, D_in], plus bias [D_out]. */
  linear(op, g) {
    const x = op.value("x");
    const weight = castLike(g, op.value("weight"), x);
    const given = op.optional("bias");
    const bias = given && castLike(g, given, x);
    if (op.rank(weight, "weight") !== 2) op.bad(`"weight" must have rank 2, got ${weight.shape?.length}`);
    if (x.shape?.length === 2 && isFloatValue(x)) return g.node("Gemm", [x, weight, bias], { transB: 1 });
    // ONNX Runtime transposes a constant weight once, at load.
    const product = g.node("MatMul", [x, g.node("Transpose", [weight], { perm: [1, 0] })]);
    return bias ? g.node("Add", [product, bias]) : product;
  },

  /** numpy's matmul; the transpositions act on the last two axes and mean nothing for a vector. */
  matmul(op, g) {
    const x = op.value("x");
    const y = castLike(g, op.value("y"), x);
    return g.node("MatMul", [
      op.bool("transpose_x", false) ? transposed(op, g, x, "x") : x,
      op.bool("transpose_y", false) ? transposed(op, g, y, "y") : y,
    ]);
  },

  einsum(op, g) {
    const values = op.values("values");
    const [first] = values;
    if (first === undefined) return op.bad('"values" is empty');
    const equation = op.string("equation").replaceAll(" ", "");
    // MIL defines two equations, ONNX Runtime runs all of this form.
    if (!/^[A-Za-z]+(,[A-Za-z]+)*->[A-Za-z]*$/u.test(equation)) {
      op.bad(`"equation" must be of the form "nchw,nwhu->nchu", got ${JSON.stringify(equation)}`);
    }
    const terms = equation.split("->")[0]?.split(",").length;
    if (terms !== values.length) op.bad(`"equation" is for ${terms} values, got ${values.length}`);
    return g.node(
      "Einsum",
      values.map((value) => castLike(g, value, first)),
      { equation },
    );
  },
} satisfies OpTable;

/** The last two axes swapped. ONNX Runtime merges this into the product it feeds. */
function transposed(op: Op, g: Graph, value: Value, what: string): Value {
  const rank = op.rank(value, what);
  if (rank < 2) return value;
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  perm.splice(rank - 2, 2, rank - 1, rank - 2);
  return g.node("Transpose", [value], { perm });
}
