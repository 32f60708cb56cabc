// A soak's model and session for tests: answers are twice the input, after a time and with the faults that a test gives.

import { CoremlxError } from "../../src/core/errors.ts";
import type { FunctionDescription } from "../../src/core/model.ts";
import { f32, type FeatureValues, isTensor, numbersOf } from "../../src/core/tensor.ts";
import type { SoakAnswer, SoakModel, SoakSession } from "../../src/suites/soak.ts";
import type { SoakConfiguration } from "../../src/suites/soak/schema.ts";
import type { FakeClock } from "./fake-clock.ts";
import { describeProgram } from "./program-description.ts";

export interface Answering {
  readonly latencyMs: number;
  /** By how much the answer is wrong. */
  readonly off?: number | undefined;
  readonly error?: CoremlxError | undefined;
}

const fn: FunctionDescription = {
  name: "main",
  inputs: [
    {
      name: "x",
      description: "",
      isOptional: false,
      type: {
        kind: "multiArray",
        dtype: "float32",
        shape: [4],
        constraint: { kind: "fixed" },
        defaultValue: undefined,
      },
    },
  ],
  outputs: [],
  states: [],
  predictedFeatureName: undefined,
  predictedProbabilitiesName: undefined,
};
const description = describeProgram(fn);

export class FakeSoakModel implements SoakModel {
  readonly description = description;
  readonly function = fn;
  readonly inputs = fn.inputs;
  readonly engine = "portable";
  readonly engineVersion = "fake 1";
  readonly device = "cpu";
  readonly digest = "d1";
  readonly timings = { openMs: 1, compileMs: 2, loadMs: 3 };
  readonly #clock: FakeClock;
  readonly #answer: (call: number, nowMs: number) => Answering;
  /** Answers in somebody's hands. */
  lent = 0;
  calls = 0;
  isClosed = false;

  constructor(clock: FakeClock, answer: (call: number, nowMs: number) => Answering) {
    this.#clock = clock;
    this.#answer = answer;
  }

  async predictLeased(
    inputs: FeatureValues,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal | undefined },
  ): Promise<SoakAnswer> {
    if (this.isClosed) throw new CoremlxError("UNAVAILABLE", "The model is closed");
    if (inputs.size > 1) throw new CoremlxError("BAD_INPUT", "Cannot predict: unknown input");
    const { latencyMs, off = 0, error } = this.#answer(this.calls++, this.#clock.now());
    const startMs = this.#clock.now();
    const { timeoutMs = latencyMs } = options;
    await this.#clock.sleepUntil(startMs + Math.min(latencyMs, timeoutMs), options.signal);
    if (options.signal?.aborted) throw new CoremlxError("INTERRUPTED", "The call was cancelled");
    if (timeoutMs < latencyMs) throw new CoremlxError("DEADLINE", "No answer in time");
    if (error !== undefined) throw error;
    const x = inputs.get("x");
    const doubled = [...(x !== undefined && isTensor(x) ? numbersOf(x) : [])].map((value) => 2 * value);
    doubled[0] = (doubled[0] ?? 0) + off;
    this.lent++;
    return {
      outputs: new Map([["y", f32(doubled)]]),
      runMs: latencyMs,
      [Symbol.dispose]: () => void this.lent--,
    };
  }

  async [Symbol.asyncDispose]() {
    this.isClosed = true;
  }
}

export function fakeSoakSession(models: readonly SoakModel[]): SoakSession {
  let next = 0;
  return {
    async load() {
      const model = models[next++];
      if (model === undefined) throw new CoremlxError("NOT_FOUND", "No such model");
      return model;
    },
  };
}

/** Twenty minutes of two calls a second under the limits of the gate. */
export const soakConfiguration: SoakConfiguration = {
  load: { mode: "open", ratePerSecond: 2, arrivals: "fixed", seed: 0 },
  durationMs: 1_200_000,
  warmup: { count: 10, durationMs: null },
  summaryEveryMs: 300_000,
  timeoutMs: 5_000,
  instances: null,
  isolation: "worker",
  threads: null,
  requestedDevice: "auto",
  requestedEngine: "auto",
  inputsPerModel: 4,
  seed: 1,
  tolerance: null,
  faults: [],
  faultShare: 0,
  limits: {
    maxFailures: 0,
    minSuccessShare: 0.99,
    maxGrowthBytes: 50e6,
    maxSlopeBytesPerHour: 50e6,
    maxP99Ms: 25,
    maxDriftShare: 0.2,
    maxBreakerTrips: 0,
    maxCrashes: 0,
    trendAfterMs: 600_000,
  },
};
