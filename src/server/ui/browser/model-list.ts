// The list of models with their states. Rows stay the same elements from one look to the next, so that the focus stays too.

import type { ModelRow, RowState } from "../page-data.ts";
import { make, setText } from "./dom.ts";

const stateTexts: Readonly<Record<RowState, string>> = {
  READY: "ready",
  LOADING: "loading …",
  UNLOADING: "unloading …",
  UNAVAILABLE: "not available",
};

interface Row {
  readonly item: HTMLLIElement;
  readonly link: HTMLAnchorElement;
  readonly state: HTMLSpanElement;
}

export class ModelList {
  readonly #list = make("ul");
  readonly #empty = make(
    "p",
    { className: "quiet", hidden: true },
    "No models yet. Start the server with one: coremlx serve MODEL",
  );
  readonly #rows = new Map<string, Row>();

  constructor(parent: HTMLElement) {
    parent.append(make("h2", { className: "unseen" }, "Models"), this.#list, this.#empty);
  }

  show(models: readonly ModelRow[], current: string): void {
    this.#empty.hidden = models.length > 0;
    const keys = new Set(models.map(routeOf));
    for (const [key, { item }] of this.#rows) {
      if (keys.has(key)) continue;
      item.remove();
      this.#rows.delete(key);
    }
    for (const model of models) this.#update(model, current);
  }

  #update(model: ModelRow, current: string): void {
    const key = routeOf(model);
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = makeRow(model);
      this.#rows.set(key, row);
      this.#list.append(row.item);
    }
    const isReady = model.state === "READY";
    const answered = model.numbers ? ` · ${model.numbers.succeeded} answered` : "";
    setText(row.state, stateTexts[model.state] + answered);
    row.state.className = isReady ? "quiet" : "quiet bad";
    if (key === current) row.link.setAttribute("aria-current", "page");
    else row.link.removeAttribute("aria-current");
  }
}

/** The part of the address after "#". */
export function routeOf({ name, version }: Pick<ModelRow, "name" | "version">): string {
  return `/${encodeURIComponent(name)}/${encodeURIComponent(version)}`;
}

function makeRow(model: ModelRow): Row {
  const state = make("span", { className: "quiet" });
  const version = model.version === "" ? "" : ` · version ${model.version}`;
  const link = make(
    "a",
    { href: `#${routeOf(model)}` },
    make("span", { className: "name" }, model.name, make("span", { className: "quiet" }, version)),
    state,
  );
  return { item: make("li", {}, link), link, state };
}
