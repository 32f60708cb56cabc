// The page at "/docs": the server's OpenAPI description, for reading.

import {
  type Answer,
  type ApiOutline,
  type Body,
  describeSchema,
  fieldsOf,
  type Json,
  type Operation,
  outlineApi,
} from "../api-outline.ts";
import { getJson, Refusal } from "./api.ts";
import { byId, make } from "./dom.ts";
import { makeKeyForm } from "./key-form.ts";

const main = byId("main");

void show();

async function show(): Promise<void> {
  try {
    draw(outlineApi(await getJson("openapi.json")));
  } catch (error) {
    if (error instanceof Refusal && error.needsKey) {
      main.replaceChildren(makeKeyForm(error.message, () => void show()));
      return;
    }
    main.replaceChildren(
      make(
        "p",
        { className: "bad", aria: { role: "alert" } },
        error instanceof Error ? error.message : String(error),
      ),
    );
  }
}

function draw({ title, version, description, groups, schemas }: ApiOutline): void {
  byId("server").textContent = version;
  const links = [...groups].map(([group, operations]) =>
    make(
      "li",
      {},
      make("a", { className: "compact", href: `#group-${group}` }, `${group} (${operations.length})`),
    ),
  );
  links.push(make("li", {}, make("a", { className: "compact", href: "#schemas" }, "Schemas")));
  byId("models").replaceChildren(make("ul", {}, ...links));
  main.replaceChildren(
    make("h2", {}, `${title} API`),
    make("p", {}, description, ". ", make("a", { href: "openapi.json" }, "openapi.json")),
    ...Array.from(groups, ([group, operations]) =>
      make("section", { id: `group-${group}` }, make("h3", {}, group), ...operations.map(drawOperation)),
    ),
    make(
      "section",
      { id: "schemas" },
      make("h3", {}, "Schemas"),
      ...Array.from(schemas, ([name, schema]) =>
        make("details", { id: `schema-${name}` }, make("summary", {}, name), drawFields(schema)),
      ),
    ),
  );
  if (location.hash !== "") document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

function drawOperation({ id, method, path, summary, parameters, bodies, answers }: Operation): HTMLElement {
  const parts = [
    parameters.length > 0 ? make("p", {}, `In the path: ${parameters.join(", ")}`) : undefined,
    bodies.length > 0 ? make("h4", {}, "Body") : undefined,
    ...bodies.map(drawBody),
    make("h4", {}, "Answers"),
    drawAnswers(answers),
  ];
  return make(
    "details",
    { id: `operation-${id}`, className: "operation" },
    make(
      "summary",
      {},
      make("span", { className: "method" }, method),
      make("code", {}, path),
      make("span", { className: "quiet" }, summary),
    ),
    ...parts,
  );
}

function drawBody({ type, schema }: Body): HTMLElement {
  return make(
    "div",
    {},
    make("p", {}, make("code", {}, type), ": ", schema ? drawType(schema) : "bytes"),
    schema && drawFields(schema),
  );
}

function drawAnswers(answers: readonly Answer[]): HTMLElement {
  const rows = answers.map(({ status, description, bodies }) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, status),
      make("td", {}, description),
      make(
        "td",
        {},
        ...bodies.flatMap(({ type, schema }, i) => [
          i > 0 ? ", " : "",
          make("code", {}, type),
          schema ? " " : "",
          schema ? drawType(schema) : "",
        ]),
      ),
    ),
  );
  const heads = ["Status", "", "Body"].map((text) =>
    text === "" ? make("td") : make("th", { scope: "col" }, text),
  );
  return make(
    "div",
    { className: "scroll", tabIndex: 0, aria: { role: "region", "aria-label": "Answers" } },
    make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)),
  );
}

/** With a link where it has a name. */
function drawType(schema: Json): Node {
  const text = describeSchema(schema);
  if (typeof schema["$ref"] !== "string") return document.createTextNode(text);
  const link = make("a", { href: `#schema-${text}` }, text);
  link.addEventListener("click", () => {
    const target = document.getElementById(`schema-${text}`);
    if (target instanceof HTMLDetailsElement) target.open = true;
  });
  return link;
}

function drawFields(schema: Json): HTMLElement | undefined {
  const fields = fieldsOf(schema);
  if (fields.length === 0) return undefined;
  const items = fields.map(({ name, isRequired, schema: own }) => {
    const description = typeof own["description"] === "string" ? `: ${own["description"]}` : "";
    const optional = isRequired ? "" : ", optional";
    return make(
      "li",
      {},
      make("code", {}, name),
      " ",
      make("span", { className: "quiet" }, drawType(own), optional, description),
      drawFields(own),
    );
  });
  return make("ul", { className: "schema" }, ...items);
}
