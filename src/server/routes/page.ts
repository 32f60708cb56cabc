// The page in the browser, the reference, and what the page asks for.

import { compress } from "../compression.ts";
import { describeForm, describeState, modelFormSchema, serverStateSchema } from "../page-description.ts";
import { type Call, jsonResponse, type Route } from "../route.ts";
import { pageHeaders } from "../security/page-headers.ts";
import { type PageName, readPages } from "../ui/pages.ts";
import { failures, ok } from "./answers.ts";

const html: Route["answers"] = { 200: { description: "Done", content: [{ type: "text/html" }] } };

export const pageRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/",
    group: "page",
    operationId: "page",
    summary: "A page to try the models",
    answers: html,
    handle: (call) => answerPage("page", call),
  },
  {
    method: "GET",
    path: "/docs",
    group: "page",
    operationId: "reference",
    summary: "This interface, for reading",
    answers: html,
    handle: (call) => answerPage("docs", call),
  },
  {
    method: "GET",
    path: "/page/models",
    group: "metadata", // the pages are open to all, what they show is not
    operationId: "pageModels",
    summary: "Models with their states and numbers, as the page shows them",
    answers: ok(serverStateSchema),
    handle({ context }) {
      const { repository } = context;
      const { served } = repository;
      const isReady = repository.isReady && !context.isDraining();
      const mayControl = repository.control === "explicit";
      const rows = mayControl ? repository.index() : repository.known;
      return jsonResponse(describeState(rows, served, { isReady, mayControl }));
    },
  },
  {
    method: "GET",
    path: "/page/models/{model}/versions/{version}",
    group: "metadata", // the pages are open to all, what they show is not
    operationId: "pageModel",
    summary: "The form of a model, as the page shows it",
    answers: { ...ok(modelFormSchema), ...failures(404, 503) },
    handle({ context: { repository }, param }) {
      const served = repository.find(param("model"), param("version"));
      return jsonResponse(describeForm(served, repository.versionsOf(served.name)));
    },
  },
];

async function answerPage(name: PageName, { request }: Call): Promise<Response> {
  const page = (await readPages())[name];
  const headers = pageHeaders(page);
  const compressed = await compress(
    new TextEncoder().encode(page.html),
    request.headers.get("accept-encoding"),
  );
  if (compressed === undefined) return new Response(page.html, { headers });
  return new Response(compressed.body, {
    headers: { ...headers, "content-encoding": compressed.encoding },
  });
}
