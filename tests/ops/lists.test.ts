// List ops on programs written by hand; lists in loops are in tests/models/packages.test.ts.

import { describe, expect, test } from "bun:test";
import type { ElementType } from "../../src/core/dtype.ts";
import { CoremlxError } from "../../src/core/errors.ts";
import { f32, type Tensor, tensorOf } from "../../src/core/tensor.ts";
import type { MilOp, MilType } from "../../src/formats/mil.ts";
import { lower } from "../../src/lowering/lower.ts";
import { expectAllClose } from "../support/close.ts";
import { listType, milFunction, milOp, tensorType } from "../support/mil-program.ts";
import { runFunction } from "../support/op-cases.ts";

const pair = listType("float32", [2]);
const x = f32([1, 2, 3, 4], [2, 2]);

function list(
  options: { length?: number | string; dynamic?: boolean; dtype?: string; type?: MilType } = {},
): MilOp {
  const { length = 2, dynamic = true, dtype = "fp32", type = pair } = options;
  return milOp(
    "make_list",
    { init_length: length, dynamic_length: dynamic, elem_shape: [2], dtype },
    { ls: type },
  );
}

/** Runs ops between the input x [2, 2] and y, and its size. */
async function run(
  operations: readonly MilOp[],
  inputs: Readonly<Record<string, Tensor>> = { x },
): Promise<Readonly<Record<string, Tensor>>> {
  const types = Object.entries(inputs).map(
    ([name, { dtype, shape }]) => [name, tensorType(dtype, shape)] as const,
  );
  const fn = milFunction(Object.fromEntries(types), operations, ["y"]);
  return runFunction(fn, new Map(Object.entries(inputs)));
}

const any = (dtype: ElementType) => tensorType(dtype);
const row = (index: number, name: string) =>
  milOp("gather", { x: "=x", indices: index }, { [name]: tensorType("float32", [2]) });
const gather = (indices: readonly number[]) =>
  milOp("list_gather", { ls: "=l1", indices }, { y: any("float32") });

describe("lists", () => {
  test("start with zeros, as many as they are told", async () => {
    const y = milOp("list_gather", { ls: "=ls", indices: [1, 0] }, { y: any("float32") });
    expectAllClose(await run([list(), y]), { y: f32([0, 0, 0, 0], [2, 2]) });
  });

  test("have one element by default", async () => {
    const make = milOp("make_list", { elem_shape: [2] }, { ls: pair });
    const y = milOp("list_length", { ls: "=ls" }, { y: any("int32") });
    expectAllClose(await run([make, y]), { y: tensorOf("int32", [1]) });
  });

  test("take their length from the run", async () => {
    const y = milOp("list_length", { ls: "=ls" }, { y: any("int32") });
    const inputs = { n: tensorOf("int32", [5], []) };
    expectAllClose(await run([list({ length: "=n" }), y], inputs), { y: tensorOf("int32", [5]) });
  });

  test("replace the element written, and leave the list written to as it was", async () => {
    const write = milOp("list_write", { ls: "=ls", index: 1, value: "=r" }, { l1: pair });
    const ops = [list(), row(1, "r"), write];
    expectAllClose(await run([...ops, gather([0, 1])]), { y: f32([0, 0, 3, 4], [2, 2]) });
    const before = milOp("list_read", { ls: "=ls", index: 1 }, { y: any("float32") });
    expectAllClose(await run([...ops, before]), { y: f32([0, 0]) });
  });

  test("grow to the index written, known or of the run", async () => {
    const length = milOp("list_length", { ls: "=l1" }, { y: any("int32") });
    for (const index of [3, "=i"]) {
      const write = milOp("list_write", { ls: "=ls", index, value: "=r" }, { l1: pair });
      const inputs = { x, i: tensorOf("int32", [3], []) };
      expectAllClose(await run([list(), row(0, "r"), write, length], inputs), { y: tensorOf("int32", [4]) });
      const y = f32([0, 0, 1, 2], [2, 2]);
      expectAllClose(await run([list(), row(0, "r"), write, gather([2, 3])], inputs), { y });
    }
  });

  test("grow to the greatest index of a scatter", async () => {
    const write = milOp("list_scatter", { ls: "=ls", indices: [4, 0], value: "=x" }, { l1: pair });
    expectAllClose(await run([list(), write, gather([0, 1, 4])]), { y: f32([3, 4, 0, 0, 1, 2], [3, 2]) });
  });

  test("of a fixed length do not", async () => {
    const write = milOp("list_scatter", { ls: "=ls", indices: "=i", value: "=x" }, { l1: pair });
    const fn = milFunction(
      { x: tensorType("float32", [2, 2]), i: tensorType("int32", [2]) },
      [list({ dynamic: false }), write, gather([0, 1])],
      ["y"],
    );
    expect(lower(fn).graph.nodes.map(({ op }) => op)).not.toContain("Concat");
    const inputs = new Map([
      ["x", x],
      ["i", tensorOf("int32", [1, 0])],
    ]);
    expectAllClose(await runFunction(fn, inputs), { y: f32([3, 4, 1, 2], [2, 2]) });
  });

  test("hold integers, bools and halves", async () => {
    for (const [name, dtype] of [
      ["int32", "int32"],
      ["bool", "bool"],
      ["fp16", "float16"],
    ] as const) {
      const type = listType(dtype, [2]);
      const write = milOp("list_write", { ls: "=ls", index: 0, value: "=v" }, { l1: type });
      const y = milOp("list_gather", { ls: "=l1", indices: [0, 1] }, { y: any(dtype) });
      const inputs = { v: tensorOf(dtype, [1, 0]) };
      expectAllClose(await run([list({ dtype: name, type }), write, y], inputs), {
        y: tensorOf(dtype, [1, 0, 0, 0], [2, 2]),
      });
    }
  });

  test("whose elements have an unknown size take it from the first write", async () => {
    const type = listType("float32", [undefined]);
    const write = milOp("list_write", { ls: "=ls", index: 1, value: "=r" }, { l1: type });
    expectAllClose(await run([list({ type }), row(0, "r"), write, gather([0, 1])]), {
      y: f32([0, 0, 1, 2], [2, 2]),
    });
  });

  test("of scalars", async () => {
    const type = listType("float32", []);
    const write = milOp("list_write", { ls: "=ls", index: 0, value: "=s" }, { l1: type });
    const inputs = { s: tensorOf("float32", [2.5], []) };
    expectAllClose(await run([list({ type }), write, gather([1, 0])], inputs), { y: f32([0, 2.5]) });
  });

  test("refuse elements of other shapes, and elements without a type", async () => {
    const failures = [];
    for (const operations of [
      [list(), milOp("list_write", { ls: "=ls", index: 0, value: "=x" }, { l1: pair })],
      [list(), milOp("list_write", { ls: "=ls", index: 0, value: [1.5, 2, 3] }, { l1: pair })],
      [list({ type: listType("float32", undefined) })],
      [list({ type: tensorType("float32", [2, 2]) })],
      [list({ dtype: "fp8" })],
    ]) {
      try {
        await run([...operations, gather([0])]);
      } catch (error) {
        failures.push(error instanceof CoremlxError ? error.message : error);
      }
    }
    expect(failures).toEqual([
      'Cannot lower list_write "l1": elements have 1 axes, the value written has 2',
      'Cannot lower list_write "l1": elements have size 2 on axis 0, the value written 3',
      'Cannot lower make_list "ls": a list whose elements have no declared type is not supported',
      'Cannot lower make_list "ls": a list whose elements have no declared type is not supported',
      'Cannot lower make_list "ls": unknown dtype "fp8"',
    ]);
  });
});
