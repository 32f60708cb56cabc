// cond and while_loop on programs written by hand; whole packages are in tests/models/packages.test.ts.

import { describe, expect, test } from "bun:test";
import { CoremlxError } from "../../src/core/errors.ts";
import { f32, type Tensor, tensorOf } from "../../src/core/tensor.ts";
import type { MilFunction, MilOp, MilType } from "../../src/formats/mil.ts";
import { lower } from "../../src/lowering/lower.ts";
import { expectAllClose } from "../support/close.ts";
import { listType, milBlock, milFunction, milOp, stateType, tensorType } from "../support/mil-program.ts";
import { milValue, runFunction } from "../support/op-cases.ts";

const float = tensorType("float32", []);
const int = tensorType("int32", []);
const bool = tensorType("bool", []);
const row = tensorType("float32", [3]);

async function gives(
  fn: MilFunction,
  inputs: Readonly<Record<string, Tensor>>,
  expected: Readonly<Record<string, Tensor>>,
): Promise<void> {
  for (const precision of ["float32", "model"] as const) {
    expectAllClose(await runFunction(fn, new Map(Object.entries(inputs)), precision), expected);
  }
}

/** The failure of lowering a function. */
function failure(fn: MilFunction): { code: string; message: string } {
  try {
    lower(fn);
  } catch (error) {
    if (error instanceof CoremlxError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("Lowering succeeded");
}

/** The ONNX ops of the outermost graph, in order. */
function opsOf(fn: MilFunction): readonly string[] {
  return lower(fn).graph.nodes.map(({ op }) => op);
}

describe("cond", () => {
  const twice = milBlock({}, [milOp("add", { x: "=x", y: "=x" }, { a: row })], ["a"]);
  const less = milBlock({}, [milOp("sub", { x: "=x", y: 1.5 }, { b: row })], ["b"]);
  const choose = milOp("cond", { pred: "=p" }, { y: row }, [twice, less]);
  const x = f32([1, 2, 3]);

  test("takes one of its blocks", async () => {
    const fn = milFunction({ x: row, p: bool }, [choose], ["y"]);
    await gives(fn, { x, p: tensorOf("bool", [1], []) }, { y: f32([2, 4, 6]) });
    await gives(fn, { x, p: tensorOf("bool", [0], []) }, { y: f32([-0.5, 0.5, 1.5]) });
  });

  test("takes a predicate of one element", async () => {
    const fn = milFunction({ x: row, p: tensorType("bool", [1]) }, [choose], ["y"]);
    await gives(fn, { x, p: tensorOf("bool", [1]) }, { y: f32([2, 4, 6]) });
  });

  test("with a known predicate is its block, without If", async () => {
    for (const [pred, y] of [
      [true, f32([2, 4, 6])],
      [false, f32([-0.5, 0.5, 1.5])],
    ] as const) {
      const fn = milFunction({ x: row }, [milOp("cond", { pred }, { y: row }, [twice, less])], ["y"]);
      expect(opsOf(fn)).not.toContain("If");
      await gives(fn, { x }, { y });
    }
  });

  test("gives outer values and constants out as they are", async () => {
    const nothing = milBlock({}, [], ["x"]);
    const constant = milBlock({}, [milOp("fill", { shape: [3], value: 7.5 }, { c: row })], ["c"]);
    const fn = milFunction(
      { x: row, p: bool },
      [milOp("cond", { pred: "=p" }, { y: row }, [nothing, constant])],
      ["y"],
    );
    await gives(fn, { x, p: tensorOf("bool", [1], []) }, { y: x });
    await gives(fn, { x, p: tensorOf("bool", [0], []) }, { y: f32([7.5, 7.5, 7.5]) });
  });

  test("has results of different sizes where the program declares none", async () => {
    const open = tensorType("float32", [undefined]);
    const head = milBlock(
      {},
      [milOp("slice_by_size", { x: "=x", begin: [0], size: [1] }, { h: tensorType("float32", [1]) })],
      ["h"],
    );
    const tail = milBlock(
      {},
      [milOp("slice_by_size", { x: "=x", begin: [1], size: [2] }, { t: tensorType("float32", [2]) })],
      ["t"],
    );
    const size = milOp("shape", { x: "=y" }, { n: tensorType("int32", [1]) });
    const fn = milFunction(
      { x: row, p: bool },
      [milOp("cond", { pred: "=p" }, { y: open }, [head, tail]), size],
      ["y", "n"],
    );
    await gives(fn, { x, p: tensorOf("bool", [1], []) }, { y: f32([1]), n: tensorOf("int32", [1]) });
    await gives(fn, { x, p: tensorOf("bool", [0], []) }, { y: f32([2, 3]), n: tensorOf("int32", [2]) });
  });

  test("gives a list out of either block", async () => {
    const make = (name: string) =>
      milOp(
        "make_list",
        { init_length: 2, dynamic_length: false, elem_shape: [3], dtype: "fp32" },
        { [name]: listType("float32", [3]) },
      );
    const written = (index: number, name: string) =>
      milBlock(
        {},
        [
          make(`${name}0`),
          milOp("list_write", { ls: `=${name}0`, index, value: "=x" }, { [name]: listType("float32", [3]) }),
        ],
        [name],
      );
    const fn = milFunction(
      { x: row, p: bool },
      [
        milOp("cond", { pred: "=p" }, { ls: listType("float32", [3]) }, [written(0, "l"), written(1, "m")]),
        milOp("list_write", { ls: "=ls", index: 1, value: "=x" }, { ls2: listType("float32", [3]) }),
        milOp("list_gather", { ls: "=ls2", indices: [0, 1] }, { y: tensorType("float32", [2, 3]) }),
      ],
      ["y"],
    );
    await gives(fn, { x, p: tensorOf("bool", [1], []) }, { y: f32([1, 2, 3, 1, 2, 3], [2, 3]) });
    await gives(fn, { x, p: tensorOf("bool", [0], []) }, { y: f32([0, 0, 0, 1, 2, 3], [2, 3]) });
  });

  test("refuses blocks that do not fit", () => {
    const bare = milFunction(
      { x: row, p: bool },
      [milOp("cond", { pred: "=p" }, { y: row }, [twice])],
      ["y"],
    );
    expect(failure(bare)).toEqual({
      code: "BAD_MODEL",
      message: 'Cannot lower cond "y": it must have two blocks, got 1',
    });
    const surplus = milFunction(
      { x: row, p: bool },
      [milOp("cond", { pred: "=p" }, { y: row, z: row }, [twice, less])],
      ["y"],
    );
    expect(failure(surplus)).toEqual({
      code: "BAD_MODEL",
      message: 'Cannot lower cond "y": 2 results do not fit the 1 outputs of a block',
    });
  });
});

describe("while_loop", () => {
  /** i < limit */
  const below = (limit: string | number, types: Readonly<Record<string, MilType>>) =>
    milBlock(types, [milOp("less", { x: "=i", y: limit }, { go: bool })], ["go"]);
  const next = milOp("add", { x: "=i", y: 1 }, { i1: int });
  const variables = { i: int, v: row };

  function counting(body: readonly MilOp[], limit: string | number = "=n"): MilFunction {
    const loop = milOp("while_loop", { loop_vars: ["=zero", "=x"] }, { j: int, y: row }, [
      below(limit, variables),
      milBlock(variables, [next, ...body], ["i1", "v1"]),
    ]);
    return milFunction({ x: row, n: int }, [constant("zero", 0), loop], ["j", "y"]);
  }
  const constant = (name: string, value: number): MilOp => milOp("identity", { x: value }, { [name]: int });
  const doubled = milOp("add", { x: "=v", y: "=v" }, { v1: row });
  const x = f32([1, -2, 3]);

  test("runs its body while the condition holds, and not once where it does not", async () => {
    const fn = counting([doubled]);
    await gives(
      fn,
      { x, n: tensorOf("int32", [3], []) },
      { j: tensorOf("int32", [3]), y: f32([8, -16, 24]) },
    );
    await gives(fn, { x, n: tensorOf("int32", [0], []) }, { j: tensorOf("int32", [0]), y: x });
  });

  test("with a condition known to be false gives its variables, without Loop", async () => {
    const fn = counting([doubled], 0);
    expect(opsOf(fn)).not.toContain("Loop");
    await gives(fn, { x, n: tensorOf("int32", [3], []) }, { j: tensorOf("int32", [0]), y: x });
  });

  test("of a few known iterations is written out, without Loop", async () => {
    const fn = counting([doubled], 3);
    expect(opsOf(fn)).not.toContain("Loop");
    await gives(
      fn,
      { x, n: tensorOf("int32", [0], []) },
      { j: tensorOf("int32", [3]), y: f32([8, -16, 24]) },
    );
    const long = counting([doubled], 130);
    expect(opsOf(long)).toContain("Loop");
    const tiny = f32([2 ** -30, 0, -(2 ** -31)]);
    const y = f32([2 ** 100, 0, -(2 ** 99)]);
    await gives(long, { x: tiny, n: tensorOf("int32", [0], []) }, { j: tensorOf("int32", [130]), y });
  });

  test("hides outer constants behind block inputs of the same name", async () => {
    const loop = milOp("while_loop", { loop_vars: ["=k", "=x"] }, { j: int, y: row }, [
      milBlock({ k: int, x: row }, [milOp("less", { x: "=k", y: 2 }, { go: bool })], ["go"]),
      milBlock(
        { k: int, x: row },
        [
          milOp("add", { x: "=k", y: 1 }, { k1: int }),
          milOp("gather", { x: "=x", indices: "=k" }, { p: float }),
          milOp("add", { x: "=x", y: "=p" }, { x1: row }),
        ],
        ["k1", "x1"],
      ),
    ]);
    const k: MilOp = {
      ...milOp("const", {}, { k: int }),
      attributes: new Map([["val", { kind: "tensor", ...tensorOf("int32", [0], []), source: undefined }]]),
    };
    const fn = milFunction({ x: row }, [k, loop], ["j", "y"]);
    // [1, -2, 3] + 1 = [2, -1, 4], then + -1
    await gives(fn, { x }, { j: tensorOf("int32", [2]), y: f32([1, -2, 3]) });
  });

  test("a body may exchange its variables, or give out what lies around it", async () => {
    const pair = { i: int, v: row, w: row };
    const loop = milOp("while_loop", { loop_vars: ["=zero", "=x", "=x2"] }, { j: int, y: row, z: row }, [
      below("=n", pair),
      milBlock(pair, [next], ["i1", "w", "x2"]),
    ]);
    const fn = milFunction(
      { x: row, n: int },
      [constant("zero", 0), milOp("add", { x: "=x", y: "=x" }, { x2: row }), loop],
      ["y", "z"],
    );
    await gives(fn, { x, n: tensorOf("int32", [1], []) }, { y: f32([2, -4, 6]), z: f32([2, -4, 6]) });
  });

  test("carries half precision, sizes that change and results without a declared rank", async () => {
    const half = tensorType("float16", [undefined]);
    const growing = { i: int, v: half };
    const loop = milOp("while_loop", { loop_vars: ["=zero", "=x"] }, { j: int, y: tensorType("float16") }, [
      below(2, growing),
      milBlock(
        growing,
        [next, milOp("concat", { values: ["=v", "=x"], axis: 0, interleave: false }, { v1: half })],
        ["i1", "v1"],
      ),
    ]);
    const fn = milFunction({ x: tensorType("float16", [2]) }, [constant("zero", 0), loop], ["y"]);
    const y = tensorOf("float16", [1.5, 2, 1.5, 2, 1.5, 2]);
    await gives(fn, { x: tensorOf("float16", [1.5, 2]) }, { y });
  });

  test("a condition may hold a loop of its own", async () => {
    const inner = milOp("while_loop", { loop_vars: ["=c"] }, { c2: int }, [
      milBlock({ c: int }, [milOp("less", { x: "=c", y: 2 }, { more: bool })], ["more"]),
      milBlock({ c: int }, [milOp("add", { x: "=c", y: 1 }, { c1: int })], ["c1"]),
    ]);
    const condition = milBlock(
      variables,
      [milOp("identity", { x: "=i" }, { c: int }), inner, milOp("less", { x: "=i", y: "=c2" }, { go: bool })],
      ["go"],
    );
    const loop = milOp("while_loop", { loop_vars: ["=zero", "=x"] }, { j: int, y: row }, [
      condition,
      milBlock(variables, [next, doubled], ["i1", "v1"]),
    ]);
    await gives(
      milFunction({ x: row }, [constant("zero", 0), loop], ["j", "y"]),
      { x },
      { j: tensorOf("int32", [2]), y: f32([4, -8, 12]) },
    );

    const deeper = milBlock(
      { c: int },
      [{ ...loop, outputs: [] }, milOp("less", { x: "=c", y: 2 }, { more: bool })],
      ["more"],
    );
    const third = milOp("while_loop", { loop_vars: ["=zero"] }, { q: int }, [
      deeper,
      milBlock({ c: int }, [], ["c"]),
    ]);
    expect(failure(milFunction({ x: row }, [constant("zero", 0), third], ["q"]))).toEqual({
      code: "UNSUPPORTED",
      message:
        'Cannot lower while_loop "q": a loop in the condition of a loop in a condition is not supported',
    });
  });

  test("refuses what does not fit", () => {
    const two = [below("=n", variables), milBlock(variables, [next, doubled], ["i1", "v1"])] as const;
    const loopOf = (
      blocks: MilOp["blocks"],
      outputs: Readonly<Record<string, MilType>> = { j: int, y: row },
    ) =>
      milFunction(
        { x: row, n: int, memory: stateType("float16", [3]) },
        [constant("zero", 0), milOp("while_loop", { loop_vars: ["=zero", "=x"] }, outputs, blocks)],
        ["j"],
      );
    const messages = [
      loopOf([two[0]]),
      loopOf([below("=n", { i: int }), two[1]]),
      loopOf([two[0], milBlock({ i: int }, [next], ["i1"])]),
      loopOf([two[0], milBlock(variables, [next], ["i1"])]),
      loopOf(two, { j: int }),
      loopOf([milBlock(variables, [], []), two[1]]),
      loopOf([two[0], milBlock({ i: int, v: tensorType("float32", [4]) }, [next], ["i1", "v"])]),
      loopOf([two[0], milBlock({ i: int, v: stateType("float16", [3]) }, [next], ["i1", "v"])]),
      loopOf([
        milBlock(
          variables,
          [milOp("write_state", { input: "=memory", data: "=x" }), ...two[0].operations],
          ["go"],
        ),
        two[1],
      ]),
    ].map((fn) => failure(fn).message.replace('Cannot lower while_loop "j": ', ""));
    expect(messages).toEqual([
      "it must have two blocks, got 1",
      "2 loop variables do not fit 1 inputs of its condition",
      "2 loop variables do not fit 1 inputs of its body",
      "2 loop variables do not fit 1 outputs of its body",
      "2 loop variables do not fit 1 results",
      "its condition must have one output, got 0",
      'loop variable "v" has shape [4] and starts with [3]',
      'loop variable "v" of its type is not supported',
      "a state written by a loop condition is not supported",
    ]);
  });

  test("starts with numbers written in place beside a list", async () => {
    const go = milBlock(
      { i: int, ls: listType("float32", [3]) },
      [milOp("less", { x: "=i", y: "=n" }, { more: bool })],
      ["more"],
    );
    const body = milBlock(
      { j: int, rows: listType("float32", [3]) },
      [
        milOp("list_write", { ls: "=rows", index: "=j", value: "=x" }, { longer: listType("float32", [3]) }),
        milOp("add", { x: "=j", y: 1 }, { next: int }),
      ],
      ["next", "longer"],
    );
    const loop: MilOp = {
      ...milOp("while_loop", {}, { end: int, list: listType("float32", [3]) }, [go, body]),
      inputs: new Map([
        [
          "loop_vars",
          [
            { kind: "value", value: milValue(0) },
            { kind: "name", name: "start" },
          ],
        ],
      ]),
    };
    const list = milOp(
      "make_list",
      { init_length: 1, dynamic_length: true, elem_shape: [3], dtype: "fp32" },
      { start: listType("float32", [3]) },
    );
    const gather = milOp(
      "list_gather",
      { ls: "=list", indices: [1, 0] },
      { y: tensorType("float32", [2, 3]) },
    );
    const fn = milFunction({ x: row, n: int }, [list, loop, gather], ["y"]);
    const expected = { y: f32([1, 2, 3, 1, 2, 3], [2, 3]) };
    await gives(fn, { x: f32([1, 2, 3]), n: tensorOf("int32", [2], []) }, expected);
  });
});

describe("custom_layer", () => {
  test("is missing under its class name", () => {
    const layer = (name: string | undefined, y: string): MilOp => ({
      ...milOp("custom_layer", { x: "=x" }, { [y]: row }),
      attributes: new Map(
        name === undefined ? [] : [["class_name", { kind: "strings", shape: [], values: [name] }]],
      ),
    });
    const fn = milFunction(
      { x: row },
      [layer("Swirl", "a"), layer("Swirl", "b"), layer("Blur", "c"), layer(undefined, "d")],
      ["a"],
    );
    expect(failure(fn)).toEqual({
      code: "UNSUPPORTED",
      message:
        'Cannot run function "main": no lowering for custom_layer "Swirl" (2), custom_layer "Blur" (1), custom_layer (1)',
    });
  });
});
