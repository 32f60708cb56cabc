// What the server and its models are.

import { describeConfig, describeMetadata, describeServer } from "../protocol/metadata.ts";
import { modelConfigSchema, modelMetadataSchema, serverMetadataSchema } from "../protocol/schemas.ts";
import { describeStatistics, type ModelStatistics, statisticsSchema } from "../protocol/statistics.ts";
import { type Call, jsonResponse, type Route } from "../route.ts";
import type { ServedModel } from "../repository/served-model.ts";
import { failures, ok } from "./answers.ts";

export const metadataRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/v2",
    group: "metadata",
    operationId: "serverMetadata",
    summary: "Name, version and extensions of the server",
    answers: ok(serverMetadataSchema),
    handle: () => jsonResponse(describeServer()),
  },
  // Before the models, one of which could be called so.
  {
    method: "GET",
    path: "/v2/models/stats",
    group: "metadata",
    operationId: "serverStatistics",
    summary: "Statistics of all models",
    answers: ok(statisticsSchema),
    handle: ({ context }) => jsonResponse({ model_stats: context.repository.served.map(statisticsOf) }),
  },
  ...ofModel("", {
    operation: "Metadata",
    summary: "Inputs and outputs of a model",
    answers: { ...ok(modelMetadataSchema), ...failures(404, 503) },
    answer: (served, { context }) => describeMetadata(served, context.repository.versionsOf(served.name)),
  }),
  ...ofModel("/config", {
    operation: "Config",
    summary: "Configuration of a model",
    answers: { ...ok(modelConfigSchema), ...failures(404, 503) },
    answer: (served, { context }) => describeConfig(served, context.limits),
  }),
  ...ofModel("/stats", {
    operation: "Statistics",
    summary: "Statistics of a model",
    answers: { ...ok(statisticsSchema), ...failures(404, 503) },
    answer: (served) => ({ model_stats: [statisticsOf(served)] }),
  }),
];

function statisticsOf({ name, version, model }: ServedModel): ModelStatistics {
  return describeStatistics(name, version, model.stats);
}

interface ModelAnswer {
  readonly operation: string;
  readonly summary: string;
  readonly answers: Route["answers"];
  readonly answer: (served: ServedModel, call: Call) => unknown;
}

/** For a model, and for one version of it. */
function ofModel(ending: string, { operation, summary, answers, answer }: ModelAnswer): readonly Route[] {
  const handle = (call: Call): Response => {
    const { context, param } = call;
    const served = context.repository.find(param("model"), param("version") || undefined);
    return jsonResponse(answer(served, call));
  };
  const common = { method: "GET", group: "metadata", summary, answers, handle } as const;
  return [
    { ...common, path: `/v2/models/{model}${ending}`, operationId: `model${operation}` },
    {
      ...common,
      path: `/v2/models/{model}/versions/{version}${ending}`,
      operationId: `modelVersion${operation}`,
    },
  ];
}
