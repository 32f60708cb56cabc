// A comparison with round figures, for what prints and reads such results.

import type { ParityOperation, ParityResult } from "../../src/suites/parity/schema.ts";
import { benchResult } from "./bench-result.ts";

const operation: ParityOperation = {
  function: "main",
  index: 137,
  of: 462,
  type: "conv",
  name: "out_17",
  value: "out_17",
  maxAbs: 0.5,
  ofRange: 0.0118,
  odd: 0,
  inputOfRange: 0.0098,
  inputs: ["out_15"],
};

const side = {
  kind: "engine",
  engine: "portable",
  engineVersion: "ONNX Runtime 1.27.0",
  device: "cpu",
  requestedDevice: "auto",
  model: { path: "model.mlpackage", digest: "0".repeat(64), function: "main" },
} as const;

const words = {
  inputs: 3,
  equalInputs: 3,
  count: 3,
  odd: 0,
  maxAbs: 0,
  meanAbs: 0,
  maxRel: 0,
  ofRange: 0,
  cosine: null,
  psnrDb: null,
  topSame: null,
  topShared: null,
  ulp32: [],
  ulp16: [],
  worstInput: 0,
  noWorse: null,
};

export const parityResult: ParityResult = {
  schemaVersion: 1,
  kind: "parity",
  startedAt: "2026-11-24T08:00:00.000Z",
  environment: benchResult.environment,
  subject: { ...side, precision: "model" },
  reference: { ...side, precision: "float32" },
  truth: { kind: "saved", source: "expected.npz" },
  configuration: {
    inputs: ["inputs.npz:c0", "inputs.npz:c1", "inputs.npz:c2"],
    topK: 5,
    tolerances: "usual",
  },
  outputs: [
    {
      ...words,
      name: "logits",
      kind: "numbers",
      equalInputs: 0,
      count: 3_000,
      maxAbs: 0.28,
      meanAbs: 0.05,
      maxRel: 2.5,
      ofRange: 0.046,
      cosine: 0.99899,
      psnrDb: 42.8,
      topSame: 2 / 3,
      topShared: 0.8,
      ulp32: [
        [0, 10],
        [4_194_304, 2_990],
      ],
      ulp16: [
        [0, 100],
        [1, 900],
        [512, 2_000],
      ],
      worstInput: 1,
      noWorse: 0,
    },
    { ...words, name: "label", kind: "words" },
  ],
  bisection: {
    input: "inputs.npz:c1",
    threshold: 0.01,
    operations: 125,
    runs: 1,
    uncompared: 2,
    firstBeyond: operation,
    firstDifferent: {
      ...operation,
      index: 12,
      type: "cast",
      name: "image_to_fp16",
      ofRange: 3.7e-4,
      inputOfRange: 0,
    },
    greatest: [operation],
  },
  verdict: {
    outcome: "fail",
    criteria: [
      { output: "logits", figure: "range", value: 0.046, limit: 0.02, status: "fail" },
      { output: "logits", figure: "odd", value: 0, limit: 0, status: "pass" },
      { output: "label", figure: "equal", value: 1, limit: 1, status: "pass" },
    ],
  },
  warnings: [],
};
