// The HTTP application: guards around everything, then hono's router over the table of routes.

import { Hono } from "hono";
import { CoremlxError, messageOf } from "../core/errors.ts";
import type { ServerContext } from "./context.ts";
import { describeApi } from "./openapi.ts";
import { jsonResponse, type Route } from "./route.ts";
import { healthRoutes } from "./routes/health.ts";
import { inferRoutes } from "./routes/infer.ts";
import { metadataRoutes } from "./routes/metadata.ts";
import { metricsRoutes } from "./routes/metrics.ts";
import { repositoryRoutes } from "./routes/repository.ts";
import { errorResponse, refuse, statusOf } from "./status.ts";

const apiRoute: Route = {
  method: "GET",
  path: "/openapi.json",
  group: "metadata",
  operationId: "openapi",
  summary: "This interface, in OpenAPI 3.1",
  answers: { 200: { description: "Done", content: [{ type: "application/json" }] } },
  handle: () => jsonResponse(describeApi(routes)),
};

export const routes: readonly Route[] = [
  ...inferRoutes,
  ...healthRoutes,
  ...metadataRoutes,
  ...repositoryRoutes,
  ...metricsRoutes,
  apiRoute,
];

/** Looks at a request before any route does, whatever its path; throws what is to be answered in place of it. */
export type Guard = (request: Request) => void;

export interface AppOptions {
  readonly context: ServerContext;
  readonly guards: readonly Guard[];
}

/** What a connection can do for a handler. */
export interface Connection {
  holdOpen(): void;
}

export type App = (request: Request, connection: Connection) => Promise<Response>;

interface Env {
  Bindings: Connection;
}

export function createApp({ context, guards }: AppOptions): App {
  const router = new Hono<Env>({ strict: false });
  const answer = (error: unknown): Response => {
    if (statusOf(error) === 500) logFailure(context, error);
    return errorResponse(error);
  };
  for (const route of routes) {
    router.on(route.method, route.path.replaceAll(/\{(\w+)\}/g, ":$1"), (c) => {
      return route.handle({
        request: c.req.raw,
        context,
        param: (name) => c.req.param(name) ?? "",
        holdOpen: () => c.env.holdOpen(),
      });
    });
  }
  router.notFound((c) => answer(noRoute(c.req.method, c.req.path)));
  router.onError((error) => answer(error));
  return async (request, connection) => {
    try {
      for (const guard of guards) guard(request);
      return await router.fetch(request, connection);
    } catch (error) {
      return answer(error);
    }
  };
}

/** 405 where the path is one of ours with another method. */
function noRoute(method: string, path: string): CoremlxError {
  const allowed = routes.filter((route) => matches(route.path, path)).map((route) => route.method);
  const methods = allowed.includes("GET") ? [...allowed, "HEAD"] : allowed;
  if (methods.length === 0) return refuse(404, "There is no such path");
  return refuse(405, `${method} is not for this path`, { allow: methods.join(", ") });
}

function matches(pattern: string, path: string): boolean {
  const parts = path.replace(/\/$/, "").split("/");
  const wanted = pattern.split("/");
  return (
    parts.length === wanted.length && wanted.every((part, i) => part.startsWith("{") || part === parts[i])
  );
}

function logFailure({ telemetry }: ServerContext, error: unknown): void {
  const code = error instanceof CoremlxError ? error.code : "INTERNAL";
  telemetry.log("error", "request failed", { code, reason: messageOf(error) });
}
