// Which errors of Core ML say that only a fresh instance helps.

import { expect, test } from "bun:test";
import { CoremlxError, type ErrorCode } from "../../../src/core/errors.ts";
import { markingSpent } from "../../../src/engines/coreml-errors.ts";
import { isSurfaceError } from "../../../src/engines/surface-error.ts";

function mark(code: ErrorCode, details: Readonly<Record<string, unknown>>): CoremlxError {
  try {
    return markingSpent(() => {
      throw new CoremlxError(code, "Cannot predict: it fails", { details, hint: "Try" });
    });
  } catch (error) {
    if (error instanceof CoremlxError) return error;
    throw error;
  }
}

const underlying = [
  { domain: "com.apple.appleneuralengine.espresso", code: -6, message: "Could not create an IOSurface." },
];

test("poisoned, held by a call that was given up, and without surfaces: the instance is spent", () => {
  for (const details of [
    { status: "CMLX_E_POISONED" },
    { status: "CMLX_E_QUARANTINED" },
    { status: "CMLX_E_TIMEOUT" },
    { status: "CMLX_E_CANCELLED" },
    { status: "CMLX_E_CORE_ML", domain: "NSException", underlying: [] },
    { status: "CMLX_E_CORE_ML", domain: "com.apple.CoreML", underlying },
  ]) {
    const error = mark("NATIVE", details);
    expect(isSurfaceError(error)).toBe(true);
    expect(error).toMatchObject({
      code: "NATIVE",
      message: "Cannot predict: it fails",
      hint: "Try",
      details,
    });
  }
});

test("any other failure says nothing about the instance", () => {
  for (const details of [
    { status: "CMLX_E_INVALID_ARGUMENT" },
    { status: "CMLX_E_BUSY" },
    { status: "CMLX_E_CORE_ML", domain: "com.apple.CoreML", underlying: [] },
  ])
    expect(isSurfaceError(mark("BAD_INPUT", details))).toBe(false);
  expect(markingSpent(() => 1)).toBe(1);
});
