// MIL's resample and affine: grid sampling. Semantics: coremltools, mil/ops/defs/iOS15/image_resizing.py.

import { tensorOf } from "../../core/tensor.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { denseDType } from "../arguments.ts";
import type { Op } from "../op.ts";
import { prove } from "../proof.ts";

const paddingModes = ["constant", "border", "reflection", "symmetric"] as const;
const coordinateModes = ["unnormalized", "normalized_minus_one_to_one", "normalized_zero_to_one"] as const;

/** x [B, C, H, W], coordinates [B, h, w, 2] with x before y; gives [B, C, h, w]. */
export function resample(op: Op, g: Graph): Value {
  const x = op.value("x");
  const coordinates = op.value("coordinates");
  checkRank(op, x, "x", 4);
  checkRank(op, coordinates, "coordinates", 4);
  const padding = op.oneOf("padding_mode", paddingModes);
  const mode = op.oneOf("sampling_mode", ["nearest", "bilinear"]) === "nearest" ? "nearest" : "linear";
  const wide = g.cast(coordinates, "float32");
  const grid = samplingGrid(op, g, { x, coordinates: wide, mode, padding });
  const fill = padding === "constant" ? op.float("padding_value", 0) : 0;
  return sampleGrid(op, g, { x, ...grid, mode, fill });
}

/** x [B, C, H, W], transform_matrix [B or 1, 6]; gives [B, C, output_height, output_width]. */
export function affine(op: Op, g: Graph): Value {
  const x = op.value("x");
  const matrix = op.value("transform_matrix");
  checkRank(op, x, "x", 4);
  checkRank(op, matrix, "transform_matrix", 2);
  op.oneOf("sampling_mode", ["bilinear"]);
  op.oneOf("padding_mode", ["constant"]);
  op.oneOf("coordinates_mode", ["normalized_minus_one_to_one"]);
  if (!op.bool("align_corners")) op.unsupported("align_corners False");
  const height = op.int("output_height");
  const width = op.int("output_width");
  checkTarget(op, height, width);

  // Rows (x, y, 1) of all output pixels, times the matrix's two rows.
  const pixels = Array.from({ length: height }, (_, row) =>
    Array.from({ length: width }, (__, column) => [centred(column, width), centred(row, height), 1]),
  );
  const points = g.constant(tensorOf("float32", pixels.flat(2), [height * width, 3]));
  const rows = g.node("Reshape", [g.cast(matrix, "float32"), g.vector([-1, 2, 3])]);
  const moved = g.node("MatMul", [points, g.node("Transpose", [rows], { perm: [0, 2, 1] })]);
  const grid = g.node("Reshape", [moved, g.vector([-1, height, width, 2])]);
  const fill = op.float("padding_value", 0);
  return sampleGrid(op, g, {
    x,
    grid: forEveryImage(g, x, grid),
    alignsCorners: true,
    mode: "linear",
    padding: "constant",
    fill,
  });
}

/** Pixels of a result whose positions are written out as constants. */
const largestTarget = 2 ** 22;

/** A size to sample: positive, and not so large that a hostile program fills the memory. */
export function checkTarget(op: Op, height: number, width: number): void {
  if (height < 1 || width < 1) op.bad(`the target size must be positive, got ${height} x ${width}`);
  if (height * width > largestTarget) {
    op.unsupported(`a target of ${height} x ${width}, more than ${largestTarget} pixels,`);
  }
}

/** From -1 to 1; a single position is the middle, as in the frameworks affine comes from. */
function centred(index: number, size: number): number {
  return size === 1 ? 0 : (2 * index) / (size - 1) - 1;
}

/** A grid of one image serves all images of x. */
function forEveryImage(g: Graph, x: Value, grid: Value): Value {
  const [images] = x.shape ?? [];
  const [grids] = grid.shape ?? [];
  if (images !== undefined && images === grids) return grid;
  const batch = g.node("Shape", [x], { start: 0, end: 1 });
  return g.node("Expand", [grid, g.node("Concat", [batch, g.vector([1, 1, 1])], { axis: 0 })]);
}

function checkRank(op: Op, value: Value, what: string, wanted: number): void {
  const rank = value.shape?.length;
  if (rank !== undefined && rank !== wanted) op.bad(`"${what}" must have rank ${wanted}, got ${rank}`);
}

interface Sampling {
  readonly x: Value;
  /** [B, h, w, 2], float32, ONNX's normalization. */
  readonly grid: Value;
  readonly alignsCorners: boolean;
  readonly mode: "linear" | "nearest";
  readonly padding: (typeof paddingModes)[number];
  readonly fill: number;
}

/** In float32, whatever x is: half precision cannot tell neighbouring pixels apart in a large image. */
export function sampleGrid(
  op: Op,
  g: Graph,
  { x, grid, alignsCorners, mode, padding, fill }: Sampling,
): Value {
  // ONNX Runtime ends the process at an image without pixels.
  const wide = g.cast(prove(op, g, x, ["any", "any", "some", "some"]), "float32");
  // Padding with a value: zeros around an image from which the value was taken.
  const shifted = fill === 0 ? wide : g.node("Sub", [wide, g.scalar(fill, "float32")]);
  const sampled = g.node("GridSample", [shifted, grid], {
    mode,
    padding_mode: padding === "constant" ? "zeros" : padding === "border" ? "border" : "reflection",
    align_corners: alignsCorners ? 1 : 0,
  });
  const filled = fill === 0 ? sampled : g.node("Add", [sampled, g.scalar(fill, "float32")]);
  return g.cast(filled, denseDType(x));
}

interface Coordinates {
  readonly x: Value;
  /** float32. */
  readonly coordinates: Value;
  readonly mode: Sampling["mode"];
  readonly padding: Sampling["padding"];
}

/** The grid in ONNX's normalization, and the padding that is still to be done. */
function samplingGrid(
  op: Op,
  g: Graph,
  given: Coordinates,
): Pick<Sampling, "grid" | "alignsCorners" | "padding"> {
  const { x, coordinates, mode, padding } = given;
  const kind = op.oneOf("coordinates_mode", coordinateModes);
  const isAligned = kind === "unnormalized" ? undefined : op.bool("align_corners");
  const normalized =
    kind === "normalized_zero_to_one"
      ? scale(g, coordinates, g.scalar(2, "float32"), g.scalar(-1, "float32"))
      : coordinates;
  const isReflected = padding === "reflection" || padding === "symmetric";
  if (mode === "nearest" && (isReflected || isAligned === undefined)) {
    const scaled = renormalization(g, x, { from: isAligned, to: undefined });
    const pixels = scaled ? scale(g, normalized, scaled.factor, scaled.offset) : normalized;
    const back = renormalization(g, x, { from: undefined, to: false });
    const whole = g.node("Round", [isReflected ? reflect(g, x, pixels, padding) : pixels]);
    const grid = back ? scale(g, whole, back.factor, back.offset) : whole;
    return { grid, alignsCorners: false, padding: isReflected ? "border" : padding };
  }
  // reflection turns back at pixel centres, which is ONNX's rule when corners are aligned; symmetric turns back at outer
  // edges, its rule when they are not.
  const alignsCorners = padding === "reflection" || (padding !== "symmetric" && (isAligned ?? false));
  const scaled =
    isAligned === alignsCorners ? undefined : renormalization(g, x, { from: isAligned, to: alignsCorners });
  return {
    grid: scaled ? scale(g, normalized, scaled.factor, scaled.offset) : normalized,
    alignsCorners,
    padding,
  };
}

/** Pixel positions folded back into the image. ONNX Runtime would round them first, which differs halfway between pixels. */
function reflect(g: Graph, x: Value, pixels: Value, padding: "reflection" | "symmetric"): Value {
  const { size, last } = imageSize(g, x);
  const half = g.scalar(0.5, "float32");
  const [shifted, length] = padding === "symmetric" ? [g.node("Add", [pixels, half]), size] : [pixels, last];
  const period = g.node("Mul", [length, g.scalar(2, "float32")]);
  const divisor = g.node("Max", [period, g.scalar(1, "float32")]);
  const turns = g.node("Floor", [g.node("Div", [shifted, divisor])]);
  const place = g.node("Sub", [shifted, g.node("Mul", [turns, divisor])]);
  const folded = g.node("Min", [place, g.node("Sub", [period, place])]);
  const inside = padding === "symmetric" ? g.node("Sub", [folded, half]) : folded;
  return g.node("Min", [g.node("Max", [inside, g.scalar(0, "float32")]), last]);
}

function scale(g: Graph, value: Value, factor: Value, offset: Value): Value {
  return g.node("Add", [g.node("Mul", [value, factor]), offset]);
}

/** `undefined`: pixels. Else whether -1 and 1 are the centres of the outer pixels, or the outer edges. */
interface Renormalization {
  readonly from: boolean | undefined;
  readonly to: boolean | undefined;
}

/**
 * factor and offset for x and for y; `undefined` where nothing changes. Pixel p of a coordinate c: p = c, or
 * (c + 1) / 2 * (size - 1) with corners aligned, or ((c + 1) * size - 1) / 2 without. Back: c = 2p / (size - 1) - 1, or
 * (2p + 1) / size - 1. Of a single pixel with corners aligned any c is right.
 */
function renormalization(
  g: Graph,
  x: Value,
  { from, to }: Renormalization,
): { readonly factor: Value; readonly offset: Value } | undefined {
  if (from === to) return undefined;
  const { size, last } = imageSize(g, x);
  const number = (value: number): Value => g.scalar(value, "float32");
  // Twice the pixel position is c * slope + start.
  const slope = from === undefined ? number(2) : from ? last : size;
  const start = from === undefined ? number(0) : last;
  if (to === undefined) {
    return { factor: g.node("Mul", [slope, number(0.5)]), offset: g.node("Mul", [start, number(0.5)]) };
  }
  const extent = to ? g.node("Max", [last, number(1)]) : size;
  const shifted = to ? start : g.node("Add", [start, number(1)]);
  return {
    factor: g.node("Div", [slope, extent]),
    offset: g.node("Sub", [g.node("Div", [shifted, extent]), number(1)]),
  };
}

/** [W, H] and [W - 1, H - 1] of an image, float32. */
function imageSize(g: Graph, x: Value): { readonly size: Value; readonly last: Value } {
  const [, , height, width] = x.shape ?? [];
  if (typeof height === "number" && typeof width === "number") {
    return {
      size: g.vector([width, height], "float32"),
      last: g.vector([width - 1, height - 1], "float32"),
    };
  }
  const size = g.cast(g.node("Gather", [g.node("Shape", [x]), g.vector([3, 2])]), "float32");
  return { size, last: g.node("Sub", [size, g.scalar(1, "float32")]) };
}
