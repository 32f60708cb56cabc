// What every handler has at hand.

import type { Telemetry } from "../core/telemetry.ts";
import type { SessionMetrics } from "../runtime/metrics/metrics.ts";
import type { BodyBudget } from "./body-budget.ts";
import type { ServerLimits } from "./limits.ts";
import type { Repository } from "./repository/repository.ts";
import type { ThreadTurns } from "./thread-turns.ts";

export interface ServerContext {
  readonly repository: Repository;
  readonly limits: ServerLimits;
  readonly bodies: BodyBudget;
  /** For models that run in this thread. */
  readonly turns: ThreadTurns;
  readonly telemetry: Telemetry;
  readonly metrics: Pick<SessionMetrics, "text" | "contentType"> | undefined;
  /** Once true, no model is ready any more. */
  isDraining(): boolean;
}
