// Sequences as infer runs them: states opened, given their start values, used by one step after the other, saved.

import { join, resolve } from "node:path";
import { encodeNpy } from "../codecs/npy.ts";
import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription } from "../core/model.ts";
import { type FeatureValues, isTensor, type SteppedValues } from "../core/tensor.ts";
import { type Carry, checkCarries } from "../runtime/sequence/carry.ts";
import { atStep, runSequence, StepRunner } from "../runtime/sequence/sequence.ts";
import type { ModelState, SessionModel } from "../runtime/session.ts";
import { makeFolder, writeFileWhole } from "../native/write-file.ts";
import { type InputOptions, readInputs } from "./inputs.ts";
import { safeName, uniqueName } from "./results.ts";
import { nameStates, readCarry, type SequenceSettings, stepInputOptions } from "./sequence-options.ts";

export interface SequenceContext {
  readonly model: SessionModel;
  readonly signal: AbortSignal;
  /** For each step. */
  readonly timeoutMs: number;
  readonly cwd: string;
  /** How many predictions, or sequences with --steps, the command line asks for, and whether they come from FILEs. */
  readonly runs: readonly { readonly file: string | undefined }[];
}

/** By the state's name. */
export type SavedStates = Readonly<
  Record<string, { readonly dtype: string; readonly shape: readonly number[]; readonly file: string }>
>;

export interface SequencePrediction {
  readonly outputs: SteppedValues;
  readonly runMs: number;
  /** Of which the outputs are stacked; undefined for a single step. */
  readonly steps: number | undefined;
}

/** Reads the flags against the model. Throws USAGE and BAD_INPUT; nothing has run by then. */
export async function openSequence(
  settings: SequenceSettings,
  options: InputOptions,
  context: SequenceContext,
): Promise<Sequence> {
  const { model, runs, cwd } = context;
  const { keepsState, saveTo } = settings;
  const carries = settings.carries.map((text) => readCarry(text, model));
  checkCarries(carries, model);
  if (keepsState && runs[0]?.file === undefined) {
    throw new CoremlxError("USAGE", "Option --keep-state needs a FILE for each step", {
      hint: "Write coremlx infer MODEL STEP1 STEP2 … --keep-state, or use --steps N",
    });
  }
  if (model.states.length === 0) refuseStateless(settings, carries);
  if (saveTo !== undefined && runs.length > 1 && !keepsState) {
    throw new CoremlxError("USAGE", "Option --save-state takes the states of one sequence", {
      hint: "Add --keep-state, which makes the FILEs its steps",
    });
  }
  const specs = nameStates(settings.states, model.states);
  const start = await readInputs(specs, { ...options, inputs: model.states });
  if (saveTo !== undefined) makeFolder(resolve(cwd, saveTo)); // found out now rather than after an hour
  return new Sequence(settings, { ...context, carries, start, options });
}

interface Parts extends SequenceContext {
  readonly carries: readonly Carry[];
  readonly start: FeatureValues;
  readonly options: InputOptions;
}

/** Owns its state. Invariant: a state is used by one sequence; every sequence begins with the start values. */
export class Sequence implements AsyncDisposable {
  readonly #settings: SequenceSettings;
  readonly #parts: Parts;
  #state: ModelState | undefined;
  #runner: StepRunner | undefined;
  #done = 0;

  constructor(settings: SequenceSettings, parts: Parts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  /** For the inputs of the next prediction. */
  get inputOptions(): InputOptions {
    const { steps } = this.#settings;
    const { options, carries } = this.#parts;
    const own = { ...options, openInputs: this.openInputs };
    return steps === undefined ? own : stepInputOptions(own, steps, carries);
  }

  /** The inputs of which the next step wants the values: not those that are carried into. */
  get openInputs(): readonly FeatureDescription[] {
    const { model, carries } = this.#parts;
    return model.inputs.filter(({ name }) => !carries.some(({ input }) => input === name));
  }

  /** What is given to all steps, less the first values of what is carried later. */
  sharedInputs(shared: FeatureValues): FeatureValues {
    if (!this.#settings.keepsState || this.#done === 0) return shared;
    const names = this.openInputs.map(({ name }) => name);
    return new Map([...shared].filter(([name]) => names.includes(name)));
  }

  async predict(inputs: FeatureValues): Promise<SequencePrediction> {
    const { steps, keepsState } = this.#settings;
    const { model, carries, signal, timeoutMs, runs } = this.#parts;
    if (!keepsState || this.#done === 0) await this.#begin();
    const options = { carries, state: this.#state, signal, timeoutMs };
    const file = runs[this.#done]?.file;
    this.#done++;
    if (steps !== undefined) return { ...(await runSequence(model, inputs, { ...options, steps })), steps };
    this.#runner ??= new StepRunner(model, options);
    const runner = this.#runner;
    const step = `${this.#done} (${file})`;
    const prediction = await (keepsState ? atStep(step, () => runner.run(inputs)) : runner.run(inputs));
    return { ...prediction, steps: undefined };
  }

  /** Writes each state to NAME.npy, where asked to. Gives what was written, by name. */
  async save(): Promise<SavedStates | undefined> {
    const { saveTo } = this.#settings;
    if (saveTo === undefined || this.#state === undefined) return undefined;
    const folder = resolve(this.#parts.cwd, saveTo);
    const taken = new Set<string>();
    const written: Record<string, SavedStates[string]> = {};
    for (const [name, value] of await this.#state.read()) {
      if (!isTensor(value)) throw new CoremlxError("INTERNAL", `State "${name}" is no array`);
      const file = uniqueName(safeName(name), ".npy", taken);
      writeFileWhole(join(folder, file), encodeNpy(value));
      written[name] = { dtype: value.dtype, shape: [...value.shape], file };
    }
    return written;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const state = this.#state;
    this.#state = undefined;
    await state?.[Symbol.asyncDispose]();
  }

  async #begin(): Promise<void> {
    const { model, start } = this.#parts;
    await this[Symbol.asyncDispose]();
    this.#runner = undefined;
    if (model.states.length === 0) return;
    this.#state = await model.newState();
    if (start.size > 0) await this.#state.write(start);
  }
}

function refuseStateless(settings: SequenceSettings, carries: readonly Carry[]): void {
  const flag =
    settings.states.length > 0 ? "--state" : settings.saveTo !== undefined ? "--save-state" : undefined;
  if (flag !== undefined) {
    throw new CoremlxError("BAD_INPUT", `Cannot use ${flag}: the model has no state`, {
      hint: "What it gives out can be fed back with --carry OUTPUT:INPUT",
    });
  }
  if (settings.keepsState && carries.length === 0) {
    throw new CoremlxError("BAD_INPUT", "Cannot use --keep-state: the model has no state to keep", {
      hint: "Leave it out, or feed an output back with --carry OUTPUT:INPUT",
    });
  }
}
