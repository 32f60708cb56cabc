// Inferred types against what ONNX Runtime really gave, with all sizes known, with symbols, and with nothing known.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CoremlxError } from "../../../src/core/errors.ts";
import { onnxType } from "../../../src/onnx/data-type.ts";
import { constantNumbers } from "../../../src/onnx/fold.ts";
import { Graph } from "../../../src/onnx/graph.ts";
import { inferableOps, inferTypes } from "../../../src/onnx/infer.ts";
import type { Dim, OnnxDType, Shape, Value, ValueType } from "../../../src/onnx/types.ts";
import { type OnnxCase, onnxCases, valuesOf } from "../../support/onnx-cases.ts";

const cases = onnxCases();

function infer(row: OnnxCase, shapeOf?: Parameters<typeof valuesOf>[2]): readonly ValueType[] {
  const graph = new Graph();
  const inputs = valuesOf(row, graph, shapeOf);
  const { op, attributes, outputs } = row;
  const types = inferTypes({
    op,
    inputs,
    attributes,
    count: outputs.length,
    unknownDim: () => graph.unknownDim(),
  });
  return types.slice(0, outputs.length);
}

/** Results whose size depends on values. */
const dataDependent = new Set(["NonZero", "Compress", "NonMaxSuppression"]);

describe("inferTypes gives what ONNX Runtime gives", () => {
  for (const row of cases) {
    test(row.name, () => {
      const types = infer(row);
      expect(types.map(({ dtype }) => dtype)).toEqual(row.outputs.map(({ dtype }) => dtype));
      const shapes = types.map(({ shape }) => shape);
      if (dataDependent.has(row.op)) {
        row.outputs.forEach(({ shape }, index) => expectAgreement(shapes[index], shape));
      } else {
        expect(shapes).toEqual(row.outputs.map(({ shape }) => shape));
      }
    });
  }
});

describe("inferTypes contradicts nothing when sizes are symbols", () => {
  for (const [name, shapeOf] of [
    ["all", (shape: readonly number[]) => shape.map((size) => `s${size}`)],
    ["the first", (shape: readonly number[]) => shape.map((size, axis) => (axis === 0 ? `s${size}` : size))],
    [
      "the last",
      (shape: readonly number[]) =>
        shape.map((size, axis) => (axis + 1 === shape.length ? `s${size}` : size)),
    ],
    ["not even the rank", () => undefined],
  ] as const) {
    test(`${name} of every case`, () => {
      for (const row of cases) {
        const types = infer(row, shapeOf);
        row.outputs.forEach(({ dtype, shape }, index) => {
          expect([row.name, types[index]?.dtype]).toEqual([row.name, dtype]);
          expectAgreement(types[index]?.shape, shape);
        });
      }
    });
  }
});

/** A number must be the size, a symbol sN must stand for N; an unknown size and an unknown rank agree with anything. */
function expectAgreement(inferred: ValueType["shape"], actual: readonly number[]): void {
  if (inferred === undefined) return;
  const settled = inferred.map((dim, axis) => {
    if (typeof dim === "number") return dim;
    return dim.startsWith("unknown_") ? actual[axis] : Number(dim.slice(1));
  });
  expect(settled).toEqual([...actual]);
}

test("every op with a rule is in a case, or its rule is for sequences", () => {
  const covered = new Set(cases.map(({ op }) => op));
  const missing = inferableOps().filter((op) => !covered.has(op) && !op.includes("Sequence"));
  expect(missing).toEqual([]);
});

const x = (graph: Graph, shape: Shape, dtype: OnnxDType = "float32") => graph.input("x", dtype, shape);

describe("symbols are kept where the size is the same", () => {
  const rows: readonly [string, readonly Dim[], (graph: Graph) => Value][] = [
    ["broadcasting with 1", ["N", 3], (g) => g.node("Add", [x(g, ["N", 1]), x(g, [1, 3])])],
    ["broadcasting with a number: the number", [4], (g) => g.node("Add", [x(g, ["N"]), x(g, [4])])],
    ["broadcasting with itself", ["N"], (g) => g.node("Mul", [x(g, ["N"]), x(g, ["N"])])],
    [
      "concatenation of one part that is not empty",
      ["N"],
      (g) => g.node("Concat", [x(g, ["N"]), x(g, [0])], { axis: 0 }),
    ],
    [
      "a slice of everything",
      ["N"],
      (g) => g.node("Slice", [x(g, ["N"]), g.vector([0]), g.vector([2 ** 63])]),
    ],
    [
      "a slice that reverses",
      ["N"],
      (g) =>
        g.node("Slice", [x(g, ["N"]), g.vector([-1]), g.vector([-(2 ** 63)]), g.vector([0]), g.vector([-1])]),
    ],
    [
      "a slice of another axis",
      ["N", 2],
      (g) => g.node("Slice", [x(g, ["N", 4]), g.vector([1]), g.vector([3]), g.vector([1])]),
    ],
    ["flattening one symbol", ["N", 12], (g) => g.node("Flatten", [x(g, ["N", 3, 4])])],
    ["a deduced size", ["N", 12], (g) => g.node("Reshape", [x(g, ["N", 3, 4]), g.vector([0, -1])])],
    ["a deduced symbol", [4, "N"], (g) => g.node("Reshape", [x(g, ["N", 4]), g.vector([4, -1])])],
    ["tiling once", ["N", 6], (g) => g.node("Tile", [x(g, ["N", 3]), g.vector([1, 2])])],
    ["padding by nothing", ["N", 5], (g) => g.node("Pad", [x(g, ["N", 3]), g.vector([0, 1, 0, 1])])],
    ["padding as much as is cropped", ["N"], (g) => g.node("Pad", [x(g, ["N"]), g.vector([1, -1])])],
    [
      "a convolution padded to the same size",
      ["N", 8, "H", "W"],
      (g) => g.node("Conv", [x(g, ["N", 4, "H", "W"]), x(g, [8, 4, 3, 1])], { pads: [1, 0, 1, 0] }),
    ],
    [
      "SAME with stride 1",
      ["N", 4, "H"],
      (g) => g.node("MaxPool", [x(g, ["N", 4, "H"])], { kernel_shape: [3], auto_pad: "SAME_UPPER" }),
    ],
    [
      "a transposed convolution cropped to the same size",
      ["N", 8, "T"],
      (g) => g.node("ConvTranspose", [x(g, ["N", 4, "T"]), x(g, [4, 8, 3])], { pads: [1, 1] }),
    ],
    [
      "resizing by 1",
      ["N", 4, "H", 6],
      (g) => g.node("Resize", [x(g, ["N", 4, "H", 3]), undefined, g.vector([1, 1, 1, 2], "float32")]),
    ],
    ["a product", ["N", "M", 5], (g) => g.node("MatMul", [x(g, ["N", "M", 4]), x(g, [4, 5])])],
    [
      "one block",
      [1, 3, "H", "W"],
      (g) => g.node("SpaceToDepth", [x(g, [1, 3, "H", "W"])], { blocksize: 1 }),
    ],
    ["a split into one", ["N"], (g) => g.node("Split", [x(g, ["N"])], { num_outputs: 1 })],
    ["a range up to a size", ["N"], (g) => rangeTo(g)],
    [
      "expansion to a shape",
      ["N", "T"],
      (g) => g.node("Expand", [x(g, [1]), g.node("Shape", [x(g, ["N", "T"])])]),
    ],
    ["a filled shape", ["N", 2], (g) => g.node("ConstantOfShape", [g.node("Shape", [x(g, ["N", 2])])])],
  ];
  for (const [name, shape, build] of rows) {
    test(name, () => expect(build(new Graph()).shape).toEqual(shape));
  }
});

function rangeTo(g: Graph): Value {
  const size = g.node("Squeeze", [g.node("Shape", [x(g, ["N"])]), g.vector([0])]);
  return g.node("Range", [g.scalar(0, "int64"), size, g.scalar(1, "int64")]);
}

describe("only the size that is not known is unknown", () => {
  const unknown = expect.stringMatching(/^unknown_\d+$/u);
  const vector = (g: Graph, length: Dim) => g.input("v", "int64", [length]);
  const rows: readonly [string, readonly unknown[] | undefined, (graph: Graph) => Value][] = [
    ["two symbols that broadcast", [unknown, 3], (g) => g.node("Add", [x(g, ["N", 3]), x(g, ["M", 3])])],
    [
      "two symbols side by side",
      [unknown, 2],
      (g) => g.node("Concat", [x(g, ["N", 2]), x(g, ["M", 2])], { axis: 0 }),
    ],
    [
      "a part without a rank",
      [unknown, 2],
      (g) => g.node("Concat", [x(g, undefined), x(g, ["M", 2])], { axis: 0 }),
    ],
    ["a symbol sliced", [unknown, 2], (g) => g.node("Slice", [x(g, ["N", 2]), g.vector([1]), g.vector([9])])],
    ["a slice at run time", [unknown, 2], (g) => g.node("Slice", [x(g, [4, 2]), vector(g, 1), vector(g, 1)])],
    [
      "a slice of axes known at run time",
      [unknown, unknown],
      (g) => g.node("Slice", [x(g, [4, 2]), vector(g, 1), vector(g, 1), vector(g, 1)]),
    ],
    [
      "a step known at run time",
      [unknown, 2],
      (g) => g.node("Slice", [x(g, [4, 2]), g.vector([0]), g.vector([2]), g.vector([0]), vector(g, 1)]),
    ],
    [
      "reshaping to a vector of known length",
      [unknown, unknown],
      (g) => g.node("Reshape", [x(g, [6]), vector(g, 2)]),
    ],
    [
      "reshaping to a vector of unknown length",
      undefined,
      (g) => g.node("Reshape", [x(g, [6]), vector(g, "R")]),
    ],
    [
      "a size deduced from two symbols",
      [unknown],
      (g) => g.node("Reshape", [x(g, ["N", "M"]), g.vector([-1])]),
    ],
    [
      "expanding to a vector of known length",
      [unknown, unknown],
      (g) => g.node("Expand", [x(g, [1]), vector(g, 2)]),
    ],
    ["expanding what has no rank", undefined, (g) => g.node("Expand", [x(g, undefined), g.vector([2])])],
    ["repeats known at run time", [unknown, unknown], (g) => g.node("Tile", [x(g, [2, 2]), vector(g, 2)])],
    ["pads known at run time", [unknown], (g) => g.node("Pad", [x(g, [2]), vector(g, 2)])],
    [
      "pads of axes known at run time",
      [unknown],
      (g) => g.node("Pad", [x(g, [2]), vector(g, 2), undefined, vector(g, 1)]),
    ],
    ["squeezed axes known at run time", [unknown], (g) => g.node("Squeeze", [x(g, [1, 3]), vector(g, 1)])],
    ["all axes of size 1 squeezed, one a symbol", undefined, (g) => g.node("Squeeze", [x(g, [1, "N"])])],
    [
      "unsqueezed axes known at run time",
      [unknown, unknown],
      (g) => g.node("Unsqueeze", [x(g, [3]), vector(g, 1)]),
    ],
    ["a split of a symbol", [unknown, 2], (g) => g.node("Split", [x(g, ["N", 2])], { num_outputs: 2 })],
    ["a split known at run time", [unknown, 2], (g) => g.node("Split", [x(g, [4, 2]), vector(g, 2)])],
    [
      "reduced axes known at run time",
      [unknown],
      (g) => g.node("ReduceSum", [x(g, [4, 2]), vector(g, 1)], { keepdims: 0 }),
    ],
    ["the same, kept", [unknown, unknown], (g) => g.node("ReduceSum", [x(g, [4, 2]), vector(g, 1)])],
    [
      "how many, unknown as well",
      undefined,
      (g) => g.node("ReduceSum", [x(g, [4, 2]), vector(g, "R")], { keepdims: 0 }),
    ],
    ["everything reduced", [], (g) => g.node("ReduceSum", [x(g, undefined)], { keepdims: 0 })],
    [
      "gathering by indices without a rank",
      undefined,
      (g) => g.node("Gather", [x(g, [2]), g.input("i", "int64", undefined)]),
    ],
    ["gathering at an unknown depth", undefined, (g) => g.node("GatherND", [x(g, [2]), vector(g, "D")])],
    [
      "a stride over a symbol",
      [1, 2, unknown],
      (g) => g.node("Conv", [x(g, [1, 3, "T"]), x(g, [2, 3, 3])], { strides: [2] }),
    ],
    [
      "a kernel of unknown size",
      [1, 2, unknown],
      (g) => g.node("Conv", [x(g, [1, 3, 9]), x(g, [2, 3, "K"])]),
    ],
    [
      "a transposed kernel of unknown size",
      [1, 2, unknown],
      (g) => g.node("ConvTranspose", [x(g, [1, 3, 9]), x(g, [3, 2, "K"])]),
    ],
    [
      "an image without a rank",
      [unknown, 2, unknown],
      (g) => g.node("Conv", [x(g, undefined), x(g, [2, 3, 3])]),
    ],
    [
      "scales known at run time",
      [1, 1, 2, 3].map(() => unknown),
      (g) => g.node("Resize", [x(g, [1, 1, 2, 3]), undefined, x(g, [4])]),
    ],
    [
      "sizes with a kept aspect ratio",
      [unknown, unknown],
      (g) =>
        g.node("Resize", [x(g, [2, 3]), undefined, undefined, g.vector([4, 4])], {
          keep_aspect_ratio_policy: "not_larger",
        }),
    ],
    [
      "a range to a float known at run time",
      [unknown],
      (g) => g.node("Range", [x(g, []), x(g, []), x(g, [])]),
    ],
  ];
  for (const [name, shape, build] of rows) {
    test(name, () => {
      const graph = new Graph();
      expect(build(graph).shape as unknown).toEqual(shape);
    });
  }
});

describe("sequences", () => {
  const sequenceOf = (g: Graph, ...shapes: readonly (readonly Dim[])[]) =>
    g.node(
      "SequenceConstruct",
      shapes.map((shape) => x(g, shape)),
    );

  test("keep the shape their elements share", () => {
    const graph = new Graph();
    const unknown = expect.stringMatching(/^unknown_/u);
    const sequence = sequenceOf(graph, [2, 3], [2, 4]);
    expect(sequence).toMatchObject({ dtype: "float32", shape: [2, unknown], isSequence: true });
    expect(sequenceOf(graph, [2], [2, 4]).shape).toBeUndefined();
    const longer = graph.node("SequenceInsert", [sequenceOf(graph, [2, 3]), x(graph, [2, 3])]);
    expect(longer).toMatchObject({ shape: [2, 3], isSequence: true });
    const index = graph.scalar(0, "int64");
    expect(graph.node("SequenceAt", [longer, index])).toMatchObject({
      dtype: "float32",
      shape: [2, 3],
      isSequence: undefined,
    });
    expect(graph.node("SequenceErase", [longer, index])).toMatchObject({ shape: [2, 3], isSequence: true });
    expect(graph.node("SequenceLength", [longer])).toMatchObject({ dtype: "int64", shape: [] });
    expect(graph.node("ConcatFromSequence", [longer], { axis: 0 }).shape).toEqual([unknown, 3]);
    expect(graph.node("ConcatFromSequence", [longer], { axis: -1, new_axis: 1 }).shape).toEqual([
      2,
      3,
      unknown,
    ]);
  });

  test("an empty one has a type and no shape", () => {
    const graph = new Graph();
    const empty = graph.node("SequenceEmpty", [], { dtype: onnxType.int32 });
    expect(empty).toMatchObject({ dtype: "int32", shape: undefined, isSequence: true });
    expect(graph.node("SequenceAt", [empty, graph.scalar(0, "int64")]).shape).toBeUndefined();
    expect(graph.node("ConcatFromSequence", [empty], { axis: 0 }).shape).toBeUndefined();
  });

  test("split keeps the size that all parts have", () => {
    const graph = new Graph();
    const unknown = expect.stringMatching(/^unknown_/u);
    const split = (size: Value | undefined, keepdims = 1) =>
      graph.node("SplitToSequence", [x(graph, [6, 2]), size], { axis: 0, keepdims }).shape;
    expect(split(undefined)).toEqual([1, 2]);
    expect(split(undefined, 0)).toEqual([2]);
    expect(split(graph.scalar(3, "int64"))).toEqual([3, 2]);
    expect(split(graph.scalar(4, "int64"))).toEqual([unknown, 2]);
    expect(split(graph.vector([3, 3]))).toEqual([3, 2]);
    expect(split(graph.vector([2, 4]))).toEqual([unknown, 2]);
    expect(split(graph.input("n", "int64", []))).toEqual([unknown, 2]);
    expect(graph.node("SplitToSequence", [x(graph, undefined)], { axis: 0 }).shape).toBeUndefined();
  });

  test("a tensor is no sequence", () => {
    const graph = new Graph();
    expect(() => graph.node("SequenceLength", [x(graph, [2])])).toThrow("input 0 must be a sequence");
  });
});

describe("a call that ONNX does not allow is our mistake", () => {
  const rows: readonly [string, string, (graph: Graph) => unknown][] = [
    ["an op without a rule", "ONNX op NoSuchOp has no inference rule", (g) => g.node("NoSuchOp", [])],
    [
      "a name every object has",
      "ONNX op constructor has no inference rule",
      (g) => g.node("constructor", []),
    ],
    ["a missing input", "Cannot add ONNX op Relu: input 0 is missing", (g) => g.node("Relu", [])],
    ["a missing attribute", 'attribute "axis" is missing', (g) => g.node("Concat", [x(g, [2])])],
    [
      "an attribute that is no integer",
      'attribute "axis" must be an integer',
      (g) => g.node("Concat", [x(g, [2])], { axis: 0.5 }),
    ],
    [
      "an attribute that is no list",
      'attribute "perm" must be a list of integers',
      (g) => g.node("Transpose", [x(g, [2])], { perm: "0" }),
    ],
    [
      "an attribute that is no text",
      'attribute "auto_pad" must be a string',
      (g) => g.node("MaxPool", [x(g, [1, 1, 2])], { kernel_shape: [1], auto_pad: 1 }),
    ],
    [
      "an element type without a number",
      'attribute "to" names no element type: 8',
      (g) => g.node("Cast", [x(g, [2])], { to: 8 }),
    ],
    [
      "a pool without a kernel",
      'attribute "kernel_shape" is missing',
      (g) => g.node("MaxPool", [x(g, [1, 1, 2])]),
    ],
    ["random numbers without a shape", 'attribute "shape" is missing', (g) => g.node("RandomNormal", [])],
    [
      "a recurrent layout that does not run",
      "only layout 0",
      (g) =>
        g.node("GRU", [x(g, [1, 1, 1]), x(g, [1, 3, 1]), x(g, [1, 3, 1])], { layout: 1, hidden_size: 1 }),
    ],
    [
      "an equation for other inputs",
      'equation "ij" does not fit 2 inputs',
      (g) => g.node("Einsum", [x(g, [1, 1]), x(g, [1])], { equation: "ij" }),
    ],
    [
      "an equation with a new letter",
      'names "k" in its result only',
      (g) => g.node("Einsum", [x(g, [1, 1])], { equation: "ij->k" }),
    ],
    [
      "no outputs to split into",
      '"num_outputs" is 0',
      (g) => g.node("Split", [x(g, [2])], { num_outputs: 0 }),
    ],
  ];
  for (const [name, message, build] of rows) {
    test(name, () => expectError("INTERNAL", message, build));
  }
});

describe("element types that contradict each other are the program's mistake", () => {
  const rows: readonly [string, string, (graph: Graph) => unknown][] = [
    [
      "two element types",
      "inputs float32[2] and int32[] differ in element type",
      (g) => g.node("Add", [x(g, [2]), g.scalar(1, "int32")]),
    ],
    [
      "an index of the wrong type",
      "input 1 must be int32 or int64, got float32[]",
      (g) => g.node("Gather", [x(g, [2]), g.scalar(1, "float32")]),
    ],
  ];
  for (const [name, message, build] of rows) {
    test(name, () => expectError("BAD_MODEL", message, build));
  }
});

describe("sizes that contradict each other are reported with the op and its inputs", () => {
  const rows: readonly [string, string, (graph: Graph) => unknown][] = [
    [
      "broadcasting",
      "ONNX op Add(float32[2], float32[3]): sizes 2 and 3 do not broadcast",
      (g) => g.node("Add", [x(g, [2]), x(g, [3])]),
    ],
    ["a product", "sizes 3 and 4 differ", (g) => g.node("MatMul", [x(g, [2, 3]), x(g, [4, 2])])],
    ["a scalar in a product", "a scalar is no matrix", (g) => g.node("MatMul", [x(g, []), x(g, [4, 2])])],
    [
      "a product of other ranks",
      "input 0 must have rank 2",
      (g) => g.node("Gemm", [x(g, [2, 3, 4]), x(g, [4, 2])]),
    ],
    ["concatenated ranks", "ranks differ", (g) => g.node("Concat", [x(g, [2]), x(g, [2, 2])], { axis: 0 })],
    ["an axis", "axis 2 is outside rank 2", (g) => g.node("Concat", [x(g, [2, 2])], { axis: 2 })],
    [
      "an axis named twice",
      "axes [0, -2] name one axis twice",
      (g) => g.node("ReduceSum", [x(g, [2, 2]), g.vector([0, -2])]),
    ],
    [
      "a permutation",
      "perm [0] does not fit its rank",
      (g) => g.node("Transpose", [x(g, [2, 2])], { perm: [0] }),
    ],
    ["a reshape", "6 elements do not fill [4, 2]", (g) => g.node("Reshape", [x(g, [6]), g.vector([4, 2])])],
    [
      "a deduced size",
      "6 elements do not divide by 4",
      (g) => g.node("Reshape", [x(g, [6]), g.vector([4, -1])]),
    ],
    ["two deduced sizes", "two sizes of -1", (g) => g.node("Reshape", [x(g, [6]), g.vector([-1, -1])])],
    ["a negative size", "is negative", (g) => g.node("Reshape", [x(g, [6]), g.vector([-2, -3])])],
    [
      "a copied size",
      "no axis 1 to copy the size from",
      (g) => g.node("Reshape", [x(g, [6]), g.vector([6, 0])]),
    ],
    ["a squeezed axis", "axis 0 has size 2, not 1", (g) => g.node("Squeeze", [x(g, [2]), g.vector([0])])],
    ["a flattened axis", "axis 3 is outside its rank", (g) => g.node("Flatten", [x(g, [2])], { axis: 3 })],
    ["repeats", "1 repeats do not fit its rank", (g) => g.node("Tile", [x(g, [2, 2]), g.vector([1])])],
    ["negative repeats", "has a negative size", (g) => g.node("Tile", [x(g, [2]), g.vector([-1])])],
    ["pads", "3 pads do not fit 2 axes", (g) => g.node("Pad", [x(g, [2, 2]), g.vector([1, 1, 1])])],
    [
      "a crop beyond the size",
      "a size of -1 is impossible",
      (g) => g.node("Pad", [x(g, [2]), g.vector([-1, -2])]),
    ],
    [
      "parts of a split",
      "parts [1, 2] do not add up to 4",
      (g) => g.node("Split", [x(g, [4]), g.vector([1, 2])]),
    ],
    [
      "a step of zero",
      "a step is 0",
      (g) => g.node("Slice", [x(g, [4]), g.vector([0]), g.vector([1]), g.vector([0]), g.vector([0])]),
    ],
    [
      "a window larger than the image",
      "a size of -1 is impossible",
      (g) => g.node("Conv", [x(g, [1, 1, 2]), x(g, [1, 1, 4])]),
    ],
    [
      "kernel and image",
      "ranks of image and kernel do not fit",
      (g) => g.node("Conv", [x(g, [1, 1, 2]), x(g, [1, 1, 4, 4])]),
    ],
    [
      "a pooling kernel",
      "the kernel has 2 spatial axes",
      (g) => g.node("MaxPool", [x(g, [1, 1, 2])], { kernel_shape: [1, 1] }),
    ],
    [
      "strides",
      '"strides" must have 1 values, got 2',
      (g) => g.node("MaxPool", [x(g, [1, 1, 2])], { kernel_shape: [1], strides: [1, 1] }),
    ],
    [
      "a stride of zero",
      "must be at least 1",
      (g) => g.node("MaxPool", [x(g, [1, 1, 2])], { kernel_shape: [1], strides: [0] }),
    ],
    [
      "a resize",
      "2 sizes do not fit",
      (g) => g.node("Resize", [x(g, [2]), undefined, undefined, g.vector([1, 1])]),
    ],
    [
      "scales",
      "2 scales do not fit",
      (g) => g.node("Resize", [x(g, [2]), undefined, g.vector([1, 1], "float32")]),
    ],
    [
      "a grid",
      "the grid's rank does not fit",
      (g) => g.node("GridSample", [x(g, [1, 1, 2, 2]), x(g, [1, 2, 2])]),
    ],
    [
      "blocks",
      "sizes do not divide by the block size",
      (g) => g.node("DepthToSpace", [x(g, [1, 3, 2, 2])], { blocksize: 2 }),
    ],
    ["no blocks", '"blocksize" is 0', (g) => g.node("DepthToSpace", [x(g, [1, 3, 2, 2])], { blocksize: 0 })],
    ["no image", "rank 4 is needed", (g) => g.node("DepthToSpace", [x(g, [1, 3])], { blocksize: 1 })],
    [
      "a range without an end",
      "delta is 0",
      (g) => g.node("Range", [g.scalar(0, "int64"), g.scalar(1, "int64"), g.scalar(0, "int64")]),
    ],
    ["a filled shape", "has a negative size", (g) => g.node("ConstantOfShape", [g.vector([-2])])],
    [
      "a rank beyond belief",
      "a result of rank 65 is impossible",
      (g) => g.node("Reshape", [x(g, [2]), g.input("v", "int64", [65])]),
    ],
    [
      "a depth of indices",
      "indices of depth 2 do not fit",
      (g) => g.node("GatherND", [x(g, [2]), g.input("v", "int64", [2])]),
    ],
    [
      "a term of an equation",
      '"ij" does not fit its rank',
      (g) => g.node("Einsum", [x(g, [2])], { equation: "ij->i" }),
    ],
    [
      "a count",
      "a size of -1 is impossible",
      (g) => g.node("TopK", [x(g, [2]), g.vector([-1])], {}, { outputs: 1 }),
    ],
    [
      "a normalized axis",
      "axis 2 is outside its rank",
      (g) => g.node("LayerNormalization", [x(g, [2]), x(g, [2])], { axis: 2 }),
    ],
    [
      "an overflowing size",
      "is impossible",
      (g) => g.node("Flatten", [x(g, [2 ** 40, 2 ** 40])], { axis: 0 }),
    ],
  ];
  for (const [name, message, build] of rows) {
    test(name, () => expectError("BAD_MODEL", message, build));
  }
});

function expectError(code: string, message: string, build: (graph: Graph) => unknown): void {
  let thrown: unknown;
  try {
    build(new Graph());
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(CoremlxError);
  expect(thrown).toMatchObject({ code, message: expect.stringContaining(message) as string });
}

describe("properties", () => {
  const shapes = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 4 });

  test("broadcasting is what aligning from the right and stretching ones gives", () => {
    fc.assert(
      fc.property(shapes, shapes, (a, b) => {
        const graph = new Graph();
        const add = () => graph.node("Add", [x(graph, a), x(graph, b)]).shape;
        const expected = stretched(a, b);
        if (expected === undefined) expect(add).toThrow("do not broadcast");
        else expect(add()).toEqual(expected);
      }),
      { seed: 7 },
    );
  });

  test("a slice has as many elements as walking it finds, and they are the ones it finds", () => {
    const bound = fc.integer({ min: -8, max: 8 });
    const step = bound.filter((value) => value !== 0);
    fc.assert(
      fc.property(fc.nat({ max: 6 }), bound, bound, step, (size, start, end, stride) => {
        const graph = new Graph();
        const items = Array.from({ length: size }, (_, index) => index * 10);
        const parameters = [[start], [end], [0], [stride]].map((values) => graph.vector(values));
        const result = graph.node("Slice", [graph.vector(items), ...parameters]);
        expect(constantNumbers(result)).toEqual(walked(items, start, end, stride));
        expect(result.shape).toEqual([walked(items, start, end, stride).length]);
      }),
      { numRuns: 500, seed: 7 },
    );
  });
});

function stretched(a: readonly number[], b: readonly number[]): number[] | undefined {
  const result: number[] = [];
  for (let back = 1; back <= Math.max(a.length, b.length); back++) {
    const [left, right] = [a.at(-back) ?? 1, b.at(-back) ?? 1];
    if (left !== right && left !== 1 && right !== 1) return undefined;
    result.unshift(left === 1 ? right : left);
  }
  return result;
}

/** ONNX's words: negative bounds count from the end, a start outside moves to the nearest element (unlike numpy's). */
function walked(items: readonly number[], start: number, end: number, step: number): number[] {
  const size = items.length;
  let at = start < 0 ? start + size : start;
  const stop = end < 0 ? end + size : end;
  at = step > 0 ? Math.max(at, 0) : Math.max(0, Math.min(at, size - 1));
  const found: number[] = [];
  for (; step > 0 ? at < stop && at < size : at > stop && at >= 0; at += step) {
    const item = items[at];
    if (item !== undefined) found.push(item);
  }
  return found;
}
