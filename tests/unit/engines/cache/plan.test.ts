import { expect, test } from "bun:test";
import { type CompiledPlan, decodePlan, encodePlan } from "../../../../src/engines/cache/plan.ts";

const array = {
  kind: "multiArray",
  dtype: "float32",
  shape: [1, 2],
  constraint: { kind: "range", axes: [{ lower: 1, upper: undefined }] },
  defaultValue: Number.NEGATIVE_INFINITY,
} as const;

const fn = {
  name: "main",
  inputs: [{ name: "x", description: "", type: array, isOptional: true }],
  outputs: [{ name: "label", description: "ü\u2028", type: { kind: "int64" }, isOptional: false }],
  states: [],
  predictedFeatureName: "label",
  predictedProbabilitiesName: undefined,
} as const;

const plan: CompiledPlan = {
  container: "mlpackage",
  byteLength: 12,
  description: {
    kind: "mlProgram",
    specificationVersion: 8,
    functions: [fn],
    defaultFunction: "main",
    metadata: {
      description: "",
      version: "",
      author: "",
      license: "",
      userDefined: new Map([
        ["$", "map"],
        ["__proto__", "x"],
      ]),
    },
    isUpdatable: false,
    classLabels: [1n, -(2n ** 63n), 2n ** 63n - 1n],
  },
  body: {
    kind: "pipeline",
    function: fn,
    stages: [
      {
        kind: "graph",
        function: { ...fn, inputs: [{ ...fn.inputs[0], type: { ...array, defaultValue: -0 } }] },
        ports: {
          inputs: [{ feature: "x", name: "x", dtype: "float32", shape: [1, "n"] }],
          outputs: [{ feature: "y", name: "y", dtype: "float32", shape: undefined }],
          states: [],
          classifier: {
            probabilities: "p",
            labels: ["a", "b"],
            labelName: "label",
            probabilitiesName: undefined,
          },
        },
        graph: { name: "0.onnx", form: "optimized", weightFolder: undefined },
      },
    ],
  },
};

test("a plan comes back as it was: maps, 64-bit labels, infinities, absent things", () => {
  expect(decodePlan(encodePlan(plan))).toEqual(plan);
});

test("a plan is plain JSON", () => {
  expect(() => JSON.parse(new TextDecoder().decode(encodePlan(plan)))).not.toThrow();
});
