// Answers that many routes give, for their rows.

import type { TSchema } from "@sinclair/typebox";
import { errorSchema } from "../protocol/schemas.ts";
import type { RouteAnswer } from "../route.ts";

export function ok(schema: TSchema, description = "Done"): Readonly<Record<number, RouteAnswer>> {
  return { 200: { description, content: [{ type: "application/json", schema }] } };
}

const texts: Readonly<Record<number, string>> = {
  400: "The request is wrong",
  404: "There is no such model or version",
  413: "The body is too large",
  415: "The body's encoding or type is not known",
  429: "Too many requests wait: come again",
  500: "The engine or the server failed",
  501: "The model cannot do this",
  503: "Not ready: come again",
  504: "No answer in time",
};

export function failures(...statuses: readonly number[]): Readonly<Record<number, RouteAnswer>> {
  return Object.fromEntries(
    statuses.map((status): [number, RouteAnswer] => [
      status,
      { description: texts[status] ?? "", content: [{ type: "application/json", schema: errorSchema }] },
    ]),
  );
}
