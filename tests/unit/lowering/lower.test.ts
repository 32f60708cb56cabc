// Failures while a program is lowered name the op of the program, wherever in our layers they were found.

import { describe, expect, test } from "bun:test";
import { CoremlxError } from "../../../src/core/errors.ts";
import { tensorOf } from "../../../src/core/tensor.ts";
import type { MilFunction } from "../../../src/formats/mil.ts";
import { lower } from "../../../src/lowering/lower.ts";
import { expectAllClose } from "../../support/close.ts";
import { milBlock, milFunction, milOp, tensorType } from "../../support/mil-program.ts";
import { runFunction } from "../../support/op-cases.ts";

const float = tensorType("float32");

function failureOf(fn: MilFunction): CoremlxError {
  try {
    lower(fn);
  } catch (error) {
    if (error instanceof CoremlxError) return error;
    throw error;
  }
  throw new Error("It was lowered");
}

describe("lower", () => {
  const inputs = {
    a: tensorType("float32", [2, 3]),
    b: tensorType("float32", [4]),
    p: tensorType("bool", []),
  };
  const misfit = milOp("add", { x: "=a", y: "=b" }, { y: float });

  test("names the op whose operands contradict each other", () => {
    const { code, message, details } = failureOf(milFunction(inputs, [misfit], ["y"]));
    expect({ code, message, details }).toEqual({
      code: "BAD_MODEL",
      message:
        'Cannot lower add "y": cannot infer shapes of ONNX op Add(float32[2, 3], float32[4]): sizes 3 and 4 do not broadcast',
      details: { op: "add", name: "y", onnxOp: "Add", inputs: ["float32[2, 3]", "float32[4]"] },
    });
  });

  test("names the innermost op, once", () => {
    const block = milBlock({}, [misfit], ["y"]);
    const cond = milOp("cond", { pred: "=p" }, { z: float }, [block, block]);
    const { message } = failureOf(milFunction(inputs, [cond], ["z"]));
    expect(message).toStartWith('Cannot lower add "y": cannot infer shapes of ONNX op Add(');
  });

  test("refuses fractions where whole numbers are meant", () => {
    const op = milOp("transpose", { x: "=a", perm: [0.5, 1] }, { y: float });
    const { code, message } = failureOf(milFunction(inputs, [op], ["y"]));
    expect({ code, message }).toEqual({
      code: "BAD_MODEL",
      message: 'Cannot lower transpose "y": "perm" must hold whole numbers, got 0.5',
    });
  });

  test("takes an infinite half-precision constant for a number that did not fit, where it computes in more", async () => {
    const half = tensorType("float16", [2]);
    const mask = { kind: "tensor", ...tensorOf("float16", [-Infinity], []), source: undefined } as const;
    const fn = milFunction(
      { x: half },
      [
        { ...milOp("const", {}, { mask: tensorType("float16", []) }), attributes: new Map([["val", mask]]) },
        milOp("mul", { x: "=x", y: "=mask" }, { y: half }),
      ],
      ["y"],
    );
    const x = new Map([["x", tensorOf("float16", [0, 1])]]);
    expectAllClose(await runFunction(fn, x), { y: tensorOf("float16", [0, -Infinity]) });
    expectAllClose(await runFunction(fn, x, "model"), { y: tensorOf("float16", [NaN, -Infinity]) });
  });

  // Up to iOS16 coremltools declares the result of reshape by the shape it is given, zeros and all.
  test("does not believe that a result is empty because a size of it was copied", async () => {
    const fn = milFunction(
      { x: tensorType("float32", [undefined, 2, 3, 4]) },
      [
        milOp(
          "reshape",
          { x: "=x", shape: [0, 0, -1, 4] },
          { z: tensorType("float32", [0, 0, undefined, 4]) },
        ),
      ],
      ["z"],
      "iOS16",
    );
    expect(lower(fn).outputs.map(({ shape }) => shape)).toEqual([["x_d0", 2, 3, 4]]);
    const x = tensorOf("float32", Array<number>(24).fill(1), [1, 2, 3, 4]);
    expect((await runFunction(fn, new Map([["x", x]])))["z"]?.shape).toEqual([1, 2, 3, 4]);
  });

  test("passes on no sizes that only the program claims", async () => {
    const claim = milOp("relu", { x: "=x" }, { y: tensorType("float32", [2, 3]) });
    const fn = milFunction({ x: tensorType("float32", [undefined, 3]) }, [claim], ["y"]);
    const [output] = lower(fn).outputs;
    expect(output?.shape?.some((size) => typeof size === "number")).toBe(false);
    const x = tensorOf("float32", [1, 2, 3], [1, 3]);
    expectAllClose(await runFunction(fn, new Map([["x", x]])), { y: x });
  });
});
