// Shape arithmetic of a program folds where sizes are known, and stays right where only the run knows them.

import { describe, expect, test } from "bun:test";
import { type Tensor, tensorOf } from "../../../src/core/tensor.ts";
import type { MilFunction, MilOp, MilType } from "../../../src/formats/mil.ts";
import { lower } from "../../../src/lowering/lower.ts";
import { prune } from "../../../src/onnx/prune.ts";
import { expectAllClose } from "../../support/close.ts";
import { milFunction, milOp, tensorType } from "../../support/mil-program.ts";
import { runFunction } from "../../support/op-cases.ts";

const int = tensorType("int32", []);
const vector = tensorType("int32", [undefined]);
const float = tensorType("float32");

const size = milOp("shape", { x: "=x" }, { size: tensorType("int32", [3]) });
const axis = (index: number, name: string): MilOp =>
  milOp("gather", { x: "=size", indices: index }, { [name]: int });
const join = (parts: readonly string[], name: string): MilOp =>
  milOp("concat", { values: parts, axis: 0 }, { [name]: vector });
const constant = (name: string, value: number): MilOp => ({
  ...milOp("const", {}, { [name]: int }),
  attributes: new Map([["val", { kind: "tensor", ...tensorOf("int32", [value], []), source: undefined }]]),
});

/** x [b, l, w] -> [b, l, 2, w / 2] -> [b, 2, l, w / 2] -> [b * 2, l * (w / 2)], as exporters write it. */
const heads: readonly MilOp[] = [
  size,
  axis(0, "b"),
  axis(1, "l"),
  axis(-1, "w"),
  constant("two", 2),
  milOp("floor_div", { x: "=w", y: 2 }, { part: int }),
  join(["=b", "=l", "=two", "=part"], "split_shape"),
  milOp("reshape", { x: "=x", shape: "=split_shape" }, { split: float }),
  milOp("transpose", { x: "=split", perm: [0, 2, 1, 3] }, { moved: float }),
  milOp("mul", { x: "=b", y: "=two" }, { rows: int }),
  milOp("mul", { x: "=l", y: "=part" }, { columns: int }),
  join(["=rows", "=columns"], "flat_shape"),
  milOp("reshape", { x: "=moved", shape: "=flat_shape" }, { y: float }),
];

function input(shape: readonly number[]): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return tensorOf(
    "float32",
    Array.from({ length: count }, (_, i) => i),
    shape,
  );
}

/** What `heads` gives, element by element. */
function headsOf(shape: readonly [number, number, number]): Tensor {
  const [b, l, w] = shape;
  const half = w / 2;
  const values = Array.from({ length: b * l * w }, (_, at) => {
    const [head, rest] = [Math.floor(at / (l * half)) % 2, at % (l * half)];
    const batch = Math.floor(at / (l * w));
    return batch * l * w + Math.floor(rest / half) * w + head * half + (rest % half);
  });
  return tensorOf("float32", values, [b * 2, l * half]);
}

function nodesOf(fn: MilFunction): readonly string[] {
  const { graph } = lower(fn);
  return (prune(graph).nodes.get(graph) ?? []).map(({ op }) => op);
}

describe("shape arithmetic", () => {
  const over = (x: MilType, operations: readonly MilOp[], output = "y") =>
    milFunction({ x }, operations, [output]);

  test("of known sizes leaves nothing but what moves data", async () => {
    const fn = over(tensorType("float32", [2, 3, 4]), heads);
    expect(nodesOf(fn)).toEqual(["Reshape", "Transpose", "Reshape", "Identity"]);
    expectAllClose(await runFunction(fn, new Map([["x", input([2, 3, 4])]])), { y: headsOf([2, 3, 4]) });
  });

  test("of one unknown size needs none at run time either", async () => {
    for (const shape of [
      [undefined, 3, 4],
      [2, undefined, 4],
    ]) {
      const fn = over(tensorType("float32", shape), heads);
      expect(nodesOf(fn).filter((op) => op === "Shape")).toEqual([]);
      for (const known of [1, 5]) {
        const [b = known, l = known, w = known] = shape;
        expectAllClose(await runFunction(fn, new Map([["x", input([b, l, w])]])), { y: headsOf([b, l, w]) });
      }
    }
  });

  test("of all sizes unknown is right for each of them", async () => {
    const fn = over(tensorType("float32", [undefined, undefined, undefined]), heads);
    for (const shape of [
      [2, 3, 4],
      [1, 1, 2],
      [3, 2, 6],
    ] as const) {
      expectAllClose(await runFunction(fn, new Map([["x", input(shape)]])), { y: headsOf(shape) });
    }
  });

  test("of sizes that only the declared types of results give is used as well", () => {
    const source = milOp("non_zero", { x: "=x" }, { found: tensorType("int32", [6, 3]) });
    const measured = milOp("shape", { x: "=found" }, { size: tensorType("int32", [2]) });
    const fn = over(tensorType("float32", [2, 3, 4]), [
      source,
      measured,
      axis(0, "n"),
      constant("two", 2),
      milOp("floor_div", { x: "=n", y: 2 }, { half: int }),
      join(["=half", "=two"], "shape"),
      milOp("fill", { shape: "=shape", value: 1.5 }, { y: float }),
    ]);
    expect(lower(fn).outputs.map(({ shape }) => shape)).toEqual([[3, 2]]);
  });

  test("keeps a size it follows through slices, so that the whole axis is no slice", () => {
    const fn = over(tensorType("float32", [undefined, 3, 4]), [
      size,
      milOp("slice_by_index", { x: "=size", begin: [0], end: [2] }, { head: tensorType("int32", [2]) }),
      constant("four", 4),
      join(["=head", "=four"], "shape"),
      milOp("reshape", { x: "=x", shape: "=shape" }, { y: float }),
    ]);
    expect(nodesOf(fn)).toEqual(["Identity"]);
  });

  test("is followed through split", () => {
    const one = tensorType("int32", [1]);
    const fn = over(tensorType("float32", [undefined, 3, 4]), [
      size,
      milOp("split", { x: "=size", num_splits: 3, axis: 0 }, { b: one, l: one, w: one }),
      join(["=w", "=l", "=b"], "shape"),
      milOp("reshape", { x: "=x", shape: "=shape" }, { y: float }),
    ]);
    expect(nodesOf(fn)).toEqual(["Reshape", "Identity"]);
    expect(lower(fn).outputs.map(({ shape }) => shape)).toEqual([[4, 3, "x_d0"]]);
  });

  test("with a value of the run keeps the sizes around it", () => {
    const fn = milFunction(
      { x: tensorType("float32", [4, 8, 6]), from: tensorType("int32", [1]) },
      [
        constant("zero", 0),
        join(["=zero", "=from", "=zero"], "begin"),
        milOp(
          "slice_by_size",
          { x: "=x", begin: "=begin", size: [4, 2, 6] },
          { y: tensorType("float32", [4, 2, 6]) },
        ),
      ],
      ["y"],
    );
    const { graph } = lower(fn);
    const slices = graph.nodes.filter(({ op }) => op === "Slice");
    expect(slices.map(({ inputs }) => graph.initializers.get(inputs[3] ?? "")?.shape)).toEqual([[1]]);
  });
});
