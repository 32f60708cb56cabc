// Records a tape: predictions of one model on one or more devices, with their answers, times and failures.

import { CoremlxError } from "../core/errors.ts";
import type { FeatureDescription } from "../core/model.ts";
import type { FeatureValues } from "../core/tensor.ts";
import { version } from "../core/version.ts";
import type { HostCondition, HostProfile } from "../engines/device.ts";
import type { DeviceRequest, EngineName } from "../engines/engine.ts";
import type { Tape, TapeLabel } from "../engines/tape/content.ts";
import { failureFrom, TapeRecorder } from "../engines/tape/recorder.ts";
import type { ModelState, Session, SessionModel } from "../runtime/session.ts";

export interface RecordOptions {
  /** In this order; one that cannot be loaded is on the tape with its reason, unless all are so. */
  readonly devices: readonly DeviceRequest[];
  readonly functionName?: string | undefined;
  /** For one prediction each; of a stateful model the inputs of one sequence each, given at every step. */
  readonly prepareInputs: (inputs: readonly FeatureDescription[]) => Promise<readonly FeatureValues[]>;
  /** Predictions of each input on each device; of a stateful model the steps of a sequence. */
  readonly repeat: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: RecordProgress) => void) | undefined;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
}

export interface RecordProgress {
  readonly device: DeviceRequest;
  readonly done: number;
  readonly total: number;
}

/** Throws what loading throws where no device can be loaded, BAD_INPUT for inputs that are refused, INTERRUPTED. */
export async function recordTape(session: Session, path: string, options: RecordOptions): Promise<Tape> {
  const { devices, now = Date.now } = options;
  const recorder = new TapeRecorder();
  const recordedAt = new Date(now()).toISOString();
  let first: RecordedModel | undefined;
  let reason: CoremlxError | undefined;
  for (const device of devices) {
    const model = await loadOn(session, path, device, options).catch((error: unknown) => {
      if (!(error instanceof CoremlxError) || error.code === "INTERRUPTED") throw error;
      return error;
    });
    if (model instanceof CoremlxError) {
      reason ??= model;
      first?.refuse(recorder, device, model);
      continue;
    }
    await using loaded = model;
    if (first === undefined) {
      first = new RecordedModel(loaded);
      // What could not be loaded before anything could.
      const before = devices.slice(0, devices.indexOf(device));
      if (reason) for (const refused of before) first.refuse(recorder, refused, reason);
    }
    await recordDevice(session, loaded, recorder, { ...options, device });
  }
  if (first === undefined) throw reason ?? new CoremlxError("USAGE", "Cannot record: no device is named");
  const { facts } = first;
  const isHere = facts.label !== "remote";
  const host: HostProfile | undefined = isHere ? session.device() : undefined;
  const condition: HostCondition | undefined = isHere ? session.deviceCondition() : undefined;
  const { samples, recordings } = recorder;
  return { recordedAt, tool: `coremlx ${version}`, ...facts, host, condition, samples, recordings };
}

/** What does not depend on the device. */
class RecordedModel {
  readonly facts: Pick<Tape, "label" | "engine" | "model">;
  readonly #function: SessionModel["function"];

  constructor({ name, engine, engineVersion, digest, description, function: fn }: SessionModel) {
    this.#function = fn;
    this.facts = {
      label: labelOf(engine, engineVersion),
      engine: { name: engine, version: engineVersion },
      model: { name, digest, description },
    };
  }

  refuse(recorder: TapeRecorder, requested: DeviceRequest, error: CoremlxError): void {
    const failure = failureFrom(error);
    recorder.begin(this.#function, { requested, device: requested, compileMs: 0, loadMs: 0, failure });
  }
}

function labelOf(engine: EngineName, engineVersion: string): TapeLabel {
  switch (engine) {
    case "portable":
      return "portable";
    case "coreml":
      return engineVersion.startsWith("stand-in") ? "stand-in" : "Core ML";
    case "http":
      return "remote";
    case "tape":
      throw new CoremlxError("USAGE", "Cannot record a tape from a tape", {
        hint: "Copy the file: a tape says where it was recorded, and a second one would not",
      });
  }
}

function loadOn(
  session: Session,
  path: string,
  device: DeviceRequest,
  { functionName, signal }: RecordOptions,
): Promise<SessionModel> {
  return session.load(path, { device, functionName, signal, instances: 1, withDigest: true });
}

async function recordDevice(
  session: Session,
  model: SessionModel,
  recorder: TapeRecorder,
  options: RecordOptions & { readonly device: DeviceRequest },
): Promise<void> {
  const { device, repeat, onProgress } = options;
  const inputs = await options.prepareInputs(model.inputs);
  const { compileMs, loadMs } = model.timings;
  const plan = await session.plan(model);
  const add = recorder.begin(model.function, {
    requested: device,
    device: model.device,
    compileMs,
    loadMs,
    plan,
  });
  const total = inputs.length * repeat;
  let done = 0;
  for (const values of inputs) {
    let state: ModelState | undefined;
    for (let step = 0; step < repeat; step++) {
      if (model.states.length > 0 && state?.isUsable !== true) state = await model.newState();
      add(await predictOnce(model, values, state, options));
      onProgress?.({ device, done: ++done, total });
    }
    await state?.[Symbol.asyncDispose]();
  }
}

/** Refusals of the inputs and of the caller's own are thrown, what the engine made of it is kept. */
async function predictOnce(
  model: SessionModel,
  inputs: FeatureValues,
  state: ModelState | undefined,
  { timeoutMs, signal }: RecordOptions,
): Promise<Parameters<ReturnType<TapeRecorder["begin"]>>[0]> {
  const states = await state?.read();
  const started = performance.now();
  try {
    const { outputs, runMs } = await model.predictTimed(inputs, { timeoutMs, signal, state });
    return { inputs, states, outcome: { outputs, states: (await state?.read()) ?? new Map() }, runMs };
  } catch (error) {
    const isEngines = error instanceof CoremlxError && !["BAD_INPUT", "INTERRUPTED"].includes(error.code);
    if (!isEngines) throw error;
    return { inputs, states, outcome: failureFrom(error), runMs: performance.now() - started };
  }
}
