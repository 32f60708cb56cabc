// What a tape holds: what one engine on one machine answered for one model, how long it took, and how it failed.

import type { ErrorCode } from "../../core/errors.ts";
import type { ModelDescription } from "../../core/model.ts";
import type { FeatureValues } from "../../core/tensor.ts";
import type { ComputePlan } from "../compute-plan.ts";
import type { HostCondition, HostProfile } from "../device/profile.ts";
import type { DeviceRequest } from "../engine.ts";

/** What answered. Only "Core ML" says anything about Apple's hardware. */
export type TapeLabel = "Core ML" | "stand-in" | "portable" | "remote";

/** As the model takes them: arrays in their declared element type. */
export interface TapeSample {
  readonly inputs: FeatureValues;
  /** Before the prediction; empty for a model that keeps none. */
  readonly states: FeatureValues;
}

export interface TapeAnswer {
  readonly outputs: FeatureValues;
  /** After the prediction. */
  readonly states: FeatureValues;
}

export interface TapeFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** One prediction. */
export interface Take {
  /** Index into the tape's samples. */
  readonly sample: number;
  readonly outcome: TapeAnswer | TapeFailure;
  /** Inside the engine; of a failure, until it came. */
  readonly runMs: number;
}

/** One function on one device, in the order it was recorded. */
export interface Recording {
  readonly functionName: string;
  readonly requested: DeviceRequest;
  /** What the engine called it: "cpu+ane". */
  readonly device: string;
  readonly compileMs: number;
  readonly loadMs: number;
  /** It could not be loaded: then there are no takes. */
  readonly failure?: TapeFailure | undefined;
  readonly plan?: ComputePlan | undefined;
  readonly takes: readonly Take[];
}

export interface Tape {
  /** In ISO 8601. */
  readonly recordedAt: string;
  /** "coremlx 0.1.0" */
  readonly tool: string;
  readonly label: TapeLabel;
  readonly engine: { readonly name: string; readonly version: string };
  readonly model: {
    readonly name: string;
    /** SHA-256, in hexadecimal; `undefined` where the recorder had no file. */
    readonly digest?: string | undefined;
    readonly description: ModelDescription;
  };
  /** The machine that answered; of a server nobody knows it. */
  readonly host?: HostProfile | undefined;
  readonly condition?: HostCondition | undefined;
  readonly samples: readonly TapeSample[];
  readonly recordings: readonly Recording[];
}

export function isFailure(outcome: TapeAnswer | TapeFailure): outcome is TapeFailure {
  return "code" in outcome;
}

/** "a tape of Apple M4 Max, 25F71, 2026-11-24": what everything that is derived from it has to say. */
export function nameSource({ host, label, engine, recordedAt }: Tape): string {
  const chip = host && (host.chip === undefined ? host.cpu : `Apple ${host.chip}`);
  const build = host && (host.osBuild ?? host.system ?? host.kernel);
  const place = host === undefined ? engine.version : `${chip}, ${build}`;
  const kind = label === "Core ML" ? "" : ` (${label})`;
  return `a tape of ${place}, ${recordedAt.slice(0, 10)}${kind}`;
}
