// Programs of half precision that run as they are declared: every result is a float16, as the reference computes it by hand.

import { expect, test } from "bun:test";
import { numbersOf, tensorOf } from "../../../src/core/tensor.ts";
import { milBlock, milFunction, milOp, tensorType } from "../../support/mil-program.ts";
import { runFunction } from "../../support/op-cases.ts";

const half = tensorType("float16", [4]);
const x = [1.0009765625, 2.0001, 300.3, 65_000];
const factor = Math.f16round(1.3);

test("each result is rounded to the type the program declares", async () => {
  const operations = [
    milOp("mul", { x: "=x", y: "=k" }, { a: half }),
    milOp("mul", { x: "=a", y: "=k" }, { b: half }),
    milOp("sub", { x: "=b", y: "=x" }, { y: half }),
  ];
  const fn = milFunction({ x: half, k: tensorType("float16", []) }, operations, ["y"]);
  const inputs = new Map([
    ["x", tensorOf("float16", x)],
    ["k", tensorOf("float16", [factor], [])],
  ]);
  const byHand = x.map((value) => {
    const start = Math.f16round(value);
    const a = Math.f16round(start * factor);
    return Math.f16round(Math.f16round(a * factor) - start);
  });
  // 65,000 × 1.3 is beyond float16: infinite, as on any device that computes in it.
  expect(byHand[3]).toBe(Infinity);
  const { y } = await runFunction(fn, inputs, "rounded");
  expect({ dtype: y?.dtype, values: y && [...numbersOf(y)] }).toEqual({ dtype: "float16", values: byHand });
  const single = await runFunction(fn, inputs, "float32");
  expect(single["y"] && numbersOf(single["y"])[3]).not.toBe(Infinity);
});

test("so is what a branch gives, and what only moves is not touched", async () => {
  const block = milBlock({}, [milOp("mul", { x: "=x", y: "=k" }, { a: half })], ["a"]);
  const operations = [
    milOp("cond", { pred: "=p" }, { c: half }, [block, block]),
    milOp("reshape", { x: "=c", shape: [2, 2] }, { y: tensorType("float16", [2, 2]) }),
  ];
  const types = { x: half, k: tensorType("float16", []), p: tensorType("bool", []) };
  const { y } = await runFunction(
    milFunction(types, operations, ["y"]),
    new Map([
      ["x", tensorOf("float16", x.slice(0, 3).concat(1))],
      ["k", tensorOf("float16", [factor], [])],
      ["p", tensorOf("bool", [1], [])],
    ]),
    "rounded",
  );
  const byHand = [...x.slice(0, 3), 1].map((value) => Math.f16round(Math.f16round(value) * factor));
  expect({ shape: y?.shape, values: y && [...numbersOf(y)] }).toEqual({ shape: [2, 2], values: byHand });
});
