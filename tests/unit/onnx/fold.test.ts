// Folded results against ONNX Runtime's, both stored and by running the same node unfolded; and what must not be folded.

import { describe, expect, test } from "bun:test";
import { f32, numbersOf, tensorOf, type Tensor, zeros } from "../../../src/core/tensor.ts";
import { onnxType } from "../../../src/onnx/data-type.ts";
import { constantNumbers, foldNode } from "../../../src/onnx/fold.ts";
import { Graph } from "../../../src/onnx/graph.ts";
import { inferTypes } from "../../../src/onnx/infer.ts";
import { serializeModel } from "../../../src/onnx/serialize.ts";
import type { Attributes, Constant, Dim, Value } from "../../../src/onnx/types.ts";
import { type OnnxCase, onnxCases, valuesOf } from "../../support/onnx-cases.ts";
import { portableRuntime } from "../../support/portable.ts";

/** The node with every input constant. */
function fold(
  op: string,
  tensors: readonly (Tensor | undefined)[],
  attributes: Attributes = {},
): Constant | undefined {
  const graph = new Graph();
  const inputs = tensors.map((tensor) => tensor && graph.constant(tensor));
  const [type] = inferTypes({ op, inputs, attributes, count: 1, unknownDim: () => graph.unknownDim() });
  return foldNode(op, inputs, attributes, type).constant;
}

function foldCase(row: OnnxCase): Constant | undefined {
  const tensors = row.inputs.map((input) => input?.tensor);
  return row.outputs.length === 1 ? fold(row.op, tensors, row.attributes) : undefined;
}

function shown({ dtype, shape, bytes }: Pick<Constant, "dtype" | "shape" | "bytes">) {
  return {
    dtype,
    shape,
    values: dtype === "int4" || dtype === "uint4" ? [...bytes] : [...numbersOf({ dtype, bytes })],
  };
}

const cases = onnxCases();
const folded = cases.flatMap((row) => {
  const constant = foldCase(row);
  return constant ? [{ row, constant }] : [];
});

describe("a folded result is the one ONNX Runtime stored", () => {
  for (const { row, constant } of folded) {
    test(row.name, () => {
      const [output] = row.outputs;
      expect(shown(constant)).toEqual(shown(output?.tensor ?? tensorOf("bool", [])));
    });
  }
});

test("every op that can be folded is folded in some case", () => {
  const ops =
    "Abs Add And Cast Ceil Concat ConstantOfShape CumSum Div Equal Expand Flatten Floor Gather GatherND Greater " +
    "GreaterOrEqual Identity Less LessOrEqual Max Min Mod Mul Neg NonZero Not Or Pow Range ReduceMax ReduceMean ReduceMin " +
    "ReduceProd ReduceSum Reshape Round Shape Sign Size Slice Sqrt Squeeze Sub Tile Transpose Unsqueeze Where Xor";
  expect([...new Set(folded.map(({ row }) => row.op))].toSorted()).toEqual(ops.split(" "));
});

describe("ONNX Runtime runs what we write, and gives the types we infer and the values we fold", () => {
  const byOp = Map.groupBy(cases, ({ op }) => op);
  for (const [op, rows] of byOp) {
    test(`${op}, ${rows.length} cases`, async () => {
      const runtime = await portableRuntime();
      for (const row of rows) {
        const graph = new Graph();
        const inputs = valuesOf(row, graph);
        const results = graph.nodeList(op, inputs, row.attributes, { outputs: row.outputs.length });
        const outputs = results.map((result, index) => graph.output(`y${index}`, result));
        using session = runtime.createSession(serializeModel(graph).bytes, { threads: 1 });
        const feeds = row.inputs.flatMap((input, index): [string, Tensor][] =>
          input === undefined || input.isConstant ? [] : [[`x${index}`, input.tensor]],
        );
        const given = session.run(new Map(feeds));
        const types = outputs
          .map(({ name }) => given.get(name))
          .map((y) => ({ dtype: y?.dtype, shape: y?.shape }));
        expect([row.name, types]).toEqual([
          row.name,
          row.outputs.map(({ dtype, shape }) => ({ dtype, shape })),
        ]);
        const constant = foldCase(row);
        const run = given.get("y0");
        if (constant && run) expect([row.name, shown(run)]).toEqual([row.name, shown(constant)]);
      }
    });
  }
});

describe("what is not exact is left to ONNX Runtime", () => {
  const int64 = (values: readonly (number | bigint)[]) => tensorOf("int64", values);
  const int32 = (values: readonly number[]) => tensorOf("int32", values);
  const axis = tensorOf("int64", [0]);
  const rows: readonly [string, string, readonly Tensor[], Attributes?][] = [
    ["an integer divided by zero", "Div", [int32([1]), int32([0])]],
    ["an integer modulo zero", "Mod", [int32([1]), int32([0])]],
    ["a sum beyond 2^53", "Add", [int64([2 ** 52]), int64([2 ** 52])]],
    ["an operand beyond 2^53", "Sub", [int64([2n ** 60n]), int64([2n ** 60n])]],
    ["a product beyond 2^53", "Mul", [int32([2 ** 30]), int32([2 ** 30])]],
    ["a negative uint64", "Sub", [tensorOf("uint64", [1]), tensorOf("uint64", [2])]],
    ["NaN", "Div", [f32([0]), f32([0])]],
    ["the root of a negative number", "Sqrt", [f32([-1])]],
    ["a fractional power", "Pow", [f32([2]), f32([0.5])]],
    ["a negative power of an integer", "Pow", [int32([2]), int32([-1])]],
    ["a sum that depends on order", "ReduceSum", [f32([0.1, 0.2]), axis]],
    ["a product beyond the type", "ReduceProd", [f32([4097, 4097]), axis]],
    ["a running sum that depends on order", "CumSum", [f32([0.1, 0.2]), tensorOf("int64", [0], [])]],
    ["a mean that rounds", "ReduceMean", [f32([1, 2]), axis]],
    ["the largest of nothing", "ReduceMax", [zeros("float32", [0]), axis], { keepdims: 1 }],
    [
      "a step that rounds",
      "Range",
      [tensorOf("float32", [0], []), tensorOf("float32", [1], []), tensorOf("float32", [0.1], [])],
    ],
    ["a cast out of range", "Cast", [f32([3e9])], { to: onnxType.int32 }],
    ["a negative number cast to unsigned", "Cast", [f32([-1])], { to: onnxType.uint8 }],
    ["infinity cast to an integer", "Cast", [f32([Infinity])], { to: onnxType.int64 }],
    [
      "a cast that rounds twice",
      "Cast",
      [tensorOf("float64", [1 + 2 ** -11 + 2 ** -40])],
      { to: onnxType.float16 },
    ],
    ["a gather outside the axis", "Gather", [int64([1, 2]), int64([2])], { axis: 0 }],
    ["a gather outside an axis", "GatherND", [int64([1, 2]), tensorOf("int64", [-3], [1, 1])]],
    ["bfloat16 arithmetic", "Add", [tensorOf("bfloat16", [1]), tensorOf("bfloat16", [2])]],
    ["a large operand", "Neg", [zeros("float32", [4097])]],
    ["a large result", "Expand", [f32([1]), int64([4097])]],
  ];
  for (const [name, op, tensors, attributes] of rows) {
    test(name, () => expect(fold(op, tensors, attributes)).toBeUndefined());
  }

  test("4-bit elements", () => {
    const graph = new Graph();
    const nibbles: Constant = { dtype: "int4", shape: [2], bytes: new Uint8Array([0x21]) };
    const value = graph.constant(nibbles);
    expect(graph.node("Identity", [value]).constant).toBeUndefined();
    expect(graph.node("Cast", [value], { to: onnxType.int8 }).constant).toBeUndefined();
    expect(constantNumbers(value)).toBeUndefined();
  });
});

test("bfloat16 is moved and widened without loss", () => {
  const x = tensorOf("bfloat16", [1.5, -2, 1.5 * 2 ** 100]);
  expect(shown(fold("Cast", [x], { to: onnxType.float32 }) ?? x)).toEqual({
    dtype: "float32",
    shape: [3],
    values: [1.5, -2, 1.5 * 2 ** 100],
  });
  expect(fold("Slice", [x, tensorOf("int64", [1]), tensorOf("int64", [2])])).toEqual(
    tensorOf("bfloat16", [-2]),
  );
});

describe("sizes are followed through the arithmetic on them", () => {
  const known = (
    build: (graph: Graph) => { elements?: Value["elements"]; constant?: Constant | undefined },
  ) => {
    const { elements, constant } = build(new Graph());
    return constant ? [...numbersOf({ dtype: "int64", bytes: constant.bytes })] : elements;
  };
  const shapeOf = (g: Graph, ...shape: Dim[]) => g.node("Shape", [g.input("x", "float32", shape)]);

  test("the shape of a value whose sizes are known is a constant", () => {
    expect(known((g) => shapeOf(g, 2, 3))).toEqual([2, 3]);
    expect(known((g) => shapeOf(g))).toEqual([]);
  });

  test("Shape keeps symbols", () => {
    expect(known((g) => shapeOf(g, "N", 3))).toEqual(["N", 3]);
    const part = (g: Graph) =>
      g.node("Shape", [g.input("x", "float32", ["N", 3, "T"])], { start: 1, end: -1 });
    expect(known(part)).toEqual([3]);
  });

  test("nothing is known of a shape without a rank", () => {
    expect(known((g) => g.node("Shape", [g.input("x", "float32", undefined)]))).toBeUndefined();
    expect(known((g) => g.node("Size", [g.input("x", "float32", undefined)]))).toBeUndefined();
    expect(known((g) => g.node("Size", [g.input("x", "float32", ["N"])]))).toBeUndefined();
  });

  test("Gather, Slice, Squeeze, Unsqueeze, Reshape and Cast pass them on", () => {
    expect(known((g) => g.node("Gather", [shapeOf(g, "N", 3), g.scalar(1, "int64")]))).toEqual([3]);
    expect(known((g) => g.node("Gather", [shapeOf(g, "N", 3), g.scalar(-2, "int64")]))).toEqual(["N"]);
    expect(known((g) => g.node("Slice", [shapeOf(g, "N", 3, "T"), g.vector([1]), g.vector([9])]))).toEqual([
      3,
      "T",
    ]);
    const scalar = (g: Graph) => g.node("Squeeze", [shapeOf(g, "N"), g.vector([0])]);
    expect(known(scalar)).toEqual(["N"]);
    expect(known((g) => g.node("Unsqueeze", [scalar(g), g.vector([0])]))).toEqual(["N"]);
    expect(known((g) => g.node("Reshape", [scalar(g), g.vector([1])]))).toEqual(["N"]);
    const narrow = (g: Graph) => g.node("Cast", [scalar(g)], { to: onnxType.int32 });
    expect(known(narrow)).toEqual(["N"]);
    expect(known((g) => g.node("Cast", [narrow(g)], { to: onnxType.int64 }))).toEqual(["N"]);
    expect(known((g) => g.node("Cast", [scalar(g)], { to: onnxType.float32 }))).toBeUndefined();
  });

  test("Concat of known and followed parts is followed, and constant where all is known", () => {
    const first = (g: Graph) => g.node("Slice", [shapeOf(g, "N", 3), g.vector([0]), g.vector([1])]);
    const last = (g: Graph) => g.node("Slice", [shapeOf(g, "N", 3), g.vector([1]), g.vector([2])]);
    expect(known((g) => g.node("Concat", [first(g), g.vector([-1])], { axis: 0 }))).toEqual(["N", -1]);
    expect(known((g) => g.node("Concat", [last(g), g.vector([5])], { axis: 0 }))).toEqual([3, 5]);
  });

  test("arithmetic on a symbol, and a choice made at run time, are not followed", () => {
    expect(known((g) => g.node("Add", [shapeOf(g, "N"), g.vector([1])]))).toBeUndefined();
    expect(known((g) => g.node("Gather", [shapeOf(g, "N", 3), g.input("i", "int64", [1])]))).toBeUndefined();
    const join = (g: Graph, size: Value) => g.node("Concat", [size, g.input("i", "int64", [1])], { axis: 0 });
    expect(known((g) => join(g, g.input("j", "int64", [1])))).toBeUndefined();
    expect(known((g) => join(g, shapeOf(g, "N")))).toEqual(["N", undefined]);
    expect(known((g) => g.node("Gather", [join(g, shapeOf(g, "N")), g.vector([1])]))).toBeUndefined();
  });

  test("a followed shape vector gives Reshape its sizes", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["N", 3, 4]);
    const batch = graph.node("Slice", [graph.node("Shape", [x]), graph.vector([0]), graph.vector([1])]);
    const shape = graph.node("Concat", [batch, graph.vector([-1])], { axis: 0 });
    expect(graph.node("Reshape", [x, shape]).shape).toEqual(["N", 12]);
  });
});
