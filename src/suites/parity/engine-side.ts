// A loaded model as one side of a comparison.

import type { SessionModel } from "../../runtime/session.ts";
import type { ParitySide } from "../parity.ts";
import type { Precision } from "../schema-parts.ts";

export interface EngineSideOptions {
  readonly requestedDevice: string;
  /** What the session was opened with. */
  readonly precision: Precision | undefined;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Borrows the model. Each prediction of a stateful one starts from zero. */
export function engineSide(
  model: Pick<
    SessionModel,
    "path" | "engine" | "engineVersion" | "device" | "digest" | "function" | "predict"
  >,
  options: EngineSideOptions,
): ParitySide {
  const { timeoutMs, signal } = options;
  const isPortable = model.engine === "portable";
  return {
    facts: {
      kind: "engine",
      engine: model.engine,
      engineVersion: model.engineVersion,
      device: model.device,
      requestedDevice: options.requestedDevice,
      precision: isPortable ? (options.precision ?? "float32") : null,
      model: { path: model.path, digest: model.digest ?? null, function: model.function.name },
    },
    answer: ({ values }) => model.predict(values, { timeoutMs, signal }),
  };
}
