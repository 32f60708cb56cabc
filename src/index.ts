// The library: what `import "coremlx"` gives.

export {
  decodeFile,
  type DecodedFile,
  encodeFile,
  type FeatureFileOptions,
  fileToFeature,
} from "./codecs/codec.ts";
export { type DType } from "./core/dtype.ts";
export { CoremlxError, type ErrorCode } from "./core/errors.ts";
export type {
  FeatureDescription,
  FeatureType,
  FunctionDescription,
  ModelDescription,
  ModelMetadata,
} from "./core/model.ts";
export type { LogFields, LogLevel, Telemetry } from "./core/telemetry.ts";
export type { ThermalSource, ThermalState } from "./core/thermal.ts";
export {
  type FeatureValue,
  type FeatureValues,
  type Dictionary,
  elementsOf,
  f32,
  isTensor,
  numbersOf,
  type Sequence,
  type Tensor,
  tensorOf,
} from "./core/tensor.ts";
export {
  type CompiledFunction,
  type CompileResult,
  defaultCacheDir,
  defaultTimeoutMs,
  type ExportedFile,
  type ExportOptions,
  type CoreLevel,
  type HostCondition,
  type HostProfile,
  type InspectOptions,
  type Inspection,
  type LoadModelOptions,
  type LoadTimings,
  type ModelState,
  type ModelStats,
  openSession,
  type Prediction,
  type PredictionLease,
  type PredictionOptions,
  type Session,
  type SessionCompileOptions,
  type SessionModel,
  type SessionOptions,
  type SessionStats,
} from "./runtime/session.ts";
