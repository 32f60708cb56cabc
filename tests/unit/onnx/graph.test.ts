// Graphs under construction: names, constants, subgraphs and what is known of a value.

import { describe, expect, test } from "bun:test";
import { f32, tensorOf } from "../../../src/core/tensor.ts";
import { Graph } from "../../../src/onnx/graph.ts";
import { describeType } from "../../../src/onnx/types.ts";

describe("names", () => {
  test("are unique over a graph and its subgraphs, and carry the scope", () => {
    const graph = new Graph();
    graph.scope = "conv_1";
    const x = graph.input("x", "float32", [2]);
    const body = graph.subgraph();
    expect(graph.input("x", "float32", [2]).name).toBe("x_1");
    expect(graph.node("Relu", [x]).name).toBe("conv_1/Relu");
    expect(body.node("Relu", [x]).name).toBe("conv_1/Relu_1");
    expect(body.constant(f32([1])).name).toBe("conv_1/constant");
    expect(graph.output("x", x).name).toBe("x_2");
    graph.scope = "";
    expect(graph.node("Relu", [x]).name).toBe("Relu");
  });

  test("of a result do not come from the value that typed it", () => {
    const graph = new Graph();
    const one = graph.scalar(1, "float32");
    const result = graph.node("Anything", [one], {}, { types: [one] });
    expect(result).toMatchObject({ name: "Anything", dtype: "float32", shape: [] });
    expect(result.constant).toBeUndefined();
  });
});

describe("constants", () => {
  test("that are small and equal are one initializer, written once it is used", () => {
    const graph = new Graph();
    const a = graph.vector([1, 2]);
    expect(graph.subgraph().vector([1, 2])).toBe(a);
    expect(graph.scalar(1, "float32")).not.toBe(graph.scalar(1, "float16"));
    expect(graph.constant(f32([1, 2], [1, 2]))).not.toBe(graph.constant(f32([1, 2], [2, 1])));
    expect(graph.initializers.size).toBe(0);
    graph.node("Add", [graph.input("x", "int64", [2]), a]);
    expect([...graph.initializers.keys()]).toEqual([a.name]);
  });

  test("keep the ends of int64", () => {
    const { constant } = new Graph().vector([2 ** 63, -(2 ** 63), 7]);
    expect(constant).toEqual(tensorOf("int64", [2n ** 63n - 1n, -(2n ** 63n), 7n]));
  });

  test("swallow the node that computes with them only", () => {
    const graph = new Graph();
    const sum = graph.node("Add", [graph.vector([1]), graph.vector([2])]);
    expect(sum.constant).toEqual(tensorOf("int64", [3]));
    expect(graph.nodes).toEqual([]);
  });
});

test("a node gives as many results as asked for, and its types must suffice", () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", [4]);
  const results = graph.nodeList("TopK", [x, graph.vector([2])], {}, { outputs: 2 });
  expect(results.map(({ dtype, shape }) => ({ dtype, shape }))).toEqual([
    { dtype: "float32", shape: [2] },
    { dtype: "int64", shape: [2] },
  ]);
  expect(() => graph.nodeList("Relu", [x], {}, { outputs: 2 })).toThrow(
    "Relu is typed with 1 results, not 2",
  );
});

test("cast gives the value itself where the type is right", () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", [4]);
  expect(graph.cast(x, "float32")).toBe(x);
  expect(graph.cast(x, "float16")).toMatchObject({ dtype: "float16", shape: [4] });
});

test("sizes cast to int32 and back are the sizes", () => {
  const graph = new Graph();
  const size = graph.node("Shape", [graph.input("x", "float32", ["N"])]);
  expect(graph.cast(graph.cast(size, "int32"), "int64")).toBe(size);
});

describe("refine", () => {
  const graph = new Graph();
  const typed = (shape: readonly (number | string)[] | undefined) =>
    graph.node("Anything", [], {}, { types: [{ dtype: "float32", shape }] });

  test("prefers numbers, then what is declared, then what was inferred", () => {
    expect(graph.refine(typed([2, "N", "M", "K"]), [3, 4, "P", undefined]).shape).toEqual([2, 4, "P", "K"]);
  });

  test("gives a shape where none is known, with fresh symbols for its gaps", () => {
    const unknown = expect.stringMatching(/^unknown_/u);
    expect(graph.refine(typed(undefined), [3, undefined]).shape).toEqual([3, unknown]);
  });

  test("keeps the value where nothing is declared, the ranks differ, or it is constant", () => {
    const value = typed([2]);
    const constant = graph.vector([1]);
    expect(graph.refine(value, undefined)).toBe(value);
    expect(graph.refine(value, [2, 3])).toBe(value);
    expect(graph.refine(constant, [9])).toBe(constant);
  });
});

test("a type is described by element type and sizes", () => {
  expect(describeType({ dtype: "float32", shape: [1, "N"] })).toBe("float32[1, N]");
  expect(describeType({ dtype: "bool", shape: undefined })).toBe("bool[?]");
});
