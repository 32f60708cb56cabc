// /openapi.json, made of the same rows that the application registers, and the same schemas that requests are checked against.

import type { TSchema } from "@sinclair/typebox";
import { version } from "../core/version.ts";
import {
  errorSchema,
  inferRequestSchema,
  inferResponseSchema,
  modelConfigSchema,
  modelMetadataSchema,
  serverMetadataSchema,
} from "./protocol/schemas.ts";
import { statisticsSchema } from "./protocol/statistics.ts";
import type { Content, Route, RouteAnswer } from "./route.ts";

/** Schemas with a name of their own; everything else is written where it is used. */
const named: ReadonlyMap<TSchema, string> = new Map<TSchema, string>([
  [inferRequestSchema, "InferRequest"],
  [inferResponseSchema, "InferResponse"],
  [errorSchema, "Error"],
  [serverMetadataSchema, "ServerMetadata"],
  [modelMetadataSchema, "ModelMetadata"],
  [modelConfigSchema, "ModelConfig"],
  [statisticsSchema, "Statistics"],
]);

/** What the guards answer before any route does. */
const guardAnswers: Readonly<Record<number, string>> = {
  401: "A key is needed that did not come",
  403: "The key is for something else, or a page of another origin asks",
  421: "The server does not answer to this name",
  429: "Too many requests are under way: come again",
};

type Json = Readonly<Record<string, unknown>>;

export function describeApi(routes: readonly Route[]): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const methods = (paths[route.path] ??= {});
    methods[route.method.toLowerCase()] = describeRoute(route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "coremlx",
      version,
      description: "Core ML models over HTTP, in the Open Inference Protocol v2",
      license: { name: "MIT", identifier: "MIT" },
    },
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
      },
      schemas: Object.fromEntries(Array.from(named, ([schema, name]) => [name, plain(schema)])),
    },
  };
}

function describeRoute({ path, group, operationId, summary, body, answers }: Route): Json {
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const isOpen = group === "page";
  const guards = Object.entries(guardAnswers).map(([status, description]): [string, RouteAnswer] => [
    status,
    { description, content: [{ type: "application/json", schema: errorSchema }] },
  ]);
  return {
    operationId,
    summary,
    tags: [group],
    // Whether keys are needed is for whoever runs the server to say.
    ...(!isOpen && { security: [{}, { bearer: [] }, { apiKey: [] }] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: { required: true, content: describeContent(body) } }),
    responses: Object.fromEntries(
      [...guards, ...Object.entries(answers)].map(([status, { description, content }]) => [
        status,
        { description, ...(content && { content: describeContent(content) }) },
      ]),
    ),
  };
}

function describeContent(contents: readonly Content[]): Json {
  return Object.fromEntries(
    contents.map(({ type, schema }) => [type, schema === undefined ? {} : { schema: refer(schema) }]),
  );
}

function refer(schema: TSchema): unknown {
  const name = named.get(schema);
  return name === undefined ? plain(schema) : { $ref: `#/components/schemas/${name}` };
}

/** typebox marks its objects with symbols, which JSON leaves out. */
function plain(schema: TSchema): unknown {
  return JSON.parse(JSON.stringify(schema));
}
