// The numbers, for Prometheus.

import type { Route } from "../route.ts";
import { refuse } from "../status.ts";
import { failures } from "./answers.ts";

export const metricsRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/metrics",
    group: "metrics",
    operationId: "metrics",
    summary: "Metrics in Prometheus' text format",
    answers: { 200: { description: "Done", content: [{ type: "text/plain" }] }, ...failures(404) },
    async handle({ context: { metrics } }) {
      if (metrics === undefined) throw refuse(404, "This server keeps no metrics");
      return new Response(await metrics.text(), { headers: { "content-type": metrics.contentType } });
    },
  },
];
