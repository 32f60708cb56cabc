// A model made ready for a soak: how it is loaded, its reference answers, and whether it is still the one of the checkpoint.

import { CoremlxError } from "../../core/errors.ts";
import { type FeatureValues, isTensor } from "../../core/tensor.ts";
import type { LoadModelOptions } from "../../runtime/session.ts";
import { systemClock } from "../clock.ts";
import type { SoakOptions } from "../soak.ts";
import type { SoakCheckpoint } from "./checkpoint.ts";
import { makeInputs, type References, takeReferences } from "./references.ts";
import type { Subject } from "./subject.ts";

/** How a model of the soak is loaded. */
export function loadOptionsOf(
  name: string,
  { configuration, signal }: Pick<SoakOptions, "configuration" | "signal">,
): LoadModelOptions {
  const { load, instances, threads, isolation, requestedDevice } = configuration;
  return {
    name,
    device: requestedDevice,
    instances: instances ?? undefined,
    threads: threads ?? undefined,
    isolation,
    ...(load.mode === "closed" && instances !== "auto" ? { queueLimit: load.concurrency } : {}),
    signal,
    withDigest: true,
  };
}

/** The answers that the model must give, and roughly the time it takes. Throws what predicting throws; CRITERIA_FAILED. */
export async function refer(
  subject: Subject,
  { configuration, clock = systemClock }: Pick<SoakOptions, "configuration" | "clock">,
): Promise<References> {
  const { model, name } = subject;
  const { inputsPerModel: count, seed, timeoutMs, tolerance, load } = configuration;
  // At once as many as the load makes, so that more than one instance is asked.
  const atOnce = load.mode === "closed" ? load.concurrency : (model.stats?.instances.limit ?? 1);
  return takeReferences({
    model: name,
    inputs: makeInputs(model.inputs, { count, seed }),
    repeats: Math.max(1, Math.min(atOnce, model.stats?.instances.limit ?? 1)),
    tolerance,
    async predict(inputs) {
      const startedMs = clock.now();
      using answer = await model.predictLeased(inputs, { timeoutMs: Math.max(timeoutMs, 60_000) });
      subject.typicalMs = clock.now() - startedMs;
      return copyOutputs(answer.outputs);
    },
  });
}

/** Leased memory is somebody else's soon. */
function copyOutputs(outputs: FeatureValues): FeatureValues {
  return new Map(
    [...outputs].map(([name, value]) => [
      name,
      isTensor(value) ? { ...value, bytes: value.bytes.slice() } : value,
    ]),
  );
}

/** Throws where the model is not the one of the checkpoint any more. */
export function checkAgainst(saved: SoakCheckpoint["models"][number] | undefined, subject: Subject): void {
  if (saved === undefined) return;
  const { model, name, references } = subject;
  const facts = [
    ["the files of the model", saved.digest, model.digest ?? ""],
    ["the engine", saved.engineVersion, model.engineVersion],
    ["the device", saved.device, model.device],
  ] as const;
  for (const [what, was, is] of facts) {
    if (was === is) continue;
    throw new CoremlxError(
      "BAD_INPUT",
      `Cannot continue the soak of "${name}": ${what} changed, from "${was}" to "${is}"`,
      { hint: "Begin a new soak" },
    );
  }
  if (saved.referenceDigest === "" || references.mode !== "bits") return;
  if (saved.referenceDigest === references.digest) return;
  throw new CoremlxError(
    "CRITERIA_FAILED",
    `Cannot continue the soak of "${name}": its answers are not those of before the interruption`,
    { hint: "The same engine on the same device gave other bits: compare the two with coremlx infer" },
  );
}
