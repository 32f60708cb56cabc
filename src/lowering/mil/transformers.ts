// MIL's attention. Semantics: coremltools, mil/ops/defs/iOS18/transformers.py.

import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { castLike, scalarLike, sizeOf } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";

export const transformers = {
  /**
   * softmax(query x key^T / sqrt(E) + mask) x value; query [B.., L, E], key [B.., S, E], value [B.., S, EV]. A row
   * that the mask leaves nothing gives NaN, as in the definition.
   */
  scaled_dot_product_attention(op, g) {
    const query = op.value("query");
    const key = castLike(g, op.value("key"), query);
    const value = castLike(g, op.value("value"), query);
    const rank = op.rank(query, "query");
    if (rank < 2 || op.rank(key, "key") !== rank || op.rank(value, "value") !== rank) {
      op.bad('"query", "key" and "value" must have the same rank, at least 2');
    }
    const perm = Array.from({ length: rank }, (_, axis) => axis);
    perm.splice(rank - 2, 2, rank - 1, rank - 2);
    const scaled = g.node("Mul", [query, scaleOf(g, query, rank)]);
    const scores = g.node("MatMul", [scaled, g.node("Transpose", [key], { perm })]);
    return g.node("MatMul", [g.node("Softmax", [masked(op, g, scores)], { axis: -1 }), value]);
  },
} satisfies OpTable;

/** 1 / sqrt(E) in the query's element type. */
function scaleOf(g: Graph, query: Value, rank: number): Value {
  const size = query.shape?.[rank - 1];
  if (typeof size === "number") return scalarLike(g, query, 1 / Math.sqrt(size));
  return g.node("Reciprocal", [g.node("Sqrt", [castLike(g, sizeOf(g, query, rank - 1), query)])]);
}

function masked(op: Op, g: Graph, scores: Value): Value {
  const mask = op.optional("attn_mask");
  if (mask === undefined) return scores;
  if (mask.dtype !== "bool") return g.node("Add", [scores, castLike(g, mask, scores)]);
  return g.node("Where", [mask, scores, scalarLike(g, scores, Number.NEGATIVE_INFINITY)]);
}
