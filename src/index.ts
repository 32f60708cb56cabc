// The library: what `import "coremlx"` gives.

export { type DType } from "./core/dtype.ts";
export { CoremlxError, type ErrorCode } from "./core/errors.ts";
export type {
  FeatureDescription,
  FeatureType,
  FunctionDescription,
  ModelDescription,
  ModelMetadata,
} from "./core/model.ts";
export type { ThermalSource, ThermalState } from "./core/thermal.ts";
export {
  type FeatureValue,
  type FeatureValues,
  elementsOf,
  f32,
  numbersOf,
  type Tensor,
  tensorOf,
} from "./core/tensor.ts";
export {
  defaultTimeoutMs,
  type LoadModelOptions,
  type ModelState,
  type ModelStats,
  openSession,
  type Prediction,
  type PredictionLease,
  type PredictionOptions,
  type Session,
  type SessionModel,
  type SessionOptions,
  type SessionStats,
} from "./runtime/session.ts";
