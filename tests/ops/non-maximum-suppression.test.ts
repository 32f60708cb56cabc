// non_maximum_suppression. Expected values: by hand here, in numpy in scripts/fixtures/ops/non_maximum_suppression.py.

import { f32, tensorOf } from "../../src/core/tensor.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

const boxes = f32([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3], [1, 4, 4]);
const scores = f32([-3.5, 9.4, 2.3, 0.7], [1, 4, 1]);

opCases("non_maximum_suppression", [
  {
    name: "the two best boxes that hardly overlap",
    op: "non_maximum_suppression",
    inputs: { boxes, scores },
    constants: { iou_threshold: 0.2, score_threshold: 0.4, max_boxes: 2, per_class_suppression: true },
    expect: {
      kept_boxes: f32([1, 1, 1, 1, 2, 2, 2, 2], [1, 2, 4]),
      kept_scores: f32([9.4, 2.3], [1, 2, 1]),
      indices: tensorOf("int32", [1, 2], [1, 2]),
      count: tensorOf("int32", [2]),
    },
  },
  {
    name: "free places hold zeros and index -1",
    op: "non_maximum_suppression",
    inputs: { boxes, scores },
    constants: { iou_threshold: 0.2, score_threshold: 5, max_boxes: 2 },
    expect: {
      kept_boxes: f32([1, 1, 1, 1, 0, 0, 0, 0], [1, 2, 4]),
      kept_scores: f32([9.4, 0], [1, 2, 1]),
      indices: tensorOf("int32", [1, -1], [1, 2]),
      count: tensorOf("int32", [1]),
    },
  },
  ...fixtureRows("non-maximum-suppression"),
  {
    name: "no places are refused",
    op: "non_maximum_suppression",
    inputs: { boxes, scores },
    constants: { iou_threshold: 0.2, score_threshold: 5, max_boxes: 0 },
    expect: { error: '"max_boxes" must be positive, got 0', code: "BAD_MODEL" },
  },
  {
    name: "a negative iou_threshold is refused",
    op: "non_maximum_suppression",
    inputs: { boxes, scores },
    constants: { iou_threshold: -0.5, score_threshold: 5, max_boxes: 1 },
    expect: { error: 'a negative "iou_threshold" (-0.5) is not supported', code: "UNSUPPORTED" },
  },
  {
    name: "boxes without a batch are refused",
    op: "non_maximum_suppression",
    inputs: { boxes: f32([0, 0, 1, 1], [1, 4]), scores },
    constants: { iou_threshold: 0.5, score_threshold: 5, max_boxes: 1 },
    expect: { error: '"boxes" must have rank 3, got 2', code: "BAD_MODEL" },
  },
]);
