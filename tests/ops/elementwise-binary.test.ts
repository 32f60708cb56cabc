// MIL's element-wise ops of two operands, and select. Broadcasting, halves and whole numbers: scripts/fixtures/ops/elementwise.py.

import { describe, expect, test } from "bun:test";
import { f32, numbersOf, tensorOf } from "../../src/core/tensor.ts";
import { elementwiseBinary } from "../../src/lowering/mil/elementwise-binary.ts";
import { opCases, runOp } from "../support/op-cases.ts";
import { fixtureRows } from "../support/op-fixtures.ts";

const inf = Number.POSITIVE_INFINITY;
const nan = Number.NaN;
const cond = tensorOf("bool", [1, 0, 0, 1], [2, 2]);

opCases(
  "elementwise-binary, against numpy",
  fixtureRows("elementwise").filter(({ op }) => Object.hasOwn(elementwiseBinary, op)),
);

opCases("elementwise-binary", [
  {
    name: "a scalar constant broadcasts",
    op: "mul",
    inputs: { x: f32([1, 2, 3, 4], [2, 2]) },
    constants: { y: f32([0.5], []) },
    expect: f32([0.5, 1, 1.5, 2], [2, 2]),
    dynamic: true,
  },
  {
    name: "a whole number beside a float counts as a float",
    op: "sub",
    inputs: { x: tensorOf("int32", [1, 2]), y: f32([0.5, 0.25]) },
    expect: f32([0.5, 1.75]),
  },
  {
    name: "a constant of another float type takes x's",
    op: "add",
    inputs: { x: f32([1, 2]) },
    constants: { y: tensorOf("float16", [0.5, 0.25]) },
    expect: f32([1.5, 2.25]),
  },
  {
    name: "real_div by zero is infinite, 0 / 0 is no number",
    op: "real_div",
    inputs: { x: f32([1, -1, 0]), y: f32([0, 0, 0]) },
    expect: f32([inf, -inf, nan]),
  },
  {
    name: "floor_div rounds towards minus infinity",
    op: "floor_div",
    inputs: { x: f32([7, -7, 7, -7]), y: f32([2, 2, -2, -2]) },
    expect: f32([3, -4, -4, 3]),
  },
  {
    name: "mod has the sign of the divisor",
    op: "mod",
    inputs: { x: f32([5.5, -5.5, 5.5, -5.5]), y: f32([3, 3, -3, -3]) },
    expect: f32([2.5, 0.5, -0.5, -2.5]),
  },
  {
    name: "pow of a negative base to a fraction is no number",
    op: "pow",
    inputs: { x: f32([-8, 4]), y: f32([0.5, 0.5]) },
    expect: f32([nan, 2]),
  },
  {
    name: "nothing equals NaN",
    op: "equal",
    inputs: { x: f32([nan, 1, inf]), y: f32([nan, 1, inf]) },
    expect: tensorOf("bool", [0, 1, 1]),
  },
  {
    name: "equal compares booleans",
    op: "equal",
    inputs: { x: tensorOf("bool", [1, 0]), y: tensorOf("bool", [1, 1]) },
    expect: tensorOf("bool", [1, 0]),
  },
  {
    name: "an operand that nobody computed is an error with the op's name",
    op: "add",
    inputs: { x: f32([1]) },
    expect: { error: 'Cannot lower add "y": input "y" is missing', code: "BAD_MODEL" },
  },
  {
    name: "shapes that do not broadcast are refused",
    op: "add",
    inputs: { x: f32([1, 2]), y: f32([1, 2, 3]) },
    expect: { error: "sizes 2 and 3 do not broadcast", code: "BAD_MODEL" },
  },
]);

opCases("select", [
  {
    name: "select takes a where cond holds, else b",
    op: "select",
    inputs: { cond, a: f32([1, 2, 3, 4], [2, 2]), b: f32([-1, -2, -3, -4], [2, 2]) },
    expect: f32([1, -2, -3, 4], [2, 2]),
    dynamic: true,
  },
  {
    name: "select broadcasts all three",
    op: "select",
    inputs: { cond: tensorOf("bool", [1, 0], [2, 1]), a: f32([1, 2, 3]), b: f32([0], []) },
    expect: f32([1, 2, 3, 0, 0, 0], [2, 3]),
    dynamic: true,
  },
  {
    name: "select passes an infinity by",
    op: "select",
    inputs: { cond, a: f32([1, inf, -inf, 4], [2, 2]), b: f32([nan, 0, 0, nan], [2, 2]) },
    expect: f32([1, 0, 0, 4], [2, 2]),
  },
  ...(["float16", "int32", "bool", "int8", "uint8", "int16", "uint16"] as const).map((dtype) => ({
    name: `select takes ${dtype}`,
    op: "select",
    inputs: { cond, a: tensorOf(dtype, [1, 1, 0, 0], [2, 2]), b: tensorOf(dtype, [0, 0, 1, 1], [2, 2]) },
    expect: tensorOf(dtype, [1, 0, 1, 0], [2, 2]),
  })),
]);

// As integers, the first of these divisions ends the process on x86. What the result is, one too large for its type,
// depends on the processor; the element beside it does not.
describe("division of whole numbers that has no result", () => {
  for (const op of ["real_div", "floor_div", "mod"]) {
    for (const [x, y] of [
      [-2147483648, -1],
      [7, 0],
    ] as const) {
      const operand = { y: tensorOf("int32", [y, -2]) };
      for (const where of ["inputs", "constants"] as const) {
        test(`${op} of ${x} by ${y} among the ${where} spoils its own element alone`, async () => {
          const inputs = { x: tensorOf("int32", [x, 6]), ...(where === "inputs" ? operand : {}) };
          const constants = where === "constants" ? operand : {};
          const { quotient } = await runOp(
            { op, inputs, constants },
            { quotient: { dtype: "int32", shape: [2] } },
          );
          expect(quotient && numbersOf(quotient)[1]).toBe(op === "mod" ? 0 : -3);
        });
      }
    }
  }
});
