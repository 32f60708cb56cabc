// Inference: the route that everything else is there for. What it does for each request is counted in microseconds.

import type { FeatureValues } from "../../core/tensor.ts";
import { encodeAnswer } from "../protocol/answer.ts";
import { readBody } from "../protocol/body.ts";
import { readInputs } from "../protocol/inputs.ts";
import { selectOutputs, toOutputTensor } from "../protocol/outputs.ts";
import { countOf, type InferRequest } from "../protocol/request.ts";
import { inferRequestSchema, inferResponseSchema } from "../protocol/schemas.ts";
import type { ServedModel } from "../repository/served-model.ts";
import type { Call, Content, Route } from "../route.ts";
import type { ServerContext } from "../context.ts";
import { refuse } from "../status.ts";
import { failures } from "./answers.ts";

const binary: Content = { type: "application/octet-stream" };
const body: readonly Content[] = [
  { type: "application/json", schema: inferRequestSchema },
  binary,
  { type: "image/*" },
];
const answers: Route["answers"] = {
  200: {
    description: "The outputs, as JSON or, with Inference-Header-Content-Length, as JSON and binary tensors",
    content: [{ type: "application/json", schema: inferResponseSchema }, binary],
  },
  ...failures(400, 404, 413, 415, 429, 500, 501, 503, 504),
};

export const inferRoutes: readonly Route[] = [
  "/v2/models/{model}/infer",
  "/v2/models/{model}/versions/{version}/infer",
].map((path, i) => ({
  method: "POST",
  path,
  group: "inference",
  operationId: i === 0 ? "modelInfer" : "modelVersionInfer",
  summary: "Run a model",
  body,
  answers,
  handle: infer,
}));

export const lengthHeader = "Inference-Header-Content-Length";

async function infer(call: Call): Promise<Response> {
  const { context, param, request: http } = call;
  if (context.isDraining()) throw refuse(503, "The server is shutting down");
  const served = context.repository.find(param("model"), param("version") || undefined);
  call.holdOpen();
  const request = await readBody(http, served.ports, context.limits);
  const wanted = selectOutputs(request, served.ports);
  const values = await readInputs(request, served.ports);
  using lease = await predict(served, values, { request, http, context });
  const tensors = wanted.map((output) => toOutputTensor(output, served.ports, lease.outputs));
  const { body: bytes, jsonLength } = encodeAnswer(
    { modelName: served.name, modelVersion: served.version, id: request.id, parameters: undefined },
    tensors,
  );
  if (jsonLength === undefined) return new Response(bytes, { headers: jsonHeaders });
  return new Response(bytes, {
    headers: { "content-type": "application/octet-stream", [lengthHeader]: String(jsonLength) },
  });
}

const jsonHeaders = { "content-type": "application/json" };

interface Run {
  readonly request: InferRequest;
  readonly http: Request;
  readonly context: ServerContext;
}

function predict({ model }: ServedModel, values: FeatureValues, { request, http, context }: Run) {
  const { parameters } = request;
  return model.predictLeased(values, {
    timeoutMs: timeoutOf(countOf(parameters, "timeout"), context),
    priority: priorityOf(countOf(parameters, "priority")),
    signal: http.signal,
  });
}

/** In microseconds, as the protocol has it; 0 is as if nothing was said. */
function timeoutOf(timeoutUs: number | undefined, { timeoutMs, limits }: ServerContext): number {
  if (timeoutUs === undefined || timeoutUs === 0) return timeoutMs;
  return Math.min(timeoutUs / 1_000, limits.maxTimeoutMs);
}

/** The protocol's 1 goes first and 0 is as if nothing was said; ours are served from the highest down. */
function priorityOf(level: number | undefined): number | undefined {
  return level === undefined || level === 0 ? undefined : Number.MAX_SAFE_INTEGER - level;
}
