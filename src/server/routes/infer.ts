// Inference: the route that everything else is there for. What it does for each request is counted in microseconds.

import { joinBytes } from "../../core/bytes.ts";
import type { FeatureValues } from "../../core/tensor.ts";
import type { ModelState, PredictionLease } from "../../runtime/session.ts";
import { BodyRoom } from "../body-budget.ts";
import { compress } from "../compression.ts";
import type { ServerContext } from "../context.ts";
import { type Answer, encodeAnswer } from "../protocol/answer.ts";
import { readBody } from "../protocol/body.ts";
import { readInputs } from "../protocol/inputs.ts";
import { selectOutputs, toOutputTensor } from "../protocol/outputs.ts";
import { countOf, type InferRequest } from "../protocol/request.ts";
import { echoSequence, readSequenceStep } from "../protocol/sequence.ts";
import { inferRequestSchema, inferResponseSchema } from "../protocol/schemas.ts";
import type { ServedModel } from "../repository/served-model.ts";
import type { Call, Content, Route } from "../route.ts";
import { securedHeaders } from "../security/headers.ts";
import { streamParts } from "../stream.ts";
import type { SequenceStep } from "../sequence-table.ts";
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
  const served = context.repository.find(param("model"), param("version") || undefined);
  using held = new Held(served.use(), new BodyRoom(context.bodies));
  const request = await readBody(http, served.ports, { limits: context.limits, room: held.room });
  // From here on the server is the one who takes its time; before, the client is.
  call.holdOpen();
  const wanted = selectOutputs(request, served.ports);
  const values = await readInputs(request, served.ports);
  const step = served.sequences && readSequenceStep(request, context.limits.maxIdLength);
  const lease = await predict(served, values, { request, http, step, context });
  held.lease = lease;
  const answer = encodeAnswer(
    {
      modelName: served.name,
      modelVersion: served.version,
      id: request.id,
      parameters: step && echoSequence(request, step),
    },
    wanted.map((output) => toOutputTensor(output, served.ports, lease.outputs)),
  );
  return respond(answer, { http, held });
}

/** What a request holds until its answer is out. (A DisposableStack takes 7 µs for the same, measured.) */
class Held implements Disposable {
  readonly #use: Disposable;
  readonly room: BodyRoom;
  lease: PredictionLease | undefined;
  #isMoved = false;

  constructor(use: Disposable, room: BodyRoom) {
    this.#use = use;
    this.room = room;
  }

  /** Leaves it to the caller, for after the end of the scope. */
  move(): () => void {
    this.#isMoved = true;
    return () => this.#release();
  }

  [Symbol.dispose](): void {
    if (!this.#isMoved) this.#release();
  }

  #release(): void {
    this.lease?.[Symbol.dispose]();
    this.room[Symbol.dispose]();
    this.#use[Symbol.dispose]();
  }
}

interface Run {
  readonly request: InferRequest;
  readonly http: Request;
  readonly step: SequenceStep | undefined;
  readonly context: ServerContext;
}

function predict(
  { model, sequences, timeoutMs: usualMs }: ServedModel,
  values: FeatureValues,
  { request, http, step, context }: Run,
): Promise<PredictionLease> {
  const { parameters } = request;
  const { turns } = context;
  const given = countOf(parameters, "timeout");
  // In microseconds, as the protocol has it; 0 is as if nothing was said.
  const timeoutMs =
    given === undefined || given === 0 ? usualMs : Math.min(given / 1_000, context.limits.maxTimeoutMs);
  const options = { priority: priorityOf(countOf(parameters, "priority")), signal: http.signal };
  const run = (waitedMs: number, state?: ModelState) =>
    model.predictLeased(values, { ...options, timeoutMs, waitedMs, state });
  if (sequences === undefined || step === undefined) return model.isInline ? turns.run(run) : run(0);
  const asked = performance.now();
  return sequences.run(step, (state) => run(performance.now() - asked, state));
}

/** The protocol's 1 goes first and 0 is as if nothing was said; ours are served from the highest down. */
function priorityOf(level: number | undefined): number | undefined {
  return level === undefined || level === 0 ? undefined : Number.MAX_SAFE_INTEGER - level;
}

const jsonHeaders = securedHeaders({ "content-type": "application/json" });
const binaryHeaders = securedHeaders({ "content-type": "application/octet-stream" });

interface RespondOptions {
  readonly http: Request;
  /** What the answer borrows; taken over where it is sent from there. */
  readonly held: Held;
}

function respond({ json, frames }: Answer, { http, held }: RespondOptions): Response | Promise<Response> {
  const accepted = http.headers.get("accept-encoding");
  if (frames.length === 0) {
    if (accepted === null) return new Response(json, { headers: jsonHeaders });
    return respondCompressed(encoder.encode(json), accepted, jsonHeaders);
  }
  const head = encoder.encode(json);
  const headers = new Headers(binaryHeaders);
  headers.set(lengthHeader, String(head.length));
  const byteLength = frames.reduce((total, frame) => total + frame.length, head.length);
  if (byteLength >= streamedFromBytes) {
    const parts = { signal: http.signal, onEnd: held.move() };
    return new Response(streamParts([head, ...frames], parts), { headers });
  }
  const body = joinBytes([head, ...frames]);
  return accepted === null ? new Response(body, { headers }) : respondCompressed(body, accepted, headers);
}

/** Below, a copy costs less than the stream, and its length can be said beforehand. */
const streamedFromBytes = 4 * 2 ** 20;

const encoder = new TextEncoder();

async function respondCompressed(
  body: Uint8Array<ArrayBuffer>,
  accepted: string,
  headers: Headers,
): Promise<Response> {
  const compressed = body.length < streamedFromBytes ? await compress(body, accepted) : undefined;
  const response = new Response(compressed?.body ?? body, { headers });
  if (compressed === undefined) return response;
  response.headers.set("content-encoding", compressed.encoding);
  response.headers.set("vary", "accept-encoding");
  return response;
}
