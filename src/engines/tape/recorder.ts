// Collects what a tape will hold while predictions are made, whoever makes them.

import type { CoremlxError } from "../../core/errors.ts";
import type { FunctionDescription } from "../../core/model.ts";
import { type FeatureValue, type FeatureValues, isTensor } from "../../core/tensor.ts";
import type { Recording, Take, TapeAnswer, TapeFailure, TapeSample } from "./content.ts";
import { normalizeInputs, zeroStates } from "./inputs.ts";
import { digestValues } from "./values.ts";

export interface Prediction {
  readonly inputs: FeatureValues;
  /** Before it; default: zero. */
  readonly states?: FeatureValues | undefined;
  readonly outcome: TapeAnswer | TapeFailure;
  readonly runMs: number;
}

export type RecordingStart = Omit<Recording, "takes" | "functionName">;

/** Keeps copies. Equal inputs and equal answers are kept once. */
export class TapeRecorder {
  readonly samples: TapeSample[] = [];
  readonly recordings: Recording[] = [];
  readonly #samples = new Map<string, number>();
  readonly #answers = new Map<string, TapeAnswer>();

  /** One function on one device; gives what adds a prediction to it. */
  begin(fn: FunctionDescription, start: RecordingStart): (prediction: Prediction) => void {
    const takes: Take[] = [];
    this.recordings.push({ ...start, functionName: fn.name, takes });
    return ({ inputs, states = zeroStates(fn), outcome, runMs }) => {
      const sample = this.#sampleOf(normalizeInputs(fn, inputs), states);
      takes.push({ sample, outcome: "code" in outcome ? outcome : this.#answerOf(outcome), runMs });
    };
  }

  #sampleOf(inputs: FeatureValues, states: FeatureValues): number {
    const key = digestValues(inputs, states);
    const known = this.#samples.get(key);
    if (known !== undefined) return known;
    const index = this.samples.push({ inputs: copy(inputs), states: copy(states) }) - 1;
    this.#samples.set(key, index);
    return index;
  }

  #answerOf({ outputs, states }: TapeAnswer): TapeAnswer {
    const key = digestValues(outputs, states);
    let answer = this.#answers.get(key);
    if (answer === undefined) {
      answer = { outputs: copy(outputs), states: copy(states) };
      this.#answers.set(key, answer);
    }
    return answer;
  }
}

export function failureFrom({ code, message, hint }: CoremlxError): TapeFailure {
  return { code, message, ...(hint !== undefined && { hint }) };
}

function copy(values: FeatureValues): FeatureValues {
  return new Map(
    [...values].map(([name, value]): [string, FeatureValue] => [
      name,
      isTensor(value) ? { ...value, bytes: value.bytes.slice() } : value,
    ]),
  );
}
