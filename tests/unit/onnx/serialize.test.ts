// Written models, read back by the protobuf decoder and run by ONNX Runtime.

import { describe, expect, test } from "bun:test";
import { fromBinary, toJson } from "@bufbuild/protobuf";
import { join } from "node:path";
import { CoremlxError } from "../../../src/core/errors.ts";
import { f32, numbersOf, type Tensor, tensorOf } from "../../../src/core/tensor.ts";
import { ModelProtoSchema } from "../../../src/onnx/gen/onnx_pb.ts";
import { Graph } from "../../../src/onnx/graph.ts";
import {
  commonFolder,
  maxModelBytes,
  serializeForExport,
  serializeModel,
  type SerializeOptions,
} from "../../../src/onnx/serialize.ts";
import type { Attributes, Constant, Value } from "../../../src/onnx/types.ts";
import { portableRuntime } from "../../support/portable.ts";
import { tempFolder } from "../../support/temp.ts";

function written(graph: Graph, options?: SerializeOptions) {
  return fromBinary(ModelProtoSchema, serializeModel(graph, options).bytes);
}

async function run(
  model: Uint8Array<ArrayBuffer>,
  inputs: Readonly<Record<string, Tensor>>,
  externalDataFolder?: string,
) {
  const runtime = await portableRuntime();
  const options = externalDataFolder === undefined ? { threads: 1 } : { threads: 1, externalDataFolder };
  using session = runtime.createSession(model, options);
  const results = session.run(new Map(Object.entries(inputs)));
  return Object.fromEntries(
    [...results].map(([name, y]) => [name, { shape: y.shape, values: [...numbersOf(y)] }]),
  );
}

test("a model carries versions, inputs, outputs, nodes and weights", () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["N", 2, graph.unknownDim()]);
  const sum = graph.node("Add", [x, graph.constant(f32([1, 2], [2, 1]))]);
  graph.output("y", sum);
  expect(toJson(ModelProtoSchema, written(graph, { producerVersion: "0.1.0" }))).toEqual({
    irVersion: "10",
    producerName: "coremlx",
    producerVersion: "0.1.0",
    opsetImport: [{ version: "21" }],
    graph: {
      name: "coremlx",
      input: [
        {
          name: "x",
          type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: "N" }, { dimValue: "2" }, {}] } } },
        },
      ],
      output: [
        {
          name: "y",
          type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: "N" }, { dimValue: "2" }, {}] } } },
        },
      ],
      node: [
        { name: "Add", opType: "Add", input: ["x", "constant"], output: ["Add"] },
        { name: "y", opType: "Identity", input: ["Add"], output: ["y"] },
      ],
      initializer: [{ name: "constant", dims: ["2", "1"], dataType: 1, rawData: "AACAPwAAAEA=" }],
    },
  });
});

test("a value of unknown rank has a type without a shape, a sequence the type of its elements", () => {
  const graph = new Graph();
  graph.input("x", "bool", undefined);
  graph.output("parts", graph.node("SplitToSequence", [graph.input("y", "int64", [4])], { axis: 0 }));
  const { input, output } = written(graph).graph ?? {};
  expect(input?.[0]?.type?.value).toMatchObject({ case: "tensorType", value: { elemType: 9 } });
  expect(input?.[0]?.type?.value.value).not.toHaveProperty("shape");
  expect(output?.[0]?.type?.value).toMatchObject({
    case: "sequenceType",
    value: { elemType: { value: { case: "tensorType", value: { elemType: 7 } } } },
  });
});

describe("attributes", () => {
  const attributesOf = (op: string, attributes: Attributes) => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [1]);
    graph.output("y", graph.node(op, [x], attributes, { types: [{ dtype: "float32", shape: [1] }] }));
    return written(graph).graph?.node[0]?.attribute.map(
      ({ name, type, f, i, s, ints, floats, strings, t }) => ({
        name,
        type,
        value: f ?? i ?? s ?? t?.rawData ?? [...ints, ...floats, ...strings],
      }),
    );
  };

  test("take their kind from the value, and from the name where ONNX wants a float", () => {
    const utf8 = new TextEncoder();
    const attributes = {
      axis: 1,
      zero: 0,
      big: 2n ** 62n,
      alpha: 2,
      epsilon: 0,
      mode: "linear",
      pads: [1, 2],
      activation_alpha: [0, 0.5],
      activations: ["Tanh", "Relu"],
      nothing: undefined,
      empty: [],
      value: tensorOf("int32", [5]),
    };
    expect(attributesOf("Elu", attributes)).toEqual([
      { name: "axis", type: 2, value: 1n },
      { name: "zero", type: 2, value: 0n },
      { name: "big", type: 2, value: 2n ** 62n },
      { name: "alpha", type: 1, value: 2 },
      { name: "epsilon", type: 1, value: 0 },
      { name: "mode", type: 3, value: utf8.encode("linear") },
      { name: "pads", type: 7, value: [1n, 2n] },
      { name: "activation_alpha", type: 6, value: [0, 0.5] },
      { name: "activations", type: 8, value: [utf8.encode("Tanh"), utf8.encode("Relu")] },
      { name: "empty", type: 7, value: [] },
      { name: "value", type: 4, value: new Uint8Array([5, 0, 0, 0]) },
    ]);
  });

  test("a seed is a float, except in Dropout", () => {
    expect(attributesOf("Bernoulli", { seed: 3 })).toEqual([{ name: "seed", type: 1, value: 3 }]);
    expect(attributesOf("Dropout", { seed: 3 })).toEqual([{ name: "seed", type: 2, value: 3n }]);
  });

  test("the ends of int64 stay ends", () => {
    expect(attributesOf("Shape", { start: -(2 ** 63), end: 2 ** 63 })).toEqual([
      { name: "start", type: 2, value: -(2n ** 63n) },
      { name: "end", type: 2, value: 2n ** 63n - 1n },
    ]);
  });

  test("a fraction where ONNX wants an integer is our mistake", () => {
    const message = 'Cannot write Elu "Elu": "axis" must be an integer, got 0.5';
    expect(() => attributesOf("Elu", { axis: 0.5 })).toThrow(message);
    expect(() => attributesOf("Elu", { axis: NaN })).toThrow("must be an integer, got NaN");
    expect(() => attributesOf("Elu", { axis: [0.5] })).toThrow("must be an integer, got 0.5");
  });
});

describe("operator sets", () => {
  const domains = (domain: string, options?: SerializeOptions) => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [1]);
    graph.output("y", graph.node("Op", [x], {}, { domain, types: [x] }));
    return written(graph, options).opsetImport.map((entry) => [entry.domain, entry.version]);
  };

  test("are listed where they are used", () => {
    expect(domains("com.microsoft")).toEqual([
      ["", 21n],
      ["com.microsoft", 1n],
    ]);
    expect(domains("ai.onnx.ml")).toEqual([
      ["", 21n],
      ["ai.onnx.ml", 4n],
    ]);
    expect(domains("mine", { opsets: { mine: 2, "": 20 } })).toEqual([
      ["", 20n],
      ["mine", 2n],
    ]);
  });

  test("an unknown domain is our mistake", () => {
    expect(() => domains("elsewhere")).toThrow('Cannot write ONNX op Op: domain "elsewhere" has no version');
  });
});

test("absent inputs are empty names, and left out at the end", () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", [3]);
  graph.output("y", graph.node("Clip", [x, undefined, graph.scalar(1, "float32")]));
  graph.output("z", graph.node("Clip", [x, graph.scalar(0, "float32"), undefined]));
  expect(written(graph).graph?.node.map(({ input }) => input)).toEqual([
    ["x", "", "constant"],
    ["Clip"],
    ["x", "constant_1"],
    ["Clip_1"],
  ]);
});

describe("what no result needs", () => {
  test("is not written: nodes, weights, and what only subgraphs that are gone used", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2]);
    const used = graph.constant(f32([1, 2]));
    const unused = graph.constant(f32([3, 4]));
    graph.node("Relu", [graph.node("Add", [x, unused])]);
    const branch = graph.subgraph();
    branch.output("a", branch.node("Add", [x, unused]));
    graph.node(
      "If",
      [graph.input("c", "bool", [])],
      { then_branch: branch, else_branch: branch },
      { types: [x] },
    );
    graph.output("y", graph.node("Mul", [x, used]));
    const { node, initializer } = written(graph).graph ?? {};
    expect(node?.map(({ opType }) => opType)).toEqual(["Mul", "Identity"]);
    expect(initializer?.map(({ name }) => name)).toEqual([used.name]);
  });

  test("a node with one result in use stays, and what a subgraph captures", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [4]);
    const [, indices = x] = graph.nodeList("TopK", [x, graph.vector([2])], {}, { outputs: 2 });
    const doubled = graph.node("Add", [x, x]);
    const [yes, no] = [graph.subgraph(), graph.subgraph()];
    yes.node("Exp", [doubled]);
    yes.output("a", yes.node("Neg", [doubled]));
    no.output("b", no.node("Abs", [doubled]));
    const chosen = graph.node(
      "If",
      [graph.input("c", "bool", [])],
      { then_branch: yes, else_branch: no },
      { types: [x] },
    );
    graph.output("y", chosen);
    graph.output("i", indices);
    const nodes = written(graph).graph?.node ?? [];
    expect(nodes.map(({ opType }) => opType)).toEqual(["TopK", "Add", "If", "Identity", "Identity"]);
    const branches = nodes[2]?.attribute.map(({ g }) => g?.node.map(({ opType }) => opType));
    expect(branches).toEqual([
      ["Neg", "Identity"],
      ["Abs", "Identity"],
    ]);
  });

  test("blocks nested without end are refused", () => {
    let inner = new Graph();
    const root = inner;
    const condition = root.input("c", "bool", []);
    const x = root.input("x", "float32", [1]);
    const outer: [Graph, Graph][] = [];
    for (let depth = 0; depth < 300; depth++) {
      const body = inner.subgraph();
      outer.push([inner, body]);
      inner = body;
    }
    let value = inner.node("Relu", [x]);
    for (const [graph, body] of outer.toReversed()) {
      body.output("r", value);
      value = graph.node("If", [condition], { then_branch: body, else_branch: body }, { types: [x] });
    }
    root.output("y", value);
    expect(() => serializeModel(root)).toThrow("blocks are nested more than 256 deep");
  });
});

test("If, Loop and sequences run", async () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["N"]);
  const [yes, no] = [graph.subgraph(), graph.subgraph()];
  yes.output("a", yes.node("Mul", [x, yes.scalar(2, "float32")]));
  no.output("b", no.node("Neg", [x]));
  const isPositive = graph.node("Greater", [
    graph.node("ReduceSum", [x], { keepdims: 0 }),
    graph.scalar(0, "float32"),
  ]);
  const chosen = graph.node("If", [isPositive], { then_branch: yes, else_branch: no }, { types: [x] });

  const body = graph.subgraph();
  body.input("i", "int64", []);
  const going = body.input("going", "bool", []);
  const carried = body.input("v", "float32", ["N"]);
  const list = body.input("list", "float32", undefined, { isSequence: true });
  body.output("going_out", going);
  const next = body.node("Add", [carried, chosen]);
  body.output("v_out", next);
  body.output("list_out", body.node("SequenceInsert", [list, next]));
  const empty = graph.node("SequenceEmpty", [], { dtype: 1 });
  const [last, parts] = graph.nodeList(
    "Loop",
    [graph.scalar(3, "int64"), undefined, x, empty],
    { body },
    {
      outputs: 2,
      types: [x, empty],
    },
  );
  if (last === undefined || parts === undefined) throw new Error("two results expected");
  graph.output("last", last);
  graph.output("all", graph.node("ConcatFromSequence", [parts], { axis: 0, new_axis: 1 }));
  expect(await run(serializeModel(graph).bytes, { x: f32([1, 2]) })).toEqual({
    last: { shape: [2], values: [7, 14] },
    all: { shape: [3, 2], values: [3, 6, 5, 10, 7, 14] },
  });
});

test("4-bit weights are written as they are packed, the first in the low half of a byte", async () => {
  const graph = new Graph();
  const packed: Constant = { dtype: "int4", shape: [3], bytes: new Uint8Array([0xf1, 0x07]) };
  const wide = graph.node("DequantizeLinear", [graph.constant(packed), graph.scalar(0.5, "float32")]);
  graph.output("y", graph.node("Add", [wide, graph.input("x", "float32", [3])]));
  expect(await run(serializeModel(graph).bytes, { x: f32([0, 0, 0]) })).toEqual({
    y: { shape: [3], values: [0.5, -0.5, 3.5] },
  });
});

test("weights of every element type and of no elements arrive", async () => {
  const graph = new Graph();
  const kinds = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float64",
  ] as const;
  for (const dtype of kinds) graph.output(dtype, graph.constant(tensorOf(dtype, [1, 0, 1])));
  graph.output("none", graph.constant(f32([], [0, 2])));
  const expected = Object.fromEntries(kinds.map((dtype) => [dtype, { shape: [3], values: [1, 0, 1] }]));
  const given = await run(serializeModel(graph).bytes, {});
  expect(given).toEqual({ ...expected, none: { shape: [0, 2], values: [] } });
});

test("bytes that do not fill the shape are our mistake", () => {
  const graph = new Graph();
  const wrong = graph.constant({ dtype: "float32", shape: [100], bytes: new Uint8Array(12) });
  graph.output("y", wrong);
  expect(() => serializeModel(graph)).toThrow(
    'Cannot write "constant": float32[100] takes 400 bytes, got 12',
  );
});

describe("weights in files", () => {
  /** A graph whose weight of 512 float32, all 1.5, lies at byte 64 of a file. */
  async function graphWithFile(path: string): Promise<Graph> {
    const weight = f32(Array.from({ length: 512 }, () => 1.5));
    const content = new Uint8Array(64 + weight.bytes.length);
    content.set(weight.bytes, 64);
    await Bun.write(path, content);
    const graph = new Graph();
    const constant = graph.constant({ ...weight, source: { path, offset: 64 } });
    const sum = graph.node("ReduceSum", [graph.node("Mul", [constant, graph.input("x", "float32", [1])])], {
      keepdims: 0,
    });
    graph.output("y", sum);
    return graph;
  }

  test("are referenced relative to the folder, and ONNX Runtime finds them there", async () => {
    using temp = tempFolder();
    const graph = await graphWithFile(join(temp.path, "weights", "weight.bin"));
    const { bytes, externalFolder } = serializeModel(graph, { external: { folder: temp.path } });
    expect(externalFolder).toBe(temp.path);
    const model = fromBinary(ModelProtoSchema, bytes);
    expect(model.graph?.initializer[0]).toMatchObject({
      dataLocation: 1,
      dims: [512n],
      rawData: new Uint8Array(),
      externalData: [
        { key: "location", value: "weights/weight.bin" },
        { key: "offset", value: "64" },
        { key: "length", value: "2048" },
      ],
    });
    expect(await run(bytes, { x: f32([2]) }, temp.path)).toEqual({ y: { shape: [], values: [1536] } });
  });

  test("small ones, those outside the folder, and all of them without a folder are written into the model", async () => {
    using temp = tempFolder();
    const graph = await graphWithFile(join(temp.path, "weight.bin"));
    for (const external of [
      { folder: temp.path, minBytes: 2049 },
      { folder: join(temp.path, "other") },
      { folder: `${temp.path}-other` },
      undefined,
    ]) {
      const { bytes, externalFolder } = serializeModel(graph, external && { external });
      expect(externalFolder).toBeUndefined();
      expect(await run(bytes, { x: f32([2]) })).toEqual({ y: { shape: [], values: [1536] } });
    }
  });

  test("commonFolder is the deepest folder that holds them all", () => {
    const at = (...paths: string[]) => {
      const graph = new Graph();
      paths.forEach((path, index) =>
        graph.output("y", graph.constant({ ...f32([index]), source: { path, offset: 0 } })),
      );
      return commonFolder(graph);
    };
    expect(at()).toBeUndefined();
    expect(at("/a/b/w.bin")).toBe("/a/b");
    expect(at("/a/b/w.bin", "/a/b/v.bin")).toBe("/a/b");
    expect(at("/a/b/w.bin", "/a/c/w.bin")).toBe("/a");
    expect(at("/a/b/w.bin", "/a/bc/w.bin", "/a/b/d/w.bin")).toBe("/a");
    expect(at("/a/w.bin", "/b/w.bin")).toBe("/");
  });
});

describe("export", () => {
  function largeGraph(): Graph {
    const graph = new Graph();
    const x = graph.input("x", "float32", [1]);
    const fill = (value: number, length: number): Value =>
      graph.constant(f32(Array.from({ length }, () => value)));
    const parts = [fill(1, 300), fill(2, 500), fill(3, 2)].map((part) =>
      graph.node("ReduceSum", [graph.node("Mul", [part, x])], { keepdims: 0 }),
    );
    graph.output("y", graph.node("Sum", parts));
    return graph;
  }

  test("a small model is one file", async () => {
    const { model, data } = serializeForExport(largeGraph(), "m.onnx");
    expect(data).toBeUndefined();
    expect(await run(model, { x: f32([1]) })).toEqual({ y: { shape: [], values: [1306] } });
  });

  test("a large one keeps its weights beside it, from page boundaries", async () => {
    using temp = tempFolder();
    const { model, data } = serializeForExport(largeGraph(), "m.onnx", { maxBytes: 2048 });
    if (data === undefined) throw new Error("a second file expected");
    expect([data.name, data.byteLength]).toEqual(["m.onnx.data", 4096 + 2000]);
    await Bun.write(join(temp.path, data.name), new Blob([...data.chunks]));
    expect(Bun.file(join(temp.path, data.name)).size).toBe(data.byteLength);
    expect(await run(model, { x: f32([1]) }, temp.path)).toEqual({ y: { shape: [], values: [1306] } });
  });

  test("what protobuf cannot hold is refused in one file, and split in two for export", () => {
    const graph = new Graph();
    const bytes = new Uint8Array(new ArrayBuffer(2 ** 31)); // untouched memory costs nothing
    graph.output("y", graph.constant({ dtype: "uint8", shape: [2 ** 31], bytes }));
    let thrown: unknown;
    try {
      serializeModel(graph);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(CoremlxError);
    expect(thrown).toMatchObject({ code: "UNSUPPORTED", details: { maxBytes: maxModelBytes } });
    const { model, data } = serializeForExport(graph, "huge.onnx");
    expect(model.length).toBeLessThan(1000);
    expect(data?.byteLength).toBe(2 ** 31);
  });
});
