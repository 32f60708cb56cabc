// A model on a tape, as engines offer it. It is one graph of tensors wherever its inputs are, so that buffers, mapped outputs
// and states work on it as on the engine that was recorded.

import { CoremlxError } from "../../core/errors.ts";
import {
  type FeatureDescription,
  type FunctionDescription,
  isColor,
  pictureDType,
} from "../../core/model.ts";
import {
  type FeatureValue,
  type FeatureValues,
  isSameShape,
  isTensor,
  type Tensor,
  zeros,
} from "../../core/tensor.ts";
import { stateInput, stateOutput } from "../coreml-interface.ts";
import type { FeaturePort, GraphPorts, LoadedGraph, LoadedModel, PredictOptions, State } from "../engine.ts";
import { FeaturePlan } from "../feature-plan.ts";
import { toStateValue } from "../features.ts";
import { isFailure, type Recording, type Take, type TapeAnswer } from "./content.ts";
import { normalizeInputs, zeroStates } from "./inputs.ts";
import type { TapePlayer } from "./player.ts";

export interface TapeModelParts {
  readonly description: FunctionDescription;
  readonly recording: Recording;
  readonly player: TapePlayer;
  /** "a tape of …" */
  readonly source: string;
  /** Takes the time that was recorded, by waiting for so long; `undefined`: none. */
  readonly wait: ((ms: number) => void) | undefined;
}

/** Owns nothing but its place on the tape. */
export class TapeModel implements LoadedModel {
  readonly function: FunctionDescription;
  readonly device: string;
  readonly compileMs = 0;
  readonly graph: LoadedModel["graph"];
  readonly #parts: TapeModelParts;
  readonly #plan: FeaturePlan;

  constructor(parts: TapeModelParts) {
    const { description, recording, source } = parts;
    this.#parts = parts;
    this.function = description;
    this.device = `${recording.device} from ${source}`;
    this.#plan = new FeaturePlan(description, portsOf(description, recording));
    const isGraph = description.inputs.every(({ type }) => isArray(type));
    this.graph = isGraph ? { ports: this.#plan.ports, loaded: this.#graph() } : undefined;
  }

  async predict(inputs: FeatureValues, options: PredictOptions = {}): Promise<FeatureValues> {
    options.signal?.throwIfAborted();
    const state = this.#stateOf(options.state);
    const given = normalizeInputs(this.function, inputs);
    const answer = this.#replay(given, state.values, options.timeoutMs);
    state.values = answer.states;
    return this.#plan.decode(copy(answer.outputs));
  }

  newState(): State {
    if (this.function.states.length === 0)
      throw new CoremlxError("UNSUPPORTED", "Cannot make a state: the model keeps none");
    return new TapeState(zeroStates(this.function));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The tape stays in memory for as long as somebody holds it.
  }

  #graph(): LoadedGraph {
    const { states } = this.#plan.ports;
    return {
      share: undefined,
      cancels: [],
      run: (inputs, outputs) => {
        const before = new Map<string, FeatureValue>();
        const given = new Map<string, FeatureValue>(inputs);
        for (const { feature, input } of states) {
          const value = inputs.get(input);
          if (value) before.set(feature, value);
          given.delete(input);
        }
        const answer = this.#replay(given, before, undefined);
        const results = new Map<string, FeatureValue>(answer.outputs);
        for (const { feature, output } of states) {
          const value = answer.states.get(feature);
          if (value !== undefined && output !== undefined) results.set(output, value);
        }
        return placed(results, outputs);
      },
      [Symbol.dispose]() {},
    };
  }

  #replay(inputs: FeatureValues, states: FeatureValues, timeoutMs: number | undefined): TapeAnswer {
    const { player, wait, source } = this.#parts;
    const { outcome, runMs } = player.take(inputs, states);
    if (wait && timeoutMs !== undefined && timeoutMs < runMs) {
      wait(Math.max(timeoutMs, 0));
      const late = `Cannot predict: ${runMs} ms on the tape are more than ${Math.round(timeoutMs)} ms`;
      throw new CoremlxError("DEADLINE", late, { details: { timeoutMs, tape: source } });
    }
    wait?.(runMs);
    if (!isFailure(outcome)) return outcome;
    const { code, message, hint } = outcome;
    throw new CoremlxError(code, `${message} (${source})`, { hint, details: { tape: source } });
  }

  #stateOf(state: State | undefined): TapeState {
    if (state === undefined) return new TapeState(zeroStates(this.function));
    if (state instanceof TapeState) return state;
    throw new CoremlxError("BAD_INPUT", "Cannot predict: the state belongs to another engine");
  }
}

class TapeState implements State {
  values: FeatureValues;

  constructor(values: FeatureValues) {
    this.values = values;
  }

  read(): FeatureValues {
    return copy(this.values);
  }

  write(values: FeatureValues): void {
    const next = new Map(this.values);
    for (const [name, value] of values) {
      const form = this.values.get(name);
      if (form === undefined || !isTensor(form))
        throw new CoremlxError("NOT_FOUND", `Cannot find state "${name}"`);
      next.set(name, toStateValue(name, value, form));
    }
    this.values = copy(next);
  }

  [Symbol.dispose](): void {
    this.values = new Map();
  }
}

/** Where a result has a place of its size it goes there; the others come in memory of their own. */
function placed(results: FeatureValues, places: ReadonlyMap<string, Tensor>): FeatureValues {
  const values = new Map<string, FeatureValue>();
  for (const [name, value] of copy(results)) {
    const place = places.get(name);
    if (place === undefined || !isTensor(value)) values.set(name, value);
    else if (place.dtype !== value.dtype || !isSameShape(place.shape, value.shape))
      throw new CoremlxError(
        "NATIVE",
        `The tape has ${value.dtype} [${value.shape.join(", ")}] for "${name}", ${place.dtype} [${place.shape.join(", ")}] is due`,
      );
    else {
      place.bytes.set(value.bytes);
      values.set(name, place);
    }
  }
  return values;
}

function copy(values: FeatureValues): FeatureValues {
  return new Map(
    [...values].map(([name, value]): [string, FeatureValue] => {
      if (!isTensor(value)) return [name, value];
      const own = zeros(value.dtype, value.shape);
      own.bytes.set(value.bytes);
      return [name, own];
    }),
  );
}

function isArray(type: FeatureDescription["type"]): boolean {
  return type.kind === "multiArray" || type.kind === "image";
}

function portsOf(fn: FunctionDescription, { takes }: Recording): GraphPorts {
  return {
    inputs: fn.inputs.flatMap((input) => portOf(input, fixedShape(input))),
    outputs: fn.outputs.flatMap((output) => portOf(output, recordedShape(output, takes))),
    states: fn.states.flatMap(({ name, type }) =>
      type.kind === "state"
        ? [
            {
              feature: name,
              dtype: type.array.dtype,
              shape: type.array.shape,
              input: stateInput(name),
              output: stateOutput(name),
            },
          ]
        : [],
    ),
    classifier: undefined,
    carriesFeatures: true,
  };
}

function portOf({ name, type }: FeatureDescription, shape: readonly number[] | undefined): FeaturePort[] {
  if (type.kind === "multiArray") return [{ feature: name, name, dtype: type.dtype, shape }];
  if (type.kind !== "image") return [];
  return [{ feature: name, name, dtype: pictureDType(type), shape, isWhole: true }];
}

function fixedShape({ type }: FeatureDescription): readonly number[] | undefined {
  if ((type.kind !== "multiArray" && type.kind !== "image") || type.constraint.kind !== "fixed")
    return undefined;
  if (type.kind === "multiArray") return type.shape;
  return isColor(type) ? [type.height, type.width, 3] : [type.height, type.width];
}

/** Where all answers have the same: then results can go where somebody wants them. */
function recordedShape(
  { name, type }: FeatureDescription,
  takes: readonly Take[],
): readonly number[] | undefined {
  let shape: readonly number[] | undefined;
  for (const { outcome } of takes) {
    if (isFailure(outcome)) continue;
    const value = outcome.outputs.get(name);
    if (value === undefined || !isTensor(value)) return undefined;
    if (type.kind === "multiArray" && value.dtype !== type.dtype) return undefined;
    if (shape !== undefined && !isSameShape(shape, value.shape)) return undefined;
    shape = value.shape;
  }
  return shape;
}
