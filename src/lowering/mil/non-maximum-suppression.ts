// MIL's non_maximum_suppression. Semantics: coremltools, mil/ops/defs/iOS15/tensor_operation.py and iOS17's; the algorithm
// as its tests state it.

import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { denseDType, sizeOf } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";
import { prove } from "../proof.ts";

export const nonMaximumSuppression = {
  non_maximum_suppression(op, g) {
    if (op.opset < 17) {
      const { boxes, scores, indices, count } = suppress(op, g, op.value("boxes"), op.value("scores"));
      return [boxes, scores, indices, count];
    }
    // Boxes last, no score threshold, no count.
    const swap = (value: Value): Value => g.node("Transpose", [value], { perm: [0, 2, 1] });
    const { boxes, scores, indices } = suppress(op, g, swap(op.value("boxes")), swap(op.value("scores")));
    return [swap(boxes), swap(scores), indices];
  },
} satisfies OpTable;

/** Results are as long as "max_boxes" says, however few boxes there are. */
const mostPlaces = 2 ** 20;

interface Kept {
  /** [B, M, 4], [B, M, K], [B, M] and [B]; free places hold 0, 0 and -1. */
  readonly boxes: Value;
  readonly scores: Value;
  readonly indices: Value;
  readonly count: Value;
}

/** boxes [B, N, 4] as centre x, centre y, width, height; scores [B, N, K]. */
function suppress(op: Op, g: Graph, boxes: Value, scores: Value): Kept {
  checkShape(op, boxes, "boxes");
  checkShape(op, scores, "scores");
  const places = op.int("max_boxes");
  if (places < 1) op.bad(`"max_boxes" must be positive, got ${places}`);
  if (places > mostPlaces) op.unsupported(`"max_boxes" of ${places}, more than ${mostPlaces},`);
  const wideScores = g.cast(scores, "float32");
  const best = g.node("ReduceMax", [wideScores, g.vector([2])], { keepdims: 0 });
  const ranked = rankKept(op, g, {
    best,
    kept: survivors(op, g, { boxes, wideScores, best, places }),
    places,
    boxes,
  });
  const { values, order } = ranked;
  const isFilled = g.node("Greater", [values, g.scalar(Number.NEGATIVE_INFINITY, "float32")]);
  const rows = g.node("Unsqueeze", [order, g.vector([2])]);
  const filledRows = g.node("Unsqueeze", [isFilled, g.vector([2])]);
  const pick = (table: Value): Value => {
    const picked = g.node("GatherND", [table, rows], { batch_dims: 1 });
    return g.node("Where", [filledRows, picked, g.scalar(0, denseDType(table))]);
  };
  return {
    boxes: pick(boxes),
    scores: pick(scores),
    indices: g.cast(g.node("Where", [isFilled, order, g.scalar(-1, "int64")]), "int32"),
    count: g.node("ReduceSum", [g.cast(isFilled, "int32"), g.vector([1])], { keepdims: 0 }),
  };
}

function checkShape(op: Op, value: Value, what: string): void {
  const rank = op.rank(value, what);
  if (rank !== 3) op.bad(`"${what}" must have rank 3, got ${rank}`);
}

interface Candidates {
  readonly boxes: Value;
  /** [B, N, K], float32. */
  readonly wideScores: Value;
  /** [B, N]: each box's best score. */
  readonly best: Value;
  readonly places: number;
}

/** [B, N]: the best score of boxes that survive, -inf of the others. */
function survivors(op: Op, g: Graph, { boxes, wideScores, best, places }: Candidates): Value {
  const perClass = op.bool("per_class_suppression", false);
  const iou = op.float("iou_threshold");
  if (!(iou >= 0)) op.unsupported(`a negative "iou_threshold" (${iou})`);
  const none = g.scalar(Number.NEGATIVE_INFINITY, "float32");
  const classes = perClass ? byBestClass(g, wideScores, best) : g.node("Unsqueeze", [best, g.vector([1])]);
  // ONNX keeps what exceeds the threshold, Core ML also what equals it. Boxes of another class score -inf.
  const threshold = op.opset < 17 ? nextBelow(op.float("score_threshold")) : undefined;
  const lowest = threshold ?? (perClass ? -largestFloat : undefined);
  const selected = g.node(
    "NonMaxSuppression",
    [
      g.cast(boxes, "float32"),
      classes,
      g.scalar(places, "int64"),
      g.scalar(Math.min(iou, 1), "float32"),
      lowest === undefined ? undefined : g.scalar(lowest, "float32"),
    ],
    { center_point_box: 1 },
  );
  const where = g.node("Gather", [selected, g.vector([0, 2])], { axis: 1 });
  const empty = g.node("Expand", [none, g.node("Shape", [best])]);
  const kept = g.node("ScatterND", [empty, where, g.node("GatherND", [best, where])]);
  if (op.opset >= 17) return kept;
  // The best box of all stays even below the threshold; above it, it is kept already.
  const top = g.node("ArgMax", [best], { axis: 1, keepdims: 1 });
  return g.node("ScatterElements", [kept, top, g.node("GatherElements", [best, top], { axis: 1 })], {
    axis: 1,
  });
}

/** [B, K, N]: a box's best score under the class it belongs to, -inf elsewhere. The first of equal classes counts. */
function byBestClass(g: Graph, scores: Value, best: Value): Value {
  const owner = g.node("ArgMax", [scores], { axis: 2, keepdims: 0 });
  const count = sizeOf(g, scores, 2);
  const classes = g.node("Range", [g.scalar(0, "int64"), count, g.scalar(1, "int64")]);
  const column = g.node("Unsqueeze", [classes, g.vector([1])]);
  const isOwner = g.node("Equal", [g.node("Unsqueeze", [owner, g.vector([1])]), column]);
  const none = g.scalar(Number.NEGATIVE_INFINITY, "float32");
  return g.node("Where", [isOwner, g.node("Unsqueeze", [best, g.vector([1])]), none]);
}

interface Ranking {
  readonly best: Value;
  readonly kept: Value;
  readonly places: number;
  readonly boxes: Value;
}

/** The first `places` of the kept boxes, best first, the earlier box first among equals: [B, places] each. */
function rankKept(
  op: Op,
  g: Graph,
  { kept, places, boxes }: Ranking,
): { readonly values: Value; readonly order: Value } {
  const available = boxes.shape?.[1];
  const enough = typeof available === "number" && available >= places;
  // Places beyond the number of boxes stay free; index 0 is as good as any there.
  const padded = enough
    ? kept
    : g.node("Pad", [kept, g.vector([0, 0, 0, places]), g.scalar(Number.NEGATIVE_INFINITY, "float32")]);
  // ONNX Runtime divides by the number of images.
  const images = prove(op, g, padded, ["some", "any"]);
  const [values, order] = g.nodeList("TopK", [images, g.vector([places])], { axis: 1 }, { outputs: 2 });
  if (values === undefined || order === undefined) return { values: kept, order: kept };
  if (enough) return { values, order };
  const isFree = g.node("Equal", [values, g.scalar(Number.NEGATIVE_INFINITY, "float32")]);
  return { values, order: g.node("Where", [isFree, g.scalar(0, "int64"), order]) };
}

const largestFloat = 3.4028234663852886e38;

/** The greatest float32 below a number. */
function nextBelow(value: number): number {
  const [float = 0] = Float32Array.of(value);
  if (float === Number.NEGATIVE_INFINITY || Number.isNaN(float)) return float;
  if (float === 0) return -(2 ** -149);
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, float);
  view.setInt32(0, view.getInt32(0) + (float > 0 ? -1 : 1));
  return view.getFloat32(0);
}
