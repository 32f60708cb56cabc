// Features on their way through a graph that takes and gives them as they are: Core ML's.

import { describe, expect, test } from "bun:test";
import { CoremlxError } from "../../../src/core/errors.ts";
import type { FeatureDescription, FeatureType, FunctionDescription } from "../../../src/core/model.ts";
import { f32, type FeatureValue, tensorOf } from "../../../src/core/tensor.ts";
import type { GraphPorts } from "../../../src/engines/engine.ts";
import { FeaturePlan } from "../../../src/engines/feature-plan.ts";

const fixed = { kind: "fixed" } as const;
const halves: FeatureType = {
  kind: "multiArray",
  dtype: "float16",
  shape: [2],
  constraint: fixed,
  defaultValue: 7,
};
const photo: FeatureType = { kind: "image", width: 2, height: 1, colorSpace: "BGR", constraint: fixed };
const feature = (name: string, type: FeatureType, isOptional = false): FeatureDescription => {
  return { name, description: "", type, isOptional };
};

const description: FunctionDescription = {
  name: "main",
  inputs: [feature("photo", photo), feature("x", halves), feature("maybe", halves, true)],
  outputs: [feature("y", halves), feature("picture", photo), feature("label", { kind: "string" })],
  states: [],
  predictedFeatureName: undefined,
  predictedProbabilitiesName: undefined,
};

const array = (name: string) => ({ feature: name, name, dtype: "float32", shape: [2] }) as const;
const whole = (name: string) =>
  ({ feature: name, name, dtype: "uint8", shape: [1, 2, 3], isWhole: true }) as const;
const ports: GraphPorts = {
  inputs: [whole("photo"), array("x"), array("maybe")],
  outputs: [array("y"), whole("picture")],
  states: [],
  classifier: undefined,
  carriesFeatures: true,
};

const plan = new FeaturePlan(description, ports);
const pixels = tensorOf("uint8", [1, 2, 3, 4, 5, 6], [1, 2, 3]);

describe("what goes in", () => {
  test("pictures as they are, arrays in the graph's type, nothing for an optional input that is missing", () => {
    const given = new Map([
      ["photo", pixels],
      ["x", tensorOf("float16", [1, 2])],
    ]);
    const encoded = plan.encode(given);
    expect(encoded).toEqual(
      new Map([
        ["photo", pixels],
        ["x", f32([1, 2])],
      ]),
    );
    expect(encoded.get("photo")).toBe(pixels);
  });

  test("what must be there is named where it is missing", () => {
    expect(() => plan.encode(new Map([["photo", pixels]]))).toThrow('input "x" is missing');
  });
});

describe("what comes out", () => {
  const results = new Map<string, FeatureValue>([
    ["y", f32([1, 2])],
    ["picture", pixels],
    ["label", "cat"],
    ["next state s", f32([0])],
  ]);

  test("is what the interface declares, and nothing else; arrays in the declared type", () => {
    expect(plan.decode(results)).toEqual(
      new Map<string, FeatureValue>([
        ["y", tensorOf("float16", [1, 2])],
        ["picture", pixels],
        ["label", "cat"],
      ]),
    );
  });

  test("that is missing or of another kind fails by name", () => {
    const without = new Map(results);
    without.delete("label");
    expect(() => plan.decode(without)).toThrow(new CoremlxError("NATIVE", 'The engine gave no "label"'));
    expect(() => plan.decode(new Map(results).set("y", "text"))).toThrow(
      new CoremlxError("NATIVE", 'The engine gave another kind of "y"'),
    );
  });

  test("has a place before the run where its shape is known", () => {
    expect(plan.results.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ["y", "float32", [2]],
      ["picture", "uint8", [1, 2, 3]],
    ]);
  });
});
