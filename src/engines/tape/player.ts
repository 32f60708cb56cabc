// Which take answers a prediction: those recorded for the same inputs and states in turn; for others, the next in order.

import { CoremlxError } from "../../core/errors.ts";
import type { FeatureValues } from "../../core/tensor.ts";
import type { Recording, Take, Tape } from "./content.ts";
import { digestValues } from "./values.ts";

export interface PlayerOptions {
  /** Inputs that were not recorded are refused. Default: they get the next take in order. */
  readonly isExact: boolean;
}

/** Invariant: a recording's takes come in their order, and begin again after the last. */
export class TapePlayer {
  readonly #takes: readonly Take[];
  readonly #bySample = new Map<string, { readonly takes: Take[]; next: number }>();
  readonly #isExact: boolean;
  #next = 0;

  constructor({ samples }: Tape, { takes }: Recording, { isExact }: PlayerOptions) {
    this.#takes = takes;
    this.#isExact = isExact;
    const keys = samples.map(({ inputs, states }) => digestValues(inputs, states));
    for (const take of takes) {
      const key = keys[take.sample] ?? "";
      const row = this.#bySample.get(key);
      if (row) row.takes.push(take);
      else this.#bySample.set(key, { takes: [take], next: 0 });
    }
  }

  /** Throws NOT_FOUND where there is none. */
  take(inputs: FeatureValues, states: FeatureValues): Take {
    const row = this.#bySample.get(digestValues(inputs, states));
    if (row === undefined && this.#isExact)
      throw new CoremlxError("NOT_FOUND", "Cannot replay: the tape does not hold these inputs", {
        hint: "Leave exact out of --engine tape:FILE#exact, and they get the next answer in order",
      });
    const take = row
      ? row.takes[row.next++ % row.takes.length]
      : this.#takes[this.#next++ % Math.max(this.#takes.length, 1)];
    if (take) return take;
    throw new CoremlxError("NOT_FOUND", "Cannot replay: nothing was predicted on the tape");
  }
}
