// MIL's scatter_gather ops. Semantics: coremltools, mil/ops/defs/iOS15…iOS17/scatter_gather.py.

import type { DType } from "../../core/dtype.ts";
import { knownElements } from "../../onnx/elements.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Dim, Value } from "../../onnx/types.ts";
import { denseDType } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";
import { prove } from "../proof.ts";
import { shapeVector } from "../sizes.ts";

// ONNX Runtime wraps negative indices and fails on others outside the axis. From iOS17 on both are undefined without
// validate_indices, so nothing is added for them; with it, negative ones have to fail too.
export const scatterGather = {
  gather(op, g) {
    const x = op.value("x");
    const rank = op.rank(x);
    const axis = op.axis(op.int("axis", 0), rank);
    const batch = op.int("batch_dims", 0);
    const indices = indicesOf(op, g, [x.shape?.[axis]]);
    if (batch === 0) return g.node("Gather", [x, indices], { axis });
    if (batch < 0 || batch > axis || batch > op.rank(indices, "indices")) {
      op.bad(`"batch_dims" must lie between 0 and the ${axis} axes before "axis", got ${batch}`);
    }
    return batchedGather(g, { x, indices, rank, axis, batch });
  },

  gather_along_axis(op, g) {
    const x = op.value("x");
    const axis = op.axis(op.int("axis", 0), op.rank(x));
    return g.node("GatherElements", [x, indicesOf(op, g, [x.shape?.[axis]])], { axis });
  },

  gather_nd(op, g) {
    const x = op.value("x");
    const batch = op.int("batch_dims", 0);
    const most = Math.min(op.rank(op.value("indices"), "indices"), op.rank(x)) - 1;
    if (most < 0) op.bad('"x" and "indices" must not be scalars');
    if (batch < 0 || batch > most) op.bad(`"batch_dims" must lie between 0 and ${most}, got ${batch}`);
    const depth = op.value("indices").shape?.at(-1);
    const indices = g.cast(indicesOf(op, g, addressed(x, batch, depth)), "int64");
    if (typeof depth === "number" && depth + batch > op.rank(x)) {
      op.bad(`indices of ${depth} axes after ${batch} batch axes need more axes than the ${op.rank(x)} of x`);
    }
    return g.node("GatherND", [x, indices], { batch_dims: batch });
  },

  scatter(op, g) {
    const data = op.value("data");
    const axis = op.axis(op.int("axis", 0), op.rank(data, "data"));
    const indices = g.cast(indicesOf(op, g, [data.shape?.[axis]]), "int64");
    const updates = op.value("updates");
    const count = op.rank(indices, "indices");
    const tail = g.node("Unsqueeze", [indices, g.vector([count])]);
    const rank = op.rank(data, "data");
    if (op.rank(updates, "updates") !== rank - 1 + count) {
      op.bad(`"updates" must have ${rank - 1 + count} axes, got ${op.rank(updates, "updates")}`);
    }
    const toFront = (value: Value, width: number): Value =>
      axis === 0 ? value : g.node("Transpose", [value], { perm: permToFront(op.rank(value), axis, width) });
    const moved = { data: toFront(data, 1), indices: tail, updates: toFront(updates, count) };
    const result = scattered(op, g, moved, (inputs, reduction) => g.node("ScatterND", inputs, { reduction }));
    return axis === 0 ? result : g.node("Transpose", [result], { perm: inverse(permToFront(rank, axis, 1)) });
  },

  scatter_along_axis(op, g) {
    const data = op.value("data");
    const axis = op.axis(op.int("axis", 0), op.rank(data, "data"));
    const indices = indicesOf(op, g, [data.shape?.[axis]]);
    return scattered(op, g, { data, indices, updates: op.value("updates") }, (inputs, reduction) =>
      g.node("ScatterElements", inputs, { axis, reduction }),
    );
  },

  scatter_nd(op, g) {
    const data = op.value("data");
    const depth = op.value("indices").shape?.at(-1);
    const given = g.cast(indicesOf(op, g, addressed(data, 0, depth)), "int64");
    const rank = op.rank(given, "indices");
    if (rank < 1) op.bad('"indices" must not be a scalar');
    // ONNX Runtime divides by the depth.
    const wanted = Array.from({ length: rank }, (_, axis) => (axis === rank - 1 ? "some" : "any"));
    const indices = prove(op, g, given, wanted, "indices");
    if (typeof depth === "number" && depth > op.rank(data, "data")) {
      op.bad(`indices of ${depth} axes need more axes than the ${op.rank(data, "data")} of data`);
    }
    return scattered(op, g, { data, indices, updates: op.value("updates") }, (inputs, reduction) =>
      g.node("ScatterND", inputs, { reduction }),
    );
  },
} satisfies OpTable;

type Sizes = readonly (Dim | undefined)[];

/** The axes that the last axis of an index tensor addresses. */
function addressed(x: Value, batch: number, depth: Dim | undefined): Sizes {
  return typeof depth === "number" ? (x.shape?.slice(batch, batch + depth) ?? []) : [];
}

/**
 * The op's indices in an element type ONNX takes, checked where they are known. `sizes`: of the axes they point into,
 * in turn.
 */
function indicesOf(op: Op, g: Graph, sizes: Sizes): Value {
  const given = op.value("indices");
  const indices = given.dtype === "int64" || given.dtype === "int32" ? given : g.cast(given, "int32");
  const mustValidate = op.opset >= 17 && op.bool("validate_indices", false);
  const elements = knownElements(indices);
  if (elements !== undefined) {
    elements.forEach((element, at) => {
      const size = sizes[at % sizes.length];
      const lowest = mustValidate ? 0 : typeof size === "number" ? -size : Number.NEGATIVE_INFINITY;
      const isOutside =
        typeof element === "number" && (element < lowest || (typeof size === "number" && element >= size));
      if (isOutside) op.bad(`index ${element} is outside an axis of ${size ?? "unknown"} elements`);
    });
    if (elements.every((element) => typeof element === "number")) return indices;
  }
  if (!mustValidate || given.dtype.startsWith("u")) return indices;
  const dtype: DType = denseDType(indices);
  const isNegative = g.node("Less", [indices, g.scalar(0, dtype)]);
  return g.node("Where", [isNegative, g.scalar(2 ** 31 - 1, dtype), indices]);
}

interface BatchedGather {
  readonly x: Value;
  readonly indices: Value;
  readonly rank: number;
  readonly axis: number;
  readonly batch: number;
}

/** x[batch…, middle…, axis, rest…] -> x[batch…, middle…, indices…, rest…]; GatherND wants axis right after batch. */
function batchedGather(g: Graph, { x, indices, rank, axis, batch }: BatchedGather): Value {
  const perm = Array.from({ length: rank }, (_, at) => at);
  perm.splice(axis, 1);
  perm.splice(batch, 0, axis);
  const isInPlace = axis === batch;
  const moved = isInPlace ? x : g.node("Transpose", [x], { perm });
  const count = (indices.shape?.length ?? 0) - batch;
  const rows = g.node("Unsqueeze", [g.cast(indices, "int64"), g.vector([batch + count])]);
  const found = g.node("GatherND", [moved, rows], { batch_dims: batch });
  if (isInPlace) return found;
  // batch…, indices…, middle…, rest… -> batch…, middle…, indices…, rest…
  const middle = axis - batch;
  const order = [
    ...Array.from({ length: batch }, (_, at) => at),
    ...Array.from({ length: middle }, (_, at) => batch + count + at),
    ...Array.from({ length: count }, (_, at) => batch + at),
    ...Array.from({ length: rank - 1 - axis }, (_, at) => batch + count + middle + at),
  ];
  return g.node("Transpose", [found], { perm: order });
}

/** Moves `width` axes from `axis` on to the front. */
function permToFront(rank: number, axis: number, width: number): readonly number[] {
  const axes = Array.from({ length: rank }, (_, at) => at);
  return [...axes.slice(axis, axis + width), ...axes.slice(0, axis), ...axes.slice(axis + width)];
}

function inverse(perm: readonly number[]): readonly number[] {
  return perm.map((_, axis) => perm.indexOf(axis));
}

const modes = ["update", "add", "sub", "mul", "div", "max", "min"] as const;
type Reduction = "none" | "add" | "mul" | "max" | "min";

interface Scatter {
  readonly data: Value;
  readonly indices: Value;
  readonly updates: Value;
}

/** One of the seven modes by the five reductions that ONNX has. */
function scattered(
  op: Op,
  g: Graph,
  { data, indices, updates }: Scatter,
  scatter: (inputs: readonly Value[], reduction: Reduction) => Value,
): Value {
  const mode = op.oneOf("mode", modes, "add");
  const dtype = denseDType(data);
  if (mode === "update") return scatter([data, indices, g.cast(updates, dtype)], "none");
  const type = reductionType(dtype, mode);
  const base = g.cast(data, type);
  const values = g.cast(updates, type);
  const reduce = (): Value => {
    if (mode === "sub") return scatter([base, indices, g.node("Neg", [values])], "add");
    if (mode !== "div") return scatter([base, indices, values], mode);
    // Division by the product of all divisors of an element.
    const ones = g.node("Expand", [g.scalar(1, type), shapeVector(g, base)]);
    return g.node("Div", [base, scatter([ones, indices, values], "mul")]);
  };
  return g.cast(reduce(), dtype);
}

/**
 * The element type to compute in. The reductions have no half-precision kernels; and whole numbers divide as reals, for
 * at a divisor 0, and at -2^31 divided by -1, the integer kernel ends the run or the process.
 */
function reductionType(dtype: DType, mode: Exclude<(typeof modes)[number], "update">): DType {
  if (dtype === "float16" || dtype === "bfloat16") return "float32";
  return mode === "div" && dtype.includes("int") ? "float64" : dtype;
}
