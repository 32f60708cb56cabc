// The first predictions of a model, before it counts as ready: whoever comes first shall not wait for what happens only once.

import { generate } from "../../codecs/generate.ts";
import type { FeatureValue } from "../../core/tensor.ts";
import type { SessionModel } from "../../runtime/session.ts";

/** A first run may take long; nobody waits for its answer. */
const firstTimeoutMs = 600_000;

/** Runs are repeated until it is known whether the model is small enough for the server's own thread: 64 times, */
const mostRuns = 80;

/** unless they take this long together, */
const longMs = 250;

/** or so many of them take so long: one alone may have been held up by another program. */
const mostSlow = 8;
const slowMs = 1;

/** Throws what the model says about made-up inputs. */
export async function warmUp(
  model: Pick<SessionModel, "inputs" | "predictTimed" | "isInline">,
): Promise<void> {
  const inputs = new Map<string, FeatureValue>();
  for (const input of model.inputs) if (!input.isOptional) inputs.set(input.name, generate(input, "random"));
  let [totalMs, slow] = [0, 0];
  for (let run = 0; run < mostRuns && totalMs < longMs && slow < mostSlow && !model.isInline; run++) {
    const { runMs } = await model.predictTimed(inputs, { timeoutMs: firstTimeoutMs });
    totalMs += runMs;
    if (runMs > slowMs) slow++;
  }
}
