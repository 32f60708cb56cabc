// The page at "/": models on one side, one of them on the other. The address says which: #/NAME/VERSION.

import { RateMeter } from "../rate-meter.ts";
import type { ModelRow, ServerState } from "../page-data.ts";
import { fetchForm, fetchState, Refusal } from "./api.ts";
import { byId, make, setText } from "./dom.ts";
import { makeKeyForm } from "./key-form.ts";
import { ModelList, routeOf } from "./model-list.ts";
import { makeModelControl } from "./model-control.ts";
import { makeModelView, type ModelView } from "./model-view.ts";

const pollMs = 2_000;
const pollAfterFailureMs = 5_000;

const server = byId("server");
const main = byId("main");
const list = new ModelList(byId("models"));
const rates = new RateMeter();

let state: ServerState | undefined;
/** The route and the view of it; a view is undefined while its form is on the way, or could not be had. */
let shown: { readonly route: string; readonly view: ModelView | undefined } | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;

// A file that misses its place would replace the page.
for (const type of ["dragover", "drop"]) document.addEventListener(type, (event) => event.preventDefault());
addEventListener("hashchange", update);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && state !== undefined) void poll();
});
void poll();

/** Only while somebody can see it. */
async function poll(): Promise<void> {
  clearTimeout(timer);
  let waitMs = pollMs;
  try {
    state = await fetchState();
    for (const { numbers, ...row } of state.models) {
      if (numbers) rates.note(routeOf(row), numbers.succeeded + numbers.failed, performance.now());
    }
    setText(server, `${state.version} · ${state.isReady ? "ready" : "not ready"}`);
    server.className = state.isReady ? "good" : "bad";
    update();
  } catch (error) {
    if (error instanceof Refusal && error.needsKey) return askForKey(error.message);
    setText(server, `No connection: ${error instanceof Error ? error.message : String(error)}`);
    server.className = "bad";
    waitMs = pollAfterFailureMs;
  }
  clearTimeout(timer);
  if (document.visibilityState === "visible") timer = setTimeout(() => void poll(), waitMs);
}

function askForKey(reason: string): void {
  setText(server, "A key is needed");
  server.className = "bad";
  shown = undefined;
  main.replaceChildren(makeKeyForm(reason, () => void poll()));
}

function update(): void {
  if (state === undefined) return;
  const { models } = state;
  const asked = location.hash.startsWith("#/") ? location.hash.slice(1) : undefined;
  const first = models.find((model) => model.state === "READY") ?? models[0];
  const current =
    models.find((model) => routeOf(model) === asked) ?? (asked === undefined ? first : undefined);
  list.show(models, current ? routeOf(current) : "");
  if (current === undefined) {
    showText(
      "",
      models.length === 0
        ? "This server has no models."
        : "This server has no such model. Choose one of the list.",
    );
    return;
  }
  const route = routeOf(current);
  if (current.numbers === undefined) {
    showUnloaded(current.name, `${route}?`);
    return;
  }
  if (shown?.route !== route) void open(current, route);
  else shown.view?.showNumbers(current.numbers, rates.perSecond(route));
}

async function open(model: ModelRow, route: string): Promise<void> {
  shown = { route, view: undefined };
  try {
    const view = makeModelView(await fetchForm(model.name, model.version));
    if (shown.route !== route) return;
    shown = { route, view };
    const { mayControl = false } = state ?? {};
    main.replaceChildren(view.root, ...(mayControl ? [controlOf(model.name, "unload")] : []));
    document.title = `${model.name} · coremlx`;
    if (model.numbers) view.showNumbers(model.numbers, rates.perSecond(route));
  } catch (error) {
    if (shown.route === route) showText("", error instanceof Error ? error.message : String(error));
  }
}

function showUnloaded(name: string, route: string): void {
  const text = `${name} is not loaded.`;
  if (!state?.mayControl) return showText(route, text);
  if (shown?.route === route) return; // with the button, which may be at work
  shown = { route, view: undefined };
  main.replaceChildren(make("p", { className: "quiet" }, text), controlOf(name, "load"));
}

function controlOf(name: string, action: "load" | "unload"): HTMLElement {
  return makeModelControl({ name, action, onDone: () => void poll() });
}

function showText(route: string, text: string): void {
  if (shown?.route === route && shown.view === undefined && main.textContent === text) return;
  shown = { route, view: undefined };
  main.replaceChildren(make("p", { className: "quiet" }, text));
}
