// An engine's word that an instance is spent: the surfaces or buffers beneath it are broken, or a call holds what it
// loaded, and only a fresh one helps.
// It travels in the error's details, so that it survives the way from a worker or a child process.

import { CoremlxError } from "../core/errors.ts";

/** For the details of a NATIVE error. */
export const brokenSurfaces = { isSurfaceError: true } as const;

export function isSurfaceError(error: unknown): boolean {
  return error instanceof CoremlxError && error.details?.["isSurfaceError"] === true;
}
