// MIL's classify: the graph gives out a vector, the host makes label and dictionary of it.

import { describe, expect, test } from "bun:test";
import { f32, tensorOf } from "../../src/core/tensor.ts";
import type { MilFunction, MilNamedType, MilValue } from "../../src/formats/mil.ts";
import { lower } from "../../src/lowering/lower.ts";
import { milValue } from "../support/op-cases.ts";

const strings: MilNamedType["type"] = { kind: "tensor", dtype: "string", shape: [] };
const dictionary: MilNamedType["type"] = {
  kind: "dictionary",
  key: strings,
  value: { kind: "tensor", dtype: "float32", shape: [] },
};

describe("classify", () => {
  test("hands labels and the probability vector to the host", () => {
    const { graph, outputs, classifier } = lower(classifierOf(milValue(["cat", "dog"])));
    expect(outputs).toEqual([]);
    expect(classifier).toEqual({
      probabilities: "classLabel_probs__vector",
      labels: ["cat", "dog"],
      labelName: "classLabel",
      probabilitiesName: "classLabel_probs",
    });
    expect(graph.outputs).toMatchObject([
      { name: "classLabel_probs__vector", dtype: "float32", shape: [1, 2] },
    ]);
  });

  test("knows labels in a list, one string each", () => {
    const classes: MilValue = { kind: "list", values: [milValue("cat"), milValue("dog")] };
    expect(lower(classifierOf(classes)).classifier?.labels).toEqual(["cat", "dog"]);
  });

  test("has whole numbers as labels", () => {
    const classes = milValue(tensorOf("int64", [2n ** 62n + 1n, -1n]));
    expect(lower(classifierOf(classes)).classifier?.labels).toEqual([2n ** 62n + 1n, -1n]);
  });

  test("widens halves", () => {
    const fn = classifierOf(milValue(["cat", "dog"]), "float16");
    const { graph } = lower(fn, { precision: "model" });
    expect(graph.outputs.map(({ dtype }) => dtype)).toEqual(["float32"]);
  });

  test.each([
    ["other numbers than labels", milValue(["cat"]), "2 probabilities for 1 classes"],
    ["labels of two kinds", mixed(), '"classes" must be all strings or all integers'],
    [
      "labels that are no whole numbers",
      milValue(f32([1, Number.NaN])),
      '"classes" must be all strings or all',
    ],
    ["no labels", undefined, 'input "classes" is missing'],
  ])("refuses %s", (_, classes, message) => {
    expect(() => lower(classifierOf(classes))).toThrow(message);
  });
});

function mixed(): MilValue {
  return { kind: "list", values: [milValue("cat"), milValue(f32([1]))] };
}

function classifierOf(classes: MilValue | undefined, dtype: "float32" | "float16" = "float32"): MilFunction {
  const scores: MilNamedType = { name: "scores", type: { kind: "tensor", dtype, shape: [1, 2] } };
  return {
    name: "main",
    opset: "iOS15",
    inputs: [scores],
    attributes: new Map(),
    block: {
      inputs: [],
      operations: [
        {
          type: "classify",
          inputs: new Map([
            ["probabilities", [{ kind: "name", name: "scores" } as const]],
            ...(classes ? [["classes", [{ kind: "value", value: classes } as const]] as const] : []),
          ]),
          outputs: [
            { name: "classLabel", type: strings },
            { name: "classLabel_probs", type: dictionary },
          ],
          blocks: [],
          attributes: new Map(),
        },
      ],
      outputs: ["classLabel", "classLabel_probs"],
    },
  };
}
