// What every handler has at hand.

import type { Telemetry } from "../core/telemetry.ts";
import type { ServerLimits } from "./limits.ts";
import type { Repository } from "./repository/repository.ts";

export interface ServerContext {
  readonly repository: Repository;
  readonly limits: ServerLimits;
  readonly telemetry: Telemetry;
  /** Longest wait for an answer, where a request does not say. */
  readonly timeoutMs: number;
  /** Once true, no model is ready any more. */
  isDraining(): boolean;
}
