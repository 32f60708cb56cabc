// Values and sizes at which a kernel of ONNX Runtime would end the whole process, or read beyond its memory: every one of
// these rows did so once.

import { tensorOf } from "../../src/core/tensor.ts";
import { opCases } from "../support/op-cases.ts";

const least = -(2 ** 31);

opCases("hostile numbers", [
  ...["scatter", "scatter_along_axis"].map((op) => ({
    name: `${op} divides whole numbers by -1 and by 0`,
    op,
    inputs: {
      data: tensorOf("int32", [least, 7, -7, 9]),
      indices: tensorOf("int32", [0, 1, 2, 2]),
      updates: tensorOf("int32", [-1, 0, 2, 2]),
    },
    constants: { mode: "div", axis: 0 },
    // -2^31 / -1 does not fit, 7 / 0 is no number: what is left of them is -2^31. -7 / 2 / 2 truncates.
    expect: tensorOf("int32", [least, least, -1, 9]),
  })),
  {
    name: "scatter_nd divides whole numbers by -1 and by 0",
    op: "scatter_nd",
    inputs: {
      data: tensorOf("int32", [least, 7, -7]),
      indices: tensorOf("int32", [0, 1, 2], [3, 1]),
      updates: tensorOf("int32", [-1, 0, 2]),
    },
    constants: { mode: "div" },
    expect: tensorOf("int32", [least, least, -3]),
  },
]);
