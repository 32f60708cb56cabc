// MIL's tensor_transformation ops; the slicing ones are in slicing.ts. Semantics: coremltools,
// mil/ops/defs/iOS15…iOS18/tensor_transformation.py.

import { elementCount } from "../../core/tensor.ts";
import { constantNumbers, partialElements } from "../../onnx/elements.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import type { Op, OpTable } from "../op.ts";
import {
  farEnd,
  farStart,
  lengthOfVector,
  reshape,
  scaledSize,
  shapeVector,
  type Size,
  sizeOfAxis,
  sizesOf,
  vectorArgument,
} from "../sizes.ts";
import { slice_by_index, slice_by_size, slice_update } from "./slicing.ts";

export const tensorTransformation = {
  slice_by_index,
  slice_by_size,
  slice_update,

  // TensorFlow's channel order is DCR, PyTorch's is CRD.
  depth_to_space: (op, g) => depthToSpace(op, g, "block_size", "DCR"),
  pixel_shuffle: (op, g) => depthToSpace(op, g, "upscale_factor", "CRD"),

  space_to_depth(op, g) {
    const x = rank4(op);
    const block = blockSize(op, x, "block_size");
    return block === 1 ? x : g.node("SpaceToDepth", [x], { blocksize: block });
  },

  // Channel by channel SpaceToDepth puts the pixels of a block in PyTorch's order.
  pixel_unshuffle(op, g) {
    const x = rank4(op);
    const block = blockSize(op, x, "downscale_factor");
    if (block === 1) return x;
    const [batch, channels, height, width] = sizesOf(g, x, 4);
    if (!batch || !channels || !height || !width) return op.bad("it has no axes");
    const planes = reshape(g, x, [-1, 1, height, width]);
    const blocks = g.node("SpaceToDepth", [planes], { blocksize: block });
    return reshape(g, blocks, [
      batch,
      scaledSize(g, channels, "Mul", block * block),
      sizeOfAxis(g, blocks, 2),
      sizeOfAxis(g, blocks, 3),
    ]);
  },

  expand_dims(op, g) {
    const x = op.value("x");
    const list = op.ints("axes");
    const rank = op.rank(x) + list.length;
    const axes = distinctAxes(op, list, rank);
    return axes.length === 0 ? x : g.node("Unsqueeze", [x, g.vector(axes)]);
  },

  squeeze(op, g) {
    const x = op.value("x");
    const axes = squeezedAxes(op, x);
    return axes.length === 0 ? x : g.node("Squeeze", [x, g.vector(axes)]);
  },

  reshape(op, g) {
    const x = op.value("x");
    const shape = vectorArgument(op, g, "shape");
    const wanted = partialElements(shape);
    const atRunTime = () => shapeAtRunTime(op, g, x, shape);
    if (wanted === undefined) return g.node("Reshape", [x, atRunTime()]);
    const rank = op.rank(x);
    if (op.opset < 17 && wanted.includes(0) && wanted.length !== rank) {
      op.bad(`"shape" with a 0 must have the ${rank} values of x's rank, got ${wanted.length}`);
    }
    const sizes = wanted.map((dim, index): number | Size => {
      if (typeof dim !== "number") return { dim, vector: () => g.node("Gather", [shape, g.vector([index])]) };
      if (dim !== 0) return dim;
      // A 0 copies the size at the same place, counted from the end; beyond x's axes it is 1.
      const axis = index - wanted.length + rank;
      return axis < 0 ? 1 : sizeOfAxis(g, x, axis);
    });
    checkReshape(op, x, sizes);
    return reshape(g, x, sizes, atRunTime);
  },

  reshape_like(op, g) {
    const x = op.value("x");
    const refs = op.values("ref_tensors");
    const [begins, ends, masks] = ["begins", "ends", "end_masks"].map((name) =>
      numberList(op, name, refs.length),
    );
    const sizes = refs.flatMap((ref, index) => {
      const rank = op.rank(ref, "ref_tensors");
      const end = masks?.[index] ? undefined : ends?.[index];
      return sizesOf(g, ref, rank).slice(begins?.[index], end);
    });
    checkReshape(op, x, sizes);
    return reshape(g, x, sizes);
  },

  reverse(op, g) {
    const x = op.value("x");
    const rank = op.rank(x);
    const axes = op.has("axes")
      ? distinctAxes(op, op.ints("axes"), rank)
      : Array.from({ length: rank }, (_, i) => i);
    if (axes.length === 0) return x;
    const each = (value: number) => g.vector(axes.map(() => value));
    return g.node("Slice", [x, each(farEnd), each(farStart), g.vector(axes), each(-1)]);
  },

  // ReverseSequence knows the axes 0 and 1 only, and ONNX Runtime leaves out what has length 0: 1 is as good.
  reverse_sequence(op, g) {
    const x = op.value("x");
    const rank = op.rank(x);
    const lengths = g.node("Max", [vectorArgument(op, g, "lengths"), g.vector([1])]);
    const time = op.axis(op.int("seq_axis", 0), rank, "seq_axis");
    const batch = op.axis(op.int("batch_axis", 0), rank, "batch_axis");
    if (time === batch) op.bad(`"seq_axis" and "batch_axis" must differ, both are ${time}`);
    const isInPlace = time < 2 && batch < 2;
    const others = Array.from({ length: rank }, (_, axis) => axis).filter(
      (axis) => axis !== time && axis !== batch,
    );
    const perm = [batch, time, ...others];
    const moved = isInPlace ? x : g.node("Transpose", [x], { perm });
    const reversed = g.node("ReverseSequence", [moved, lengths], {
      batch_axis: isInPlace ? batch : 0,
      time_axis: isInPlace ? time : 1,
    });
    if (isInPlace) return reversed;
    return g.node("Transpose", [reversed], { perm: perm.map((_, axis) => perm.indexOf(axis)) });
  },

  sliding_windows(op, g) {
    const x = op.value("x");
    const axis = op.axis(op.int("axis"), op.rank(x));
    const size = op.int("size");
    const stride = op.int("stride", 1);
    if (size < 1 || stride < 1) op.bad(`"size" and "stride" must be positive, got ${size} and ${stride}`);
    const length = x.shape?.[axis];
    if (typeof length === "number" && length < size) {
      op.bad(`"size" must not exceed the ${length} elements, got ${size}`);
    }
    if (typeof length === "number" && size === stride && length % size === 0) {
      const sizes = sizesOf(g, x, op.rank(x));
      return reshape(g, x, [...sizes.slice(0, axis), length / size, size, ...sizes.slice(axis + 1)]);
    }
    return g.node("Gather", [x, windowIndices(g, sizeOfAxis(g, x, axis), { size, stride })], { axis });
  },

  transpose(op, g) {
    const x = op.value("x");
    const rank = op.rank(x);
    const perm = distinctAxes(op, op.ints("perm"), rank, { name: "perm", sort: false });
    if (perm.length !== rank) op.bad(`"perm" must have ${rank} values, got ${perm.length}`);
    return perm.every((from, to) => from === to) ? x : g.node("Transpose", [x], { perm });
  },

  // Pad, then cut each spatial axis into [blocks, block]; the block offsets become the outermost axes.
  space_to_batch(op, g) {
    const x = rank4(op);
    const [rows = 1, columns = 1] = blockShape(op);
    const [top = 0, bottom = 0, left = 0, right = 0] = quad(op, "paddings");
    const isPadded = top + bottom + left + right > 0;
    const padded = isPadded
      ? g.node("Pad", [x, g.vector([0, 0, top, left, 0, 0, bottom, right])], { mode: "constant" })
      : x;
    const [batch, channels, height, width] = sizesOf(g, padded, 4);
    if (!batch || !channels || !height || !width) return op.bad("it has no axes");
    checkDivides(op, { what: "block_shape", block: rows, size: height });
    checkDivides(op, { what: "block_shape", block: columns, size: width });
    const down = scaledSize(g, height, "Div", rows);
    const across = scaledSize(g, width, "Div", columns);
    const blocks = reshape(g, padded, [batch, channels, down, rows, across, columns]);
    const moved = g.node("Transpose", [blocks], { perm: [3, 5, 0, 1, 2, 4] });
    return reshape(g, moved, [scaledSize(g, batch, "Mul", rows * columns), channels, down, across]);
  },

  // The inverse; the crops come last.
  batch_to_space(op, g) {
    const x = rank4(op);
    const [rows = 1, columns = 1] = blockShape(op);
    const [top = 0, bottom = 0, left = 0, right = 0] = quad(op, "crops");
    const [batch, channels, height, width] = sizesOf(g, x, 4);
    if (!batch || !channels || !height || !width) return op.bad("it has no axes");
    checkDivides(op, { what: "block_shape", block: rows * columns, size: batch });
    const count = scaledSize(g, batch, "Div", rows * columns);
    const blocks = reshape(g, x, [rows, columns, count, channels, height, width]);
    const moved = g.node("Transpose", [blocks], { perm: [2, 3, 4, 0, 5, 1] });
    const whole = reshape(g, moved, [
      count,
      channels,
      scaledSize(g, height, "Mul", rows),
      scaledSize(g, width, "Mul", columns),
    ]);
    if (top + bottom + left + right === 0) return whole;
    const end = (crop: number) => (crop === 0 ? farEnd : -crop);
    return g.node("Slice", [
      whole,
      g.vector([top, left]),
      g.vector([end(bottom), end(right)]),
      g.vector([2, 3]),
    ]);
  },
} satisfies OpTable;

function rank4(op: Op): Value {
  const x = op.value("x");
  return op.rank(x) === 4 ? x : op.bad(`"x" must have 4 axes, got ${op.rank(x)}`);
}

function depthToSpace(op: Op, g: Graph, name: string, mode: "DCR" | "CRD"): Value {
  const x = rank4(op);
  const block = op.int(name);
  if (block < 1) op.bad(`"${name}" must be positive, got ${block}`);
  checkDivides(op, { what: name, block: block * block, size: sizeOfAxis(g, x, 1) });
  return block === 1 ? x : g.node("DepthToSpace", [x], { blocksize: block, mode });
}

/** The block that height and width must be multiples of. */
function blockSize(op: Op, x: Value, name: string): number {
  const block = op.int(name);
  if (block < 1) op.bad(`"${name}" must be positive, got ${block}`);
  for (const axis of [2, 3]) checkDivides(op, { what: name, block, size: { dim: x.shape?.[axis] } });
  return block;
}

interface Division {
  readonly what: string;
  readonly block: number;
  readonly size: Pick<Size, "dim">;
}

function checkDivides(op: Op, { what, block, size: { dim } }: Division): void {
  if (typeof dim === "number" && dim % block !== 0) {
    op.bad(`"${what}" asks for a multiple of ${block}, x has ${dim}`);
  }
}

function blockShape(op: Op): readonly number[] {
  const block = op.ints("block_shape");
  if (block.length !== 2 || block.some((size) => size < 1)) {
    op.bad(`"block_shape" must be two positive sizes, got ${block.join(", ")}`);
  }
  return block;
}

/** A 2 x 2 matrix of amounts: before and after, for height and width. */
function quad(op: Op, name: string): readonly number[] {
  const amounts = op.ints(name);
  if (amounts.length !== 4 || amounts.some((amount) => amount < 0)) {
    op.bad(`"${name}" must be four amounts, none negative, got ${amounts.join(", ")}`);
  }
  return amounts;
}

/** Axes counted from the start, each once; in ascending order unless `sort` is false. */
function distinctAxes(
  op: Op,
  list: readonly number[],
  rank: number,
  { name = "axes", sort = true } = {},
): readonly number[] {
  const axes = list.map((axis) => op.axis(axis, rank, name));
  if (new Set(axes).size !== axes.length)
    op.bad(`"${name}" must name each axis once, got ${list.join(", ")}`);
  return sort ? axes.toSorted((a, b) => a - b) : axes;
}

/** Listed axes that are not 1 stay. Of an axis of unknown size only the declared rank of the result tells. */
function squeezedAxes(op: Op, x: Value): readonly number[] {
  const shape = op.shape(x);
  const isListed = op.has("axes");
  const listed = isListed ? distinctAxes(op, op.ints("axes"), shape.length) : shape.map((_, axis) => axis);
  const ones = listed.filter((axis) => shape[axis] === 1);
  const unknown = listed.filter((axis) => typeof shape[axis] === "string");
  const declared = op.outputs[0]?.type;
  const rank = declared?.kind === "tensor" ? declared.shape?.length : undefined;
  if (unknown.length === 0) return ones;
  if (rank === undefined) return isListed ? [...ones, ...unknown].toSorted((a, b) => a - b) : ones;
  const count = shape.length - rank;
  if (count === ones.length) return ones;
  if (count === ones.length + unknown.length) return [...ones, ...unknown].toSorted((a, b) => a - b);
  return op.unsupported("squeezing some of several axes of unknown size");
}

/** The scalars of a tuple argument, whether named values or written in place. */
function numberList(op: Op, name: string, count: number): readonly number[] {
  const numbers = op.values(name).flatMap((value) => {
    return constantNumbers(value) ?? op.unsupported(`"${name}" computed at run time`);
  });
  return numbers.length === count
    ? numbers
    : op.bad(`"${name}" must have ${count} values, got ${numbers.length}`);
}

function checkReshape(op: Op, x: Value, wanted: readonly (number | Size)[]): void {
  const dims = wanted.map((size) => (typeof size === "number" ? size : size.dim));
  const from = op.staticShape(x);
  const to = dims.filter((dim) => typeof dim === "number");
  const wrong = to.find((dim) => dim < -1);
  if (wrong !== undefined) op.bad(`"shape" must not hold ${wrong}`);
  const inferred = to.filter((dim) => dim === -1).length;
  if (inferred > 1) op.bad(`"shape" may hold one -1, got ${to.join(", ")}`);
  if (from === undefined || to.length < dims.length) return;
  const rest = elementCount(to.filter((dim) => dim !== -1));
  const count = elementCount(from);
  const fits = inferred === 0 ? rest === count : rest !== 0 && count % rest === 0;
  if (!fits) op.bad(`${count} elements (${from.join(" x ")}) do not fit into shape ${to.join(" x ")}`);
}

/** The shape vector as ONNX reads it: zeros are replaced in the graph, unless ONNX means the same by them. */
function shapeAtRunTime(op: Op, g: Graph, x: Value, shape: Value): Value {
  const mayHaveZero = partialElements(shape)?.some((size) => size === 0 || size === undefined) ?? true;
  if (op.opset < 17 || !mayHaveZero || lengthOfVector(shape) === x.shape?.length) return shape;
  const length = g.node("Shape", [shape]);
  const ones = g.node("Expand", [g.vector([1]), length]);
  const sizes = g.node("Concat", [ones, shapeVector(g, x)], { axis: 0 });
  const aligned = g.node("Slice", [sizes, g.node("Neg", [length]), g.vector([farEnd]), g.vector([0])]);
  const isZero = g.node("Equal", [shape, g.vector([0])]);
  return g.node("Where", [isZero, aligned, shape]);
}

interface Windows {
  readonly size: number;
  readonly stride: number;
}

/** [windows, size]: the index of every element of every window. */
function windowIndices(g: Graph, length: Size, { size, stride }: Windows): Value {
  const { dim } = length;
  const known = typeof dim === "number" ? g.scalar(dim - size + 1, "int64") : undefined;
  const last = (): Value =>
    g.node("Squeeze", [g.node("Sub", [length.vector(), g.vector([size - 1])]), g.vector([0])]);
  const starts = g.node("Range", [g.scalar(0, "int64"), known ?? last(), g.scalar(stride, "int64")]);
  const offsets = g.node("Range", [g.scalar(0, "int64"), g.scalar(size, "int64"), g.scalar(1, "int64")]);
  return g.node("Add", [g.node("Unsqueeze", [starts, g.vector([1])]), offsets]);
}
