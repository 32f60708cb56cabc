// What a model's file and Core ML say of the same model, brought together.

import { expect, test } from "bun:test";
import type { FeatureDescription, FeatureType, FunctionDescription } from "../../../src/core/model.ts";
import { readInterface } from "../../../src/engines/coreml-interface.ts";

const fixed = { kind: "fixed" } as const;
const array = (shape: readonly number[]): FeatureType => ({
  kind: "multiArray",
  dtype: "float32",
  shape,
  constraint: fixed,
  defaultValue: undefined,
});
const feature = (name: string, type: FeatureType): FeatureDescription => ({
  name,
  type,
  description: "",
  isOptional: false,
});

function functionOf(parts: Partial<FunctionDescription>): FunctionDescription {
  return {
    name: "main",
    inputs: [],
    outputs: [],
    states: [],
    predictedFeatureName: undefined,
    predictedProbabilitiesName: undefined,
    ...parts,
  };
}

const described = {
  inputs: [
    { name: "n", type: "int64", optional: true },
    {
      name: "photo",
      type: "image",
      optional: false,
      pixelFormat: "BGRA8",
      width: 3,
      height: 2,
      constraint: fixed,
    },
    { name: "x", type: "multiArray", optional: false, dtype: "float16", shape: [1, 4], constraint: fixed },
  ],
  outputs: [
    { name: "label", type: "string", optional: false },
    { name: "y", type: "multiArray", optional: false, dtype: "float32", shape: [1, 4], constraint: fixed },
  ],
  states: [{ name: "s", type: "state", optional: false, dtype: "float16", shape: [8] }],
};

const description = functionOf({
  inputs: [
    feature("x", array([1, 4])),
    feature("photo", { kind: "image", width: 3, height: 2, colorSpace: "RGB", constraint: fixed }),
    feature("n", { kind: "int64" }),
  ],
  outputs: [feature("y", array([1, 4])), feature("label", { kind: "string" })],
  states: [feature("s", array([8]))],
});

test("tensors go by Core ML's order and element types, values by their names", () => {
  const { inputs, outputs, valueInputs, ports } = readInterface(
    JSON.stringify(described),
    description,
    "mlProgram",
  );
  expect([...inputs.values()]).toEqual([
    { name: "x", feature: 2, kind: "array" },
    { name: "photo", feature: 1, kind: "picture" },
  ]);
  expect([...outputs.values()]).toEqual([{ name: "y", feature: 1, kind: "array" }]);
  expect(valueInputs.map(({ name }) => name)).toEqual(["n"]);
  expect(ports).toEqual({
    inputs: [
      { feature: "x", name: "x", dtype: "float16", shape: [1, 4] },
      { feature: "photo", name: "photo", dtype: "uint8", shape: [2, 3, 3], isWhole: true },
    ],
    outputs: [{ feature: "y", name: "y", dtype: "float32", shape: [1, 4] }],
    states: [{ feature: "s", dtype: "float16", shape: [8], input: "state s", output: "next state s" }],
    classifier: undefined,
    carriesFeatures: true,
  });
});

test("shapes of results count only where they are certain: an ML program with fixed inputs", () => {
  const shapeOf = (changes: unknown, kind: "mlProgram" | "neuralNetwork" = "mlProgram") =>
    readInterface(JSON.stringify({ ...described, ...Object(changes) }), description, kind).ports.outputs[0]
      ?.shape;
  expect(shapeOf({})).toEqual([1, 4]);
  expect(shapeOf({}, "neuralNetwork")).toBeUndefined();
  const [n, photo, x] = described.inputs;
  expect(shapeOf({ inputs: [n, photo, { ...x, constraint: { kind: "range" } }] })).toBeUndefined();
  const [label, y] = described.outputs;
  expect(shapeOf({ outputs: [label, { ...y, constraint: { kind: "unspecified" } }] })).toBeUndefined();
});

test("a feature that Core ML does not know is named", () => {
  expect(() =>
    readInterface(JSON.stringify({ ...described, outputs: [] }), description, "mlProgram"),
  ).toThrow('Core ML knows no output "y" of it');
});

test("elements of an unknown type are refused", () => {
  const [label, y] = described.outputs;
  const outputs = [label, { ...y, dtype: "0x30007" }];
  expect(() => readInterface(JSON.stringify({ ...described, outputs }), description, "mlProgram")).toThrow(
    'Cannot use "y"',
  );
});
