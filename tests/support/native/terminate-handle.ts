// What ends a run of a session that names no other handle.

import type { OrtSession, TerminateHandle } from "../../../src/native/ort-session.ts";

export function firstHandleOf({ terminateHandles: [first] }: OrtSession): TerminateHandle {
  if (first === undefined) throw new Error("The session has no terminate handle");
  return first;
}
