// MIL's crop_resize in all its versions. Semantics: coremltools, iOS15, iOS16 and iOS17 image_resizing.py.

import { zeros } from "../../core/tensor.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { Value } from "../../onnx/types.ts";
import { denseDType, sizeOf } from "../arguments.ts";
import type { Op } from "../op.ts";
import { checkTarget, sampleGrid } from "./resample.ts";
import { type SamplingMode, samplingModes } from "./resize.ts";

const coordinateModes = [
  "CORNERS_HEIGHT_FIRST",
  "CORNERS_WIDTH_FIRST",
  "CENTER_SIZE_HEIGHT_FIRST",
  "CENTER_SIZE_WIDTH_FIRST",
] as const;

/**
 * x [B, C, H, W]. iOS15: roi [N, 1, 4, 1, 1] crops every image: [N, B, C, h, w]; with 5 values the first is the image:
 * [N, 1, C, h, w]. iOS17: boxes [N, 4] and box_indices [N]: [N, C, h, w].
 */
export function cropResize(op: Op, g: Graph): Value {
  const x = op.value("x");
  const rank = op.rank(x);
  if (rank !== 4) op.bad(`"x" must have rank 4, got ${rank}`);
  const height = op.int("target_height", 1);
  const width = op.int("target_width", 1);
  checkTarget(op, height, width);
  const { boxes, images } = readBoxes(op, g);
  const { starts, ends } = corners(op, g, x, boxes);
  const grid = op.oneOf("sampling_mode", samplingModes, "DEFAULT");
  const rows = pointsAlong(g, { starts, ends, grid, column: 0, count: height });
  const columns = pointsAlong(g, { starts, ends, grid, column: 1, count: width });
  const crops = { x, rows, columns, height, width };
  const sampled = images === undefined ? sampleAll(op, g, crops) : sampleSome(op, g, crops, images);
  if (images === undefined || op.opset >= 17) return inside(op, g, crops, sampled);
  return g.node("Unsqueeze", [inside(op, g, crops, sampled), g.vector([1])]);
}

interface Boxes {
  /** [N, 4], float32. */
  readonly boxes: Value;
  /** [N], int64; `undefined`: every box crops every image. */
  readonly images: Value | undefined;
}

function readBoxes(op: Op, g: Graph): Boxes {
  if (op.opset < 17) {
    const roi = g.cast(op.value("roi"), "float32");
    const values = op.shape(roi, "roi")[2];
    if (values === 4) return { boxes: g.node("Reshape", [roi, g.vector([-1, 4])]), images: undefined };
    if (typeof values !== "number") return op.unsupported('"roi" with an unknown number of values a box');
    if (values !== 5) return op.bad(`"roi" must have 4 or 5 values a box, got ${values}`);
    const table = g.node("Reshape", [roi, g.vector([-1, 5])]);
    const images = g.node("Gather", [table, g.scalar(0, "int64")], { axis: 1 });
    const boxes = g.node("Gather", [table, g.vector([1, 2, 3, 4])], { axis: 1 });
    return { boxes, images: g.cast(images, "int64") };
  }
  const given = op.value("boxes");
  const shape = op.shape(given, "boxes");
  if (shape.length !== 2 || (typeof shape[1] === "number" && shape[1] !== 4)) {
    op.bad(`"boxes" must have shape [N, 4], got [${shape.join(", ")}]`);
  }
  const indices = op.optional("box_indices");
  const images = indices
    ? g.cast(indices, "int64")
    : g.node("Range", [g.scalar(0, "int64"), sizeOf(g, given, 0), g.scalar(1, "int64")]);
  return { boxes: g.cast(given, "float32"), images };
}

/** [N, 2] each, (y, x) in pixels, float32. */
function corners(op: Op, g: Graph, x: Value, boxes: Value): { readonly starts: Value; readonly ends: Value } {
  const mode = op.oneOf("box_coordinate_mode", coordinateModes, "CORNERS_HEIGHT_FIRST");
  const [y, x0] = mode.endsWith("HEIGHT_FIRST") ? [0, 1] : [1, 0];
  const pair = (columns: readonly number[]): Value =>
    g.node("Gather", [boxes, g.vector(columns)], { axis: 1 });
  const first = pair([y, x0]);
  const second = pair([y + 2, x0 + 2]);
  const scale = boxScale(op, g, x);
  const scaled = (value: Value): Value => (scale ? g.node("Mul", [value, scale]) : value);
  if (mode.startsWith("CORNERS")) return { starts: scaled(first), ends: scaled(second) };
  const half = g.node("Mul", [second, g.scalar(0.5, "float32")]);
  return { starts: scaled(g.node("Sub", [first, half])), ends: scaled(g.node("Add", [first, half])) };
}

/** What turns box coordinates into pixels, for y and x; `undefined` where they are pixels. */
function boxScale(op: Op, g: Graph, x: Value): Value | undefined {
  const factor = op.float("spatial_scale", 1);
  if (!op.bool("normalized_coordinates", false)) {
    return factor === 1 ? undefined : g.scalar(factor, "float32");
  }
  const last = lastPixels(g, x);
  return factor === 1 ? last : g.node("Mul", [last, g.scalar(factor, "float32")]);
}

/** [H - 1, W - 1], float32. */
function lastPixels(g: Graph, x: Value): Value {
  const [, , height, width] = x.shape ?? [];
  if (typeof height === "number" && typeof width === "number") {
    return g.vector([height - 1, width - 1], "float32");
  }
  const spatial = g.cast(g.node("Shape", [x], { start: 2, end: 4 }), "float32");
  return g.node("Sub", [spatial, g.scalar(1, "float32")]);
}

interface Sampling {
  readonly starts: Value;
  readonly ends: Value;
  readonly grid: SamplingMode;
  /** 0: y, 1: x. */
  readonly column: number;
  readonly count: number;
}

/** Positions of the sample points along one axis, in pixels: [N, count]. */
function pointsAlong(g: Graph, { starts, ends, grid, column, count }: Sampling): Value {
  const at = (value: Value): Value => g.node("Gather", [value, g.vector([column])], { axis: 1 });
  const start = at(starts);
  const end = at(ends);
  const span = g.node("Sub", [end, start]);
  // Rounding must not carry a point of the box beyond its end, which may be the image's.
  const between = (points: Value): Value => {
    const lowest = g.node("Min", [start, end]);
    return g.node("Min", [g.node("Max", [points, lowest]), g.node("Max", [start, end])]);
  };
  const from = (distance: Value, factors: readonly number[]): Value =>
    g.node("Add", [start, g.node("Mul", [distance, g.vector(factors, "float32")])]);
  const steps = Array.from({ length: count }, (_, i) => i);
  const one = g.scalar(1, "float32");
  switch (grid) {
    case "STRICT_ALIGN_CORNERS":
    case "ALIGN_CORNERS": {
      const single = grid === "ALIGN_CORNERS" ? 0.5 : 0;
      return between(
        from(
          span,
          steps.map((i) => (count === 1 ? single : i / (count - 1))),
        ),
      );
    }
    case "DEFAULT": {
      const points = from(
        g.node("Add", [span, one]),
        steps.map((i) => i / count),
      );
      return g.node("Min", [points, end]);
    }
    case "OFFSET_CORNERS":
      return from(
        g.node("Max", [span, one]),
        steps.map((i) => (i + 0.5) / count),
      );
    case "UNALIGN_CORNERS": {
      const points = from(
        g.node("Add", [span, one]),
        steps.map((i) => (i + 0.5) / count),
      );
      return g.node("Sub", [points, g.scalar(0.5, "float32")]);
    }
  }
}

interface Crops {
  readonly x: Value;
  /** [N, height] and [N, width]. */
  readonly rows: Value;
  readonly columns: Value;
  readonly height: number;
  readonly width: number;
}

/** Each box on its image: [N, C, h, w]. */
function sampleSome(op: Op, g: Graph, crops: Crops, images: Value): Value {
  const { x, height } = crops;
  if (x.shape?.[0] !== 1) {
    const chosen = g.node("Gather", [x, images], { axis: 0 });
    return sampled(op, g, chosen, samplingGrid(g, crops));
  }
  // One image: all crops in one tall picture, without a copy of the image for each box.
  const tall = sampled(op, g, x, tallGrid(g, crops));
  const split = g.node("Reshape", [tall, g.vector([0, 0, -1, height, crops.width])]);
  return g.node("Squeeze", [g.node("Transpose", [split], { perm: [0, 2, 1, 3, 4] }), g.vector([0])]);
}

/** Each box on every image: [N, B, C, h, w]. */
function sampleAll(op: Op, g: Graph, crops: Crops): Value {
  const { x, height, width } = crops;
  const grid = tallGrid(g, crops);
  const batch = x.shape?.[0];
  const grids =
    batch === 1
      ? grid
      : g.node("Expand", [
          grid,
          g.node("Concat", [g.node("Shape", [x], { start: 0, end: 1 }), g.vector([1, 1, 1])], { axis: 0 }),
        ]);
  const tall = sampled(op, g, x, grids);
  const split = g.node("Reshape", [tall, g.vector([0, 0, -1, height, width])]);
  return g.node("Transpose", [split], { perm: [2, 0, 1, 3, 4] });
}

function sampled(op: Op, g: Graph, x: Value, grid: Value): Value {
  return sampleGrid(op, g, { x, grid, alignsCorners: false, mode: "linear", padding: "border", fill: 0 });
}

function tallGrid(g: Graph, crops: Crops): Value {
  return g.node("Reshape", [samplingGrid(g, crops), g.vector([1, -1, crops.width, 2])]);
}

/** The points in GridSample's normalization, corners not aligned: [N, h, w, 2], x before y. */
function samplingGrid(g: Graph, { x, rows, columns, height, width }: Crops): Value {
  const normalized = (points: Value, axis: number): Value => {
    const size = g.cast(sizeOf(g, x, axis), "float32");
    const doubled = g.node("Mul", [points, g.scalar(2, "float32")]);
    const shifted = g.node("Add", [doubled, g.scalar(1, "float32")]);
    return g.node("Sub", [g.node("Div", [shifted, size]), g.scalar(1, "float32")]);
  };
  const down = g.node("Unsqueeze", [normalized(rows, 2), g.vector([2, 3])]);
  const across = g.node("Unsqueeze", [normalized(columns, 3), g.vector([1, 3])]);
  return g.node(
    "Concat",
    [
      g.node("Add", [across, g.constant(zeros("float32", [1, height, 1, 1]))]),
      g.node("Add", [down, g.constant(zeros("float32", [1, 1, width, 1]))]),
    ],
    { axis: 3 },
  );
}

/** Points outside the image get the pad value, without blending. */
function inside(op: Op, g: Graph, { x, rows, columns }: Crops, sampled: Value): Value {
  const within = (points: Value, axis: number): Value => {
    const last = g.node("Sub", [g.cast(sizeOf(g, x, axis), "float32"), g.scalar(1, "float32")]);
    return g.node("And", [
      g.node("GreaterOrEqual", [points, g.scalar(0, "float32")]),
      g.node("LessOrEqual", [points, last]),
    ]);
  };
  const down = g.node("Unsqueeze", [within(rows, 2), g.vector([2])]);
  const across = g.node("Unsqueeze", [within(columns, 3), g.vector([1])]);
  const both = g.node("And", [down, across]);
  // Channels, and images where there are some, in between.
  const missing = (sampled.shape?.length ?? 4) === 5 ? [1, 2] : [1];
  const mask = g.node("Unsqueeze", [both, g.vector(missing)]);
  const fill = g.scalar(op.float("pad_value", 0), denseDType(sampled));
  return g.node("Where", [mask, sampled, fill]);
}
