// Predictions that follow one another: one state, outputs carried into the next step's inputs, outputs stacked.

import { generate } from "../../codecs/generate.ts";
import { CoremlxError, reworded } from "../../core/errors.ts";
import type { FeatureValue, FeatureValues, SteppedValues } from "../../core/tensor.ts";
import { type Carry, checkCarries } from "./carry.ts";
import { refuseMissing, refuseUnknown } from "../run/inputs.ts";
import { readStartValue, readStepInput, type StepInput } from "./sequence-inputs.ts";
import { OutputStacks } from "./sequence-outputs.ts";
import type { ModelState, Prediction, SessionModel } from "../session.ts";

/** What a sequence needs of a model. */
export type SequenceModel = Pick<SessionModel, "inputs" | "outputs" | "states" | "predictTimed" | "newState">;

export interface StepOptions {
  readonly carries?: readonly Carry[] | undefined;
  /** Borrowed: the sequence's alone while it runs, and the caller's to read, write and dispose. */
  readonly state?: ModelState | undefined;
  readonly signal?: AbortSignal | undefined;
  /** For each step. */
  readonly timeoutMs?: number | undefined;
}

export interface SequenceOptions extends StepOptions {
  readonly steps: number;
  /** Called after each step with how many are done. */
  readonly onStep?: ((done: number) => void) | undefined;
}

export interface SequenceResult {
  /** Arrays and numbers with a new leading axis of steps; strings, dictionaries and sequences as lists. */
  readonly outputs: SteppedValues;
  /** Time inside the engine, all steps together. */
  readonly runMs: number;
}

/**
 * Runs all steps of a sequence. An input with a leading axis of `steps` has a value for each step, others are the same at
 * every step, an input that is carried into has its first value. A stateful model starts from `state`, else from zero. Two
 * sequences may run at once on one model, each with a state of its own. Everything that can be checked is checked before the
 * first step. Errors: BAD_INPUT; UNSUPPORTED for an output that changes its shape; what `predict` throws, with the step.
 */
export async function runSequence(
  model: SequenceModel,
  inputs: FeatureValues,
  options: SequenceOptions,
): Promise<SequenceResult> {
  const { steps, carries = [], onStep } = options;
  if (!Number.isSafeInteger(steps) || steps < 1) {
    throw new CoremlxError("BAD_INPUT", `Cannot run ${steps} steps: it must be a whole number of at least 1`);
  }
  checkCarries(carries, model);
  const plan = planInputs(model, inputs, { steps, carries });
  const stacks = new OutputStacks(model.outputs, steps);
  await using own =
    options.state === undefined && model.states.length > 0 ? await model.newState() : undefined;
  const runner = new StepRunner(model, { ...options, state: options.state ?? own });
  let runMs = 0;
  for (let step = 0; step < steps; step++) {
    const prediction = await atStep(`${step + 1} of ${steps}`, async () => {
      const result = await runner.run(plan.at(step));
      stacks.push(result.outputs);
      return result;
    });
    runMs += prediction.runMs;
    onStep?.(step + 1);
  }
  return { outputs: stacks.finish(), runMs };
}

/** Steps one by one, for those whose shapes differ. Invariant: one step at a time. */
export class StepRunner {
  readonly #model: SequenceModel;
  readonly #options: StepOptions;
  /** Next values of the inputs that outputs are carried into; empty before the first step. */
  #carried: ReadonlyMap<string, FeatureValue> = new Map();
  #done = 0;

  /** Throws BAD_INPUT for carries that cannot be. */
  constructor(model: SequenceModel, options: StepOptions = {}) {
    checkCarries(options.carries ?? [], model);
    this.#model = model;
    this.#options = options;
  }

  /**
   * The next step. An input that is carried into may be given at the first step only; there it is zero when it is not.
   * Errors: those of `predict`.
   */
  async run(inputs: FeatureValues): Promise<Prediction> {
    const { carries = [], state, signal, timeoutMs } = this.#options;
    const values = new Map(inputs);
    for (const { input, output } of carries) {
      if (this.#done > 0 && inputs.has(input)) {
        throw new CoremlxError(
          "BAD_INPUT",
          `Cannot use input "${input}": output "${output}" is carried into it after the first step`,
          { hint: "Give its value for the first step only" },
        );
      }
      const value = this.#carried.get(input) ?? inputs.get(input) ?? this.#zeros(input);
      if (value !== undefined) values.set(input, value);
    }
    const prediction = await this.#model.predictTimed(values, {
      state,
      signal,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
    this.#carried = new Map(carries.map(({ input, output }) => [input, take(prediction.outputs, output)]));
    this.#done++;
    return prediction;
  }

  #zeros(name: string): FeatureValue | undefined {
    const description = this.#model.inputs.find((input) => input.name === name);
    return description && generate(description, "zeros");
  }
}

/** Runs `work`; its error then says at which step it happened. */
export async function atStep<T>(step: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof CoremlxError) || error.code === "INTERRUPTED") throw error;
    const { message, details } = error;
    const reason = message.charAt(0).toLowerCase() + message.slice(1);
    throw reworded(error, `Cannot run step ${step}: ${reason}`, { details: { ...details, step } });
  }
}

interface Plan {
  /** The inputs of a step, without those that are carried into it. */
  at(step: number): FeatureValues;
}

function planInputs(
  model: SequenceModel,
  values: FeatureValues,
  { steps, carries }: { readonly steps: number; readonly carries: readonly Carry[] },
): Plan {
  refuseUnknown(values, model.inputs);
  const sources = new Map<string, StepInput>();
  const starts = new Map<string, FeatureValue>();
  const missing: string[] = [];
  for (const input of model.inputs) {
    const value = values.get(input.name);
    const carry = carries.find((candidate) => candidate.input === input.name);
    if (value !== undefined && carry !== undefined) {
      starts.set(input.name, readStartValue(value, input, carry.output));
    } else if (value !== undefined) sources.set(input.name, readStepInput(value, input, steps));
    else if (carry === undefined && !input.isOptional) missing.push(input.name);
  }
  refuseMissing(missing, `run ${steps} steps`);
  const isSame = ![...sources.values()].some(({ isStepped }) => isStepped);
  if (steps > 1 && isSame && carries.length === 0 && model.states.length === 0) {
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot run ${steps} steps: no input has a leading axis of ${steps}, and the model has no state, so every step would be the same`,
      {
        hint: `Give an input with a leading axis of ${steps}, or feed an output back with --carry OUTPUT:INPUT`,
      },
    );
  }
  return {
    at(step) {
      const inputs = new Map<string, FeatureValue>(step === 0 ? starts : []);
      for (const [name, source] of sources) inputs.set(name, source.at(step));
      return inputs;
    },
  };
}

function take(outputs: FeatureValues, name: string): FeatureValue {
  const value = outputs.get(name);
  if (value !== undefined) return value;
  throw new CoremlxError("INTERNAL", `The prediction gave no output "${name}"`);
}
