// MIL's image resizing ops. Semantics: coremltools, mil/ops/defs/iOS15/image_resizing.py, iOS16 and iOS17 alike.

import { elementCount } from "../../core/tensor.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import type { Op, OpTable } from "../op.ts";
import { declaredSizes } from "../scope.ts";
import { cropResize } from "./crop-resize.ts";
import { affine, resample } from "./resample.ts";
import { type Interpolation, resizeBy, type SamplingMode, samplingModes } from "./resize.ts";

export const imageResizing = {
  upsample_nearest_neighbor: (op, g) => upsample(op, g, { grid: "DEFAULT", interpolation: "floor" }),

  upsample_bilinear: (op, g) => upsample(op, g, { grid: bilinearGrid(op), interpolation: "linear" }),

  resize_nearest_neighbor(op, g) {
    const sizes = [op.int("target_size_height"), op.int("target_size_width")];
    return resizeSpatial(op, g, sizes, { grid: "UNALIGN_CORNERS", interpolation: "nearest" });
  },

  resize_bilinear(op, g) {
    const sizes = [op.int("target_size_height", 1), op.int("target_size_width", 1)];
    const grid = op.oneOf("sampling_mode", samplingModes, "DEFAULT");
    return resizeSpatial(op, g, sizes, { grid, interpolation: "linear" });
  },

  resize: (op, g) => resizeTrailing(op, g),

  crop(op, g) {
    const x = op.value("x");
    const first = spatialAxis(op, x);
    const shape = op.shape(x);
    const cropped = ["crop_height", "crop_width"].flatMap((name, index) => {
      const amounts = op.ints(name);
      const [start = 0, end = 0] = amounts;
      if (amounts.length !== 2) op.bad(`"${name}" must have 2 values, got ${amounts.length}`);
      const size = shape[first + index] ?? 0;
      if (start < 0 || end < 0 || (typeof size === "number" && start + end > size)) {
        op.bad(`"${name}" [${start}, ${end}] does not fit an axis of size ${size}`);
      }
      return start + end > 0 ? [{ axis: first + index, start, end }] : [];
    });
    if (cropped.length === 0) return x;
    return g.node("Slice", [
      x,
      g.vector(cropped.map(({ start }) => start)),
      g.vector(cropped.map(({ end }) => (end === 0 ? Number.MAX_SAFE_INTEGER : -end))),
      g.vector(cropped.map(({ axis }) => axis)),
    ]);
  },

  crop_resize: cropResize,
  resample,
  affine,
} satisfies OpTable;

interface Rule {
  readonly grid: SamplingMode;
  readonly interpolation: Interpolation;
}

/** The first of the last two axes. */
function spatialAxis(op: Op, x: Value): number {
  const rank = op.rank(x);
  if (rank < 3) op.bad(`"x" must have rank 3 or more, got ${rank}`);
  return rank - 2;
}

function resizeSpatial(op: Op, g: Graph, sizes: readonly number[], rule: Rule): Value {
  const x = op.value("x");
  const first = spatialAxis(op, x);
  checkSizes(op, sizes);
  return resizeBy(op, g, { x, axes: [first, first + 1], sizes, ...rule });
}

/** Elements that an image is resized to; more would fill the memory. */
const largestTarget = 2 ** 26;

function checkSizes(op: Op, sizes: readonly number[]): void {
  const wrong = sizes.find((size) => size < 1);
  if (wrong !== undefined) op.bad(`the target size must be positive, got ${wrong}`);
  if (elementCount(sizes) > largestTarget) {
    op.unsupported(`a target of ${sizes.join(" x ")}, more than ${largestTarget} elements,`);
  }
}

/** iOS15 knows two grids; half_pixel_centers since iOS16 distinguishes a third. */
function bilinearGrid(op: Op): SamplingMode {
  const aligns = op.bool("align_corners", true);
  const centres = op.bool("half_pixel_centers", !aligns);
  if (aligns && centres) return op.bad('"align_corners" and "half_pixel_centers" exclude each other');
  if (aligns) return "STRICT_ALIGN_CORNERS";
  return centres ? "UNALIGN_CORNERS" : "DEFAULT";
}

/** Sizes are floor(size * factor); the grid goes by sizes, not by factors. */
function upsample(op: Op, g: Graph, rule: Rule): Value {
  const x = op.value("x");
  const first = spatialAxis(op, x);
  const axes = [first, first + 1];
  const factors = [op.float("scale_factor_height", 1), op.float("scale_factor_width", 1)];
  const wrong = factors.find((factor) => !(factor > 0 && Number.isFinite(factor)));
  if (wrong !== undefined) op.bad(`the scale factor must be positive, got ${wrong}`);
  if (elementCount(factors) > largestTarget) op.unsupported(`a scale factor of ${factors.join(" x ")}`);
  if (factors.every((factor) => Number.isInteger(factor))) {
    const sizes = axes.map((axis, index) => {
      const size = x.shape?.[axis];
      return typeof size === "number" ? size * (factors[index] ?? 1) : undefined;
    });
    return resizeBy(op, g, { x, axes, sizes, factors, ...rule });
  }
  return resizeBy(op, g, { x, axes, sizes: scaledSizes(op, g, { x, axes, factors }), ...rule });
}

interface Scaling {
  readonly x: Value;
  readonly axes: readonly number[];
  readonly factors: readonly number[];
}

function scaledSizes(op: Op, g: Graph, { x, axes, factors }: Scaling): readonly number[] | Value {
  // The program's own declaration settles how a fractional factor was rounded.
  const declared = op.outputs[0]?.type;
  const shape = declared?.kind === "tensor" ? declaredSizes(declared.shape) : undefined;
  const sizes = axes.map((axis, index) => {
    const size = x.shape?.[axis];
    const scaled =
      typeof size === "number" ? Math.floor(Math.fround(size * (factors[index] ?? 1))) : undefined;
    return shape?.[axis] ?? scaled;
  });
  if (sizes.every((size) => size !== undefined)) {
    checkSizes(op, sizes);
    return sizes;
  }
  const all = g.node("Shape", [x], { start: axes[0], end: (axes.at(-1) ?? 0) + 1 });
  const scaled = g.node("Mul", [g.cast(all, "float32"), g.vector(factors, "float32")]);
  return g.cast(g.node("Floor", [scaled]), "int64");
}

/** The last `resized_dims` entries of `shape` are the new trailing sizes; 0 keeps x's. */
function resizeTrailing(op: Op, g: Graph): Value {
  const x = op.value("x");
  const rank = op.rank(x);
  const count = op.int("resized_dims");
  if (count < 0 || count > rank) op.bad(`"resized_dims" must lie between 0 and ${rank}, got ${count}`);
  const rule = trailingRule(op);
  const axes = Array.from({ length: count }, (_, index) => rank - count + index);
  const given = op.numbers("shape");
  if (given) {
    if (given.length < count || given.length > rank) {
      op.bad(`"shape" must have ${count} to ${rank} values, got ${given.length}`);
    }
    const sizes = given.slice(given.length - count);
    checkSizes(
      op,
      sizes.filter((size) => size !== 0),
    );
    // An axis that keeps its size is left alone, but on the one grid that moves points even then.
    const moves = rule.grid === "OFFSET_CORNERS";
    const resized = sizes.map((size) => size !== 0 || moves);
    const targets = sizes.map((size, index) => {
      const own = x.shape?.[axes[index] ?? 0];
      return size !== 0 ? size : typeof own === "number" ? own : undefined;
    });
    const isResized = (_: unknown, index: number) => resized[index];
    return resizeBy(op, g, {
      x,
      axes: axes.filter(isResized),
      sizes: targets.filter(isResized),
      factors: moves ? sizes.map(() => 1) : undefined,
      ...rule,
    });
  }
  if (count === 0) return x;
  const wanted = g.cast(op.value("shape"), "int64");
  const trailing = g.node("Slice", [wanted, g.vector([-count]), g.vector([Number.MAX_SAFE_INTEGER])]);
  const own = g.node("Shape", [x], { start: rank - count });
  const isKept = g.node("Equal", [trailing, g.scalar(0, "int64")]);
  return resizeBy(op, g, { x, axes, sizes: g.node("Where", [isKept, own, trailing]), ...rule });
}

function trailingRule(op: Op): Rule {
  const grid = op.oneOf("sampling_mode", samplingModes, "DEFAULT");
  if (op.oneOf("interpolation_mode", ["LINEAR", "NEAREST_NEIGHBOR"], "LINEAR") === "LINEAR") {
    return { grid, interpolation: "linear" };
  }
  // As in resize_nearest_neighbor, the default takes the element under the centre of the target's.
  return { grid: grid === "DEFAULT" ? "UNALIGN_CORNERS" : grid, interpolation: "nearest" };
}
