// Which errors of Core ML say that a loaded model is spent.

import { CoremlxError } from "../core/errors.ts";
import { brokenSurfaces } from "./surface-error.ts";

/** Runs a call of the library; its errors say whether only a fresh instance helps. */
export function markingSpent<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof CoremlxError) || !isSpent(error)) throw error;
    const { code, message, hint, details } = error;
    throw new CoremlxError(code, message, { cause: error, hint, details: { ...details, ...brokenSurfaces } });
  }
}

/**
 * poisoned: an exception was raised inside it, and its inside may be in any state. Given up, in quarantine: it is held
 * by a call that nobody waits for, maybe for ever. Surfaces: the Neural Engine has none left for it.
 */
function isSpent({ details }: CoremlxError): boolean {
  switch (details?.["status"]) {
    case "CMLX_E_POISONED":
    case "CMLX_E_QUARANTINED":
    case "CMLX_E_TIMEOUT":
    case "CMLX_E_CANCELLED":
      return true;
    case "CMLX_E_CORE_ML":
      return details["domain"] === "NSException" || mentionsSurface(details["underlying"]);
    default:
      return false;
  }
}

function mentionsSurface(underlying: unknown): boolean {
  return /IOSurface|surface/i.test(JSON.stringify(underlying ?? []));
}
