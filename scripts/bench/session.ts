// A session for a measurement: with a cache of its own, so that the user's neither helps nor is filled.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  openSession,
  type Session,
  type SessionOptions,
  type SessionSeams,
} from "../../src/runtime/session.ts";

const cacheDir = mkdtempSync(join(tmpdir(), "coremlx-bench-cache-"));
process.on("exit", () => rmSync(cacheDir, { recursive: true, force: true }));

export function openBenchSession(options: SessionOptions = {}, seams?: SessionSeams): Promise<Session> {
  return openSession({ cacheDir, ...options }, seams);
}
