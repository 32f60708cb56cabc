// How the readers of this folder refuse a file. Their messages are reasons; openModel puts "Cannot open …:" before them.

import { CoremlxError, type ErrorOptions } from "../core/errors.ts";

/** A BAD_MODEL error whose message is only the reason, without the path. */
export function badModel(reason: string, options: ErrorOptions = {}): CoremlxError {
  return new CoremlxError("BAD_MODEL", reason, options);
}

/** Text from a file, made fit for a message: quoted, control characters escaped, cut after `maxLength`. */
export function quote(text: string, maxLength = 120): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  // JSON leaves C1 controls and bidirectional marks alone; terminals do not.
  return JSON.stringify(cut).replaceAll(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
