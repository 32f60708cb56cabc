// Whether the server lives, and whether it and its models can answer.

import { refuse } from "../status.ts";
import { liveSchema, modelReadySchema, readySchema } from "../protocol/schemas.ts";
import { type Call, jsonResponse, type Route } from "../route.ts";
import { failures, ok } from "./answers.ts";

export const healthRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/v2/health/live",
    group: "health",
    operationId: "serverLive",
    summary: "Whether the server lives",
    answers: ok(liveSchema),
    handle: () => jsonResponse({ live: true }),
  },
  {
    method: "GET",
    path: "/v2/health/ready",
    group: "health",
    operationId: "serverReady",
    summary: "Whether the server and all its models are ready",
    answers: { ...ok(readySchema), ...failures(503) },
    handle({ context }) {
      if (context.isDraining()) throw refuse(503, "The server is shutting down");
      if (!context.repository.isReady) throw refuse(503, "Not all models are ready");
      return jsonResponse({ ready: true });
    },
  },
  ...["/v2/models/{model}/ready", "/v2/models/{model}/versions/{version}/ready"].map(
    (path, i): Route => ({
      method: "GET",
      path,
      group: "health",
      operationId: i === 0 ? "modelReady" : "modelVersionReady",
      summary: "Whether a model is ready",
      answers: { ...ok(modelReadySchema), ...failures(404, 503) },
      handle: answerModelReady,
    }),
  ),
];

function answerModelReady({ context, param }: Call): Response {
  if (context.isDraining()) throw refuse(503, "The server is shutting down");
  const { name } = context.repository.find(param("model"), param("version") || undefined);
  return jsonResponse({ name, ready: true });
}
