// The model repository extension: what there is, and, where the server was started for it, loading and unloading.

import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { CoremlxError } from "../../core/errors.ts";
import { BodyRoom } from "../body-budget.ts";
import { bad } from "../protocol/request.ts";
import { readBytes } from "../request-bytes.ts";
import { type Call, jsonResponse, type Route } from "../route.ts";
import { errorText, statusOf } from "../status.ts";
import { failures, ok } from "./answers.ts";

const indexRequestSchema = Type.Object({ ready: Type.Optional(Type.Boolean()) });
const indexSchema = Type.Array(
  Type.Object({ name: Type.String(), version: Type.String(), state: Type.String(), reason: Type.String() }),
);
const loadRequestSchema = Type.Object({
  parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});
const emptySchema = Type.Object({});

/** A request of this kind is a few words. */
const maxBytes = 65_536;

export const repositoryRoutes: readonly Route[] = [
  {
    method: "POST",
    path: "/v2/repository/index",
    group: "repository",
    operationId: "repositoryIndex",
    summary: "Models that are loaded, or could be",
    body: [{ type: "application/json", schema: indexRequestSchema }],
    answers: { ...ok(indexSchema), ...failures(400, 413, 415, 500, 504) },
    async handle(call) {
      const { context } = call;
      requireExplicit(context.repository.control);
      const { ready = false } = await readJson(call, indexRequestSchema);
      const rows = context.repository.index();
      return jsonResponse(ready ? rows.filter(({ state }) => state === "READY") : rows);
    },
  },
  {
    method: "POST",
    path: "/v2/repository/models/{model}/load",
    group: "repository",
    operationId: "repositoryLoad",
    summary: "Load a model, or load it again",
    body: [{ type: "application/json", schema: loadRequestSchema }],
    answers: { ...ok(emptySchema), ...failures(400, 404, 413, 415, 500, 501, 503, 504) },
    handle: load,
  },
  {
    method: "POST",
    path: "/v2/repository/models/{model}/unload",
    group: "repository",
    operationId: "repositoryUnload",
    summary: "Unload a model, when its requests have their answers",
    body: [{ type: "application/json", schema: loadRequestSchema }],
    answers: { ...ok(emptySchema), ...failures(400, 404, 413, 415, 503, 504) },
    async handle(call) {
      const { context, param } = call;
      requireExplicit(context.repository.control);
      await readJson(call, loadRequestSchema);
      await context.repository.unload(param("model"));
      return jsonResponse({});
    },
  },
];

async function load(call: Call): Promise<Response> {
  const { context, param, holdOpen } = call;
  requireExplicit(context.repository.control);
  const name = param("model");
  const { parameters = {} } = await readJson(call, loadRequestSchema);
  // A configuration or files sent along would be code from a client.
  if (Object.keys(parameters).some((key) => key === "config" || key.startsWith("file:"))) {
    throw new CoremlxError(
      "UNSUPPORTED",
      `failed to load '${name}', it can only be loaded as it lies in the repository`,
    );
  }
  holdOpen();
  try {
    await context.repository.load(name);
  } catch (error) {
    const isKnown = error instanceof CoremlxError && error.code !== "INTERNAL" && error.code !== "IO";
    if (isKnown && statusOf(error) !== 404)
      context.telemetry.log("warn", "request failed", { code: error.code, reason: error.message });
    throw loadFailure(name, error);
  }
  return jsonResponse({});
}

/** What loading says names files: that is for the log. */
function loadFailure(name: string, error: unknown): unknown {
  if (!(error instanceof CoremlxError) || error.code === "NOT_FOUND" || error.code === "UNAVAILABLE")
    return error;
  const reasons: Partial<Record<CoremlxError["code"], string>> = {
    BAD_MODEL: "it is not a valid model",
    USAGE: "its options cannot be used",
    UNSUPPORTED: "this server cannot run it",
  };
  const reason = reasons[error.code] ?? errorText(error);
  return new CoremlxError(error.code, `failed to load '${name}', ${reason}`, { cause: error });
}

function requireExplicit(control: string): void {
  if (control === "explicit") return;
  throw bad(
    "explicit model load / unload is not allowed, the server was not started with --model-control explicit",
  );
}

/** An empty body is an empty object. Throws BAD_INPUT, 413, 415. */
async function readJson<T extends typeof indexRequestSchema | typeof loadRequestSchema>(
  { request, context: { limits, bodies } }: Pick<Call, "request" | "context">,
  schema: T,
): Promise<Static<T>> {
  using room = new BodyRoom(bodies);
  const bytes = await readBytes(request, { ...limits, maxBodyBytes: maxBytes, room });
  let value: unknown = {};
  try {
    if (bytes.length > 0) value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw bad("it is not JSON");
  }
  if (Value.Check(schema, value)) return value;
  throw bad(Value.Errors(schema, value).First()?.message ?? "it is no such request");
}
