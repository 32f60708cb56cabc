// MIL's element-wise ops of one operand. Formulas and halves are rows that scripts/fixtures/ops/elementwise.py computed.

import { f32, tensorOf } from "../../src/core/tensor.ts";
import { elementwiseUnary } from "../../src/lowering/mil/elementwise-unary.ts";
import { opCases } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

const inf = Number.POSITIVE_INFINITY;
const nan = Number.NaN;

opCases(
  "elementwise-unary, against numpy",
  fixtureRows("elementwise").filter(({ op }) => Object.hasOwn(elementwiseUnary, op)),
);

opCases("elementwise-unary", [
  {
    name: "round takes halves to the even neighbour",
    op: "round",
    inputs: { x: f32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]) },
    expect: f32([-2, -2, -0, 0, 2, 2]),
  },
  {
    name: "log of zero in single precision is the log of the smallest number",
    op: "log",
    inputs: { x: f32([0, 1]) },
    expect: f32([-103.27893, 0]),
  },
  {
    name: "log of zero in half precision is minus infinity, because epsilon is zero there",
    op: "log",
    inputs: { x: tensorOf("float16", [0, 1]) },
    expect: tensorOf("float16", [-inf, 0]),
  },
  {
    name: "inverse adds its epsilon whatever the sign of x",
    op: "inverse",
    inputs: { x: f32([-1, 0, 1]) },
    constants: { epsilon: 0.5 },
    expect: f32([-2, 2, 1 / 1.5]),
  },
  {
    name: "inverse without an epsilon divides by zero",
    op: "inverse",
    inputs: { x: f32([0, 4]) },
    constants: { epsilon: 0 },
    expect: f32([inf, 0.25]),
  },
  {
    name: "clip keeps what lies between",
    op: "clip",
    inputs: { x: f32([-3, -1, 0.5, 2, nan, inf]) },
    constants: { alpha: -1, beta: 1.5 },
    expect: f32([-1, -1, 0.5, 1.5, nan, 1.5]),
    dynamic: true,
  },
  {
    name: "clip has one side where the other is infinite",
    op: "clip",
    inputs: { x: f32([-3, 7]) },
    constants: { alpha: f32([-inf], []), beta: 5 },
    expect: f32([-3, 5]),
  },
  {
    name: "clip takes halves and bounds of another type",
    op: "clip",
    opset: 17,
    inputs: { x: tensorOf("float16", [-3, 0.5, 3]) },
    constants: { alpha: f32([-1], []), beta: f32([1], []) },
    expect: tensorOf("float16", [-1, 0.5, 1]),
  },
  {
    name: "clip needs both bounds",
    op: "clip",
    inputs: { x: f32([1]) },
    constants: { alpha: 0 },
    expect: { error: 'Cannot lower clip "y": input "beta" is missing', code: "BAD_MODEL" },
  },
  {
    name: "threshold is a lower bound",
    op: "threshold",
    inputs: { x: f32([-1, 0.25, 3]) },
    constants: { alpha: 0.5 },
    expect: f32([0.5, 0.5, 3]),
  },
  {
    name: "threshold works on whole numbers",
    op: "threshold",
    inputs: { x: tensorOf("int32", [-1, 4]) },
    constants: { alpha: 2 },
    expect: tensorOf("int32", [2, 4]),
  },
  {
    name: "logical_not turns every element round",
    op: "logical_not",
    inputs: { x: tensorOf("bool", [1, 0, 1]) },
    expect: tensorOf("bool", [0, 1, 0]),
    dynamic: true,
  },
  {
    name: "identity passes its operand on",
    op: "identity",
    inputs: { x: f32([1, 2, 3, 4], [2, 2]) },
    expect: f32([1, 2, 3, 4], [2, 2]),
    dynamic: true,
  },
  {
    name: "a scalar comes out with one axis",
    op: "square",
    inputs: { x: f32([3], []) },
    expect: f32([9], []),
  },
]);

opCases("cast", [
  {
    name: "cast to whole numbers drops the fraction",
    op: "cast",
    inputs: { x: f32([-1.75, -0.5, 0.5, 2.75]) },
    constants: { dtype: "int32" },
    expect: tensorOf("int32", [-1, 0, 0, 2]),
    dynamic: true,
  },
  {
    name: "cast to bool asks whether an element is zero",
    op: "cast",
    inputs: { x: f32([0, 0.25, -3, -0]) },
    constants: { dtype: "bool" },
    expect: tensorOf("bool", [0, 1, 1, 0]),
  },
  {
    name: "cast from bool gives 0 and 1",
    op: "cast",
    inputs: { x: tensorOf("bool", [1, 0]) },
    constants: { dtype: "fp32" },
    expect: f32([1, 0]),
  },
  {
    name: "cast to halves rounds at the output",
    op: "cast",
    inputs: { x: f32([1, 0.1]) },
    constants: { dtype: "fp16" },
    expect: tensorOf("float16", [1, 0.1]),
  },
  {
    name: "cast of whole numbers to floats",
    op: "cast",
    inputs: { x: tensorOf("int32", [-7, 16777216]) },
    constants: { dtype: "fp32" },
    expect: f32([-7, 16777216]),
  },
  ...(["int8", "uint8", "int16", "uint16"] as const).flatMap((dtype) => [
    {
      name: `cast to ${dtype}`,
      op: "cast",
      opset: 17 as const,
      inputs: { x: f32([0, 1.5, 100]) },
      constants: { dtype },
      expect: tensorOf(dtype, [0, 1, 100]),
    },
    {
      name: `cast from ${dtype}`,
      op: "cast",
      opset: 17 as const,
      inputs: { x: tensorOf(dtype, [0, 1, 100]) },
      constants: { dtype: "int32" },
      expect: tensorOf("int32", [0, 1, 100]),
    },
  ]),
  {
    name: "cast refuses a type nobody knows",
    op: "cast",
    inputs: { x: f32([1]) },
    constants: { dtype: "fp12" },
    expect: { error: 'unknown dtype "fp12"', code: "BAD_MODEL" },
  },
]);
