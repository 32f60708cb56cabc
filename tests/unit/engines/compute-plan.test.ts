// What is made of Core ML's forecast: shares by count and by cost, and what keeps off the Neural Engine.

import { expect, test } from "bun:test";
import { readPlan } from "../../../src/engines/compute-plan.ts";

interface Row {
  readonly op: string;
  readonly preferred?: string;
  readonly supported?: readonly string[];
  readonly weight?: number;
  readonly isConstant?: boolean;
  readonly function?: string;
}

const read = (operations: readonly Row[], kind = "program") =>
  readPlan(
    JSON.stringify({
      kind,
      operations: operations.map((row, i) => ({ isConstant: false, outputs: [`v${i}`], ...row })),
    }),
    { functionName: "main", device: "cpu+gpu+ane" },
  );

const on = (op: string, preferred: string, supported: readonly string[], weight?: number): Row => ({
  op,
  preferred,
  supported,
  ...(weight === undefined ? {} : { weight }),
});
const times = (count: number, row: Row): Row[] => Array.from({ length: count }, () => row);

test("shares by count and by cost, preferred and supported apart, constants beside them", () => {
  const { operations, ...plan } = read([
    ...times(2, { op: "const", isConstant: true }),
    ...times(3, on("ios17.conv", "ane", ["cpu", "ane"], 0.3)),
    on("ios17.softmax", "cpu", ["cpu", "ane"], 0.08),
    on("ios17.gather", "cpu", ["cpu"], 0.02),
  ]);
  expect(operations).toHaveLength(7);
  expect(plan).toEqual({
    kind: "program",
    device: "cpu+gpu+ane",
    constants: 2,
    dispatched: 5,
    unknown: 0,
    dispatch: "planned",
    devices: {
      cpu: { preferred: 2, preferredShare: 0.4, costShare: expect.closeTo(0.1), supported: 5 },
      ane: { preferred: 3, preferredShare: 0.6, costShare: expect.closeTo(0.9), supported: 4 },
    },
    notOnAne: [
      { op: "ios17.gather", count: 1, costShare: expect.closeTo(0.02), reason: "not supported there" },
      {
        op: "ios17.softmax",
        count: 1,
        costShare: expect.closeTo(0.08),
        reason: "could run there, cpu is preferred",
      },
    ],
  });
});

test("operations without a device are unknown, and counted among all", () => {
  const plan = read([...times(19, on("conv", "ane", ["ane"])), { op: "custom" }]);
  expect(plan).toMatchObject({
    dispatched: 20,
    unknown: 1,
    dispatch: "planned",
    devices: { ane: { preferred: 19, preferredShare: 0.95, costShare: undefined } },
    notOnAne: [{ op: "custom", count: 1, reason: "unknown: Core ML says nothing of it" }],
  });
});

test("with more than one unknown operation in twenty the dispatch counts as not measured", () => {
  expect(read([...times(18, on("conv", "ane", ["ane"])), { op: "custom" }])).toMatchObject({
    dispatch: "not measured",
  });
  // Models for old systems: Core ML says nothing at all.
  expect(read(times(3, { op: "conv" }))).toMatchObject({ unknown: 3, dispatch: "not measured", devices: {} });
  expect(read([])).toMatchObject({ dispatched: 0, dispatch: "not measured" });
});

test("only the operations of the function that is asked for count", () => {
  const rows = [
    { ...on("conv", "ane", ["ane"]), function: "main" },
    { ...on("matmul", "cpu", ["cpu"]), function: "other" },
  ];
  expect(read(rows).operations.map(({ op }) => op)).toEqual(["conv"]);
  const layers = [on("convolution", "gpu", ["gpu"])]; // of neural networks: they belong to none
  expect(read(layers, "neuralNetwork").operations.map(({ op, name }) => [op, name])).toEqual([
    ["convolution", "v0"],
  ]);
});

test("a structure that Core ML does not tell cannot be planned", () => {
  expect(() => read([], "unsupported")).toThrow("Core ML does not tell its structure");
});
