// The HTTP application: guards around everything, then hono's router over the table of routes.

import { Hono } from "hono";
import { CoremlxError, messageOf } from "../core/errors.ts";
import type { ServerContext } from "./context.ts";
import type { ServerLimits } from "./limits.ts";
import { describeApi } from "./openapi.ts";
import { echoNames, logRequest, namesOf, type RequestNames } from "./request-log.ts";
import { jsonResponse, type Route } from "./route.ts";
import { healthRoutes } from "./routes/health.ts";
import { inferRoutes } from "./routes/infer.ts";
import { metadataRoutes } from "./routes/metadata.ts";
import { metricsRoutes } from "./routes/metrics.ts";
import { pageRoutes } from "./routes/page.ts";
import { repositoryRoutes } from "./routes/repository.ts";
import { secureHeaders } from "./security/headers.ts";
import type { Authorize } from "./security/keys.ts";
import type { OriginPolicy } from "./security/origin.ts";
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
  ...pageRoutes,
];

/** Looks at a request before any route does, whatever its path; throws what is to be answered in place of it. */
export type Guard = (request: Request) => void;

export interface AppOptions {
  readonly context: ServerContext;
  readonly guards: readonly Guard[];
  readonly origins: OriginPolicy;
  readonly authorize: Authorize;
  /** Log every request. */
  readonly hasAccessLog: boolean;
}

/** What a connection can do for a handler. */
export interface Connection {
  holdOpen(): void;
}

export type App = (request: Request, connection: Connection) => Promise<Response>;

interface Env {
  Bindings: Connection;
}

export function createApp({ context, guards, origins, authorize, hasAccessLog }: AppOptions): App {
  const { limits, telemetry } = context;
  const router = createRouter(context, authorize);
  let underWay = 0;
  return async (request, connection) => {
    const started = performance.now();
    const names = namesOf(request);
    let response: Response;
    underWay++;
    try {
      for (const guard of guards) guard(request);
      origins.check(request);
      if (underWay > limits.maxRequests) refuseSurplus(request, limits);
      response = origins.answerPreflight(request) ?? (await router.fetch(request, connection));
    } catch (error) {
      response = answerFailure(context, error, names);
    } finally {
      underWay--;
    }
    secureHeaders(response);
    origins.share(request, response);
    echoNames(response, names);
    // Whoever keeps the connection would have it cut when the server ends.
    if (context.isDraining()) response.headers.set("connection", "close");
    if (hasAccessLog) {
      logRequest(telemetry, { ...names, request, status: response.status, ms: performance.now() - started });
    }
    return response;
  };
}

function createRouter(context: ServerContext, authorize: Authorize): Hono<Env> {
  const router = new Hono<Env>({ strict: false });
  for (const route of routes) {
    router.on(route.method, route.path.replaceAll(/\{(\w+)\}/g, ":$1"), (c) => {
      authorize(c.req.raw, route.group);
      return route.handle({
        request: c.req.raw,
        context,
        param: (name) => c.req.param(name) ?? "",
        holdOpen: () => c.env.holdOpen(),
      });
    });
  }
  router.notFound((c) => {
    authorize(c.req.raw, undefined);
    throw noRoute(c.req.method, c.req.path);
  });
  router.onError((error) => {
    throw error;
  });
  return router;
}

/** Health is asked for by those who decide what becomes of a server that has too much to do. */
function refuseSurplus(request: Request, { maxRequests }: ServerLimits): void {
  if (new URL(request.url).pathname.startsWith("/v2/health/")) return;
  throw new CoremlxError("OVERLOADED", `More than ${maxRequests} requests are under way`);
}

function answerFailure({ telemetry }: ServerContext, error: unknown, { requestId }: RequestNames): Response {
  if (statusOf(error) === 500) {
    const code = error instanceof CoremlxError ? error.code : "INTERNAL";
    telemetry.log("error", "request failed", { code, reason: messageOf(error), requestId });
  }
  return errorResponse(error);
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
  const wanted = pattern.replace(/\/$/, "").split("/");
  return (
    parts.length === wanted.length && wanted.every((part, i) => part.startsWith("{") || part === parts[i])
  );
}
