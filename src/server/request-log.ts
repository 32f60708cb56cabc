// Who asked for what, and under which names others know the request: X-Request-Id and W3C's traceparent.

import type { Telemetry } from "../core/telemetry.ts";

export interface RequestNames {
  readonly requestId: string | undefined;
  readonly traceparent: string | undefined;
}

/** What is no such name is as if it were not there: it would go into logs and headers. */
export function namesOf(request: Request): RequestNames {
  const id = request.headers.get("x-request-id");
  const trace = request.headers.get("traceparent");
  return {
    requestId: id !== null && /^[\w.:@/+=-]{1,128}$/.test(id) ? id : undefined,
    traceparent:
      trace !== null && /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(trace) ? trace : undefined,
  };
}

/** The same names on the way back. */
export function echoNames(response: Response, { requestId, traceparent }: RequestNames): void {
  if (requestId !== undefined) response.headers.set("x-request-id", requestId);
  if (traceparent !== undefined) response.headers.set("traceparent", traceparent);
}

const longestPath = 256;

export interface LoggedRequest extends RequestNames {
  readonly request: Request;
  readonly status: number;
  readonly ms: number;
}

export function logRequest(
  telemetry: Telemetry,
  { request, status, ms, requestId, traceparent }: LoggedRequest,
): void {
  // A tunnel is asked for without a path.
  const pathname = URL.canParse(request.url) ? new URL(request.url).pathname : request.url;
  telemetry.log("info", "request answered", {
    method: request.method,
    path: pathname.slice(0, longestPath),
    status,
    ms: Math.round(ms * 1_000) / 1_000,
    ...(requestId !== undefined && { requestId }),
    ...(traceparent !== undefined && { traceparent }),
  });
}
