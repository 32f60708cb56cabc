// Faults on request: calls that their own caller gives up, gives no time, or makes wrongly. Each has the ways it may end;
// none of them may cost another call its answer.

import { CoremlxError } from "../../core/errors.ts";
import type { FeatureValues } from "../../core/tensor.ts";
import type { Clock } from "../clock.ts";
import type { FaultKind } from "./schema.ts";

const endingsOf: Readonly<Record<FaultKind, readonly string[]>> = {
  cancel: ["answered", "INTERRUPTED"],
  timeout: ["answered", "DEADLINE"],
  "bad-input": ["BAD_INPUT"],
};

export function mayEnd(kind: FaultKind, ending: string): boolean {
  return endingsOf[kind].includes(ending);
}

/** No model has an input of this name. */
const strangeName = "coremlx-soak: an input nobody knows";

export interface FaultCall {
  readonly kind: FaultKind;
  readonly inputs: FeatureValues;
  readonly timeoutMs: number;
  /** When to give it up, after its start. */
  readonly afterMs: number;
  readonly clock: Clock;
}

interface Call {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** What became of it: its answer, or the code of its error. */
export async function callWithFault<P>(
  fault: FaultCall,
  predict: (inputs: FeatureValues, call: Call) => Promise<P>,
): Promise<{ readonly ending: string; readonly answer?: P }> {
  const { kind, inputs, timeoutMs, afterMs, clock } = fault;
  const given = kind === "bad-input" ? new Map([...inputs, [strangeName, 0]]) : inputs;
  const abort = new AbortController();
  const settled = new AbortController();
  if (kind === "cancel") {
    void clock.sleepUntil(clock.now() + afterMs, settled.signal).then(() => abort.abort());
  }
  const limitMs = kind === "timeout" ? Math.min(timeoutMs, afterMs) : timeoutMs;
  try {
    return { ending: "answered", answer: await predict(given, { timeoutMs: limitMs, signal: abort.signal }) };
  } catch (error) {
    return { ending: error instanceof CoremlxError ? error.code : "INTERNAL" };
  } finally {
    settled.abort();
  }
}
