// Image resizing. Expected values here: examples of coremltools' documentation and tests, or by hand; the others in numpy in
// scripts/fixtures/ops/image_resizing.py.

import { f32, tensorOf } from "../../src/core/tensor.ts";
import { type OpCase, opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

const interval = f32([0, 1], [1, 1, 2]);
const square = f32(
  Array.from({ length: 16 }, (_, index) => index + 1),
  [1, 1, 4, 4],
);

/** The examples of resize_bilinear's documentation: grid points over [0, 1]. */
const documentedGrids: readonly (readonly [string, number, readonly number[]])[] = [
  ["UNALIGN_CORNERS", 5, [0, 0.1, 0.5, 0.9, 1]],
  ["STRICT_ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]],
  ["ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]],
  ["DEFAULT", 5, [0, 0.4, 0.8, 1, 1]],
  ["OFFSET_CORNERS", 5, [0.1, 0.3, 0.5, 0.7, 0.9]],
  ["UNALIGN_CORNERS", 6, [0, 0, 1 / 3, 2 / 3, 1, 1]],
  ["STRICT_ALIGN_CORNERS", 6, [0, 0.2, 0.4, 0.6, 0.8, 1]],
  ["DEFAULT", 6, [0, 1 / 3, 2 / 3, 1, 1, 1]],
  ["OFFSET_CORNERS", 6, [1 / 12, 0.25, 5 / 12, 7 / 12, 0.75, 11 / 12]],
];

const documented: readonly OpCase[] = documentedGrids.map(([mode, size, values]) => ({
  name: `resize_bilinear: ${mode} over two elements to ${size}`,
  op: "resize_bilinear",
  inputs: { x: interval },
  constants: { target_size_height: 1, target_size_width: size, sampling_mode: mode },
  expect: f32(values, [1, 1, size]),
  dynamic: true,
}));

const cropCases: readonly OpCase[] = [
  {
    name: "crop takes top, bottom, left and right",
    op: "crop",
    inputs: { x: square },
    constants: { crop_height: [0, 1], crop_width: [1, 1] },
    expect: f32([2, 3, 6, 7, 10, 11], [1, 1, 3, 2]),
    dynamic: true,
  },
  {
    name: "crop of one side",
    op: "crop",
    inputs: { x: square },
    constants: { crop_height: [0, 0], crop_width: [3, 0] },
    expect: f32([4, 8, 12, 16], [1, 1, 4, 1]),
    dynamic: true,
  },
  {
    name: "crop of nothing",
    op: "crop",
    inputs: { x: square },
    constants: { crop_height: [0, 0], crop_width: [0, 0] },
    expect: square,
  },
  {
    name: "crop refuses more than there is",
    op: "crop",
    inputs: { x: square },
    constants: { crop_height: [2, 3], crop_width: [0, 0] },
    expect: { error: '"crop_height" [2, 3] does not fit an axis of size 4', code: "BAD_MODEL" },
  },
  {
    name: "crop refuses one number",
    op: "crop",
    inputs: { x: square },
    constants: { crop_height: [2], crop_width: [0, 0] },
    expect: { error: '"crop_height" must have 2 values, got 1', code: "BAD_MODEL" },
  },
];

const roi = (values: readonly number[]) => f32(values, [1, 1, values.length, 1, 1]);
const cropResizeCases: readonly OpCase[] = [
  {
    name: "crop_resize: corners are sample points",
    op: "crop_resize",
    inputs: { x: square, roi: roi([1, 1, 2, 2]) },
    constants: { target_height: 2, target_width: 2, sampling_mode: "ALIGN_CORNERS" },
    expect: f32([6, 7, 10, 11], [1, 1, 1, 2, 2]),
  },
  {
    name: "crop_resize: one aligned pixel is the middle",
    op: "crop_resize",
    inputs: { x: square, roi: roi([1, 1, 2, 2]) },
    constants: { target_height: 1, target_width: 1, sampling_mode: "ALIGN_CORNERS" },
    expect: f32([8.5], [1, 1, 1, 1, 1]),
  },
  {
    name: "crop_resize: normalized coordinates end at size - 1",
    op: "crop_resize",
    inputs: { x: square, roi: roi([0, 0, 0, 1 / 3, 1 / 3]) },
    constants: {
      target_height: 2,
      target_width: 2,
      normalized_coordinates: true,
      sampling_mode: "ALIGN_CORNERS",
    },
    expect: f32([1, 2, 5, 6], [1, 1, 1, 2, 2]),
  },
  {
    name: "crop_resize: an inverted box flips",
    op: "crop_resize",
    inputs: { x: square, roi: roi([2, 2, 1, 1]) },
    constants: { target_height: 2, target_width: 2, sampling_mode: "ALIGN_CORNERS" },
    expect: f32([11, 10, 7, 6], [1, 1, 1, 2, 2]),
  },
  {
    name: "crop_resize: points outside are the pad value, unblended",
    op: "crop_resize",
    opset: 17,
    inputs: {
      x: square,
      boxes: f32([0.1, 0.3, 1.3, 1, 0.5, 1.8, 1, 0.3, 0, 0.4, 0.6, 0.7], [3, 4]),
      box_indices: tensorOf("int32", [0, 0, 0]),
    },
    constants: {
      target_height: 2,
      target_width: 2,
      normalized_coordinates: true,
      sampling_mode: "ALIGN_CORNERS",
      pad_value: 10,
    },
    expect: f32([3.1, 5.2, 10, 10, 10, 7.9, 10, 13.9, 2.2, 3.1, 9.4, 10.3], [3, 1, 2, 2]),
  },
  {
    name: "crop_resize refuses a roi of three",
    op: "crop_resize",
    inputs: { x: square, roi: roi([1, 1, 2]) },
    expect: { error: '"roi" must have 4 or 5 values a box, got 3', code: "BAD_MODEL" },
  },
  {
    name: "crop_resize refuses boxes of five",
    op: "crop_resize",
    opset: 17,
    inputs: { x: square, boxes: f32([1, 1, 2, 2, 2], [1, 5]) },
    expect: { error: '"boxes" must have shape [N, 4], got [1, 5]', code: "BAD_MODEL" },
  },
  {
    name: "crop_resize refuses a picture without a batch",
    op: "crop_resize",
    inputs: { x: f32([1], [1, 1, 1]), roi: roi([1, 1, 2, 2]) },
    expect: { error: '"x" must have rank 4, got 3', code: "BAD_MODEL" },
  },
  {
    name: "crop_resize refuses an empty target",
    op: "crop_resize",
    inputs: { x: square, roi: roi([1, 1, 2, 2]) },
    constants: { target_height: 0 },
    expect: { error: "the target size must be positive, got 0 x 1", code: "BAD_MODEL" },
  },
];

const pixels = f32([11, 22, 33, 44], [1, 1, 2, 2]);
const points = f32([-1, -2, -3.7, -1, 0, 0, 3.5, 1.2], [1, 2, 2, 2]);
const resampled = (name: string, settings: OpCase["constants"], values: readonly number[]): OpCase => ({
  name: `resample: ${name}`,
  op: "resample",
  inputs: { x: pixels, coordinates: points },
  constants: { ...settings },
  expect: f32(values, [1, 1, 2, 2]),
  dynamic: true,
});
const resampleCases: readonly OpCase[] = [
  resampled(
    "padding blends at the border",
    {
      sampling_mode: "bilinear",
      padding_mode: "constant",
      padding_value: 6.17,
      coordinates_mode: "normalized_minus_one_to_one",
      align_corners: true,
    },
    [8.585, 6.17, 27.5, 6.17],
  ),
  resampled(
    "the nearest of clamped pixels",
    {
      sampling_mode: "nearest",
      padding_mode: "border",
      padding_value: -1,
      coordinates_mode: "unnormalized",
      align_corners: false,
    },
    [11, 11, 11, 44],
  ),
  resampled(
    "reflection about centres",
    {
      sampling_mode: "bilinear",
      padding_mode: "reflection",
      padding_value: -1,
      coordinates_mode: "normalized_zero_to_one",
      align_corners: true,
    },
    [22, 36.3, 11, 34.1],
  ),
  resampled(
    "reflection about edges",
    {
      sampling_mode: "nearest",
      padding_mode: "symmetric",
      padding_value: -1,
      coordinates_mode: "normalized_zero_to_one",
      align_corners: false,
    },
    [22, 33, 11, 33],
  ),
  {
    name: "resample refuses coordinates without a batch",
    op: "resample",
    inputs: { x: pixels, coordinates: f32([0, 0], [1, 1, 2]) },
    expect: { error: '"coordinates" must have rank 4, got 3', code: "BAD_MODEL" },
  },
];

const affineSettings = {
  sampling_mode: "bilinear",
  padding_mode: "constant",
  padding_value: 0,
  coordinates_mode: "normalized_minus_one_to_one",
  align_corners: true,
};
const matrix = f32([-1, -2, -3.7, -1, 3.5, 1.2], [1, 6]);
const affineCases: readonly OpCase[] = [
  {
    name: "affine: nothing but zeros beyond the image",
    op: "affine",
    inputs: { x: pixels, transform_matrix: matrix },
    constants: { ...affineSettings, output_height: 2, output_width: 5 },
    expect: f32([10.7525, 5.94, 2.5025, 0.44, 0, 0, 0, 0, 0, 0], [1, 1, 2, 5]),
    dynamic: true,
  },
  {
    name: "affine refuses corners that are not aligned",
    op: "affine",
    inputs: { x: pixels, transform_matrix: matrix },
    constants: { ...affineSettings, align_corners: false },
    expect: { error: "align_corners False is not supported", code: "UNSUPPORTED" },
  },
  {
    name: "affine refuses an empty output",
    op: "affine",
    inputs: { x: pixels, transform_matrix: matrix },
    constants: { ...affineSettings, output_height: 0, output_width: 2 },
    expect: { error: "the target size must be positive, got 0 x 2", code: "BAD_MODEL" },
  },
];

const edges = [0.1, 0.2, 0.3, 0.6, 0.7];
const edgeCases: readonly OpCase[] = [
  {
    name: "crop_resize: rounding carries no corner out of the image",
    op: "crop_resize",
    opset: 17,
    inputs: {
      x: f32(Array<number>(49).fill(5), [1, 1, 7, 7]),
      boxes: f32(
        edges.flatMap((start) => [start, start, 1, 1]),
        [edges.length, 4],
      ),
      box_indices: tensorOf("int32", [0, 0, 0, 0, 0]),
    },
    constants: {
      target_height: 4,
      target_width: 3,
      normalized_coordinates: true,
      sampling_mode: "STRICT_ALIGN_CORNERS",
    },
    expect: f32(Array<number>(60).fill(5), [5, 1, 4, 3]),
  },
  {
    name: "resize moves points on the grid of offset corners even where the size stays",
    op: "resize",
    opset: 17,
    inputs: { x: f32([0, 1, 2, 3], [1, 1, 1, 4]) },
    constants: {
      shape: [0],
      resized_dims: tensorOf("uint32", [1], []),
      sampling_mode: "OFFSET_CORNERS",
    },
    expect: f32([0.375, 1.125, 1.875, 2.625], [1, 1, 1, 4]),
    dynamic: true,
  },
  {
    name: "resize to a size too large for a table of points",
    op: "resize_bilinear",
    inputs: { x: f32([3, 3], [1, 1, 2]) },
    constants: { target_size_height: 1, target_size_width: 70_000, sampling_mode: "OFFSET_CORNERS" },
    expect: f32(Array<number>(70_000).fill(3), [1, 1, 70_000]),
  },
  {
    name: "crop_resize refuses a target that fills the memory",
    op: "crop_resize",
    inputs: { x: square, roi: roi([1, 1, 2, 2]) },
    constants: { target_height: 2_000_000_000, target_width: 2 },
    expect: { error: "a target of 2000000000 x 2, more than 4194304 pixels, is not supported" },
  },
];

const nearestCases: readonly OpCase[] = [
  {
    name: "resize_nearest_neighbor takes the element under the centre",
    op: "resize_nearest_neighbor",
    inputs: { x: f32([0.37, 6.17], [1, 1, 2, 1]) },
    constants: { target_size_height: 2, target_size_width: 3 },
    expect: f32([0.37, 0.37, 0.37, 6.17, 6.17, 6.17], [1, 1, 2, 3]),
    dynamic: true,
  },
  {
    name: "upsample_nearest_neighbor takes the element under the start",
    op: "upsample_nearest_neighbor",
    inputs: { x: f32([1.5, -2.5, 3.5], [1, 1, 1, 3]) },
    constants: { scale_factor_height: 3.17, scale_factor_width: 0.67 },
    expect: f32([1.5, -2.5, 1.5, -2.5, 1.5, -2.5], [1, 1, 3, 2]),
    dynamic: true,
  },
  {
    name: "upsample by fractions that change nothing",
    op: "upsample_nearest_neighbor",
    inputs: { x: f32([1.5, -2.5, 3.5], [1, 1, 3]) },
    constants: { scale_factor_height: 1.5, scale_factor_width: 1.12 },
    expect: f32([1.5, -2.5, 3.5], [1, 1, 3]),
  },
  {
    name: "upsample_bilinear rounds sizes as float32 does",
    op: "upsample_bilinear",
    inputs: { x: interval },
    constants: { scale_factor_height: 1, scale_factor_width: 2.6, align_corners: false },
    expect: f32([0, 0.1, 0.5, 0.9, 1], [1, 1, 5]),
    outputs: [{ dtype: "float32" }],
  },
];

const refused: readonly OpCase[] = [
  {
    name: "upsample refuses a factor of zero",
    op: "upsample_nearest_neighbor",
    inputs: { x: interval },
    constants: { scale_factor_height: 0 },
    expect: { error: "the scale factor must be positive, got 0", code: "BAD_MODEL" },
  },
  {
    name: "upsample refuses a factor that leaves nothing",
    op: "upsample_nearest_neighbor",
    inputs: { x: interval },
    constants: { scale_factor_width: 0.25 },
    expect: { error: "the target size must be positive, got 0", code: "BAD_MODEL" },
  },
  {
    name: "upsample_bilinear refuses both corners and centres",
    op: "upsample_bilinear",
    opset: 16,
    inputs: { x: interval },
    constants: { align_corners: true, half_pixel_centers: true },
    expect: { error: '"align_corners" and "half_pixel_centers" exclude each other', code: "BAD_MODEL" },
  },
  {
    name: "resize_bilinear refuses a matrix",
    op: "resize_bilinear",
    inputs: { x: f32([1], [1, 1]) },
    expect: { error: '"x" must have rank 3 or more, got 2', code: "BAD_MODEL" },
  },
  {
    name: "resize_bilinear refuses an unknown grid",
    op: "resize_bilinear",
    inputs: { x: interval },
    constants: { sampling_mode: "CUBIC" },
    expect: { error: '"sampling_mode" must be one of STRICT_ALIGN_CORNERS', code: "BAD_MODEL" },
  },
  {
    name: "resize refuses more axes than x has",
    op: "resize",
    opset: 17,
    inputs: { x: interval },
    constants: { shape: [1, 1, 1, 1], resized_dims: 4 },
    expect: { error: '"resized_dims" must lie between 0 and 3, got 4', code: "BAD_MODEL" },
  },
  {
    name: "resize refuses a shape shorter than the axes",
    op: "resize",
    opset: 17,
    inputs: { x: interval },
    constants: { shape: [2], resized_dims: 2 },
    expect: { error: '"shape" must have 2 to 3 values, got 1', code: "BAD_MODEL" },
  },
];

opCases("image resizing", [
  ...documented,
  ...nearestCases,
  ...fixtureRows("resize"),
  ...cropCases,
  ...cropResizeCases,
  ...edgeCases,
  ...fixtureRows("crop-resize"),
  ...resampleCases,
  ...affineCases,
  ...fixtureRows("resample"),
  ...refused,
]);
