// What a route is: a row that says how it is called, what it takes and gives, and what answers. The application registers
// rows, /openapi.json describes them, and nothing else makes a route.

import type { TSchema } from "@sinclair/typebox";
import type { ServerContext } from "./context.ts";

/** Rights are given by group. */
export type RouteGroup = "health" | "metadata" | "inference" | "repository" | "metrics" | "page";

export interface Content {
  readonly type: string;
  /** Undefined: bytes. */
  readonly schema?: TSchema;
}

export interface RouteAnswer {
  readonly description: string;
  readonly content?: readonly Content[];
}

export interface Call {
  readonly request: Request;
  readonly context: ServerContext;
  /** A path parameter, decoded; "" where the route has none of that name. */
  readonly param: (name: string) => string;
  /** Lets the connection be idle while a handler works. */
  readonly holdOpen: () => void;
}

export interface Route {
  readonly method: "GET" | "POST";
  /** With parameters as in OpenAPI: /v2/models/{model}. */
  readonly path: string;
  readonly group: RouteGroup;
  readonly operationId: string;
  readonly summary: string;
  readonly body?: readonly Content[];
  /** By status. Every route may also answer what the guards say. */
  readonly answers: Readonly<Record<number, RouteAnswer>>;
  readonly handle: (call: Call) => Response | Promise<Response>;
}

export function jsonResponse(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status, headers: jsonHeaders });
}

const jsonHeaders = { "content-type": "application/json" };
