import { expect, test } from "bun:test";
import { f32 } from "../../../../src/core/tensor.ts";
import { comparePair, summarizeFigures } from "../../../../src/suites/parity/compare.ts";
import { judgeOutput, limitRules, limitsFrom, parseLimit } from "../../../../src/suites/parity/limits.ts";
import { pairValues } from "../../../../src/suites/parity/values.ts";
import { errorOf } from "../../../support/codec-fixtures.ts";

const judged = (subject: readonly number[], reference: readonly number[], noWorse: number | null = null) => ({
  ...summarizeFigures([comparePair(pairValues("y", f32(subject), f32(reference)), 2)]),
  noWorse,
});

test("a limit is kept at its very value, and errors have an upper one, likenesses a lower one", () => {
  const summary = judged([1, 2.5], [1, 2], 0.5);
  const at = { abs: 0.5, rel: 0.25, range: 0.25, top1: 1, topk: 1, equal: 0, noworse: 0.5, odd: 0 };
  expect(judgeOutput("y", summary, at).map(({ status }) => status)).toEqual(Array(8).fill("pass"));
  const beyond = {
    abs: 0.49,
    rel: 0.24,
    range: 0.24,
    equal: 0.1,
    noworse: 0.51,
    psnr: 200,
    cosine: 1,
    ulp16: 1,
  };
  expect(judgeOutput("y", summary, beyond).map(({ status }) => status)).toEqual(Array(8).fill("fail"));
});

test("what an output does not have is not measured, never passed", () => {
  expect(judgeOutput("y", judged([1], [1]), { top1: 0, noworse: 0 })).toEqual([
    { output: "y", figure: "top1", limit: 0, value: null, status: "not measured" },
    { output: "y", figure: "noworse", limit: 0, value: null, status: "not measured" },
  ]);
});

test("answers without any error satisfy a limit on the ratio of signal to error", () => {
  expect(judgeOutput("y", judged([1, 2], [1, 2]), { psnr: 300 })[0]?.status).toBe("pass");
});

test("every limit can be written on the command line, for all outputs or one", () => {
  for (const name of Object.keys(limitRules)) {
    expect(parseLimit(`${name}=0.5`)).toEqual({ output: undefined, limits: { [name]: 0.5 } });
  }
  expect(parseLimit("a:b:range=1e-3")).toEqual({ output: "a:b", limits: { range: 1e-3 } });
});

test.each([
  ["range", "Write it like range=0.01, or NAME:range=0.01 for one output"],
  ["rnage=1", 'Did you mean "range"?'],
  ["range=", undefined],
  ["range=-1", undefined],
  ["range=much", undefined],
])("%p is no limit", (text, hint) => {
  const error = errorOf(() => parseLimit(text));
  expect(error.code).toBe("USAGE");
  expect(error.message).toStartWith(`Cannot read --tolerance "${text}"`);
  if (hint !== undefined) expect(error.hint).toBe(hint);
});

test("limits from a measurement are kept by that measurement, and not by twice its error and more", () => {
  const summary = judged([1, 2.5, 3], [1, 2, 3]);
  const limits = limitsFrom(summary, false);
  expect(judgeOutput("y", summary, limits).every(({ status }) => status === "pass")).toBe(true);
  const worse = judged([1, 3.1, 3], [1, 2, 3]);
  expect(judgeOutput("y", worse, limits).map(({ status }) => status)).toContain("fail");
});
