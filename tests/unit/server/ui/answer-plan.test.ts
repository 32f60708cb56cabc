// How an output is drawn follows from what it is.

import { describe, expect, test } from "bun:test";
import type { TensorForm } from "../../../../src/server/ui/page-data.ts";
import { type AnswerOutput, planAnswer } from "../../../../src/server/ui/answer-plan.ts";

function output(own: Partial<AnswerOutput>): AnswerOutput {
  return { name: "y", datatype: "FP32", shape: [own.data?.length ?? 0], data: [], ...own };
}

function spec(own: Partial<TensorForm>): TensorForm {
  return {
    name: "y",
    datatype: "FP32",
    shape: [1],
    defaultShape: [1],
    kind: "array",
    description: "",
    isOptional: false,
    takesPicture: false,
    ...own,
  };
}

function viewOf(one: Partial<AnswerOutput>, form: Parameters<typeof planAnswer>[0] = { outputs: [] }) {
  return planAnswer(form, [output(one)])[0];
}

const count = (length: number) => Array.from({ length }, (_, i) => i);

describe("classes", () => {
  test("are the values of a dictionary under its keys, greatest first, and the keys are not shown again", () => {
    const outputs = [spec({ name: "p", kind: "dictionary", keys: "p_keys" }), spec({ name: "p_keys" })];
    const views = planAnswer({ outputs }, [
      output({ name: "p", data: [0.1, "NaN", 0.7, 0.2] }),
      output({ name: "p_keys", datatype: "BYTES", data: ["a", "b", "c", "d"] }),
    ]);
    expect(views).toEqual([
      {
        name: "p",
        note: "FP32 [4]",
        kind: "classes",
        rows: [
          { label: "c", value: 0.7 },
          { label: "d", value: 0.2 },
          { label: "a", value: 0.1 },
          { label: "b", value: Number.NaN },
        ],
      },
    ]);
  });

  test("are also an array with one value for each label of the model", () => {
    const form = { outputs: [], labels: ["cat", "dog"] };
    expect(viewOf({ shape: [1, 2], data: [1, 2] }, form)).toMatchObject({
      kind: "classes",
      rows: [
        { label: "dog", value: 2 },
        { label: "cat", value: 1 },
      ],
    });
    expect(viewOf({ data: [1, 2, 3] }, form)).toMatchObject({ kind: "table" });
  });

  test("keys without their values are texts", () => {
    const outputs = [spec({ name: "p", kind: "dictionary", keys: "p_keys" }), spec({ name: "p_keys" })];
    expect(
      planAnswer({ outputs }, [output({ name: "p_keys", datatype: "BYTES", data: ["a"] })]),
    ).toMatchObject([{ kind: "texts", texts: ["a"] }]);
  });
});

describe("pictures", () => {
  test.each<[readonly number[], object]>([
    [[8, 9], { width: 9, height: 8, layout: { kind: "channels", count: 1 } }],
    [[1, 1, 8, 9], { width: 9, height: 8, layout: { kind: "channels", count: 1 } }],
    [[1, 8, 9, 1], { width: 9, height: 8, layout: { kind: "channels", count: 1 } }],
    [[8, 9, 3], { width: 9, height: 8, layout: { kind: "channels", count: 3 } }],
    [[1, 3, 8, 9], { width: 9, height: 8, layout: { kind: "colors", count: 3 } }],
    [[1, 20, 8, 9], { width: 9, height: 8, layout: { kind: "planes", count: 16 } }],
  ])("%p is one", (shape, expected) => {
    const data = count(shape.reduce((product, size) => product * size, 1));
    expect(viewOf({ shape, data })).toEqual({
      name: "y",
      note: `FP32 [${shape.join(", ")}]`,
      kind: "picture",
      values: data,
      isBytes: false,
      ...expected,
    } as never);
  });

  test("a declared one may be as small as it likes, and its bytes are taken as they are", () => {
    const form = { outputs: [spec({ kind: "image" })] };
    expect(viewOf({ datatype: "UINT8", shape: [1, 2, 3], data: count(6) }, form)).toMatchObject({
      kind: "picture",
      width: 2,
      height: 1,
      isBytes: true,
    });
  });

  test.each([[[7, 9]], [[2, 8, 2]], [[2, 2, 8, 8]], [[0, 9]]])("%p is none", (shape) => {
    const data = count(shape.reduce((product, size) => product * size, 1));
    expect(viewOf({ shape, data })).toMatchObject({ kind: "table" });
  });
});

describe("numbers", () => {
  test("one after the other are a line from 17 on", () => {
    expect(viewOf({ shape: [1, 17], data: count(17) })).toMatchObject({ kind: "curve", values: count(17) });
    expect(viewOf({ shape: [16], data: count(16) })).toMatchObject({ kind: "table" });
  });

  test("that JSON has not are read from their names", () => {
    const data = [...count(15), "Infinity", "-Infinity", "NaN"];
    const view = viewOf({ data });
    expect(view).toMatchObject({ values: [...count(15), Infinity, -Infinity, Number.NaN] });
  });

  test("are in rows of the last axis, with six digits", () => {
    expect(viewOf({ shape: [2, 2], data: [1, 0.123456789, "NaN", 1e-9] })).toEqual({
      name: "y",
      note: "FP32 [2, 2]",
      kind: "table",
      rows: [
        ["1", "0.123457"],
        ["NaN", "1e-9"],
      ],
      isCut: false,
    });
  });

  test("are not all shown where there are many, and that is said", () => {
    expect(viewOf({ shape: [100, 2], data: count(200) })).toMatchObject({
      isCut: true,
      rows: { length: 64 },
    });
    expect(viewOf({ shape: [2, 100], data: count(200) })).toMatchObject({ isCut: true, rows: { length: 2 } });
  });

  test("that are long and whole keep all their digits", () => {
    expect(viewOf({ datatype: "INT64", data: [9007199254740993n] })).toMatchObject({
      rows: [["9007199254740993"]],
    });
  });
});
