// Names of models as labels: few, short and plain, whatever somebody calls a model.

import type { ModelLabels } from "../../core/meter-names.ts";

export interface SafeLabels {
  readonly model?: string;
  readonly version?: string;
}

/** Stands for every model beyond the limit. */
export const overflowModel = "other";
const longestLabel = 128;

/** Invariant: at most `limit` models have labels of their own, and no two have the same. */
export class LabelBook {
  readonly #limit: number;
  readonly #onFull: () => void;
  readonly #byModel = new Map<string, SafeLabels>();
  readonly #taken = new Set<string>([keyOf({ model: overflowModel })]);
  readonly #overflow: SafeLabels = { model: overflowModel };

  /** `onFull` is called once, when a model first gets no labels of its own. */
  constructor(limit: number, onFull: () => void) {
    let isTold = false;
    this.#limit = limit;
    this.#onFull = () => {
      if (!isTold) onFull();
      isTold = true;
    };
  }

  isOverflow(labels: SafeLabels): boolean {
    return labels === this.#overflow;
  }

  /** The same for the same model. Nothing for the session as a whole. */
  labelsOf(labels: Partial<ModelLabels> | undefined): SafeLabels {
    if (labels?.model === undefined) return {};
    const raw = rawKey(labels.model, labels.version);
    const known = this.#byModel.get(raw);
    if (known !== undefined) return known;
    if (this.#byModel.size >= this.#limit) {
      this.#onFull();
      return this.#overflow;
    }
    const version = labels.version === undefined ? {} : { version: plainLabel(labels.version) };
    const model = plainLabel(labels.model);
    let safe: SafeLabels = { model, ...version };
    for (let again = 2; this.#taken.has(keyOf(safe)); again++)
      safe = { model: `${model}~${again}`, ...version };
    this.#taken.add(keyOf(safe));
    this.#byModel.set(raw, safe);
    return safe;
  }

  /** Makes room. Returns the labels the model had. */
  forget(labels: ModelLabels): SafeLabels | undefined {
    const raw = rawKey(labels.model, labels.version);
    const safe = this.#byModel.get(raw);
    if (safe === undefined) return undefined;
    this.#byModel.delete(raw);
    this.#taken.delete(keyOf(safe));
    return safe;
  }
}

/** Letters, digits and a few marks that need no quoting anywhere; never empty, which would mean no label. */
export function plainLabel(text: string): string {
  return text.slice(0, longestLabel).replaceAll(/[^\p{L}\p{N}._/@+ -]/gu, "_") || "_";
}

/** Plain labels hold no line ends, so that two different ones never give the same key. */
export function keyOf({ model = "", version = "" }: SafeLabels): string {
  return `${model}\n${version}`;
}

function rawKey(model: string, version: string | undefined): string {
  return JSON.stringify([model, version]);
}
