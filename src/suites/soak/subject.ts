// A model under soak: loaded, with the answers it must give.

import type { FeatureValues } from "../../core/tensor.ts";
import type { BenchModel } from "../bench.ts";
import type { Answer } from "../workload.ts";
import type { References } from "./references.ts";

export interface SoakAnswer extends Answer, Disposable {
  readonly outputs: FeatureValues;
}

/** What soak needs of a loaded model; SessionModel is one. */
export interface SoakModel extends Omit<BenchModel, "predictTimed"> {
  predictLeased(
    inputs: FeatureValues,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal | undefined },
  ): Promise<SoakAnswer>;
}

export interface Subject {
  readonly path: string;
  readonly name: string;
  readonly model: SoakModel;
  /** Of one prediction, roughly. */
  typicalMs: number;
  references: References;
}

/** Until they are taken. */
export const noReferences: References = { inputs: [], answers: [], mode: "bits", tolerance: 0, digest: "" };
