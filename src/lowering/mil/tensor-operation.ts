// MIL's tensor_operation ops. Semantics: coremltools, mil/ops/defs/iOS15…iOS17/tensor_operation.py.

import type { DType } from "../../core/dtype.ts";
import { tensorOf } from "../../core/tensor.ts";
import { knownElements } from "../../onnx/elements.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { denseDType, withTypes } from "../arguments.ts";
import type { Op, OpTable } from "../op.ts";
import { prove } from "../proof.ts";
import {
  lengthOfVector,
  reshape,
  scaledSize,
  shapeVector,
  sizeOfAxis,
  sizesOf,
  vectorArgument,
} from "../sizes.ts";

// Element types the ONNX Runtime kernels have; the first is the detour for all others.
const triangularTypes = ["int64", "float32", "float16", "float64", "bool"] as const;
const cumulativeTypes = ["int32", "float32", "float16", "float64", "int64"] as const;
const sortableTypes = ["int32", "float32", "float16", "float64", "int64", "int8", "uint8", "int16"] as const;
const nonZeroTypes = ["int32", "float32", "float16", "int64", "uint8", "bool"] as const;
const rangeTypes = ["float32", "float64", "int16", "int32", "int64"] as const;
const paddableTypes = ["int32", "float32", "float16", "float64", "int64", "int8", "uint8", "bool"] as const;
const selectableTypes = ["int32", "float32", "float16", "float64", "int64", "uint8"] as const;

export const tensorOperation = {
  identity: (op) => op.value("x"),

  shape: (op, g) => g.cast(g.node("Shape", [op.value("x")]), op.outputDType() ?? "int32"),

  fill: (op, g) => filled(op, g, vectorArgument(op, g, "shape")),
  fill_like: (op, g) => filled(op, g, shapeVector(g, op.value("ref_tensor"))),

  flatten2d: (op, g) => g.node("Flatten", [op.value("x")], { axis: op.int("axis", 1) }),

  // Keeps m - n <= lower and n - m <= upper; a negative bound keeps all of its side.
  band_part(op, g) {
    const x = op.value("x");
    if (op.rank(x) < 2) op.bad(`"x" must have two axes or more, got ${op.rank(x)}`);
    const lower = op.int("lower", -1);
    const upper = op.int("upper", -1);
    return withTypes(g, [x], triangularTypes, ([matrix = x]) => {
      const cut = lower < 0 ? matrix : g.node("Trilu", [matrix, g.scalar(-lower, "int64")], { upper: 1 });
      return upper < 0 ? cut : g.node("Trilu", [cut, g.scalar(upper, "int64")], { upper: 0 });
    });
  },

  cumsum(op, g) {
    const x = op.value("x");
    const axis = g.scalar(op.axis(op.int("axis", 0), op.rank(x)), "int64");
    const attributes = {
      exclusive: Number(op.bool("exclusive", false)),
      reverse: Number(op.bool("reverse", false)),
    };
    return withTypes(g, [x], cumulativeTypes, ([data = x]) => g.node("CumSum", [data, axis], attributes));
  },

  concat(op, g) {
    // Scalars act as vectors of one element: shape arithmetic is written that way.
    const values = listOf(op).map((value) =>
      value.shape?.length === 0 ? g.node("Unsqueeze", [value, g.vector([0])]) : value,
    );
    const rank = commonRank(op, values);
    const axis = op.axis(op.int("axis"), rank);
    const [first] = values;
    if (first === undefined || values.length === 1) return first ?? [];
    if (!op.bool("interleave", false)) return g.node("Concat", values, { axis });
    const stacked = stack(g, values, axis + 1);
    const sizes = sizesOf(g, first, rank).map((size, at) =>
      at === axis ? scaledSize(g, size, "Mul", values.length) : size,
    );
    return reshape(g, stacked, sizes);
  },

  stack(op, g) {
    const values = listOf(op);
    return stack(g, values, op.axis(op.int("axis"), commonRank(op, values) + 1));
  },

  split(op, g) {
    const x = op.value("x");
    const axis = op.axis(op.int("axis"), op.rank(x));
    const count = op.outputs.length;
    const sizes = splitSizes(op, x.shape?.[axis]);
    if (sizes && sizes.length !== count) op.bad(`${sizes.length} sizes for ${count} results`);
    if (count === 1) return x;
    // Slices of known elements fold, results of Split do not.
    if (sizes && x.shape?.length === 1 && knownElements(x)) {
      let begin = 0;
      return sizes.map((size) => {
        const slice = [g.vector([begin]), g.vector([begin + size]), g.vector([0])];
        begin += size;
        return g.node("Slice", [x, ...slice]);
      });
    }
    if (!op.has("split_sizes"))
      return g.nodeList("Split", [x], { axis, num_outputs: count }, { outputs: count });
    // Of sizes that add up with negative ones among them ONNX Runtime writes the positive ones, beyond its memory.
    const vector = sizes
      ? g.vector(sizes)
      : g.node("Max", [vectorArgument(op, g, "split_sizes"), g.vector([0])]);
    return g.nodeList("Split", [x, vector], { axis }, { outputs: count });
  },

  tile(op, g) {
    const x = op.value("x");
    const reps = vectorArgument(op, g, "reps");
    const length = lengthOfVector(reps);
    if (length !== undefined && length !== op.rank(x)) {
      op.bad(`"reps" must have ${op.rank(x)} values, got ${length}`);
    }
    return knownElements(reps)?.every((count) => count === 1) ? x : g.node("Tile", [x, reps]);
  },

  pad(op, g) {
    const x = op.value("x");
    const mode = onnxPadMode[op.oneOf("mode", ["constant", "reflect", "replicate"], "constant")];
    const vector = vectorArgument(op, g, "pad");
    const known = op.numbers("pad");
    if (known) checkPads(op, x, { known, mode });
    if (known?.every((amount) => amount === 0)) return x;
    const { pads, axes } = padVectors(op, g, { x, vector, known });
    const result = withTypes(g, [x], paddableTypes, ([data = x]) => {
      if (mode !== "constant") return g.node("Pad", [data, pads, undefined, axes], { mode });
      return g.node("Pad", [data, pads, g.scalar(op.float("constant_val", 0), denseDType(data)), axes], {
        mode,
      });
    });
    if (known && mode === "constant" && op.float("constant_val", 0) === 0) {
      const none = Array<number>(op.rank(x) - known.length / 2).fill(0);
      const half = (which: number) => [...none, ...known.filter((_, index) => index % 2 === which)];
      op.scope.notePadding(result, { x, before: half(0), after: half(1) });
    }
    return result;
  },

  range_1d(op, g) {
    const start = scalarArgument(op, g, "start");
    const values = [start, scalarArgument(op, g, "end"), scalarArgument(op, g, "step")];
    const same = values.map((value) => g.cast(value, denseDType(start)));
    return withTypes(g, same, rangeTypes, (bounds) => g.node("Range", bounds));
  },

  // Every index outside 0 … size-1 gives off values only; OneHot would count negative ones from the end.
  one_hot(op, g) {
    const indices = op.value("indices");
    const whole = g.cast(indices, denseDType(indices) === "int64" ? "int64" : "int32");
    const rank = op.rank(indices, "indices") + 1;
    const axis = op.axis(op.int("axis", -1), rank);
    const size = g.cast(scalarArgument(op, g, "one_hot_vector_size"), denseDType(whole));
    const known = op.numbers("one_hot_vector_size")?.[0];
    if (known !== undefined && known < 0) op.bad(`"one_hot_vector_size" must not be negative, got ${known}`);
    const classes = g.node("Range", [g.scalar(0, denseDType(whole)), size, g.scalar(1, denseDType(whole))]);
    const trailing = rank - axis - 1;
    const row =
      trailing === 0
        ? classes
        : g.node("Unsqueeze", [classes, g.vector(Array.from({ length: trailing }, (_, i) => i + 1))]);
    const isHot = g.node("Equal", [g.node("Unsqueeze", [whole, g.vector([axis])]), row]);
    return selected(op, g, isHot);
  },

  non_zero(op, g) {
    const x = op.value("x");
    const data = nonZeroTypes.some((type) => type === x.dtype) ? x : g.cast(x, nonZeroTypes[0]);
    const rows = g.node("Transpose", [g.node("NonZero", [data])], { perm: [1, 0] });
    return g.cast(rows, op.outputDType() ?? "int32");
  },

  argsort(op, g) {
    const x = op.value("x");
    const axis = op.axis(op.int("axis", -1), op.rank(x));
    const all = sizeOfAxis(g, x, axis).vector();
    const { indices } = sorted(op, g, { x, count: all, axis });
    return g.cast(indices, op.outputDType() ?? "int32");
  },

  topk(op, g) {
    const x = op.value("x");
    const axis = op.axis(op.int("axis", -1), op.rank(x));
    const k = op.int("k", 1);
    const size = x.shape?.[axis];
    if (k < -1) op.bad(`"k" must be positive, or -1 for all, got ${k}`);
    if (typeof size === "number" && k > size) op.bad(`"k" must not exceed the ${size} elements, got ${k}`);
    const count = k === -1 ? sizeOfAxis(g, x, axis).vector() : g.vector([k]);
    // "sort" false allows any order: the sorted one is as good as any, and the same on every run.
    const { values, indices } = sorted(op, g, { x, count, axis });
    if (!op.bool("return_indices", true)) return values;
    const dtype = op.oneOf("output_indices_dtype", ["int32", "uint16"], "int32");
    return [values, g.cast(indices, dtype)];
  },
} satisfies OpTable;

const onnxPadMode = { constant: "constant", reflect: "reflect", replicate: "edge" } as const;

/** A tensor of the op's "value" everywhere. */
function filled(op: Op, g: Graph, shape: Value): Value {
  const dtype = op.outputDType() ?? (op.has("value") ? denseDType(op.value("value")) : "float32");
  return g.node("ConstantOfShape", [shape], { value: tensorOf(dtype, [op.float("value", 0)]) });
}

function listOf(op: Op): readonly Value[] {
  const values = op.values("values");
  return values.length > 0 ? values : op.bad('"values" must hold at least one tensor');
}

/** The rank that all values of a list share. */
function commonRank(op: Op, values: readonly Value[]): number {
  const ranks = new Set(values.flatMap(({ shape }) => (shape ? [shape.length] : [])));
  const [rank] = ranks;
  if (ranks.size > 1) op.bad(`"values" must have the same rank, got ${[...ranks].join(" and ")}`);
  return rank ?? op.unsupported('"values" of unknown rank');
}

function stack(g: Graph, values: readonly Value[], axis: number): Value {
  const slices = values.map((value) => g.node("Unsqueeze", [value, g.vector([axis])]));
  const [only] = slices;
  return only !== undefined && slices.length === 1 ? only : g.node("Concat", slices, { axis });
}

/** Sizes of the results of split; `undefined` where only the run knows them. */
function splitSizes(op: Op, size: number | string | undefined): readonly number[] | undefined {
  if (op.has("split_sizes")) {
    const sizes = op.numbers("split_sizes");
    const sum = sizes?.reduce((total, part) => total + part, 0);
    if (sizes?.some((part) => part < 0))
      op.bad(`"split_sizes" must not be negative, got ${sizes.join(", ")}`);
    if (typeof size === "number" && sum !== undefined && sum !== size) {
      op.bad(`"split_sizes" must add up to ${size}, got ${sum}`);
    }
    return sizes;
  }
  const count = op.int("num_splits");
  if (count < 1) op.bad(`"num_splits" must be positive, got ${count}`);
  if (count !== op.outputs.length) op.bad(`"num_splits" is ${count} for ${op.outputs.length} results`);
  if (typeof size !== "number") return undefined;
  if (size % count !== 0) op.bad(`"num_splits" must divide the ${size} elements, got ${count}`);
  return Array<number>(count).fill(size / count);
}

interface KnownPads {
  readonly known: readonly number[];
  readonly mode: string;
}

function checkPads(op: Op, x: Value, { known, mode }: KnownPads): void {
  const rank = op.rank(x);
  if (known.length % 2 !== 0 || known.length > 2 * rank) {
    op.bad(`"pad" must have at most ${2 * rank} values, two an axis, got ${known.length}`);
  }
  const negative = known.find((amount) => amount < 0);
  if (negative !== undefined) op.bad(`"pad" must not be negative, got ${negative}`);
  if (mode !== "reflect") return;
  known.forEach((amount, index) => {
    const size = x.shape?.[rank - known.length / 2 + (index >> 1)];
    if (amount > 0 && typeof size === "number" && amount >= size) {
      op.bad(`"pad" must be smaller than the ${size} elements it reflects, got ${amount}`);
    }
  });
}

interface PadArguments {
  readonly x: Value;
  readonly vector: Value;
  readonly known: readonly number[] | undefined;
}

/**
 * MIL pairs before and after for the last axes; ONNX wants all befores, then all afters. The axes are always spelt out:
 * ONNX Runtime's fusion with what follows leaves such nodes alone. It would take zeros in front of MaxPool for padding
 * that never wins, and break a graph that gives out what is padded.
 */
function padVectors(
  op: Op,
  g: Graph,
  { x, vector, known }: PadArguments,
): { readonly pads: Value; readonly axes: Value } {
  const rank = op.rank(x);
  const length = lengthOfVector(vector) ?? 2 * rank;
  if (length % 2 !== 0 || length > 2 * rank) {
    op.bad(`"pad" must have at most ${2 * rank} values, two an axis, got ${length}`);
  }
  const axes = g.vector(Array.from({ length: length / 2 }, (_, index) => rank - length / 2 + index));
  if (known) {
    const before = known.filter((_, index) => index % 2 === 0);
    const after = known.filter((_, index) => index % 2 === 1);
    return { pads: g.vector([...before, ...after]), axes };
  }
  const pairs = g.node("Reshape", [vector, g.vector([length / 2, 2])]);
  return { pads: g.node("Reshape", [g.node("Transpose", [pairs], { perm: [1, 0] }), g.vector([-1])]), axes };
}

function scalarArgument(op: Op, g: Graph, name: string): Value {
  const value = op.value(name);
  return value.shape?.length === 0 ? value : g.node("Reshape", [value, g.vector([])]);
}

/** on_value where `isHot`, off_value elsewhere, in the op's element type. */
function selected(op: Op, g: Graph, isHot: Value): Value {
  const on = op.float("on_value", 1);
  const off = op.float("off_value", 0);
  const dtype: DType = op.outputDType() ?? (op.has("on_value") ? denseDType(op.value("on_value")) : "int32");
  if (on === 1 && off === 0) return g.cast(isHot, dtype);
  if (dtype === "bool" && on === 0 && off !== 0) return g.node("Not", [isHot]);
  const type = selectableTypes.find((candidate) => candidate === dtype) ?? selectableTypes[0];
  return g.cast(g.node("Where", [isHot, g.scalar(on, type), g.scalar(off, type)]), dtype);
}

interface Sorting {
  readonly x: Value;
  /** int64 vector of one element. */
  readonly count: Value;
  readonly axis: number;
}

/** The first `count` values in the op's order, equal ones by lower index, and their int64 indices. */
function sorted(
  op: Op,
  g: Graph,
  { x, count, axis }: Sorting,
): { readonly values: Value; readonly indices: Value } {
  // ONNX Runtime divides by the number of rows.
  const rows = op.shape(x).map((_, at) => (at === axis ? "any" : "some"));
  const given = prove(op, g, x, rows);
  const data = sortableTypes.some((type) => type === x.dtype) ? given : g.cast(given, sortableTypes[0]);
  const largest = Number(!op.bool("ascending", false));
  const [values, indices] = g.nodeList("TopK", [data, count], { axis, largest, sorted: 1 }, { outputs: 2 });
  if (values === undefined || indices === undefined) return op.bad("it has no result");
  return { values: g.cast(values, denseDType(x)), indices };
}
