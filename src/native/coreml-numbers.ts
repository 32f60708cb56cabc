// The numbers of coremlx.h under its own names: statuses, element types, choices and flags. scripts/check-abi.ts compares
// them with the header.

import type { DType } from "../core/dtype.ts";

export const coremlStatus = {
  CMLX_OK: 0,
  CMLX_E_INVALID_ARGUMENT: 1,
  CMLX_E_BAD_HANDLE: 2,
  CMLX_E_CORE_ML: 3,
  CMLX_E_BUFFER_TOO_SMALL: 4,
  CMLX_E_BUSY: 5,
  CMLX_E_CANCELLED: 6,
  CMLX_E_CLOSED: 7,
  CMLX_E_UNSUPPORTED: 8,
  CMLX_E_TIMEOUT: 9,
  CMLX_E_INTERNAL: 10,
  CMLX_E_NOT_FOUND: 11,
  CMLX_E_QUARANTINED: 12,
  CMLX_E_QUARANTINE_FULL: 13,
  CMLX_E_POISONED: 14,
} as const;

export type CoremlStatusName = keyof typeof coremlStatus;

export const coremlElement = {
  CMLX_F64: 1,
  CMLX_F32: 2,
  CMLX_F16: 3,
  CMLX_I32: 4,
  CMLX_I8: 5,
  CMLX_PIXEL_BGRA8: 16,
  CMLX_PIXEL_GRAY8: 17,
  CMLX_PIXEL_GRAY16F: 18,
  CMLX_PIXEL_RGB8: 19,
} as const;

export const coremlUnits = {
  CMLX_UNITS_ALL: 0,
  CMLX_UNITS_CPU: 1,
  CMLX_UNITS_CPU_GPU: 2,
  CMLX_UNITS_CPU_ANE: 3,
} as const;

export const coremlTensorFlags = {
  CMLX_T_IN_PLACE: 1,
  CMLX_T_COPIED: 2,
  CMLX_T_CONVERTED: 4,
  CMLX_T_ALLOCATE: 8,
} as const;

export const coremlModelFlags = { CMLX_MODEL_POISONED: 1, CMLX_MODEL_HUNG: 2 } as const;

export const coremlLimits = { CMLX_MAX_RANK: 8, CMLX_MAX_TENSORS: 1024 } as const;

/** How the library names the element types of arrays. */
export const coremlArrayElement: Readonly<Partial<Record<DType, number>>> = {
  float64: coremlElement.CMLX_F64,
  float32: coremlElement.CMLX_F32,
  float16: coremlElement.CMLX_F16,
  int32: coremlElement.CMLX_I32,
  int8: coremlElement.CMLX_I8,
};
